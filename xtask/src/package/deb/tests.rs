//! The package is made, unpacked, and the service in it is run as the unit says.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

/// Longest wait for anything; far beyond what is ever needed.
const WAIT_MAX: Duration = Duration::from_secs(120);

#[test]
fn the_c_library_is_read_off_the_program() {
    let mut needs = Needs::default();
    needs.add(b"\0GLIBC_2.9\0GLIBC_2.34\0GLIBC_PRIVATE\0GLIBC_2.2.5\0libgcc_s.so.1\0");
    assert_eq!(needs.depends(), "libc6 (>= 2.34), libgcc-s1");
    assert_eq!(Needs::default().depends(), "libc6");
}

/// The folder of the programs: those beside the one that `LATHE_TEST_PROGRAM` names, as `cargo xtask ci` built
/// them; else of this profile, built if need be.
fn programs() -> PathBuf {
    if let Some(named) = std::env::var_os("LATHE_TEST_PROGRAM").map(PathBuf::from) {
        return named.parent().expect("a program in a folder").to_path_buf();
    }
    let mut build = shell::cargo(&[
        "build",
        "--quiet",
        "--package",
        "lathe",
        "--package",
        "lathe-verify",
    ]);
    // What cargo tells this test about itself would make build scripts run again.
    for (name, _) in std::env::vars_os() {
        let own = [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_CRATE_",
            "CARGO_BIN_",
        ];
        if own
            .iter()
            .any(|start| name.to_string_lossy().starts_with(start))
        {
            build.env_remove(&name);
        }
    }
    shell::run(&mut build).expect("the programs build");
    shell::target_dir().join("debug")
}

/// The values of a setting of a unit, in order.
fn settings<'a>(unit: &'a str, name: &str) -> Vec<&'a str> {
    let lines = unit.lines().filter_map(|line| line.split_once('='));
    lines
        .filter(|(it, _)| *it == name)
        .map(|(_, value)| value)
        .collect()
}

/// A child that does not outlive the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// ExecStart of the unit with `root` before every path of the system, and the unit's own variables.
fn command(unit: &str, root: &Path) -> Command {
    let inside = |path: &str| root.join(path.trim_start_matches('/'));
    let starts = settings(unit, "ExecStart");
    assert_eq!(starts.len(), 1);
    let mut words = starts[0].split_whitespace();
    let mut command = Command::new(inside(words.next().expect("a program")));
    command.args(words).env_remove("LATHE_KEY");
    for setting in settings(unit, "Environment") {
        let (name, value) = setting.split_once('=').expect("NAME=VALUE");
        match value.starts_with('/') {
            true => command.env(name, inside(value)),
            false => command.env(name, value),
        };
    }
    command
}

fn unpacked(package: &Path, folder: &Path) -> PathBuf {
    let root = folder.join("root");
    let extract = Command::new("dpkg-deb")
        .arg("-x")
        .arg(package)
        .arg(&root)
        .status();
    assert!(extract.expect("dpkg-deb runs").success());
    root
}

#[test]
fn the_installed_service_starts_answers_and_stops() {
    if !shell::has("dpkg-deb", &["--version"]) {
        eprintln!("not run: dpkg-deb is not here; packages are made on Debian and its kin");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let package = build(&programs(), folder.path(), "-Znone").unwrap();
    let root = unpacked(&package, folder.path());
    let unit = fs::read_to_string(root.join("usr/lib/systemd/system/lathe.service")).unwrap();
    // What systemd makes before it starts the service.
    assert_eq!(settings(&unit, "StateDirectory"), ["lathe"]);
    let home = root.join("var/lib/lathe");
    fs::create_dir_all(&home).unwrap();
    assert_eq!(settings(&unit, "Type"), ["notify"]);
    let socket = folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(WAIT_MAX)).unwrap();
    let mut command = command(&unit, &root);
    // As a line in /etc/default/lathe would.
    command
        .env("LATHE_LISTEN", "127.0.0.1:0")
        .env("NOTIFY_SOCKET", &socket);
    let child = command.stdout(Stdio::null()).spawn().unwrap();
    let mut running = Running(child);
    assert_eq!(told(&manager), "READY=1");

    let lock = fs::read_to_string(home.join("lock")).unwrap();
    let holder: serde_json::Value = serde_json::from_str(&lock).unwrap();
    let (status, body) = get(holder["url"].as_str().expect("a URL"), "/health");
    // It answers, and says that no model is deployed yet.
    assert_eq!(
        (status, body["status"].as_str()),
        (503, Some("starting")),
        "{body}"
    );

    let sent = Command::new("kill")
        .args(["-TERM", &running.0.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    assert_eq!(told(&manager), "STOPPING=1");
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = running.0.try_wait().unwrap() {
            break status;
        }
        assert!(begun.elapsed() < WAIT_MAX, "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success(), "{status}");
    what_is_installed(&package, &root, &unit);
}

fn told(manager: &UnixDatagram) -> String {
    let mut buffer = [0; 256];
    let read = manager
        .recv(&mut buffer)
        .expect("the service tells how it stands");
    String::from_utf8_lossy(&buffer[..read]).into_owned()
}

/// GETs JSON, whatever its status.
fn get(url: &str, path: &str) -> (u16, serde_json::Value) {
    let host = url.strip_prefix("http://").expect("plain on loopback");
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (
        status.expect("a status"),
        serde_json::from_str(body).expect("JSON"),
    )
}

/// The control file, the modes and the walls around the service.
fn what_is_installed(package: &Path, root: &Path, unit: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let control = Command::new("dpkg-deb")
        .arg("-f")
        .arg(package)
        .output()
        .unwrap();
    let control = String::from_utf8(control.stdout).unwrap();
    assert!(
        control.contains(&format!("Version: {}\n", version())),
        "{control}"
    );
    assert!(control.contains("Depends: libc6 (>= 2."), "{control}");
    for (path, mode) in [
        ("usr/bin/lathe", 0o755),
        ("usr/bin/lathe-verify", 0o755),
        ("etc/default/lathe", 0o644),
        ("usr/share/lathe/packs/customer-care/pack.yaml", 0o644),
        ("usr/share/doc/lathe/guide/box.md", 0o644),
    ] {
        let data = fs::metadata(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(data.permissions().mode() & 0o777, mode, "{path}");
    }
    for (setting, value) in [
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateDevices", "yes"),
        ("CapabilityBoundingSet", ""),
        ("User", "lathe"),
        ("SystemCallFilter", "@system-service"),
    ] {
        assert_eq!(settings(unit, setting), [value], "{setting}");
    }
    // The user that the service runs as is the one that is made.
    let users = fs::read_to_string(root.join("usr/lib/sysusers.d/lathe.conf")).unwrap();
    assert!(users.lines().any(|line| line.starts_with("u lathe ")));
}
