//! Indexes and hubs: what is asked of them, and what they may answer.

use super::*;

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
fn an_index_that_fails_is_asked_again_and_then_named() {
    let server = Server::new(|_| Reply::status(503));
    let url = server
        .url("/simple")
        .replace("http://", "http://user:secret@");
    let place = Place::new(&[("PIP_INDEX_URL", url)]);
    let outcome = place.fetch("pypi:my-data==1.0");
    refuse(
        outcome,
        "data-network",
        &[
            &server.url("/simple/my-data/"),
            "answered 503",
            "again later",
        ],
    );
    assert_eq!(server.asked().len(), 3);
    let html = Server::new(|_| Reply::ok("{").with("content-type", "application/json"));
    refuse(
        with_index(&html).fetch("pypi:my-data==1.0"),
        "data-network",
        &["package index", "PIP_INDEX_URL"],
    );
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
    assert_eq!((again.cached, again.sha256), (true, model.sha256));
    assert_eq!(again.path, model.path);
    std::fs::write(model.path.join("config.json"), b"rot").unwrap();
    refuse(
        go("hf:Own/Model@main", &place.offline()),
        "data-offline",
        &["hf:Own/Model@main"],
    );
    let mended = place.fetch("hf:Own/Model@main").unwrap();
    assert_eq!((mended.cached, mended.sha256), (false, model.sha256));
    assert_eq!(
        std::fs::read(mended.path.join("config.json")).unwrap(),
        b"{}"
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
