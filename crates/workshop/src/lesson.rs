//! What an order learns from, for people: its first training records as the tuning step has them.
//!
//! Read anew from the model and the dataset that the order made, by the code of the tuning step; no
//! weights are read. Not here: what it was measured on.

use std::path::{Path, PathBuf};

use lathe_data::Dataset;
use lathe_data::task::Task;
use lathe_evidence::Digest;
use lathe_tune::preview::{Marked, Preview};
use lathe_tune::{TuneError, pack as packing};

use crate::error::WorkshopError;
use crate::objects;
use crate::order::{OrderId, StepName};
use crate::pack::Pack;
use crate::people::reach;
use crate::steps::model::weights;
use crate::steps::{chat, digest};
use crate::store::orders::parse;
use crate::workshop::Workshop;

/// Records that are shown at most.
pub const LESSON_RECORDS_MAX: usize = 20;

impl Workshop {
    /// The first training records of an order, token by token; `None` where there is no such order,
    /// or its model or its data are not here yet.
    ///
    /// # Errors
    /// The store's; `data-damaged` and the like where an artifact cannot be read.
    pub async fn lesson(
        &self,
        id: &OrderId,
        records: usize,
    ) -> Result<Option<Preview>, WorkshopError> {
        let Some(order) = self.store().order(id).await? else {
            return Ok(None);
        };
        let pack: Pack = parse("an order's pack", &order.spec)?;
        let steps = self.store().steps(id).await?;
        let made = |name: StepName| -> Option<(&str, PathBuf)> {
            let step = steps.iter().find(|step| step.name == name)?;
            let artifact = step.artifact.as_deref()?;
            let folder = objects::path(self.home(), artifact);
            folder.is_dir().then_some((artifact, folder))
        };
        let (Some((_, model)), Some((version, data))) =
            (made(StepName::Model), made(StepName::Prepare))
        else {
            return Ok(None);
        };
        let version = digest(version)?;
        let model = weights(&model)?;
        let records = records.min(LESSON_RECORDS_MAX);
        let read = move || read(&pack, &model, &data, records);
        let read = reach::spawn_blocking(read).await.map_err(|error| {
            WorkshopError::new(
                "daemon-crashed",
                format!("reading what an order learns from stumbled: {error}"),
                "this is a mistake in Lathe; please report it",
            )
        })?;
        let failed = |error: TuneError| {
            WorkshopError::new(error.code(), error.to_string(), "run `lathe verify`")
        };
        let mut lesson = read.map_err(failed)?;
        self.mark_withdrawn(&version, &mut lesson).await;
        Ok(Some(lesson))
    }

    /// Says of each record that is shown whether it was withdrawn since.
    async fn mark_withdrawn(&self, version: &Digest, lesson: &mut Preview) {
        let leaf = |row: &Marked| row.leaf.parse::<Digest>().ok();
        let leaves: Vec<Digest> = lesson.rows.iter().filter_map(leaf).collect();
        let withdrawn = self.withdrawn_among(version, &leaves).await;
        for row in &mut lesson.rows {
            row.withdrawn = leaf(row).is_some_and(|it| withdrawn.contains(&it));
        }
    }
}

fn read(pack: &Pack, model: &Path, data: &Path, records: usize) -> Result<Preview, TuneError> {
    let model = lathe_engine::open(model)?;
    let task = Task::new(pack.task.clone())?;
    let first = Dataset::first(data, records)?;
    let spec = &pack.tune.sft;
    let rows = if pack.task.chat.is_some() {
        chat::preview(&model, &task, &first)?.into()
    } else {
        let examples: Result<Vec<_>, _> = first.iter().map(|record| task.render(record)).collect();
        packing::rows(&model, &examples?, spec)?
    };
    Ok(Preview::of(&rows, &model, spec.tokens_max, records))
}
