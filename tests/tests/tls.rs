//! `lathe up --tls-cert --tls-key`: answers over TLS alone, takes a new certificate at SIGHUP without an
//! end of service, and this machine's own commands go on reaching it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lathe_tests::{Home, Serving, text, wait_for};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

struct Pair {
    cert: PathBuf,
    key: PathBuf,
}

impl Pair {
    fn at(folder: &Path) -> Pair {
        Pair {
            cert: folder.join("cert.pem"),
            key: folder.join("key.pem"),
        }
    }

    /// Writes a new certificate; gives a client that trusts it and no other.
    fn renew(&self) -> ureq::Agent {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("makes");
        fs::write(&self.cert, made.cert.pem()).expect("writes");
        fs::write(&self.key, made.signing_key.serialize_pem()).expect("writes");
        let cert = Certificate::from_pem(made.cert.pem().as_bytes()).expect("a certificate");
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::from([cert]))
            .build();
        client(tls)
    }

    fn up(&self, home: &Home) -> (Serving, String) {
        let words = ["up", "--listen", "127.0.0.1:0", "--tls-cert"];
        let mut command = home.lathe(&words);
        command.arg(&self.cert).arg("--tls-key").arg(&self.key);
        let mut serving = Serving::start(home, &mut command);
        let line = serving.wait_for_line("https://");
        let url = line
            .split_whitespace()
            .find(|word| word.starts_with("https://"));
        (serving, url.expect("a URL").to_owned())
    }
}

fn client(tls: TlsConfig) -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        // Every request shakes hands anew.
        .max_idle_connections(0)
        .tls_config(tls)
        .build()
        .into()
}

fn status(agent: &ureq::Agent, url: &str) -> Result<u16, String> {
    match agent.get(format!("{url}/api/orders")).call() {
        Ok(response) => Ok(response.status().as_u16()),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn it_answers_over_tls_alone_and_renews_at_hangup() {
    let (home, folder) = (Home::new(), tempfile::tempdir().expect("a folder"));
    let pair = Pair::at(folder.path());
    let first = pair.renew();
    let (serving, url) = pair.up(&home);
    assert_eq!(status(&first, &url), Ok(200));
    let named = url.replace("127.0.0.1", "localhost");
    assert_eq!(status(&first, &named), Ok(200));

    // Who trusts nobody of ours is not answered, nor is who speaks plainly.
    let stranger = client(TlsConfig::builder().root_certs(RootCerts::WebPki).build());
    assert!(status(&stranger, &url).is_err());
    assert!(status(&first, &url.replace("https", "http")).is_err());

    // This machine's own commands reach it all the same.
    let keys = home.json(&["keys", "list", "--json"]);
    assert!(keys.to_string().contains("workshop"), "{keys}");
    assert!(serving.url.starts_with("http://127.0.0.1:"));

    // A key that does not fit changes nothing; the right one is taken by those who come after.
    fs::write(&pair.key, "no key").expect("writes");
    serving.signal("HUP");
    for _ in 0..10 {
        assert_eq!(status(&first, &url), Ok(200));
        std::thread::sleep(Duration::from_millis(20));
    }
    let second = pair.renew();
    serving.signal("HUP");
    wait_for("the new certificate", || status(&second, &url).ok());
    let fresh = pair.renew();
    assert!(
        status(&fresh, &url).is_err(),
        "nothing is read before it is asked for"
    );
    assert!(serving.interrupt().success());
}

#[test]
fn files_that_do_not_fit_are_named_before_anything_listens() {
    let (home, folder) = (Home::new(), tempfile::tempdir().expect("a folder"));
    let pair = Pair::at(folder.path());
    pair.renew();
    fs::write(&pair.key, "no key").expect("writes");
    let mut command = home.lathe(&["up", "--listen", "127.0.0.1:0", "--tls-cert"]);
    let output = command
        .arg(&pair.cert)
        .arg("--tls-key")
        .arg(&pair.key)
        .output();
    let output = output.expect("starts");
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("tls") && said.contains("key.pem"), "{said}");
    let half = home.output(&["up", "--tls-cert", "cert.pem"]);
    assert_eq!(half.status.code(), Some(2), "{}", text(&half.stderr));
}
