//! Fetching from servers on loopback: the way it should go, and every mishap.

mod server;

use std::io::{Cursor, Write as _};

use serde_json::json;
use tempfile::TempDir;
use zip::write::SimpleFileOptions;

use self::server::{Asked, Reply, Server};
use super::*;

/// A cache of its own, a working folder, and the variables a test sets.
struct Place {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

impl Place {
    fn new(variables: &[(&str, String)]) -> Self {
        let own = |(name, value): &(&str, String)| ((*name).to_owned(), value.clone());
        Self {
            folder: tempfile::tempdir().unwrap(),
            variables: variables.iter().map(own).collect(),
        }
    }

    fn options(&self) -> FetchOptions {
        let none = ("PIP_CONFIG_FILE".to_owned(), "/dev/null".to_owned());
        FetchOptions {
            cache: self.folder.path().join("cache"),
            offline: false,
            sha256: None,
            base_dir: self.folder.path().to_owned(),
            environment: Environment {
                variables: self.variables.iter().cloned().chain([none]).collect(),
                timeouts: Timeouts {
                    connect_ms: 2000,
                    answer_ms: 2000,
                    silence_ms: 300,
                    retry_ms: 1,
                },
            },
        }
    }

    fn offline(&self) -> FetchOptions {
        FetchOptions {
            offline: true,
            ..self.options()
        }
    }

    fn fetch(&self, source: &str) -> Result<Fetched, DataError> {
        go(source, &self.options())
    }

    /// Whatever lies in the cache's folder of that name, by path.
    fn leftovers(&self, name: &str) -> Vec<String> {
        let folder = self.folder.path().join("cache").join(name);
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        files
            .map(|file| file.file_name().to_string_lossy().into_owned())
            .collect()
    }
}

fn go(source: &str, options: &FetchOptions) -> Result<Fetched, DataError> {
    let source: Source = source.parse().unwrap();
    fetch(&source, options, &mut |_| {})
}

#[track_caller]
fn content(fetched: &Result<Fetched, DataError>) -> Vec<u8> {
    let fetched = fetched.as_ref().unwrap_or_else(|error| panic!("{error}"));
    let bytes = std::fs::read(&fetched.path).unwrap();
    assert_eq!(
        (Digest::of(&bytes), bytes.len() as u64),
        (fetched.sha256, fetched.bytes)
    );
    bytes
}

#[track_caller]
fn refuse(outcome: Result<Fetched, DataError>, code: &str, texts: &[&str]) {
    let error = outcome.unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    for text in texts {
        assert!(
            error.to_string().contains(text),
            "`{text}` is not in: {error}"
        );
    }
}

fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        writer
            .start_file(*name, SimpleFileOptions::default())
            .unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn wheel() -> Vec<u8> {
    zip_of(&[
        ("my_data/values.csv", b"wheel"),
        ("my_data-1.0.dist-info/METADATA", b"m"),
    ])
}

fn sdist() -> Vec<u8> {
    let inner = zip_of(&[("deep/values.csv", b"deep")]);
    zip_of(&[
        ("My-Data-1.0/values.csv", b"sdist"),
        ("My-Data-1.0/inner.zip", &inner),
    ])
}

/// An index of `my-data` 1.0 (a wheel and an sdist) and 0.9, in either form.
fn index(json: bool) -> Server {
    Server::new(move |asked| match asked.path.as_str() {
        "/simple/my-data/" => page(json),
        "/files/my_data-1.0-py3-none-any.whl" => Reply::ok(wheel()),
        "/files/My-Data-1.0.zip" => Reply::ok(sdist()),
        _ => Reply::status(404),
    })
}

fn page(json: bool) -> Reply {
    let (wheel, sdist) = (Digest::of(&wheel()), Digest::of(&sdist()));
    if json {
        let files = json!({"files": [
            {"filename": "My-Data-1.0.zip", "url": "/files/My-Data-1.0.zip", "hashes": {"sha256": sdist}},
            {"filename": "my_data-0.9-py3-none-any.whl", "url": "/files/old.whl", "hashes": {}},
            {"filename": "my_data-1.0-py3-none-any.whl", "url": "../../files/my_data-1.0-py3-none-any.whl", "hashes": {"sha256": wheel}},
        ]});
        Reply::ok(files.to_string()).with("content-type", "application/vnd.pypi.simple.v1+json")
    } else {
        Reply::ok(format!(
            "<html><a href='/files/My-Data-1.0.zip#sha256={sdist}'>s</a><a href='/files/old-0.9.zip'>o</a>
             <a href='../../files/my_data-1.0-py3-none-any.whl#sha256={wheel}'>w</a></html>"
        ))
        .with("content-type", "text/html")
    }
}

fn with_index(server: &Server) -> Place {
    Place::new(&[("PIP_INDEX_URL", server.url("/simple/"))])
}

#[test]
fn packages_come_from_both_forms_of_an_index() {
    for json in [true, false] {
        let server = index(json);
        let place = with_index(&server);
        assert_eq!(
            content(&place.fetch("pypi:My.Data==1.0#my_data/values.csv")),
            b"wheel"
        );
        assert_eq!(
            content(&place.fetch("pypi:my_data==1#My-Data-1.0/values.csv")),
            b"sdist"
        );
        let deep = place.fetch("pypi:my-data==1.0#My-Data-1.0/inner.zip#deep/values.csv");
        assert_eq!(content(&deep), b"deep");
        assert_eq!(deep.unwrap().path.file_name().unwrap(), "values.csv");
    }
}

#[test]
fn the_likeliest_file_is_asked_for_and_the_other_only_if_need_be() {
    let server = index(true);
    let place = with_index(&server);
    place.fetch("pypi:my-data==1.0#my_data/values.csv").unwrap();
    let wheel_first = ["/simple/my-data/", "/files/my_data-1.0-py3-none-any.whl"];
    assert_eq!(server.paths(), wheel_first);
    let place = with_index(&server);
    place
        .fetch("pypi:my-data==1.0#My-Data-1.0/values.csv")
        .unwrap();
    assert_eq!(
        server.paths()[2..],
        ["/simple/my-data/", "/files/My-Data-1.0.zip"]
    );
}

#[test]
fn a_file_pinned_by_digest_is_chosen_by_it() {
    let server = index(true);
    let place = with_index(&server);
    let pinned = |bytes: &[u8]| FetchOptions {
        sha256: Some(Digest::of(bytes)),
        ..place.options()
    };
    assert_eq!(
        content(&go("pypi:my-data==1.0", &pinned(&sdist()))),
        sdist()
    );
    assert_eq!(
        content(&go("pypi:my-data==1.0", &pinned(&wheel()))),
        wheel()
    );
    refuse(
        go("pypi:my-data==1.0", &pinned(b"other")),
        "data-digest",
        &["the pack says", "was not used"],
    );
}

#[test]
fn what_the_index_does_not_have_is_said_with_the_nearest() {
    let server = index(true);
    let place = with_index(&server);
    refuse(
        place.fetch("pypi:my-data==1.1"),
        "data-missing",
        &["my-data==1.1", "check the version", "1.0"],
    );
    refuse(
        place.fetch("pypi:nothing==1"),
        "data-missing",
        &["check the name"],
    );
    refuse(
        place.fetch("pypi:my-data==1.0#my_data/value.csv"),
        "data-missing",
        &["`my_data/value.csv`", "the nearest is `my_data/values.csv`"],
    );
}

#[test]
fn a_file_that_breaks_the_indexs_promise_is_not_kept() {
    let server = Server::new(|asked| match asked.path.as_str() {
        "/simple/my-data/" => page(true),
        _ => Reply::ok(zip_of(&[("my_data/values.csv", b"altered")])),
    });
    let place = with_index(&server);
    let outcome = place.fetch("pypi:my-data==1.0#my_data/values.csv");
    refuse(
        outcome,
        "data-digest",
        &["the index says", "use another index"],
    );
    for name in ["parts", "objects", "index", "tmp"] {
        assert_eq!(place.leftovers(name), [""; 0], "{name}");
    }
}

#[test]
fn find_links_folders_are_looked_into_first() {
    let place = Place::new(&[]);
    std::fs::write(
        place.folder.path().join("my_data-1.0-py3-none-any.whl"),
        wheel(),
    )
    .unwrap();
    let links = place.folder.path().to_str().unwrap().to_owned();
    let mut options = place.options();
    options
        .environment
        .variables
        .insert("PIP_FIND_LINKS".to_owned(), links);
    options
        .environment
        .variables
        .insert("PIP_NO_INDEX".to_owned(), "true".to_owned());
    assert_eq!(
        content(&go("pypi:my-data==1.0#my_data/values.csv", &options)),
        b"wheel"
    );
}

#[test]
fn an_index_that_is_a_folder_is_read() {
    let place = Place::new(&[]);
    let folder = place.folder.path().join("simple/my-data");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("my_data-1.0-py3-none-any.whl"), wheel()).unwrap();
    std::fs::write(
        folder.join("index.html"),
        "<a href='my_data-1.0-py3-none-any.whl'>w</a>",
    )
    .unwrap();
    let url = Url::from_file_path(place.folder.path().join("simple")).unwrap();
    let mut options = place.options();
    options
        .environment
        .variables
        .insert("PIP_INDEX_URL".to_owned(), url.to_string());
    assert_eq!(
        content(&go("pypi:my-data==1.0#my_data/values.csv", &options)),
        b"wheel"
    );
}

#[test]
fn credentials_go_to_the_index_and_its_host_but_nowhere_else() {
    let elsewhere = Server::new(|_| Reply::ok(wheel()));
    let away = elsewhere.url("/my_data-1.0-py3-none-any.whl");
    let server = Server::new(move |asked| match asked.path.as_str() {
        "/simple/my-data/" => Reply::ok(format!(
            "<a href='/f/my_data-1.0-py3-none-any.whl'>w</a><a href='{away}'>w</a>"
        )),
        "/f/my_data-1.0-py3-none-any.whl" => Reply::status(302).with("location", away.clone()),
        _ => Reply::status(404),
    });
    let url = server
        .url("/simple")
        .replace("http://", "http://user:secret@");
    let place = Place::new(&[("PIP_INDEX_URL", url)]);
    place.fetch("pypi:my-data==1.0#my_data/values.csv").unwrap();
    let basic = |asked: &Asked| asked.header("authorization").map(str::to_owned);
    let expected = Some("Basic dXNlcjpzZWNyZXQ=".to_owned());
    assert!(server.asked().iter().all(|asked| basic(asked) == expected));
    assert!(elsewhere.asked().iter().all(|asked| basic(asked).is_none()));
    assert_eq!((server.asked().len(), elsewhere.asked().len()), (2, 1));
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    let body: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
    let whole = body.clone();
    let server = Server::new(move |asked| {
        let mut reply = Reply::ranged(asked, &whole, "\"one\"");
        reply.cut_after = (asked.header("range").is_none()).then_some(300_000);
        reply
    });
    let place = Place::new(&[]);
    assert_eq!(content(&place.fetch(&server.url("/big.bin"))), body);
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[1].header("range"), Some("bytes=300000-"));
    assert_eq!(asked[1].header("if-range"), Some("\"one\""));
    assert_eq!(place.leftovers("parts"), [""; 0]);
}

#[test]
fn a_killed_download_goes_on_in_the_next_process_unless_the_file_changed() {
    let old = vec![b'o'; 100_000];
    let new = vec![b'n'; 100_000];
    for (tag, expected) in [("\"old\"", old.clone()), ("\"new\"", new)] {
        let (body, place) = (expected.clone(), Place::new(&[]));
        let server = Server::new(move |asked| Reply::ranged(asked, &body, tag));
        let url = server.url("/file.bin");
        // What a killed process leaves: a part of the old file with its validator.
        let cache = Cache::new(&place.options().cache);
        let part = cache.lock().unwrap().part_path(&url);
        std::fs::write(&part, &old[..40_000]).unwrap();
        std::fs::write(part.with_extension("json"), r#"{"if_range": "\"old\""}"#).unwrap();
        assert_eq!(content(&place.fetch(&url)), expected);
        assert_eq!(server.asked()[0].header("range"), Some("bytes=40000-"));
        assert_eq!(server.asked().len(), 1);
    }
}

#[test]
fn a_part_of_another_file_is_started_over_when_the_digest_shows_it() {
    let server = Server::new(|asked| Reply::ranged(asked, b"0123456789", "W/\"weak\""));
    let place = Place::new(&[]);
    let url = server.url("/file.bin");
    let part = Cache::new(&place.options().cache)
        .lock()
        .unwrap()
        .part_path(&url);
    std::fs::write(&part, b"wrong").unwrap();
    let options = FetchOptions {
        sha256: Some(Digest::of(b"0123456789")),
        ..place.options()
    };
    assert_eq!(content(&go(&url, &options)), b"0123456789");
    assert_eq!(server.asked()[0].header("range"), Some("bytes=5-"));
    assert_eq!(server.asked()[1].header("range"), None);
}

#[test]
fn without_a_validator_a_cut_download_starts_over() {
    let server = Server::new(|asked| {
        assert_eq!(asked.header("range"), None);
        let mut reply = Reply::ok(b"0123456789");
        static CUT: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(true);
        reply.cut_after = CUT
            .swap(false, std::sync::atomic::Ordering::SeqCst)
            .then_some(4);
        reply
    });
    let place = Place::new(&[]);
    assert_eq!(content(&place.fetch(&server.url("/x"))), b"0123456789");
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn a_connection_that_is_always_cut_is_given_up_with_the_part_kept() {
    let server = Server::new(|_| {
        let mut reply = Reply::ok(vec![0; 1000]).with("etag", "\"x\"");
        reply.cut_after = Some(0);
        reply
    });
    let place = Place::new(&[]);
    refuse(
        place.fetch(&server.url("/x")),
        "data-network",
        &["the connection failed", "run the same command again"],
    );
    assert_eq!(server.asked().len(), 5);
    assert_eq!(
        place.leftovers("parts"),
        [""; 0],
        "nothing came, so nothing is kept"
    );
}

#[test]
fn silence_and_closed_doors_are_errors_with_the_next_step() {
    let server = Server::new(|_| Reply {
        silent_ms: Some(1500),
        ..Reply::ok("late")
    });
    let place = Place::new(&[]);
    refuse(
        place.fetch(&server.url("/x")),
        "data-network",
        &["check the network"],
    );
    refuse(
        place.fetch("http://127.0.0.1:1/x"),
        "data-network",
        &["http://127.0.0.1:1/x", "check the network"],
    );
    refuse(
        place.fetch("http://host.invalid/x"),
        "data-network",
        &["host name is not known"],
    );
}

#[test]
fn statuses_and_redirects() {
    let server = Server::new(|asked| match asked.path.as_str() {
        "/moved" => Reply::status(301).with("location", "/there?x=1"),
        "/there?x=1" => Reply::ok("there"),
        "/round" => Reply::status(302).with("location", "/round"),
        "/ftp" => Reply::status(302).with("location", "ftp://host/x"),
        "/shut" => Reply::status(403),
        "/broken" => Reply::status(500),
        _ => Reply::status(404),
    });
    let place = Place::new(&[]);
    assert_eq!(content(&place.fetch(&server.url("/moved"))), b"there");
    refuse(
        place.fetch(&server.url("/round")),
        "data-network",
        &["redirects more than"],
    );
    refuse(
        place.fetch(&server.url("/ftp")),
        "data-network",
        &["address that is none"],
    );
    refuse(
        place.fetch(&server.url("/shut")),
        "data-network",
        &["answered 403"],
    );
    refuse(
        place.fetch(&server.url("/none")),
        "data-network",
        &["answered 404", "check the address"],
    );
    refuse(
        place.fetch(&server.url("/broken")),
        "data-network",
        &["answered 500", "again later"],
    );
    assert_eq!(
        server
            .paths()
            .iter()
            .filter(|path| *path == "/broken")
            .count(),
        5
    );
    assert_eq!(place.leftovers("parts"), [""; 0]);
}

#[test]
fn a_second_fetch_and_an_offline_one_ask_nobody() {
    let server = index(true);
    let place = with_index(&server);
    let source = "pypi:my-data==1.0#My-Data-1.0/values.csv";
    assert!(!place.fetch(source).unwrap().cached);
    let asked = server.asked().len();
    assert!(place.fetch(source).unwrap().cached);
    assert_eq!(content(&go(source, &place.offline())), b"sdist");
    let other = "pypi:my-data==1.0#My-Data-1.0/inner.zip#deep/values.csv";
    assert_eq!(
        content(&go(other, &place.offline())),
        b"deep",
        "from the archive that is here"
    );
    assert_eq!(server.asked().len(), asked);
    refuse(
        go("pypi:my-data==0.9", &place.offline()),
        "data-offline",
        &["pypi:my-data==0.9", "without --offline"],
    );
    refuse(
        go(&server.url("/x"), &place.offline()),
        "data-offline",
        &["/x"],
    );
}

#[test]
fn a_damaged_cache_is_fetched_again() {
    let server = index(true);
    let place = with_index(&server);
    let source = "pypi:my-data==1.0#my_data/values.csv";
    let first = place.fetch(source).unwrap();
    std::fs::write(&first.path, b"rot").unwrap();
    let again = place.fetch(source);
    assert_eq!(content(&again), b"wheel");
    assert!(!again.unwrap().cached);
}

#[test]
fn a_changed_pin_is_not_answered_from_the_cache() {
    let server = Server::new(|_| Reply::ok("first"));
    let place = Place::new(&[]);
    let url = server.url("/x.csv");
    place.fetch(&url).unwrap();
    let pinned = FetchOptions {
        sha256: Some(Digest::of(b"second")),
        ..place.options()
    };
    refuse(
        go(&url, &pinned),
        "data-digest",
        &["second attempt"].map(|_| "SHA-256"),
    );
}

#[test]
fn hub_files_and_whole_models() {
    let server = Server::new(|asked| {
        if asked.header("authorization") != Some("Bearer token") {
            return Reply::status(401);
        }
        match asked.path.as_str() {
            "/api/models/Own/Model/revision/main" => Reply::ok(
                json!({"sha": "abc123", "siblings": [{"rfilename": "config.json"},
                    {"rfilename": "model.safetensors"}, {"rfilename": "pytorch_model.bin"}]})
                .to_string(),
            ),
            "/Own/Model/resolve/abc123/config.json" => Reply::ok("{}"),
            "/Own/Model/resolve/abc123/model.safetensors" => Reply::ok("weights"),
            "/datasets/Own/Set/resolve/main/data/x.csv" => Reply::ok("a,b"),
            _ => Reply::status(404),
        }
    });
    let endpoint = ("HF_ENDPOINT", server.url(""));
    let place = Place::new(&[endpoint.clone(), ("HF_TOKEN", "token".to_owned())]);
    assert_eq!(
        content(&place.fetch("hf:datasets/Own/Set@main#data/x.csv")),
        b"a,b"
    );
    let model = place.fetch("hf:Own/Model@main").unwrap();
    let mut names: Vec<_> = std::fs::read_dir(&model.path)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["config.json", "model.safetensors"]);
    assert_eq!(model.bytes, 9);
    let again = go("hf:Own/Model@main", &place.offline()).unwrap();
    assert_eq!(
        (again.cached, again.sha256, again.path),
        (true, model.sha256, model.path)
    );
    let stranger = Place::new(&[endpoint]);
    refuse(
        stranger.fetch("hf:Own/Model@main"),
        "data-network",
        &["set HF_TOKEN"],
    );
    refuse(
        stranger.fetch("hf:Own/Model@main#config.json"),
        "data-network",
        &["answered 401", "token"],
    );
}

#[test]
fn proxies_are_gone_through_unless_excepted() {
    let server = Server::new(|_| Reply::ok("direct"));
    let proxy = Server::new(|_| Reply::status(500));
    let proxied = Place::new(&[("http_proxy", proxy.url(""))]);
    assert_eq!(content(&proxied.fetch(&server.url("/x"))), b"direct");
    assert_eq!(proxy.asked().len(), 1);
    assert_eq!(
        (proxy.asked()[0].method.as_str(), &proxy.asked()[0].path),
        ("CONNECT", &server.address)
    );
    let excepted = Place::new(&[
        ("HTTP_PROXY", proxy.url("")),
        ("NO_PROXY", "127.0.0.1".to_owned()),
    ]);
    assert_eq!(content(&excepted.fetch(&server.url("/x"))), b"direct");
    assert_eq!(proxy.asked().len(), 1);
    let dead = Place::new(&[("ALL_PROXY", "http://user:secret@127.0.0.1:1".to_owned())]);
    let error = dead.fetch(&server.url("/x")).unwrap_err().to_string();
    assert!(
        error.contains("through the proxy http://127.0.0.1:1/") && !error.contains("secret"),
        "{error}"
    );
}

#[test]
fn local_files_folders_and_archives() {
    let place = Place::new(&[]);
    let at = |name: &str| place.folder.path().join(name);
    std::fs::write(at("data.csv"), b"a,b").unwrap();
    std::fs::write(at("data.zip"), sdist()).unwrap();
    std::fs::create_dir(at("model")).unwrap();
    std::fs::write(at("model/config.json"), b"{}").unwrap();
    let file = place.fetch("file:data.csv");
    assert_eq!(content(&file), b"a,b");
    assert_eq!(file.unwrap().path, at("data.csv"), "used where it lies");
    let source = "file:data.zip#My-Data-1.0/inner.zip#deep/values.csv";
    assert_eq!(content(&place.fetch(source)), b"deep");
    assert!(place.fetch(source).unwrap().cached);
    std::fs::write(
        at("data.zip"),
        zip_of(&[(
            "My-Data-1.0/inner.zip",
            &zip_of(&[("deep/values.csv", b"new")]),
        )]),
    )
    .unwrap();
    assert_eq!(
        content(&place.fetch(source)),
        b"new",
        "another archive under the same name"
    );
    let folder = place.fetch("file:model").unwrap();
    assert_eq!((folder.path, folder.bytes), (at("model"), 2));
    refuse(
        place.fetch("file:model#config.json"),
        "data-source",
        &["is a folder"],
    );
    refuse(
        place.fetch("file:none.csv"),
        "data-file",
        &["cannot read", "none.csv"],
    );
    refuse(
        place.fetch("file:data.csv#x"),
        "data-archive",
        &["no archive"],
    );
    refuse(
        place.fetch("file:data.zip#x"),
        "data-missing",
        &["correct the path"],
    );
    let pinned = FetchOptions {
        sha256: Some(Digest::of(b"other")),
        ..place.options()
    };
    refuse(
        go("file:data.csv", &pinned),
        "data-digest",
        &["the pack says"],
    );
    refuse(go(source, &pinned), "data-digest", &["the pack says"]);
    assert_eq!(place.leftovers("tmp"), [""; 0]);
}

/// /dev/full takes every byte with "no space left on device".
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_said_and_leaves_nothing() {
    let server = Server::new(|_| Reply::ok(wheel()).with("etag", "\"x\""));
    let place = Place::new(&[]);
    let url = server.url("/x.whl");
    let cache = Cache::new(&place.options().cache);
    let part = cache.lock().unwrap().part_path(&url);
    std::os::unix::fs::symlink("/dev/full", &part).unwrap();
    refuse(
        place.fetch(&url),
        "disk-full",
        &["the disk is full", "LATHE_HOME"],
    );
    assert_eq!(place.leftovers("parts"), [""; 0]);
    assert_eq!(
        server.asked().len(),
        1,
        "a full disk is no reason to ask again"
    );
    assert_eq!(content(&place.fetch(&url)), wheel(), "once there is room");
}

#[cfg(target_os = "linux")]
#[test]
fn unpacking_onto_a_full_disk_is_said() {
    let place = Place::new(&[]);
    let path = place.folder.path().join("x.zip");
    std::fs::write(&path, wheel()).unwrap();
    let mut full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let outcome = archive::extract(
        &path,
        "x.zip",
        "my_data/values.csv",
        &mut full,
        Path::new("/dev/full"),
    );
    assert_eq!(outcome.unwrap_err().code(), "disk-full");
}

#[cfg(target_os = "linux")]
#[test]
fn a_read_only_home_is_said() {
    let place = Place::new(&[]);
    let options = FetchOptions {
        cache: PathBuf::from("/proc/self/cache"),
        ..place.options()
    };
    let error = go("http://127.0.0.1:1/x", &options).unwrap_err();
    assert!(error.to_string().contains("/proc/self/cache"), "{error}");
    let read_only = std::io::Error::from(std::io::ErrorKind::ReadOnlyFilesystem);
    let error = DataError::file("write", Path::new("/home/cache"), read_only);
    assert_eq!(error.code(), "read-only");
}

#[test]
fn progress_counts_up_to_the_whole() {
    let server = Server::new(|_| Reply::ok(vec![7; 1_000_000]));
    let place = Place::new(&[]);
    let source: Source = server.url("/some%20file.bin").parse().unwrap();
    let mut seen = Vec::new();
    let mut on = |progress: FetchProgress<'_>| {
        seen.push((progress.done, progress.total, progress.what.to_owned()));
    };
    fetch(&source, &place.options(), &mut on).unwrap();
    assert_eq!(
        seen.first(),
        Some(&(0, Some(1_000_000), "some file.bin".to_owned()))
    );
    assert_eq!(
        seen.last(),
        Some(&(1_000_000, Some(1_000_000), "some file.bin".to_owned()))
    );
    assert!(seen.is_sorted());
}

#[test]
fn arbitrary_index_pages_do_not_panic() {
    for sample in [
        &br#"{"files": [{"filename": "name-1.zip", "url": "x", "hashes": {}}]}"#[..],
        b"<a href='name-1.zip#sha256=00' data-yanked>",
    ] {
        for at in 0..sample.len() {
            fuzz_index(&sample[..at]);
            for byte in [0, b'<', b'"', b'\'', b'%', 0xff] {
                let mut changed = sample.to_vec();
                changed[at] = byte;
                fuzz_index(&changed);
            }
        }
    }
}
