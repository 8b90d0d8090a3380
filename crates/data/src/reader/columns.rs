//! The columns of a table, for the formats that have rows of cells.

use serde_json::{Map, Value};

use super::{Failure, ReaderSpec};
use crate::bounds::FIELDS_MAX;

/// The columns of a table: their names, in order.
pub(super) struct Columns(pub Vec<String>);

impl Columns {
    /// From the specification, else from the header.
    pub(super) fn new(header: Option<Vec<String>>, spec: &ReaderSpec) -> Result<Self, Failure> {
        let names = match (&spec.columns[..], header) {
            ([], None) => {
                return Err(Failure::Spec {
                    key: "columns",
                    reason: "the file has no header to take names from; list the columns' names in order"
                        .to_owned(),
                });
            }
            ([], Some(header)) => header.iter().map(|name| name.trim().to_owned()).collect(),
            (names, Some(header)) if names.len() != header.len() => {
                return Err(Failure::Spec {
                    key: "columns",
                    reason: format!(
                        "{} names are listed and the header has {} ({})",
                        names.len(),
                        header.len(),
                        header
                            .iter()
                            .take(20)
                            .cloned()
                            .collect::<Vec<_>>()
                            .join(", ")
                    ),
                });
            }
            (names, _) => names.to_vec(),
        };
        if names.len() > FIELDS_MAX {
            return Err(Failure::Format(format!(
                "it has {} columns, more than {FIELDS_MAX}",
                names.len()
            )));
        }
        let mut sorted: Vec<_> = names.iter().collect();
        sorted.sort();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Failure::Format(format!(
                "two columns are called `{}`; rename them with `columns`",
                pair[0]
            )));
        }
        Ok(Self(names))
    }

    /// The fields of one row of cells.
    pub(super) fn fields(&self, cells: Vec<Value>) -> Result<Map<String, Value>, String> {
        if cells.len() != self.0.len() {
            return Err(format!(
                "it has {} fields instead of {}",
                cells.len(),
                self.0.len()
            ));
        }
        Ok(self.0.iter().cloned().zip(cells).collect())
    }
}

/// Whether the first row names the columns.
pub(super) fn has_header(spec: &ReaderSpec) -> bool {
    spec.header.unwrap_or(spec.columns.is_empty())
}
