//! Step `prepare`: read, check, dedupe, derive, split, seal. The artifact is the
//! dataset's folder: records.jsonl, salts.jsonl, dataset.json. `pretrain-prepare`,
//! `preference-prepare` and `corrections-prepare` are the same for what those stages name.

use std::path::Path;

use lathe_data::DataSpec;
use lathe_data::dataset::Dataset;
use lathe_data::prepare::{PrepareOptions, Statistics, prepare};
use lathe_data::reader;
use lathe_evidence::Digest;
use lathe_evidence::statement;
use serde_json::{Value, json};

use super::figures::{figure, grouped, members};
use super::{Context, Say, WorkerStep, public_source, read_json, stage};
use crate::catalogue::DatasetView;
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::home::Home;
use crate::objects::{self, Sealed};
use crate::order::{Output, StepError, StepName, Title};
use crate::pack::Pack;
use crate::store::change::Registration;
use crate::worker::{Emit, Job};

/// This step.
pub const STEP: WorkerStep = WorkerStep {
    key: |context| key(context, StepName::Prepare),
    run,
    registers,
    says,
};

/// Of the texts of continued pretraining.
pub const OF_PRETRAIN: WorkerStep = WorkerStep {
    key: |context| key(context, StepName::PretrainPrepare),
    ..STEP
};

/// Of the preference stage.
pub const OF_PREFERENCE: WorkerStep = WorkerStep {
    key: |context| key(context, StepName::PreferencePrepare),
    ..STEP
};

/// Of corrections, of which none is left out for the size of an order.
pub const OF_CORRECTIONS: WorkerStep = WorkerStep {
    key: |context| key(context, StepName::CorrectionsPrepare),
    ..STEP
};

/// The most records that a step keeps.
fn records_max(pack: &Pack, step: StepName) -> Option<usize> {
    pack.records
        .filter(|_| step != StepName::CorrectionsPrepare)
}

fn key(context: &Context, step: StepName) -> Result<Value, WorkshopError> {
    let data = context.pack.data_of(step);
    let data = data.ok_or_else(|| stage::not_asked(step))?;
    Ok(json!({
        "data": context.artifact(data.fetched)?,
        "spec": data.spec,
        "records": records_max(&context.pack, step),
        "demonstration": context.order.demonstration,
        "scan": lathe_data::scan::VERSION,
        "withdrawn": context.withdrawn.leaves,
        "version": env!("CARGO_PKG_VERSION"),
    }))
}

fn run(job: &Job, emit: &mut Emit<'_>) -> Result<Output, StepError> {
    let (file, spec) = (super::data::file(job)?, super::data::of(job)?.spec);
    let read = reader::read(&file, &spec.reader)?;
    let encoding = read.encoding.to_string();
    emit.progress(1, 3, "unit.parts");
    let options = PrepareOptions {
        records_max: records_max(&job.pack, job.step),
        salt_seed: job.home()?.salt_seed()?,
        withdrawn: job.withdrawn.clone(),
    };
    let prepared = prepare(read, spec, &options)?;
    emit.progress(2, 3, "unit.parts");
    for row in &prepared.broken {
        emit.log(format!("line {} kept out: {}", row.line, row.reason));
    }
    let statistics = prepared.statistics.clone();
    let root = prepared.root;
    let dataset = Dataset {
        spec: spec.clone(),
        file: objects::hash_file(&file)?.1,
        encoding,
        prepared,
    };
    dataset.save(&job.out)?;
    emit.progress(3, 3, "unit.parts");
    Ok(Output {
        figure: line(spec, &statistics),
        figures: members(json!({
            "records": statistics.records,
            "duplicates": statistics.duplicates,
            "broken": statistics.broken,
            "left_out": statistics.left_out,
            "withdrawn": statistics.withdrawn,
            "train": statistics.train,
            "test": statistics.test,
            "groups": statistics.groups,
            "root": root,
        })),
        facts: members(json!({ "root": root })),
    })
}

/// What was read and what became of it; records that were withdrawn are told where there are some.
fn line(spec: &DataSpec, statistics: &Statistics) -> Title {
    let by = spec.split.group.as_deref().unwrap_or("record");
    let key = match statistics.withdrawn {
        0 => "figure.prepare",
        _ => "figure.prepare.withdrawn",
    };
    figure(
        key,
        &[
            ("rows", &grouped(statistics.rows)),
            ("duplicates", &grouped(statistics.duplicates)),
            ("broken", &grouped(statistics.broken)),
            ("withdrawn", &grouped(statistics.withdrawn)),
            ("train", &grouped(statistics.train)),
            ("test", &grouped(statistics.test)),
            ("group", by),
        ],
    )
}

fn registers(
    context: &Context,
    sealed: &Sealed,
    output: &Output,
) -> Result<Vec<Registration>, WorkshopError> {
    let root = output.facts.get("root").and_then(Value::as_str);
    let view = view(
        context.shop.home(),
        sealed.digest,
        root.unwrap_or_default(),
        context.order.demonstration,
    )?;
    Ok(vec![Registration::Dataset(view)])
}

/// A sealed dataset as the catalogue shows it.
///
/// # Errors
/// When its dataset.json cannot be read.
pub(crate) fn view(
    home: &Home,
    digest: Digest,
    root: &str,
    demonstration: bool,
) -> Result<DatasetView, WorkshopError> {
    let folder = objects::path(home, &digest.to_string());
    let card: Value = read_json(&folder.join("dataset.json"))
        .map_err(|error| WorkshopError::new("dataset-card", error.text, error.next))?;
    let text = |pointer: &str| {
        card.pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    Ok(DatasetView {
        digest: digest.to_string(),
        name: text("/spec/name"),
        root: root.to_owned(),
        source: text("/spec/source"),
        licence: text("/spec/licence"),
        owner: text("/spec/owner"),
        demonstration,
        created_ms: now_ms(),
        card: card.clone(),
        withdrawn: None,
        withdrawals: Vec::new(),
    })
}

/// `dataset`: a dataset version, as its own dataset.json describes it.
fn says(context: &Context, artifact: Digest, _: &Output) -> Result<Option<Say>, WorkshopError> {
    let folder = objects::path(context.shop.home(), &artifact.to_string());
    let said = statement(&folder)?;
    Ok(Some(Box::new(move |speaker| {
        let at_ms = speaker.at_ms();
        let name = said.name.clone();
        speaker.ensure(&name, artifact, statement::Dataset { at_ms, ..said })
    })))
}

/// What the dataset in `folder` says of itself; the moment is the caller's.
///
/// # Errors
/// `dataset-card` when its dataset.json cannot be read.
pub(crate) fn statement(folder: &Path) -> Result<statement::Dataset, WorkshopError> {
    let summary = Dataset::load_summary(folder).map_err(|error| {
        WorkshopError::new(
            "dataset-card",
            error.to_string(),
            "remove the dataset's folder and run the order again: it is made anew",
        )
    })?;
    let counts = &summary.statistics;
    Ok(statement::Dataset {
        name: summary.spec.name.clone(),
        root: summary.root,
        train: counts.train,
        test: counts.test,
        source: public_source(&summary.spec.source),
        file: summary.file,
        licence: summary.spec.licence.clone(),
        owner: summary.spec.owner.clone(),
        agreement: summary.spec.agreement.clone(),
        previous: summary.spec.previous,
        scan: summary.scan.clone(),
        at_ms: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_withdrawn_is_told_where_the_count_does_not_add_up_without_it() {
        let yaml = "{name: tiny, source: 'file:tiny.csv', licence: MIT, owner: me}";
        let spec: DataSpec = serde_saphyr::from_str(yaml).unwrap();
        let counts = |withdrawn| Statistics {
            rows: 60,
            train: 47,
            test: 13 - withdrawn,
            withdrawn,
            ..Statistics::default()
        };
        let told = line(&spec, &counts(1));
        assert!(told.en.contains("60 rows"), "{}", told.en);
        assert!(told.en.contains("1 withdrawn"), "{}", told.en);
        assert!(told.zh.contains("另有 1 条已撤回"), "{}", told.zh);
        let whole = line(&spec, &counts(0));
        assert!(!whole.en.contains("withdrawn"), "{}", whole.en);
    }
}
