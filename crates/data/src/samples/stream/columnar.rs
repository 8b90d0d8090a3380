//! Rows of a parquet file, page by page.

use std::fs::File;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;

use super::Trouble;
use crate::bounds::FIELDS_MAX;
use crate::reader::{check_parquet_size, parquet_object, shielded};
use crate::samples::value::Fields;

/// The rows of the file.
pub(super) fn rows(file: File) -> Rows {
    Rows {
        state: State::Shut(file),
    }
}

/// The rows of a parquet file.
pub(super) struct Rows {
    state: State,
}

enum State {
    Shut(File),
    Open(RowIter<'static>),
    Done,
}

impl Iterator for Rows {
    type Item = Result<Fields, Trouble>;

    fn next(&mut self) -> Option<Self::Item> {
        // What the parser left behind when it failed is not looked at again.
        let state = std::mem::replace(&mut self.state, State::Done);
        let stepped = shielded(|| step(state)).map_err(Trouble::File);
        match stepped.transpose()? {
            Err(trouble) => Some(Err(trouble)),
            Ok((fields, rows)) => {
                self.state = State::Open(rows);
                Some(fields.map_err(Trouble::Record))
            }
        }
    }
}

/// A row, and the rows after it.
type Step = (Result<Fields, String>, RowIter<'static>);

fn step(state: State) -> Result<Option<Step>, String> {
    let mut rows = match state {
        State::Done => return Ok(None),
        State::Open(rows) => rows,
        State::Shut(file) => {
            let reader = SerializedFileReader::new(file).map_err(told)?;
            check_parquet_size(reader.metadata())?;
            RowIter::from_file_into(Box::new(reader))
        }
    };
    let Some(row) = rows.next() else {
        return Ok(None);
    };
    let fields = parquet_object(&row.map_err(told)?).and_then(|fields| match fields.len() {
        0..=FIELDS_MAX => Ok(fields),
        _ => Err(format!("it has more than {FIELDS_MAX} fields")),
    });
    Ok(Some((fields, rows)))
}

fn told(error: parquet::errors::ParquetError) -> String {
    format!("it is no parquet file that can be read: {error}")
}
