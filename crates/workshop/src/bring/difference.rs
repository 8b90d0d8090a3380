//! Two dataset versions held against each other: which records only one of them has.
//!
//! Records are the same where their fields are, whatever their line; an id that a file's lines gave is no
//! part of what they say.

use std::collections::BTreeMap;
use std::path::Path;

use lathe_data::Dataset;
use serde_json::{Map, Value};

use super::{DatasetDifference, SHOWN_MAX, stumbled};
use crate::catalogue::DatasetView;
use crate::error::WorkshopError;
use crate::objects;
use crate::order::StepError;
use crate::people::reach;
use crate::workshop::Workshop;

/// What a version has: its records by what they say, and how often.
type Said = BTreeMap<String, u64>;

impl Workshop {
    /// What `to` has that `from` lacks, and the other way round.
    ///
    /// # Errors
    /// `dataset-unknown`; `data-damaged` where a version is not what was sealed.
    pub async fn dataset_difference(
        &self,
        from: &str,
        to: &str,
    ) -> Result<DatasetDifference, WorkshopError> {
        let (from, to) = (self.version(from).await?, self.version(to).await?);
        let folders = [&from, &to].map(|it| objects::path(self.home(), &it.digest));
        let read = move || Ok((said(&folders[0])?, said(&folders[1])?));
        let read: Result<(Said, Said), StepError> = reach::spawn_blocking(read)
            .await
            .map_err(|error| stumbled(&error))?;
        let (before, after) = read.map_err(|error| {
            WorkshopError::new("data-damaged", error.text, "run `lathe verify`")
        })?;
        let (added, added_first) = only(&after, &before);
        let (removed, removed_first) = only(&before, &after);
        Ok(DatasetDifference {
            same: after.values().sum::<u64>() - added,
            added,
            removed,
            added_first,
            removed_first,
            from,
            to,
        })
    }

    async fn version(&self, digest: &str) -> Result<DatasetView, WorkshopError> {
        self.dataset(digest).await?.ok_or_else(|| {
            let shown: String = digest.chars().take(100).collect();
            WorkshopError::new(
                "dataset-unknown",
                format!("this workshop has no dataset version {shown}"),
                "list them with `lathe data list`",
            )
        })
    }
}

fn said(folder: &Path) -> Result<Said, StepError> {
    let prepared = Dataset::load(folder)?.prepared;
    let mut said = Said::new();
    for sealed in prepared.train.into_iter().chain(prepared.test) {
        let mut fields = sealed.record.fields;
        if fields.get("id").and_then(Value::as_str) == Some(&sealed.record.id) {
            fields.remove("id");
        }
        *said.entry(Value::Object(fields).to_string()).or_default() += 1;
    }
    Ok(said)
}

/// How many records one version has beyond the other, and the first of them.
fn only(all: &Said, other: &Said) -> (u64, Vec<Map<String, Value>>) {
    let (mut count, mut first) = (0, Vec::new());
    for (text, times) in all {
        let beyond = times.saturating_sub(other.get(text).copied().unwrap_or_default());
        count += beyond;
        if beyond > 0 && first.len() < SHOWN_MAX {
            first.extend(serde_json::from_str::<Map<String, Value>>(text).ok());
        }
    }
    (count, first)
}
