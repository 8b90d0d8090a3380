//! Reading effects, artifacts, datasets, models, reports and deployments.

use std::collections::BTreeSet;

use lathe_evidence::Digest;
use lathe_evidence::manifest::Manifest;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::orders::parse;
use super::{Store, failed};
use crate::catalogue::{DatasetView, DeploymentRow, ModelView};
use crate::error::WorkshopError;
use crate::order::{OrderId, Output, StepName};
use crate::people::Shown;

/// What a step did, as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct EffectRow {
    /// The order that did it.
    pub order: OrderId,
    /// What it found.
    pub output: Output,
    /// What it made.
    pub artifact: Option<String>,
}

fn dataset(row: &SqliteRow) -> Result<DatasetView, WorkshopError> {
    Ok(DatasetView {
        digest: row.get("digest"),
        name: row.get("name"),
        root: row.get("root"),
        source: row.get("source"),
        licence: row.get("licence"),
        owner: row.get("owner"),
        demonstration: row.get("demonstration"),
        created_ms: row.get("created_ms"),
        card: parse("a dataset's card", row.get("card"))?,
        withdrawn: None,
        withdrawals: Vec::new(),
    })
}

pub(super) fn model(row: &SqliteRow) -> ModelView {
    ModelView {
        digest: row.get("digest"),
        kind: row.get("kind"),
        name: row.get("name"),
        source: row.get("source"),
        licence: row.get("licence"),
        owner: row.get("owner"),
        bytes: row.get::<i64, _>("bytes").unsigned_abs(),
        demonstration: row.get("demonstration"),
        created_ms: row.get("created_ms"),
    }
}

fn deployment(row: &SqliteRow) -> Result<DeploymentRow, WorkshopError> {
    Ok(DeploymentRow {
        name: row.get("name"),
        input: row.get("input"),
        order: OrderId(row.get("order_id")),
        base: row.get("base"),
        adapter: row.get("adapter"),
        report: row.get("report"),
        policy: parse("a deployment's policy", row.get("policy"))?,
        task: parse("a deployment's task", row.get("task"))?,
        demonstration: row.get("demonstration"),
        created_ms: row.get("created_ms"),
        link: row
            .get::<Option<String>, _>("link")
            .and_then(|link| link.parse().ok()),
    })
}

impl Store {
    /// The effect of `step` on inputs of this digest.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn effect(
        &self,
        step: StepName,
        input: &str,
    ) -> Result<Option<EffectRow>, WorkshopError> {
        let row = sqlx::query("SELECT * FROM effects WHERE step = ? AND input = ?")
            .bind(step.as_str())
            .bind(input)
            .fetch_optional(&self.read)
            .await
            .map_err(failed("read an effect"))?;
        row.map(|row| {
            Ok(EffectRow {
                order: OrderId(row.get("order_id")),
                output: parse("a step's output", row.get("output"))?,
                artifact: row.get("artifact"),
            })
        })
        .transpose()
    }

    /// The digests of all artifacts.
    ///
    /// # Errors
    /// `store`.
    pub async fn artifacts(&self) -> Result<BTreeSet<String>, WorkshopError> {
        let rows = sqlx::query("SELECT digest FROM artifacts")
            .fetch_all(&self.read)
            .await
            .map_err(failed("read the artifacts"))?;
        Ok(rows.iter().map(|row| row.get("digest")).collect())
    }

    /// How many bytes all artifacts have; equal files of two count twice.
    ///
    /// # Errors
    /// `store`.
    pub async fn artifact_bytes(&self) -> Result<u64, WorkshopError> {
        let row = sqlx::query("SELECT coalesce(sum(bytes), 0) AS bytes FROM artifacts")
            .fetch_one(&self.read)
            .await
            .map_err(failed("measure the artifacts"))?;
        let bytes: i64 = row.get("bytes");
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    /// All artifacts with their manifests, as they were stored.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn manifests(&self) -> Result<Vec<(Digest, Manifest)>, WorkshopError> {
        let rows = sqlx::query("SELECT digest, manifest FROM artifacts ORDER BY digest")
            .fetch_all(&self.read)
            .await
            .map_err(failed("read the artifacts"))?;
        rows.iter()
            .map(|row| {
                let manifest: Manifest = parse("an artifact's manifest", row.get("manifest"))?;
                Ok((manifest.digest(), manifest))
            })
            .collect()
    }

    /// The manifest of one artifact, which has its digest.
    ///
    /// # Errors
    /// `store`; `store-unreadable` where there is none, or another.
    pub async fn manifest(&self, artifact: &Digest) -> Result<Manifest, WorkshopError> {
        let row = sqlx::query("SELECT manifest FROM artifacts WHERE digest = ?")
            .bind(artifact.to_string())
            .fetch_optional(&self.read)
            .await
            .map_err(failed("read an artifact"))?;
        let text: Option<String> = row.map(|row| row.get("manifest"));
        let manifest: Option<Manifest> = text
            .map(|text| parse("an artifact's manifest", &text))
            .transpose()?;
        manifest
            .filter(|manifest| manifest.digest() == *artifact)
            .ok_or_else(|| {
                WorkshopError::new(
                    "store-unreadable",
                    format!("the store has no manifest that makes the artifact {artifact}"),
                    "run the order again; `lathe verify` looks at the whole home",
                )
            })
    }

    /// Datasets, newest first.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn datasets(
        &self,
        limit: u32,
        offset: u32,
    ) -> Result<Vec<DatasetView>, WorkshopError> {
        self.datasets_shown(&Shown::All, limit, offset).await
    }

    /// Datasets of the projects that are shown, newest first.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn datasets_shown(
        &self,
        shown: &Shown,
        limit: u32,
        offset: u32,
    ) -> Result<Vec<DatasetView>, WorkshopError> {
        let query = match shown.list() {
            None => sqlx::query(
                "SELECT * FROM datasets ORDER BY created_ms DESC, digest LIMIT ? OFFSET ?",
            ),
            Some(list) => sqlx::query(
                "SELECT * FROM datasets
                 WHERE EXISTS (SELECT 1 FROM belongs WHERE thing = datasets.digest
                               AND project IN (SELECT value FROM json_each(?)))
                 ORDER BY created_ms DESC, digest LIMIT ? OFFSET ?",
            )
            .bind(list),
        };
        query
            .bind(limit)
            .bind(offset)
            .fetch_all(&self.read)
            .await
            .map_err(failed("read the datasets"))?
            .iter()
            .map(dataset)
            .collect()
    }

    /// One dataset.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn dataset(&self, digest: &str) -> Result<Option<DatasetView>, WorkshopError> {
        sqlx::query("SELECT * FROM datasets WHERE digest = ?")
            .bind(digest)
            .fetch_optional(&self.read)
            .await
            .map_err(failed("read a dataset"))?
            .as_ref()
            .map(dataset)
            .transpose()
    }

    /// Models, newest first.
    ///
    /// # Errors
    /// `store`.
    pub async fn models(&self, limit: u32, offset: u32) -> Result<Vec<ModelView>, WorkshopError> {
        let rows =
            sqlx::query("SELECT * FROM models ORDER BY created_ms DESC, digest LIMIT ? OFFSET ?")
                .bind(limit)
                .bind(offset)
                .fetch_all(&self.read)
                .await
                .map_err(failed("read the models"))?;
        Ok(rows.iter().map(model).collect())
    }

    /// A report as written, by the digest of its artifact.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn report(
        &self,
        digest: &str,
    ) -> Result<Option<lathe_evidence::report::Report>, WorkshopError> {
        sqlx::query("SELECT report FROM reports WHERE digest = ?")
            .bind(digest)
            .fetch_optional(&self.read)
            .await
            .map_err(failed("read a report"))?
            .map(|row| parse("a report", row.get("report")))
            .transpose()
    }

    /// The report of an order, once evaluated: the one its evaluate step made or took over.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn report_of(
        &self,
        id: &OrderId,
    ) -> Result<Option<lathe_evidence::report::Report>, WorkshopError> {
        let steps = self.steps(id).await?;
        let artifact = steps
            .into_iter()
            .find(|step| step.name == StepName::Evaluate)
            .and_then(|step| step.artifact);
        match artifact {
            Some(digest) => self.report(&digest).await,
            None => Ok(None),
        }
    }

    /// The deployments, by name.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn deployments(&self) -> Result<Vec<DeploymentRow>, WorkshopError> {
        sqlx::query("SELECT * FROM deployments ORDER BY name")
            .fetch_all(&self.read)
            .await
            .map_err(failed("read the deployments"))?
            .iter()
            .map(deployment)
            .collect()
    }
}
