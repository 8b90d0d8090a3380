//! Tuning a deployment on its corrections: the order that made it is placed again, with one stage more.
//!
//! All steps before that stage are taken over as they are; its adapter goes on from theirs and learns
//! every accepted correction, those of earlier rounds too. It is measured on the pack's own held-out
//! records and judged by the pack's own gate, like any other order, and takes the deployment's name only
//! when it passes: a correction cannot be bought with what the model could before.

use serde_json::{Value, json};

use super::version::Version;
use super::{FeedbackDataset, FeedbackTune, VersionRow};
use crate::error::WorkshopError;
use crate::objects;
use crate::ops;
use crate::order::OrderId;
use crate::pack::{Pack, change};
use crate::people::reach;
use crate::steps;
use crate::store::change::NewArtifact;
use crate::store::orders::{OrderRow, parse};
use crate::workshop::Workshop;

/// Where the stage stands in a pack.
const DATA: &str = "tune.corrections.data";
/// Passes over the corrections where nobody chose: they are few.
const EPOCHS: u32 = 4;
/// The peak learning rate, as a share of the supervised stage's: the adapter knows its task already.
const RATE_SHARE: f64 = 0.25;
/// Steps to one pass, where there are records for them.
const STEPS_OF_A_PASS: u64 = 8;
/// The most records to a step.
const BATCH_MAX: u64 = 8;

impl Workshop {
    /// Places the order that tunes a deployment on its corrections: on the newest version of the dataset
    /// that is named, without one on the next version of the deployment's own.
    ///
    /// # Errors
    /// `deployment-unknown`, `feedback-dataset`, `feedback-few`, `feedback-nothing-new`, `order-brought`,
    /// `pack-invalid`; the ledger's, the store's and the file system's.
    pub async fn feedback_tune(&self, asked: FeedbackTune) -> Result<Value, WorkshopError> {
        let (deployment, mut set) = (&asked.deployment, asked.set);
        let order = self.order_behind(deployment).await?;
        let before: Pack = parse("an order's pack", &order.spec)?;
        let version = self
            .version_for(deployment, asked.dataset.as_deref())
            .await?;
        let corrections = version.row.corrections;
        set.insert(DATA.to_owned(), json!(version.spec));
        if before.tune.corrections.is_none() {
            for (key, value) in learning(&before, corrections) {
                set.entry(key).or_insert(value);
            }
        }
        let (_, changes) = change::changed(&order.spec, &set)?;
        if changes.is_empty() {
            return Err(WorkshopError::new(
                "feedback-nothing-new",
                format!("{deployment} is tuned on these corrections already"),
                "accept more of them first: `lathe feedback list --state received`",
            ));
        }
        let file = self.file_of(&version.row).await?;
        let spec = version.spec.clone();
        let again = ops::Again {
            of: order.id,
            set,
            project: None,
        };
        let more = move |id: &OrderId| steps::data::already(id, &spec, file);
        let mut placed = ops::place_again(self, again, more).await?;
        placed["corrections"] = version.told();
        Ok(placed)
    }

    /// The order that is deployed under a name.
    async fn order_behind(&self, deployment: &str) -> Result<OrderRow, WorkshopError> {
        let unknown = || {
            let shown: String = deployment.chars().take(100).collect();
            WorkshopError::new(
                "deployment-unknown",
                format!("nothing is deployed under the name {shown}"),
                "list the deployments with GET /api/deployments or on the page",
            )
        };
        let rows = self.store().deployments().await?;
        let row = rows.into_iter().find(|row| row.name == deployment);
        let order = row.ok_or_else(unknown)?.order;
        let order = self.store().order(&order).await?;
        order.ok_or_else(unknown)
    }

    async fn version_for(
        &self,
        deployment: &str,
        dataset: Option<&str>,
    ) -> Result<Version, WorkshopError> {
        let Some(name) = dataset else {
            let asked = FeedbackDataset {
                name: own_name(deployment),
                of: Some(deployment.to_owned()),
                licence: None,
                owner: None,
            };
            return self.next_version(asked).await;
        };
        let found = self.newest_version(name).await?;
        let (row, spec) = found.ok_or_else(|| {
            let shown: String = name.chars().take(100).collect();
            WorkshopError::new(
                "feedback-dataset",
                format!("no dataset of corrections is called {shown}"),
                "make it with `lathe feedback dataset NAME`",
            )
        })?;
        Ok(Version::standing(row, spec))
    }

    /// The artifact with the file of a version.
    async fn file_of(&self, row: &VersionRow) -> Result<NewArtifact, WorkshopError> {
        let (folder, digest) = (objects::path(self.home(), &row.file), row.file.clone());
        let read = move || {
            let manifest = objects::manifest_of(&folder)?;
            Ok(NewArtifact { digest, manifest })
        };
        reach::spawn_blocking(read).await.map_err(|error| {
            WorkshopError::new(
                "daemon-crashed",
                format!("reading the corrections stumbled: {error}"),
                "this is a mistake in Lathe; please report it",
            )
        })?
    }
}

/// The name of the dataset of a deployment's corrections.
fn own_name(deployment: &str) -> String {
    let plain = |c: char| match c {
        'a'..='z' | '0'..='9' | '-' | '.' => c,
        _ => '-',
    };
    let slug: String = deployment.chars().map(plain).take(60).collect();
    format!("{}-corrections", slug.trim_matches(['-', '.']))
}

/// How so many corrections are learnt where the pack does not say.
fn learning(pack: &Pack, corrections: u64) -> [(String, Value); 4] {
    let sft = &pack.tune.sft;
    let batch = (corrections / STEPS_OF_A_PASS).clamp(1, BATCH_MAX);
    [
        ("learning_rate", json!(sft.learning_rate * RATE_SHARE)),
        ("epochs", json!(EPOCHS)),
        ("batch_records", json!(batch)),
        ("tokens_max", json!(sft.tokens_max)),
    ]
    .map(|(key, value)| (format!("tune.corrections.learn.{key}"), value))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::order::StepName;

    #[test]
    fn the_stage_goes_on_from_the_last_and_nothing_else_changes() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny-pack");
        let pack = crate::pack::load(&folder, false)
            .expect("the fixture reads")
            .pack;
        let data = json!({"name": "c", "source": "file:c.jsonl", "licence": "MIT", "owner": "us"});
        let mut set = BTreeMap::from([(DATA.to_owned(), data)]);
        set.extend(learning(&pack, 20));
        let (tuned, changes) = change::changed(&json!(pack).to_string(), &set).expect("a pack");
        assert_eq!(tuned.stages(), [StepName::Tune, StepName::Corrections]);
        assert_eq!(tuned.gate, pack.gate);
        assert_eq!(tuned.evaluate, pack.evaluate);
        assert!(
            changes
                .iter()
                .all(|it| it.key.starts_with("tune.corrections"))
        );
        let learn = tuned.tune.corrections.expect("the stage").learn;
        assert_eq!((learn.batch_records, learn.epochs), (2, 4.0));
        assert!((learn.learning_rate - 0.005).abs() < 1e-12);
    }

    #[test]
    fn a_deployment_s_own_dataset_has_a_plain_name() {
        assert_eq!(own_name("customer-care"), "customer-care-corrections");
        assert_eq!(
            own_name("ft:base:local::1a2b"),
            "ft-base-local--1a2b-corrections"
        );
    }
}
