//! Connections: cut, silent, closed, redirected, proxied.

use super::*;

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
        silent_ms: Some(600_000),
        ..Reply::ok("late")
    });
    let place = Place::new(&[]);
    let mut impatient = place.options();
    impatient.environment.timeouts.silence_ms = 300;
    refuse(
        go(&server.url("/x"), &impatient),
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
