//! The records of a file, one at a time and never more than one held.

mod columnar;
mod objects;
mod table;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::FileFormat;
use super::value::Fields;
use crate::DataError;

/// Why a record does not come.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The record is broken; the next may be whole.
    Record(String),
    /// The file is broken: nothing follows.
    File(String),
    /// The file cannot be read on: nothing follows.
    Io(io::Error),
}

type Stream = Box<dyn Iterator<Item = Result<Fields, Trouble>> + Send>;

/// The records of one file.
pub(super) struct Records {
    stream: Stream,
    path: PathBuf,
    format: FileFormat,
    bytes_read: Arc<AtomicU64>,
}

/// A file that counts what is read of it.
struct Counted {
    file: File,
    bytes_read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.bytes_read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// How much of a file is read at once.
const BLOCK_BYTES: usize = 256 << 10;

impl Records {
    /// Opens the file at `path`; `names` are the first columns of a table without a header.
    pub(super) fn open(path: &Path, names: &[String]) -> Result<Self, DataError> {
        let fail = |error| DataError::file("read", path, error);
        if std::fs::metadata(path).map_err(fail)?.is_dir() {
            return Err(DataError::Layout {
                path: path.to_owned(),
                reason: "it is a folder; name one file in it".to_owned(),
            });
        }
        let format = FileFormat::of(path)?;
        let file = File::open(path).map_err(fail)?;
        let bytes_read = Arc::new(AtomicU64::new(0));
        let counted = |file| Counted {
            file,
            bytes_read: bytes_read.clone(),
        };
        let stream: Stream = match format {
            FileFormat::Json => Box::new(objects::Objects::new(BufReader::with_capacity(
                BLOCK_BYTES,
                counted(file),
            ))),
            FileFormat::Csv => Box::new(table::Table::new(counted(file), b',', names)),
            FileFormat::Tsv => Box::new(table::Table::new(counted(file), b'\t', names)),
            FileFormat::Parquet => Box::new(columnar::rows(file)),
        };
        Ok(Self {
            stream,
            path: path.to_owned(),
            format,
            bytes_read,
        })
    }

    /// The records in `bytes`, for fuzzing.
    pub(super) fn from_bytes(bytes: Vec<u8>, format: FileFormat) -> Self {
        let bytes = io::Cursor::new(bytes);
        let stream: Stream = match format {
            FileFormat::Csv => Box::new(table::Table::new(bytes, b',', &[])),
            FileFormat::Tsv => Box::new(table::Table::new(bytes, b'\t', &[])),
            FileFormat::Json | FileFormat::Parquet => Box::new(objects::Objects::new(bytes)),
        };
        Self {
            stream,
            path: PathBuf::from("bytes"),
            format,
            bytes_read: Arc::default(),
        }
    }

    /// How many bytes of the file were read, ahead of its records; 0 for Parquet, which is read by
    /// its columns.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// The error of a file without records.
    pub(super) fn empty(&self) -> DataError {
        self.file_error("it holds no records".to_owned())
    }

    /// What went wrong with record `number`.
    pub(super) fn error(&self, number: u64, trouble: Trouble) -> DataError {
        match trouble {
            Trouble::Record(reason) => DataError::Sample {
                path: self.path.clone(),
                record: number,
                reason,
            },
            Trouble::File(reason) => self.file_error(reason),
            Trouble::Io(error) => DataError::file("read", &self.path, error),
        }
    }

    fn file_error(&self, reason: String) -> DataError {
        DataError::Format {
            path: self.path.clone(),
            format: self.format.name(),
            reason,
        }
    }
}

impl Iterator for Records {
    type Item = Result<Fields, Trouble>;

    fn next(&mut self) -> Option<Self::Item> {
        self.stream.next()
    }
}
