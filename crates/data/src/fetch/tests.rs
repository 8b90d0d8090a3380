//! Fetching from servers on loopback: the way it should go, and every mishap.

mod index;
mod machine;
mod network;
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
                // Limits of time as in use: a busy machine is slow, and only a silent server may end a test.
                timeouts: Timeouts {
                    retry_ms: 1,
                    ..Timeouts::default()
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
