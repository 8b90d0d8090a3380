//! Rows on disk, by the content of what they were made from.
//!
//! Tokenising is done once: the rows go into a file named by the digest of all that they depend on
//! (the data's bytes and layout, tokenizer, template, mask, this version), written beside its place
//! and renamed, and are mapped from there: now, at the next run, and after only the learning rate
//! or the cutoff was changed, neither of which is part of the name. A file that does not hold what
//! its digest says, or whose first rows are not those that this program would make, is made anew.
//!
//! ```text
//! rows, index (see `rows`), magic, version, name (32 bytes), rows, records, where the index
//! begins (8 bytes each), SHA-256 of all before
//! ```
//!
//! The oldest files go when there are more than [`FILES_KEPT_MAX`]. Not here: tables whose answers
//! are choices, which are read whole; records that packs prepare.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lathe_data::samples::{FileFormat, SampleSource};
use lathe_evidence::Digest;
use lathe_evidence::digest::{DIGEST_BYTES, Hasher};
use lathe_kernel::{Mmap, Pool};

use crate::TuneError;
use crate::dialogue::Dialogues;
use crate::rows::{RowWriter, Rows, Store};
use crate::token_stream::{Tokenised, tokenise};

/// Files that are kept.
pub const FILES_KEPT_MAX: usize = 16;
/// Records of a file that are tokenised again to see that this program still makes these rows.
const PROBED_RECORDS: u64 = 8;
const MAGIC: [u8; 8] = *b"LATHETOK";
const VERSION: u64 = 1;
const TRAILER_BYTES: usize = 8 + 8 + DIGEST_BYTES + 3 * 8;
const EXTENSION: &str = "rows";
/// What a killed process left half made is swept after this time.
const HALF_MADE_AGE: Duration = Duration::from_secs(24 * 3600);
/// How much is read and hashed at once.
const BLOCK_BYTES: usize = 1 << 20;

/// Where rows are kept and who makes them.
pub struct TokenCache<'a> {
    /// The folder of the files; made if absent.
    pub folder: &'a Path,
    /// The threads that tokenise.
    pub pool: &'a Pool,
}

impl TokenCache<'_> {
    /// The rows of all samples of `source`, from disk if they are there. `on` hears how tokenising
    /// goes on, and nothing where nothing is tokenised.
    ///
    /// # Errors
    /// The first record that cannot be read or is no row; a folder that cannot be written to.
    pub fn rows(
        &self,
        source: &SampleSource,
        dialogues: &Dialogues<'_>,
        on: &mut dyn FnMut(Tokenised),
    ) -> Result<Rows, TuneError> {
        fs::create_dir_all(self.folder).map_err(TuneError::file("create", self.folder))?;
        let name = name(source, dialogues)?;
        let path = self.folder.join(format!("{name}.{EXTENSION}"));
        if let Some(rows) = open(&path, &name, dialogues.vocabulary())
            && self.is_current(&rows, source, dialogues)?
        {
            // What was used last is kept longest; a disk that cannot note that keeps it as it may.
            let _noted = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
            return Ok(rows);
        }
        self.make(source, dialogues, &name, &path, on)?;
        sweep(self.folder);
        open(&path, &name, dialogues.vocabulary()).ok_or_else(|| TuneError::Damaged {
            path,
            reason: "it is not what was just written".to_owned(),
        })
    }

    fn make(
        &self,
        source: &SampleSource,
        dialogues: &Dialogues<'_>,
        name: &Digest,
        path: &Path,
        on: &mut dyn FnMut(Tokenised),
    ) -> Result<(), TuneError> {
        let part = Part(path.with_extension(format!("{}.part", std::process::id())));
        let fail = || TuneError::file("write", &part.0);
        let file = File::create(&part.0).map_err(TuneError::file("create", &part.0))?;
        let out = Hashed {
            out: BufWriter::with_capacity(BLOCK_BYTES, file),
            hasher: Hasher::new(),
        };
        let mut writer = RowWriter::new(out);
        let records = tokenise(source, dialogues, self.pool, &mut writer, &part.0, on)?;
        let rows = writer.rows();
        let (mut out, index_at) = writer.finish().map_err(fail())?;
        let finish = || -> io::Result<()> {
            out.write_all(&MAGIC)?;
            out.write_all(&VERSION.to_le_bytes())?;
            out.write_all(&name.0)?;
            for number in [rows as u64, u64::from(records), index_at] {
                out.write_all(&number.to_le_bytes())?;
            }
            out.out.write_all(&out.hasher.finish().0)?;
            out.out.into_inner().map_err(io::Error::from)?.sync_all()
        };
        finish().map_err(fail())?;
        fs::rename(&part.0, path).map_err(TuneError::file("rename", &part.0))
    }

    /// Whether the first records still give these rows.
    fn is_current(
        &self,
        rows: &Rows,
        source: &SampleSource,
        dialogues: &Dialogues<'_>,
    ) -> Result<bool, TuneError> {
        let most = source.records_max.unwrap_or(u64::MAX).min(PROBED_RECORDS);
        let first = SampleSource {
            records_max: Some(most),
            ..source.clone()
        };
        let made = rows_of(&first, dialogues, self.pool)?;
        let of_first = |at: &usize| rows.record(*at) < most;
        let kept: Vec<usize> = (0..rows.len()).take_while(of_first).collect();
        Ok(kept.len() == made.len() && kept.iter().all(|&at| rows.get(at) == made.get(at)))
    }
}

/// The rows of all samples of `source` in memory: for a few of them.
///
/// # Errors
/// The first record that cannot be read or is no row.
pub fn rows_of(
    source: &SampleSource,
    dialogues: &Dialogues<'_>,
    pool: &Pool,
) -> Result<Rows, TuneError> {
    let mut writer = RowWriter::new(Vec::new());
    let path = &source.path;
    let records = tokenise(source, dialogues, pool, &mut writer, path, &mut |_| {})?;
    Ok(writer.into_rows(records))
}

/// The digest of all that the rows depend on.
fn name(source: &SampleSource, dialogues: &Dialogues<'_>) -> Result<Digest, TuneError> {
    let SampleSource {
        path,
        layout,
        records_max,
    } = source;
    let format = FileFormat::of(path)?.name();
    let mut hasher = Hasher::new();
    for text in [
        format!("tokens {VERSION} {}", env!("CARGO_PKG_VERSION")),
        format!("{format} {layout:?} {records_max:?}"),
        dialogues.manner(),
    ] {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    let fail = || TuneError::file("read", path);
    let mut file = File::open(path).map_err(fail())?;
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        match file.read(&mut block).map_err(fail())? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&block[..count]),
        }
    }
}

/// The rows in a file, if it holds them whole and under this name.
fn open(path: &Path, name: &Digest, vocabulary: usize) -> Option<Rows> {
    let map = Mmap::map(&File::open(path).ok()?).ok()?;
    let (hashed, digest) = map.split_at_checked(map.len().checked_sub(DIGEST_BYTES)?)?;
    let trailer_at = hashed.len().checked_sub(TRAILER_BYTES)?;
    let mut hasher = Hasher::new();
    for (at, block) in hashed.chunks(BLOCK_BYTES).enumerate() {
        hasher.update(block);
        map.let_go(at * BLOCK_BYTES..at * BLOCK_BYTES + block.len());
    }
    let trailer = &hashed[trailer_at..];
    let head = [&MAGIC[..], &VERSION.to_le_bytes(), &name.0].concat();
    if hasher.finish().0 != digest || !trailer.starts_with(&head) {
        return None;
    }
    let number = |at: usize| {
        let eight = trailer.get(head.len() + 8 * at..)?.first_chunk()?;
        Some(u64::from_le_bytes(*eight))
    };
    let (rows, index_at) = (
        usize::try_from(number(0)?).ok()?,
        usize::try_from(number(2)?).ok()?,
    );
    let records = u32::try_from(number(1)?).ok()?;
    let mut all = Rows::default();
    all.append(Store::mapped(
        map,
        index_at..trailer_at,
        rows,
        records,
        vocabulary,
    )?);
    Some(all)
}

/// Removes the files that were used longest ago, and what killed processes left.
fn sweep(folder: &Path) {
    let aged = |entry: fs::DirEntry| {
        let modified = entry.metadata().and_then(|it| it.modified()).ok()?;
        Some((modified, entry.path()))
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let (mut whole, half): (Vec<_>, Vec<_>) = entries
        .filter_map(aged)
        .partition(|(_, path)| path.extension().is_some_and(|it| it == EXTENSION));
    whole.sort();
    let surplus = whole.len().saturating_sub(FILES_KEPT_MAX);
    let old = |at: &SystemTime| at.elapsed().is_ok_and(|age| age > HALF_MADE_AGE);
    let left = half
        .iter()
        .filter(|(at, path)| old(at) && path.extension().is_some_and(|it| it == "part"));
    for (_, path) in whole[..surplus].iter().chain(left) {
        // One that stays is tried again after the next file is made.
        let _removed = fs::remove_file(path);
    }
}

/// A half-made file, which goes unless it was renamed.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // After the renaming there is none.
        let _removed = fs::remove_file(&self.0);
    }
}

/// Writes, and hashes what it writes.
struct Hashed {
    out: BufWriter<File>,
    hasher: Hasher,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests;
