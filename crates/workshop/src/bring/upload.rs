//! Files that come in pieces: each piece says where it begins, so that what broke off goes on from there.
//!
//! A file is a folder of the home with the bytes as they came and a card beside them. How much came is how
//! long the file is: no count can disagree with it. Bounded in size, number and time.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use lathe_evidence::Digest;
use serde::{Deserialize, Serialize};

use super::{
    BROUGHT_BYTES_MAX, BROUGHT_MAX, BringBegin, BroughtFile, COMING_HOURS_MAX, PIECE_BYTES_MAX,
    stumbled, unknown,
};
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::home::{Home, io_error};
use crate::objects;
use crate::people::reach::{self, Reach};
use crate::people::{COMMON, Right};
use crate::workshop::Workshop;

/// The longest name that is kept of a file, in characters.
const NAME_CHARS_MAX: usize = 80;
/// The endings of the formats that are read.
const ENDINGS: [&str; 6] = ["csv", "tsv", "jsonl", "json", "xlsx", "parquet"];
/// The card beside the bytes.
pub(crate) const CARD: &str = "card.json";
/// The longest card: a name, two numbers and a digest.
pub(crate) const CARD_BYTES_MAX: u64 = 4096;

/// What is kept of a file beside its bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Card {
    name: String,
    /// A file of an earlier version has none.
    #[serde(default = "common")]
    project: String,
    bytes: Option<u64>,
    sha256: Option<Digest>,
    /// Whether all of it came and was held against its digest.
    complete: bool,
    created_ms: i64,
}

fn common() -> String {
    COMMON.to_owned()
}

/// Where the bytes of a file lie.
pub(super) fn path_of(home: &Home, file: &BroughtFile) -> PathBuf {
    home.brought().join(&file.id).join(&file.name)
}

impl Workshop {
    /// Begins to take a file. One that broke off, of the same name, size and digest, goes on.
    ///
    /// # Errors
    /// `bring-file`, `bring-full`; the file system's.
    pub async fn bring_begin(&self, asked: BringBegin) -> Result<BroughtFile, WorkshopError> {
        let project = self.project_for(asked.project.as_deref(), Right::Data)?;
        self.with_brought(move |home| begin(home, &asked, &project))
            .await
    }

    /// Takes a piece of a file that begins at `offset`; the last one of a file whose size is known ends it.
    ///
    /// # Errors
    /// `bring-unknown`, `bring-offset` with where to go on, `bring-file`, `bring-digest`; the file system's.
    pub async fn bring_piece(
        &self,
        id: &str,
        offset: u64,
        piece: Vec<u8>,
    ) -> Result<BroughtFile, WorkshopError> {
        let (id, reach) = (id.to_owned(), reach::now());
        self.with_brought(move |home| {
            reached(home, &id, reach.as_ref())?;
            append(home, &id, offset, &piece)
        })
        .await
    }

    /// Ends a file whose size was not known.
    ///
    /// # Errors
    /// `bring-unknown`, `bring-digest`; the file system's.
    pub async fn bring_end(&self, id: &str) -> Result<BroughtFile, WorkshopError> {
        let (id, reach) = (id.to_owned(), reach::now());
        self.with_brought(move |home| {
            let file = reached(home, &id, reach.as_ref())?;
            match file.complete {
                true => Ok(file),
                false => end(home, file),
            }
        })
        .await
    }

    /// The files that come or came, the newest first.
    ///
    /// # Errors
    /// The file system's.
    pub async fn brought_files(&self) -> Result<Vec<BroughtFile>, WorkshopError> {
        let reach = reach::now();
        self.with_brought(move |home| {
            let mut files = all(home)?;
            files.retain(|it| is_reached(it, reach.as_ref()));
            Ok(files)
        })
        .await
    }

    /// One of them.
    ///
    /// # Errors
    /// `bring-unknown`; the file system's.
    pub async fn brought_file(&self, id: &str) -> Result<BroughtFile, WorkshopError> {
        let (id, reach) = (id.to_owned(), reach::now());
        self.with_brought(move |home| reached(home, &id, reach.as_ref()))
            .await
    }

    /// How many files come or came into a project.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) async fn brought_into(&self, project: &str) -> Result<u64, WorkshopError> {
        let project = project.to_owned();
        self.with_brought(move |home| {
            let files = all(home)?;
            Ok(files.iter().filter(|it| it.project == project).count() as u64)
        })
        .await
    }

    /// Forgets a file.
    ///
    /// # Errors
    /// `bring-unknown`; the file system's.
    pub async fn bring_forget(&self, id: &str) -> Result<(), WorkshopError> {
        let (id, reach) = (id.to_owned(), reach::now());
        self.with_brought(move |home| {
            let file = reached(home, &id, reach.as_ref())?;
            remove(&home.brought().join(file.id))
        })
        .await
    }

    /// One at a time: who appends at the same place meets the other's bytes, and is told where to go on.
    async fn with_brought<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Home) -> Result<T, WorkshopError> + Send + 'static,
    ) -> Result<T, WorkshopError> {
        let _held = self.hold_brought().await;
        let home = self.home().clone();
        let done = reach::spawn_blocking(move || work(&home)).await;
        done.map_err(|error| stumbled(&error))?
    }
}

fn begin(home: &Home, asked: &BringBegin, project: &str) -> Result<BroughtFile, WorkshopError> {
    let name = plain_name(&asked.name)?;
    if asked.bytes.is_some_and(|bytes| bytes > BROUGHT_BYTES_MAX) {
        return Err(too_large());
    }
    let mut here = all(home)?;
    let is_same = |it: &BroughtFile| {
        let said = (&it.name, it.bytes, it.sha256) == (&name, asked.bytes, asked.sha256);
        said && it.project == project && asked.bytes.is_some() && asked.sha256.is_some()
    };
    if let Some(same) = here.iter().find(|it| is_same(it)) {
        return Ok(same.clone());
    }
    let oldest_ms = now_ms() - COMING_HOURS_MAX * 3_600_000;
    for stale in here.extract_if(.., |it| !it.complete && it.created_ms < oldest_ms) {
        remove(&home.brought().join(stale.id))?;
    }
    if here.len() >= BROUGHT_MAX {
        return Err(WorkshopError::new(
            "bring-full",
            format!("{BROUGHT_MAX} files were brought of which nothing was made yet"),
            "make datasets of them, or forget some",
        ));
    }
    let id = uuid::Uuid::now_v7().simple().to_string();
    let folder = home.brought().join(&id);
    let made = fs::create_dir_all(&folder);
    made.map_err(|error| io_error("create the folder", &folder, &error))?;
    let path = folder.join(&name);
    File::create(&path).map_err(|error| io_error("create", &path, &error))?;
    let card = Card {
        name,
        project: project.to_owned(),
        bytes: asked.bytes,
        sha256: asked.sha256,
        complete: false,
        created_ms: now_ms(),
    };
    write_card(&folder, &card)?;
    one(home, &id)
}

fn append(home: &Home, id: &str, offset: u64, piece: &[u8]) -> Result<BroughtFile, WorkshopError> {
    let file = one(home, id)?;
    if file.complete || offset != file.received {
        return Err(WorkshopError::new(
            "bring-offset",
            format!(
                "a piece begins at {offset}, and {} bytes of the file are here",
                file.received
            ),
            "ask how much is here, and go on from there",
        ));
    }
    if piece.len() > PIECE_BYTES_MAX {
        return Err(WorkshopError::new(
            "bring-file",
            format!(
                "a piece has {} bytes, more than {PIECE_BYTES_MAX}",
                piece.len()
            ),
            "send smaller pieces",
        ));
    }
    let after = offset + piece.len() as u64;
    if after > file.bytes.unwrap_or(BROUGHT_BYTES_MAX) {
        return Err(match file.bytes {
            Some(bytes) => WorkshopError::new(
                "bring-file",
                format!("more came than the {bytes} bytes that the file was said to have"),
                "forget it and begin anew with its size",
            ),
            None => too_large(),
        });
    }
    let path = path_of(home, &file);
    let write = || -> std::io::Result<()> {
        let mut to = OpenOptions::new().append(true).open(&path)?;
        to.write_all(piece)?;
        to.sync_data()
    };
    write().map_err(|error| io_error("write", &path, &error))?;
    let file = one(home, id)?;
    match file.bytes == Some(file.received) {
        true => end(home, file),
        false => Ok(file),
    }
}

/// Holds what came against its digest. What is not it is gone: nothing can be told of where it differs.
fn end(home: &Home, file: BroughtFile) -> Result<BroughtFile, WorkshopError> {
    let (folder, path) = (home.brought().join(&file.id), path_of(home, &file));
    let (bytes, sha256) = objects::hash_file(&path)?;
    if file.sha256.is_some_and(|said| said != sha256) {
        remove(&folder)?;
        return Err(WorkshopError::new(
            "bring-digest",
            format!(
                "{} did not come as it was sent: its digest is {sha256}",
                file.name
            ),
            "send it again",
        ));
    }
    let card = Card {
        name: file.name,
        project: file.project,
        bytes: Some(bytes),
        sha256: Some(sha256),
        complete: true,
        created_ms: file.created_ms,
    };
    write_card(&folder, &card)?;
    one(home, &file.id)
}

fn all(home: &Home) -> Result<Vec<BroughtFile>, WorkshopError> {
    let folder = home.brought();
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("list", &folder, &error)),
    };
    let names = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    // A folder without a card is one that was cut off while it was made.
    let mut files: Vec<BroughtFile> = names.filter_map(|id| one(home, &id).ok()).collect();
    files.sort_by(|a, b| b.id.cmp(&a.id));
    Ok(files)
}

/// Whether it looks like an id that was given out.
pub(crate) fn is_id(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|it| it.is_ascii_hexdigit())
}

fn one(home: &Home, id: &str) -> Result<BroughtFile, WorkshopError> {
    // Nothing but an id is looked up: no path out of the folder.
    if !is_id(id) {
        return Err(unknown(id));
    }
    let folder = home.brought().join(id);
    let card = fs::read(folder.join(CARD)).ok();
    let card: Option<Card> = card.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let card = card.ok_or_else(|| unknown(id))?;
    let path = folder.join(&card.name);
    let held = fs::metadata(&path).map_err(|error| io_error("read", &path, &error))?;
    Ok(BroughtFile {
        id: id.to_owned(),
        name: card.name,
        project: card.project,
        bytes: card.bytes,
        received: held.len(),
        complete: card.complete,
        sha256: card.sha256,
        created_ms: card.created_ms,
    })
}

/// A file as a backup takes it.
pub(crate) struct Kept {
    /// Its id.
    pub(crate) id: String,
    /// Its card, as it is written.
    pub(crate) card: Vec<u8>,
    /// Where it lies.
    pub(crate) path: PathBuf,
    /// What came of it, open: nobody takes it away meanwhile, and it only grows.
    pub(crate) bytes: File,
}

/// The files that come or came. One that is forgotten in this moment is left out.
pub(crate) fn kept(home: &Home) -> Result<Vec<Kept>, WorkshopError> {
    let mut kept = Vec::new();
    for file in all(home)? {
        let path = path_of(home, &file);
        let card = home.brought().join(&file.id).join(CARD);
        // The card first: of the file there is what its card says, or more.
        let read =
            || -> std::io::Result<(Vec<u8>, File)> { Ok((fs::read(&card)?, File::open(&path)?)) };
        match read() {
            Ok((card, bytes)) => kept.push(Kept {
                id: file.id,
                card,
                path,
                bytes,
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error("read", &path, &error)),
        }
    }
    Ok(kept)
}

/// Gives the file `bytes` beside a card the name that the card tells; the card comes from outside.
///
/// # Errors
/// A sentence that says what is wrong.
pub(crate) fn name_again(folder: &Path, bytes: &str) -> Result<(), String> {
    let path = folder.join(CARD);
    let mut text = Vec::new();
    let read = File::open(&path).and_then(|it| it.take(CARD_BYTES_MAX).read_to_end(&mut text));
    read.map_err(|error| format!("{CARD} cannot be read: {error}"))?;
    let card: Card = serde_json::from_slice(&text).map_err(|error| format!("{CARD}: {error}"))?;
    if plain_name(&card.name).ok().as_ref() != Some(&card.name) {
        let shown = card.name.escape_debug();
        return Err(format!("{CARD} names a file that nobody brings: {shown}"));
    }
    let renamed = fs::rename(folder.join(bytes), folder.join(&card.name));
    renamed.map_err(|error| format!("{} cannot be put back: {error}", card.name))
}

/// Whether whoever asks may do something with a file.
fn is_reached(file: &BroughtFile, reach: Option<&Reach>) -> bool {
    reach.is_none_or(|it| it.may(Right::Data, &file.project))
}

/// One of them; for whoever may do nothing with it there is none.
fn reached(home: &Home, id: &str, reach: Option<&Reach>) -> Result<BroughtFile, WorkshopError> {
    let file = one(home, id)?;
    match is_reached(&file, reach) {
        true => Ok(file),
        false => Err(unknown(id)),
    }
}

/// Written beside and renamed: whole or not there.
fn write_card(folder: &Path, card: &Card) -> Result<(), WorkshopError> {
    let (draft, path) = (folder.join("card.part"), folder.join(CARD));
    let text = serde_json::to_vec(card).expect("a card is plain JSON");
    let write = || -> std::io::Result<()> {
        fs::write(&draft, &text)?;
        fs::rename(&draft, &path)
    };
    write().map_err(|error| io_error("write", &path, &error))
}

fn remove(folder: &Path) -> Result<(), WorkshopError> {
    fs::remove_dir_all(folder).map_err(|error| io_error("remove", folder, &error))
}

fn too_large() -> WorkshopError {
    WorkshopError::new(
        "bring-file",
        format!("the file is larger than {BROUGHT_BYTES_MAX} bytes"),
        "divide it, or name it in a pack: docs/guide/pack.md",
    )
}

/// A name that can stand in a folder: no path, nothing hidden, an ending that is read.
fn plain_name(name: &str) -> Result<String, WorkshopError> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let (stem, ending) = last.rsplit_once('.').unwrap_or((last, ""));
    let ending = ending.to_ascii_lowercase();
    if !ENDINGS.contains(&ending.as_str()) {
        let shown: String = name.chars().take(100).collect();
        return Err(WorkshopError::new(
            "bring-file",
            format!("{shown:?} is no file that is read: its ending says no format"),
            format!("bring a file that ends in one of {}", ENDINGS.join(", ")),
        ));
    }
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    let stem: String = stem
        .chars()
        .take(NAME_CHARS_MAX)
        .map(|c| if plain(c) { c } else { '-' })
        .collect();
    let stem = match stem.trim_matches('-') {
        // Not the card's own name.
        "" | "card" => "data",
        stem => stem,
    };
    Ok(format!("{stem}.{ending}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(bytes: Option<u64>, sha256: Option<Digest>) -> BringBegin {
        BringBegin {
            name: "reviews.csv".to_owned(),
            bytes,
            sha256,
            project: None,
        }
    }

    #[tokio::test]
    async fn a_file_that_broke_off_goes_on_where_it_was() {
        let (_folder, shop) = crate::testing::shop().await;
        let whole = b"question,answer\na,b\n".to_vec();
        let begin = asked(Some(whole.len() as u64), Some(Digest::of(&whole)));
        let file = shop.bring_begin(begin.clone()).await.unwrap();
        shop.bring_piece(&file.id, 0, whole[..7].to_vec())
            .await
            .unwrap();
        // The same again, and a gap, are refused with where to go on.
        for offset in [0, 9] {
            let error = shop
                .bring_piece(&file.id, offset, whole[..7].to_vec())
                .await
                .unwrap_err();
            assert_eq!(error.code(), "bring-offset");
            assert!(error.to_string().contains("7 bytes"), "{error}");
        }
        let again = shop.bring_begin(begin).await.unwrap();
        assert_eq!(
            (again.id.as_str(), again.received, again.complete),
            (&*file.id, 7, false)
        );
        let ended = shop
            .bring_piece(&file.id, 7, whole[7..].to_vec())
            .await
            .unwrap();
        assert!(ended.complete);
        assert_eq!(std::fs::read(path_of(shop.home(), &ended)).unwrap(), whole);
        shop.bring_forget(&file.id).await.unwrap();
        let gone = shop.brought_file(&file.id).await.unwrap_err();
        assert_eq!(gone.code(), "bring-unknown");
    }

    #[tokio::test]
    async fn what_is_not_what_was_sent_is_gone() {
        let (_folder, shop) = crate::testing::shop().await;
        let file = shop
            .bring_begin(asked(Some(3), Some(Digest::of(b"abc"))))
            .await
            .unwrap();
        let error = shop
            .bring_piece(&file.id, 0, b"abd".to_vec())
            .await
            .unwrap_err();
        assert_eq!(error.code(), "bring-digest");
        assert_eq!(shop.brought_files().await.unwrap(), []);
    }

    #[tokio::test]
    async fn size_number_and_names_are_bounded() {
        let (_folder, shop) = crate::testing::shop().await;
        let error = shop
            .bring_begin(asked(Some(BROUGHT_BYTES_MAX + 1), None))
            .await
            .unwrap_err();
        assert_eq!(error.code(), "bring-file");
        let file = shop.bring_begin(asked(Some(2), None)).await.unwrap();
        let error = shop
            .bring_piece(&file.id, 0, b"abc".to_vec())
            .await
            .unwrap_err();
        assert_eq!(error.code(), "bring-file");
        let open = shop.bring_begin(asked(None, None)).await.unwrap();
        shop.bring_piece(&open.id, 0, b"a,b\n".to_vec())
            .await
            .unwrap();
        let ended = shop.bring_end(&open.id).await.unwrap();
        assert_eq!((ended.bytes, ended.complete), (Some(4), true));
        for _ in 2..BROUGHT_MAX {
            shop.bring_begin(asked(None, None)).await.unwrap();
        }
        assert_eq!(
            shop.bring_begin(asked(None, None))
                .await
                .unwrap_err()
                .code(),
            "bring-full"
        );
        for id in ["../x", "", "%2e", &"g".repeat(32), "card.json"] {
            assert_eq!(
                shop.brought_file(id).await.unwrap_err().code(),
                "bring-unknown"
            );
        }
        for (name, plain) in [
            ("../../etc/a b.CSV", "a-b.csv"),
            ("评论.xlsx", "评论.xlsx"),
            ("card.json", "data.json"),
            (".jsonl", "data.jsonl"),
        ] {
            assert_eq!(plain_name(name).unwrap(), plain);
        }
        for name in ["x.exe", "x", "", "a.csv/"] {
            assert_eq!(plain_name(name).unwrap_err().code(), "bring-file", "{name}");
        }
    }
}
