//! Rows of csv and tsv out of a stream, by the same parser that reads packs' tables.
//!
//! A window over the decoded text slides along the file; a row counts once its end is inside the
//! window, which grows up to [`SAMPLE_BYTES_MAX`] for it.

use std::io::{self, Read};

use encoding_rs::{CoderResult, Decoder};
use serde_json::Value;

use super::{BLOCK_BYTES, Trouble};
use crate::bounds::{FIELDS_MAX, SAMPLE_BYTES_MAX};
use crate::reader::{NEVER_CLOSED, TableLines, recognise};
use crate::samples::value::Fields;

/// Rows whose quote is never closed: more of them than this, and quotes mean something else in the
/// file. Each costs a look through the whole window.
const LOST_QUOTES_MAX: usize = 100;

/// The rows of a table.
pub(super) struct Table<R> {
    window: Window<R>,
    delimiter: u8,
    /// The columns' names; none before the header is read.
    names: Option<Vec<String>>,
    /// Whether rows may have more cells than there are names.
    more_cells: bool,
    lost_quotes: usize,
    ended: bool,
}

impl<R: Read> Table<R> {
    /// `names` are the first columns of a table without a header; where there are none, the first
    /// row names all.
    pub(super) fn new(source: R, delimiter: u8, names: &[String]) -> Self {
        Self {
            window: Window::new(source),
            delimiter,
            names: (!names.is_empty()).then(|| names.to_vec()),
            more_cells: !names.is_empty(),
            lost_quotes: 0,
            ended: false,
        }
    }

    fn record(&mut self) -> Result<Option<Fields>, Trouble> {
        if self.names.is_none() {
            match self.window.row(self.delimiter)? {
                None => return Ok(None),
                Some(header) => self.names = Some(header_names(header)?),
            }
        }
        let Some(row) = self.window.row(self.delimiter)? else {
            return Ok(None);
        };
        let cells = row.cells.map_err(|reason| {
            self.lost_quotes += usize::from(reason == NEVER_CLOSED);
            match self.lost_quotes > LOST_QUOTES_MAX {
                true => Trouble::File(format!(
                    "more than {LOST_QUOTES_MAX} quotes in it are never closed; double the quotes inside cells, or save it as jsonl"
                )),
                false => Trouble::Record(format!("on line {}: {reason}", row.line)),
            }
        })?;
        let names = self.names.as_deref().unwrap_or_default();
        if cells.len() < names.len() || (cells.len() > names.len() && !self.more_cells) {
            return Err(Trouble::Record(format!(
                "on line {} are {} cells instead of {}",
                row.line,
                cells.len(),
                names.len()
            )));
        }
        let cells = cells.into_iter().map(Value::String);
        Ok(Some(names.iter().cloned().zip(cells).collect()))
    }
}

impl<R: Read> Iterator for Table<R> {
    type Item = Result<Fields, Trouble>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let record = self.record().transpose();
        self.ended = !matches!(record, Some(Ok(_) | Err(Trouble::Record(_))));
        record
    }
}

fn header_names(header: Row) -> Result<Vec<String>, Trouble> {
    let cells = header
        .cells
        .map_err(|reason| Trouble::File(format!("its header cannot be read: {reason}")))?;
    if cells.len() > FIELDS_MAX {
        return Err(Trouble::File(format!(
            "it has more than {FIELDS_MAX} columns"
        )));
    }
    let names: Vec<String> = cells.iter().map(|name| name.trim().to_owned()).collect();
    let mut sorted: Vec<_> = names.iter().collect();
    sorted.sort();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Trouble::File(format!(
            "two columns are called `{}`; rename one",
            pair[0]
        ))),
        None => Ok(names),
    }
}

/// A row: where it begins, and its cells or why there are none.
struct Row {
    line: u64,
    cells: Result<Vec<String>, String>,
}

/// The part of the file that is held, as text.
struct Window<R> {
    source: R,
    /// None before the first block says which encoding the file is in.
    decoder: Option<Decoder>,
    text: String,
    /// Where in `text` and on which line the next row begins.
    at: usize,
    line: u64,
    at_end: bool,
    /// Whether bytes outside the encoding were replaced by U+FFFD.
    replaced: bool,
}

impl<R: Read> Window<R> {
    fn new(source: R) -> Self {
        Self {
            source,
            decoder: None,
            text: String::new(),
            at: 0,
            line: 1,
            at_end: false,
            replaced: false,
        }
    }

    /// The next row, read on until all of it is there.
    fn row(&mut self, delimiter: u8) -> Result<Option<Row>, Trouble> {
        let mut block_bytes = BLOCK_BYTES;
        loop {
            let mut lines = TableLines::new(&self.text, self.at, self.line, delimiter);
            let row = lines.next();
            let (at, line) = lines.place();
            let open = match &row {
                None => true,
                Some((_, row)) => {
                    at == self.text.len()
                        || row
                            .cells
                            .as_ref()
                            .is_err_and(|reason| reason == NEVER_CLOSED)
                }
            };
            if !open || self.at_end || self.text.len() - self.at > SAMPLE_BYTES_MAX {
                let row = row.map(|(line, row)| Row {
                    line,
                    cells: match self.replaced && row.raw.contains('\u{FFFD}') {
                        true => {
                            Err("bytes are in no known encoding; save the file as UTF-8".to_owned())
                        }
                        false => row.cells,
                    },
                });
                (self.at, self.line) = (at, line);
                return match open
                    && !self.at_end
                    && row.as_ref().is_none_or(|row| row.cells.is_ok())
                {
                    true => Err(Trouble::File(format!(
                        "a row before line {line} has more than {SAMPLE_BYTES_MAX} bytes; look for a quote that is never closed"
                    ))),
                    false => Ok(row),
                };
            }
            if row.is_none() {
                // Nothing but line ends: they need not be looked at again.
                (self.at, self.line) = (at, line);
            }
            self.fill(block_bytes)?;
            // Growing steps: a long row is not looked through for every block of it.
            block_bytes = block_bytes.saturating_mul(2).min(SAMPLE_BYTES_MAX / 2);
        }
    }

    /// Lets go of the rows that are done and reads the next block.
    fn fill(&mut self, block_bytes: usize) -> Result<(), Trouble> {
        self.text.drain(..self.at);
        self.at = 0;
        let mut block = Vec::with_capacity(block_bytes);
        (&mut self.source)
            .take(block_bytes as u64)
            .read_to_end(&mut block)
            .map_err(Trouble::Io)?;
        self.at_end = block.len() < block_bytes;
        let decoder = self
            .decoder
            .get_or_insert_with(|| recognise(&block).new_decoder());
        let mut rest = &block[..];
        loop {
            let room = decoder
                .max_utf8_buffer_length(rest.len())
                .ok_or_else(|| Trouble::Io(io::ErrorKind::OutOfMemory.into()))?;
            self.text.reserve(room);
            let (result, used, replaced) =
                decoder.decode_to_string(rest, &mut self.text, self.at_end);
            self.replaced |= replaced;
            rest = &rest[used..];
            if result == CoderResult::InputEmpty {
                return Ok(());
            }
        }
    }
}
