//! How each [`Change`] is written, inside the transaction it is given.

use sqlx::{Sqlite, Transaction};

use super::change::{Change, Finished, NewArtifact, NewOrder, Registration};
use super::{feedback, labels, people, projects, receipts, tokens, tuning};
use crate::catalogue::{DatasetView, DeploymentRow, ModelView};
use crate::order::{CurvePoint, OrderId, OrderState, StepError, StepName, StepState};
use crate::pack::stages::steps_of;

type Done = Result<(), sqlx::Error>;
type Tx<'a> = Transaction<'a, Sqlite>;

impl Change {
    pub(super) async fn write(&self, tx: &mut Tx<'_>) -> Done {
        match self {
            Change::Placed { order, at_ms } => placed(tx, order, *at_ms).await,
            Change::FileKept { artifact, file } => tuning::file_kept(tx, artifact, file).await,
            Change::FileDeleted { id, artifact } => tuning::file_deleted(tx, id, artifact).await,
            Change::JobPlaced { order, asked } => tuning::job_placed(tx, order, asked).await,
            Change::OrderIs {
                order,
                state,
                at_ms,
            } => order_is(tx, order, *state, *at_ms).await,
            Change::StepBegins {
                order,
                step,
                input,
                at_ms,
            } => step_is(tx, order, *step, StepState::Running, input, *at_ms).await,
            Change::StepDone { finished, at_ms } => step_done(tx, finished, *at_ms).await,
            Change::StepReuses {
                order,
                step,
                input,
                at_ms,
            } => step_reuses(tx, order, *step, input, *at_ms).await,
            Change::StepFails {
                order,
                step,
                error,
                at_ms,
            } => step_fails(tx, order, *step, error, *at_ms).await,
            Change::StepWaits { order, step, at_ms } => step_waits(tx, order, *step, *at_ms).await,
            Change::Answers { order, name } => answers(tx, order, name).await,
            Change::DatasetAdded {
                artifact,
                dataset,
                project,
                at_ms,
            } => dataset_added(tx, artifact, dataset, project, *at_ms).await,
            Change::Belongs { thing, project } => projects::belongs(tx, thing, project).await,
            Change::Deployed(row) => insert_deployment(tx, row).await,
            Change::Undeployed { name } => undeployed(tx, name).await,
            Change::ReceiptOpened(open) => receipts::opened(tx, open).await,
            Change::ReceiptClosed(closed) => receipts::closed(tx, closed).await,
            Change::ReceiptsBatched { batch, ids } => receipts::batched(tx, batch, ids).await,
            Change::BreakerIs(row) => receipts::breaker_is(tx, row).await,
            Change::Pending(row) => receipts::pending(tx, row).await,
            Change::SettledFor { order } => receipts::settled(tx, order).await,
            Change::TokenIssued(token) => tokens::issued(tx, token).await,
            Change::TokenRevoked { id, at_ms } => tokens::revoked(tx, id, *at_ms).await,
            Change::TokensUsed(all) => tokens::all_used(tx, all).await,
            Change::FeedbackGiven(row) => feedback::given(tx, row).await,
            Change::FeedbackReviewed(row) => feedback::reviewed(tx, row).await,
            Change::FeedbackVersion(row) => feedback::version(tx, row).await,
            Change::People(change) => people::written(tx, change).await,
            Change::Labelled(row) => labels::set(tx, row).await,
            Change::Unlabelled { name, label } => labels::gone(tx, name, label).await,
            Change::ArtifactKept {
                artifact,
                kind,
                at_ms,
            } => insert_artifact(tx, artifact, kind, *at_ms).await,
            Change::Point { order, point } => insert_point(tx, order, point).await,
            Change::Log {
                order,
                step,
                text,
                at_ms,
            } => insert_log(tx, order, *step, text, *at_ms).await,
        }
    }
}

/// JSON text of a value of this crate.
fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("our own types serialise")
}

/// The text of a unit variant, as serde names it ("running").
pub(super) fn word<T: serde::Serialize>(value: &T) -> String {
    json(value).trim_matches('"').to_owned()
}

async fn placed(tx: &mut Tx<'_>, order: &NewOrder, at_ms: i64) -> Done {
    sqlx::query(
        "INSERT INTO orders (id, pack, title_en, title_zh, demonstration, offline, folder,
                             pack_sha256, spec, origin, project, state, created_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?)",
    )
    .bind(&order.id.0)
    .bind(&order.pack)
    .bind(&order.title.en)
    .bind(&order.title.zh)
    .bind(order.demonstration)
    .bind(order.offline)
    .bind(&order.folder)
    .bind(&order.pack_sha256)
    .bind(&order.spec)
    .bind(order.origin.as_ref().map(json))
    .bind(&order.project)
    .bind(at_ms)
    .execute(&mut **tx)
    .await?;
    // Whoever this is done for is its author, whichever way it was placed.
    if let Some(by) = crate::audit::by() {
        people::authored(tx, &order.id, &by).await?;
    }
    for (position, step) in steps_of(&order.spec).into_iter().enumerate() {
        sqlx::query(
            "INSERT INTO steps (order_id, name, position, state) VALUES (?, ?, ?, 'waiting')",
        )
        .bind(&order.id.0)
        .bind(step.as_str())
        .bind(position as i64)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

async fn order_is(tx: &mut Tx<'_>, order: &OrderId, state: OrderState, at_ms: i64) -> Done {
    let ended = matches!(state, OrderState::Done | OrderState::Failed).then_some(at_ms);
    sqlx::query("UPDATE orders SET state = ?, ended_ms = ? WHERE id = ?")
        .bind(word(&state))
        .bind(ended)
        .bind(&order.0)
        .execute(&mut **tx)
        .await
        .map(drop)
}

async fn step_is(
    tx: &mut Tx<'_>,
    order: &OrderId,
    step: StepName,
    state: StepState,
    input: &str,
    at_ms: i64,
) -> Done {
    let ended = (state == StepState::Reused).then_some(at_ms);
    // One that goes on has worked before: it began as if it had not been interrupted.
    sqlx::query(
        "UPDATE steps SET state = ?1, input = ?2, error = NULL, ended_ms = ?4,
             started_ms = ?3 - CASE WHEN ?4 IS NULL THEN MAX(COALESCE(ended_ms - started_ms, 0), 0) ELSE 0 END
         WHERE order_id = ?5 AND name = ?6",
    )
    .bind(word(&state))
    .bind(input)
    .bind(at_ms)
    .bind(ended)
    .bind(&order.0)
    .bind(step.as_str())
    .execute(&mut **tx)
    .await
    .map(drop)
}

async fn step_reuses(
    tx: &mut Tx<'_>,
    order: &OrderId,
    step: StepName,
    input: &str,
    at_ms: i64,
) -> Done {
    step_is(tx, order, step, StepState::Reused, input, at_ms).await?;
    projects::reused(tx, (step, input), order).await
}

/// The input stays: it says which checkpoints are worth keeping.
async fn step_waits(tx: &mut Tx<'_>, order: &OrderId, step: StepName, at_ms: Option<i64>) -> Done {
    // Between the two moments lies what it has worked: `step_is` goes on from there.
    sqlx::query(
        "UPDATE steps SET state = 'waiting', error = NULL,
             started_ms = CASE WHEN COALESCE(ended_ms, ?1) IS NULL THEN NULL ELSE started_ms END,
             ended_ms = CASE WHEN started_ms IS NULL THEN NULL ELSE COALESCE(ended_ms, ?1) END
         WHERE order_id = ?2 AND name = ?3",
    )
    .bind(at_ms)
    .bind(&order.0)
    .bind(step.as_str())
    .execute(&mut **tx)
    .await
    .map(drop)
}

async fn step_done(tx: &mut Tx<'_>, finished: &Finished, at_ms: i64) -> Done {
    let digest = finished.artifact.as_ref().map(|made| made.digest.as_str());
    if let Some(artifact) = &finished.artifact {
        insert_artifact(tx, artifact, finished.step.as_str(), at_ms).await?;
        projects::made(tx, &artifact.digest, &finished.order).await?;
    }
    sqlx::query(
        "INSERT OR REPLACE INTO effects (step, input, order_id, output, artifact, created_ms)
         VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(finished.step.as_str())
    .bind(&finished.input)
    .bind(&finished.order.0)
    .bind(json(&finished.output))
    .bind(digest)
    .bind(at_ms)
    .execute(&mut **tx)
    .await?;
    for registration in &finished.registers {
        register(tx, finished, registration, at_ms).await?;
    }
    sqlx::query("UPDATE steps SET state = 'done', ended_ms = ? WHERE order_id = ? AND name = ?")
        .bind(at_ms)
        .bind(&finished.order.0)
        .bind(finished.step.as_str())
        .execute(&mut **tx)
        .await
        .map(drop)
}

async fn register(
    tx: &mut Tx<'_>,
    finished: &Finished,
    registration: &Registration,
    at_ms: i64,
) -> Done {
    match registration {
        Registration::Dataset(dataset) => insert_dataset(tx, dataset).await,
        Registration::Model(model) => insert_model(tx, model).await,
        Registration::Report(report) => sqlx::query(
            "INSERT OR IGNORE INTO reports (digest, order_id, report, created_ms)
                 VALUES (?, ?, ?, ?)",
        )
        .bind(finished.artifact.as_ref().map(|made| made.digest.as_str()))
        .bind(&finished.order.0)
        .bind(report)
        .bind(at_ms)
        .execute(&mut **tx)
        .await
        .map(drop),
    }
}

async fn step_fails(
    tx: &mut Tx<'_>,
    order: &OrderId,
    step: StepName,
    error: &StepError,
    at_ms: i64,
) -> Done {
    sqlx::query(
        "UPDATE steps SET state = 'failed', error = ?, ended_ms = ?
         WHERE order_id = ? AND name = ?",
    )
    .bind(json(error))
    .bind(at_ms)
    .bind(&order.0)
    .bind(step.as_str())
    .execute(&mut **tx)
    .await?;
    order_is(tx, order, OrderState::Failed, at_ms).await
}

async fn answers(tx: &mut Tx<'_>, order: &OrderId, name: &str) -> Done {
    sqlx::query("UPDATE orders SET deployment = ? WHERE id = ?")
        .bind(name)
        .bind(&order.0)
        .execute(&mut **tx)
        .await
        .map(drop)
}

pub(super) async fn insert_artifact(
    tx: &mut Tx<'_>,
    made: &NewArtifact,
    kind: &str,
    at_ms: i64,
) -> Done {
    sqlx::query(
        "INSERT OR IGNORE INTO artifacts (digest, kind, manifest, bytes, created_ms)
         VALUES (?, ?, ?, ?, ?)",
    )
    .bind(&made.digest)
    .bind(kind)
    .bind(json(&made.manifest))
    .bind(signed(made.manifest.bytes()))
    .bind(at_ms)
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// A dataset version, with its files.
async fn dataset_added(
    tx: &mut Tx<'_>,
    artifact: &NewArtifact,
    dataset: &DatasetView,
    project: &str,
    at_ms: i64,
) -> Done {
    insert_artifact(tx, artifact, "prepare", at_ms).await?;
    projects::belongs(tx, &artifact.digest, project).await?;
    insert_dataset(tx, dataset).await
}

/// What a real order made too is no longer a demonstration alone.
async fn insert_dataset(tx: &mut Tx<'_>, dataset: &DatasetView) -> Done {
    sqlx::query(
        "INSERT INTO datasets (digest, name, root, source, licence, owner,
                               demonstration, card, created_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (digest) DO UPDATE
         SET demonstration = MIN(demonstration, excluded.demonstration)",
    )
    .bind(&dataset.digest)
    .bind(&dataset.name)
    .bind(&dataset.root)
    .bind(&dataset.source)
    .bind(&dataset.licence)
    .bind(&dataset.owner)
    .bind(dataset.demonstration)
    .bind(json(&dataset.card))
    .bind(dataset.created_ms)
    .execute(&mut **tx)
    .await
    .map(drop)
}

async fn insert_model(tx: &mut Tx<'_>, model: &ModelView) -> Done {
    sqlx::query(
        "INSERT INTO models (digest, kind, name, source, licence, owner, bytes,
                             demonstration, created_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (digest) DO UPDATE
         SET demonstration = MIN(demonstration, excluded.demonstration)",
    )
    .bind(&model.digest)
    .bind(&model.kind)
    .bind(&model.name)
    .bind(&model.source)
    .bind(&model.licence)
    .bind(&model.owner)
    .bind(signed(model.bytes))
    .bind(model.demonstration)
    .bind(model.created_ms)
    .execute(&mut **tx)
    .await
    .map(drop)
}

async fn insert_deployment(tx: &mut Tx<'_>, row: &DeploymentRow) -> Done {
    sqlx::query(
        "INSERT OR REPLACE INTO deployments (name, input, order_id, base, adapter, report, policy,
                                             task, demonstration, created_ms, link)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&row.name)
    .bind(&row.input)
    .bind(&row.order.0)
    .bind(&row.base)
    .bind(&row.adapter)
    .bind(&row.report)
    .bind(json(&row.policy))
    .bind(json(&row.task))
    .bind(row.demonstration)
    .bind(row.created_ms)
    .bind(row.link.map(|link| link.to_string()))
    .execute(&mut **tx)
    .await
    .map(drop)
}

async fn undeployed(tx: &mut Tx<'_>, name: &str) -> Done {
    sqlx::query("DELETE FROM deployments WHERE name = ?")
        .bind(name)
        .execute(&mut **tx)
        .await
        .map(drop)
}

async fn insert_point(tx: &mut Tx<'_>, order: &OrderId, point: &CurvePoint) -> Done {
    // A run that goes on from a checkpoint, or begins anew, takes the place of what came after it.
    sqlx::query("DELETE FROM curve WHERE order_id = ? AND step > ?")
        .bind(&order.0)
        .bind(signed(point.step))
        .execute(&mut **tx)
        .await?;
    sqlx::query("INSERT OR REPLACE INTO curve (order_id, step, point) VALUES (?, ?, ?)")
        .bind(&order.0)
        .bind(signed(point.step))
        .bind(json(point))
        .execute(&mut **tx)
        .await
        .map(drop)
}

async fn insert_log(
    tx: &mut Tx<'_>,
    order: &OrderId,
    step: StepName,
    text: &str,
    at_ms: i64,
) -> Done {
    sqlx::query(
        "INSERT INTO log (order_id, seq, at_ms, step, text)
         SELECT ?1, COALESCE(MAX(seq), 0) + 1, ?2, ?3, ?4 FROM log WHERE order_id = ?1",
    )
    .bind(&order.0)
    .bind(at_ms)
    .bind(step.as_str())
    .bind(text)
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// SQLite's integers are signed; sizes and steps beyond 2⁶³ do not exist.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
