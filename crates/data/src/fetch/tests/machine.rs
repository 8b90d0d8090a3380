//! This machine: its cache, its files, its disk.

use super::*;

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
fn an_archive_that_changed_at_its_address_is_fetched_anew_under_a_new_pin() {
    let archives = [zip_of(&[("x.csv", b"old")]), zip_of(&[("x.csv", b"new")])];
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::new(move |_| {
        let time = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Reply::ok(archives[time.min(1)].clone())
    });
    let place = Place::new(&[]);
    let source = server.url("/data.zip#x.csv");
    assert_eq!(content(&place.fetch(&source)), b"old");
    let pinned = FetchOptions {
        sha256: Some(Digest::of(b"new")),
        ..place.options()
    };
    assert_eq!(content(&go(&source, &pinned)), b"new");
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
        &["has SHA-256", "the pack says"],
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
    let error = DataError::file("write", Path::new("cache/objects"), read_only);
    assert_eq!(error.code(), "read-only");
}
