//! What is on the shelf: one model with one version, and its files, which are really on a disk.

use std::fs::File;
use std::io::{Seek as _, Write as _};

use lathe_evidence::Digest;
use lathe_workshop::shelf::{ShelfFile, ShelfModel, ShelfVersion, Shelved};

use super::PLACED_MS;

/// What the one large file holds.
pub const WEIGHTS: &[u8] = b"0123456789";

/// The model of a deployment, which answers.
pub fn model(name: &str) -> ShelfModel {
    let version = ShelfVersion {
        number: 1,
        model: Digest::of(b"adapter"),
        parts: Some((Digest::of(b"base"), Some(Digest::of(b"adapter")))),
        licence: "Apache-2.0".to_owned(),
        registration: "2026-0001".to_owned(),
        deployment: None,
        newest: true,
        answers: true,
        standing: Shelved::HandedOut,
        why: String::new(),
        next: String::new(),
        order: super::DONE.to_owned(),
        demonstration: false,
        created_ms: PLACED_MS,
        updated_ms: PLACED_MS,
        labels: vec!["production".to_owned(), "champion".to_owned()],
    };
    ShelfModel {
        name: name.to_owned(),
        versions: vec![version],
    }
}

fn file(path: &str, content: &[u8]) -> ShelfFile {
    ShelfFile {
        path: path.to_owned(),
        size: content.len() as u64,
        sha256: Digest::of(content),
        artifact: Digest::of(b"adapter"),
        within: path.to_owned(),
    }
}

/// Its files.
pub fn files() -> Vec<ShelfFile> {
    vec![
        file("adapter_config.json", b"{}"),
        file("adapter_model.safetensors", WEIGHTS),
        file("base/model.gguf", b"base"),
    ]
}

/// One of them, open.
pub fn open(_: &ShelfFile) -> File {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(WEIGHTS).expect("written");
    file.rewind().expect("back at its beginning");
    file
}
