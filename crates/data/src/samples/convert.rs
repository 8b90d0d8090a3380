//! From a record to a sample, by the layout; and what no layout reads.

use std::path::Path;

use super::columns::Table;
use super::completion::{self, PairColumns};
use super::value::{Fields, given, text};
use super::{Layout, Sample, alpaca, conversation};
use crate::DataError;

/// The columns of what is no text.
const MEDIA: [&str; 4] = ["images", "image", "videos", "audios"];

/// Turns records into samples.
pub(super) struct Converter {
    layout: Layout,
    table: Option<Table>,
}

impl Converter {
    pub(super) fn new(layout: &Layout, path: &Path) -> Result<Self, DataError> {
        let table = match layout {
            Layout::Columns(columns) => Some(Table::new(columns)),
            _ => None,
        };
        let table = table
            .transpose()
            .map_err(|(key, reason)| DataError::Layout {
                path: path.to_owned(),
                reason: format!("`{key}` cannot work: {reason}"),
            })?;
        Ok(Self {
            layout: layout.clone(),
            table,
        })
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(super) fn sample(&self, fields: &Fields) -> Result<Sample, String> {
        // Of a table whose columns the caller named, only those are looked at.
        if self.table.is_none() {
            check_media(fields)?;
        }
        match (&self.layout, &self.table) {
            (Layout::Alpaca { columns, goal }, _) => alpaca::sample(fields, columns, goal),
            (
                Layout::ShareGpt {
                    columns,
                    tags,
                    goal,
                },
                _,
            ) => conversation::sample(fields, columns, tags, goal, true),
            (
                Layout::Messages {
                    columns,
                    tags,
                    goal,
                },
                _,
            ) => conversation::sample(fields, columns, tags, goal, false),
            (Layout::PromptCompletion { prompt, completion }, _) => {
                completion::completion(fields, prompt, completion)
            }
            (Layout::Text { column }, _) => Ok(Sample::Text(text(fields, column)?.to_owned())),
            (
                Layout::Preference {
                    prompt,
                    chosen,
                    rejected,
                    system,
                },
                _,
            ) => completion::preference(
                fields,
                &PairColumns {
                    prompt,
                    chosen,
                    rejected,
                    system,
                },
            ),
            (
                Layout::Kto {
                    prompt,
                    completion,
                    wanted,
                },
                _,
            ) => completion::kto(fields, prompt, completion, wanted),
            (Layout::Columns(_), Some(table)) => table.sample(fields),
            (Layout::Columns(_), None) => Err("its layout was never checked".to_owned()),
        }
    }
}

/// Refuses pictures, films and sounds: learning from the words beside them alone would teach the
/// model to make up what it cannot see.
pub(super) fn check_media(fields: &Fields) -> Result<(), String> {
    let holds_some = |name: &&&str| {
        given(fields, name).is_some_and(|value| {
            value.as_array().is_none_or(|items| !items.is_empty()) && value.as_str() != Some("")
        })
    };
    match MEDIA.iter().find(holds_some) {
        None => Ok(()),
        Some(name) => Err(format!(
            "it has `{name}`; only text is learnt from, so keep records with pictures, films and sounds out"
        )),
    }
}
