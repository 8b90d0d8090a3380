//! The facts of a dossier, read from the history.

use lathe_evidence::report::{Report, Role, Subject};
use lathe_evidence::statement::{
    Approval, ApprovalPolicy, Breaker, Dataset, Decision, Deployment, Training, Withdrawal,
    Withdrawn,
};
use lathe_ledger::History;

use super::{Row, Section, Value, report_of};
use crate::chain::{Approver, Denial, DenialKind, Judged, Said, approver, walk_verdict};
use crate::registrations::{self, Entry};

/// All sections, in the order of reading.
pub(super) fn sections(
    history: &History,
    number: &str,
    report: Option<&[u8]>,
) -> Result<Vec<Section>, Denial> {
    let register = registrations::register(history);
    let entry = register.get(number).ok_or_else(|| {
        let why = format!("the register has no number {number}");
        Denial::new(
            DenialKind::NotRegistered,
            "a dossier is of a registration",
            why,
        )
    })?;
    let judged = walk_verdict(history, &entry.verdict)?;
    let mut sections = vec![registration(entry), workshop(history)];
    sections.extend(model_sections(&judged, report));
    sections.extend(decisions(history, entry));
    sections.push(deployments(history, &entry.name));
    sections.push(incidents(history, &entry.name, &judged));
    sections.push(filings(entry));
    Ok(sections)
}

/// What the model is made of and how it was judged; also what a filing needs.
pub(crate) fn model_sections(judged: &Judged<'_>, report: Option<&[u8]>) -> Vec<Section> {
    let evaluation = judged.trunk.evaluation.what;
    let report = report.and_then(|bytes| report_of(bytes, evaluation.report));
    let mut sections = vec![base(judged)];
    sections.extend(judged.trunk.datasets.iter().map(dataset));
    sections.extend(judged.trunk.stages().map(training));
    sections.push(measured(judged));
    sections.extend(report.as_ref().map(intervals));
    sections.push(verdict(judged));
    sections
}

fn section(key: &str, rows: Vec<Row>) -> Section {
    Section {
        key: key.to_owned(),
        rows,
    }
}

fn row(key: &str, value: Value) -> Row {
    Row {
        key: key.to_owned(),
        value,
    }
}

fn text(key: &str, text: impl ToString) -> Row {
    row(key, Value::Text(text.to_string()))
}

fn registration(entry: &Entry) -> Section {
    let mut rows = vec![
        text("number", &entry.number),
        text("name", &entry.name),
        row("state", action(entry.state)),
        row("model", Value::Digest(entry.model)),
    ];
    for step in &entry.steps {
        rows.push(row("step", action(step.action)));
        rows.push(row("at", Value::Time(step.at_ms)));
        rows.push(text("note", &step.note));
        rows.push(row("statement", Value::Digest(step.link)));
    }
    section("registration", rows)
}

fn action(action: lathe_evidence::statement::RegistrationAction) -> Value {
    Value::Word(format!(
        "step.{}",
        registrations::word(action).replace(' ', "-")
    ))
}

fn workshop(history: &History) -> Section {
    let said = history.workshop();
    let policy = match said.approval {
        ApprovalPolicy::Itself => "approval.self",
        ApprovalPolicy::TwoPerson => "approval.two-person",
    };
    let mut rows = vec![
        text("origin", &said.origin),
        row("approval-policy", Value::Word(policy.to_owned())),
    ];
    for key in history.keys() {
        let roles: Vec<_> = key.record.roles.iter().map(|role| role.name()).collect();
        rows.push(text("key", &key.record.name));
        rows.push(row("key-id", Value::Digest(key.record.id)));
        rows.push(text("roles", roles.join(", ")));
        let state = if key.stands() {
            "key.stands"
        } else {
            "key.gone"
        };
        rows.push(row("state", Value::Word(state.to_owned())));
    }
    section("workshop", rows)
}

fn base(judged: &Judged<'_>) -> Section {
    let base = &judged.trunk.base;
    section(
        "base",
        vec![
            text("name", &base.what.name),
            text("source", &base.what.source),
            text("licence", &base.what.licence),
            text("owner", &base.what.owner),
            text("bytes", base.what.bytes),
            row("artifact", Value::Digest(base.subject)),
            row("file", Value::Digest(base.what.file)),
            row("statement", Value::Digest(base.link)),
        ],
    )
}

fn dataset(dataset: &Said<'_, Dataset>) -> Section {
    let said = dataset.what;
    let mut rows = vec![
        text("name", &said.name),
        text("source", &said.source),
        text("licence", &said.licence),
        text("owner", &said.owner),
    ];
    rows.extend(said.agreement.iter().map(|name| text("agreement", name)));
    rows.extend([
        text("train-records", said.train),
        text("test-records", said.test),
        row("records-root", Value::Digest(said.root)),
        row("artifact", Value::Digest(dataset.subject)),
    ]);
    if said.scan.version == 0 {
        rows.push(row("scan", Value::Word("scan.none".to_owned())));
    } else {
        rows.push(text("scan-version", said.scan.version));
        rows.push(text("personal-records", said.scan.personal_records));
        for (kind, count) in &said.scan.personal {
            rows.push(text("personal-kind", format!("{kind}: {count}")));
        }
        rows.push(text("harmful-records", said.scan.harmful));
        rows.push(text("duplicates", said.scan.duplicates));
        rows.push(text("overlap", said.scan.overlap));
    }
    rows.push(row("statement", Value::Digest(dataset.link)));
    section("dataset", rows)
}

fn training(training: &Said<'_, Training>) -> Section {
    let said = training.what;
    let mut rows = vec![
        text("stage", &said.stage),
        text("steps", said.steps),
        text("seed", said.seed),
        row("config", Value::Digest(said.config)),
        row("batch-order-root", Value::Digest(said.batch_order_root)),
        row("weights", Value::Digest(said.weights)),
        row("artifact", Value::Digest(training.subject)),
    ];
    let previous = said.previous.as_ref();
    rows.extend(previous.map(|it| row("goes-on-from", Value::Digest(it.model))));
    rows.extend([
        text("engine", &said.engine),
        text("machine", &said.machine),
        row("at", Value::Time(said.at_ms)),
        row("statement", Value::Digest(training.link)),
    ]);
    section("training", rows)
}

fn measured(judged: &Judged<'_>) -> Section {
    let evaluation = &judged.trunk.evaluation;
    let said = evaluation.what;
    let mut rows = vec![text("format", &said.format)];
    for (metric, figure) in &said.figures {
        rows.push(text("figure", format!("{metric}: {figure}")));
    }
    rows.push(text("challengers", said.challengers.join(", ")));
    rows.extend([
        row("task", Value::Digest(said.task)),
        row("report", Value::Digest(said.report)),
        text("engine", &said.engine),
        text("machine", &said.machine),
        row("at", Value::Time(said.at_ms)),
        row("statement", Value::Digest(evaluation.link)),
    ]);
    section("evaluation", rows)
}

fn intervals(report: &Report) -> Section {
    let mut rows = vec![
        text("held-out", report.records),
        text("groups", report.groups),
    ];
    for subject in &report.subjects {
        for line in figures_of(subject) {
            rows.push(text(subject_key(subject), line));
        }
    }
    section("report", rows)
}

fn subject_key(subject: &Subject) -> &'static str {
    match subject.role {
        Role::Base => "measured-base",
        Role::Tuned => "measured-tuned",
        Role::Challenger => "measured-challenger",
    }
}

fn figures_of(subject: &Subject) -> Vec<String> {
    let metrics = subject.metrics.iter();
    metrics
        .map(|(metric, interval)| {
            let figure = format!("{}: {metric} {:.4}", subject.name, interval.value);
            match interval.low.zip(interval.high) {
                Some((low, high)) => format!("{figure} [{low:.4}, {high:.4}]"),
                None => figure,
            }
        })
        .collect()
}

fn verdict(judged: &Judged<'_>) -> Section {
    let verdict = &judged.verdict;
    let passed = |passed: bool| {
        Value::Word(
            if passed {
                "verdict.passed"
            } else {
                "verdict.refused"
            }
            .to_owned(),
        )
    };
    let mut rows = vec![row("outcome", passed(verdict.what.passed))];
    for outcome in &verdict.what.outcomes {
        rows.push(text("rule", &outcome.rule));
        rows.push(row("outcome", passed(outcome.passed)));
        if !outcome.figure.is_empty() {
            rows.push(text("measured", &outcome.figure));
        }
    }
    rows.extend(
        verdict
            .what
            .expires_ms
            .map(|at| row("expires", Value::Time(at))),
    );
    rows.extend([
        row("policy", Value::Digest(judged.policy.digest())),
        row("at", Value::Time(verdict.what.at_ms)),
        row("statement", Value::Digest(verdict.link)),
    ]);
    section("verdict", rows)
}

/// The approvals of this number, in their order.
fn decisions(history: &History, entry: &Entry) -> Vec<Section> {
    let approvals = history.of_kind("approval").filter_map(|it| {
        let said = history.said::<Approval>(&it.link)?;
        (said.number == entry.number).then_some((it.link, it.signer, said))
    });
    approvals
        .map(|(link, signer, said)| {
            let decided = match said.decision {
                Decision::Approved => "approval.approved",
                Decision::Rejected => "approval.rejected",
            };
            let by = approver(history, &signer, said);
            let mut rows = vec![
                row("decision", Value::Word(decided.to_owned())),
                text("by", by.name()),
                row("key-id", Value::Digest(signer)),
            ];
            if matches!(by, Approver::Itself(_)) {
                rows.push(row(
                    "by-whom",
                    Value::Word("approval.self-approved".to_owned()),
                ));
            }
            rows.push(text("reason", &said.reason));
            rows.extend(said.expires_ms.map(|at| row("expires", Value::Time(at))));
            rows.push(row("at", Value::Time(said.at_ms)));
            rows.push(row("statement", Value::Digest(link)));
            section("approval", rows)
        })
        .collect()
}

fn deployments(history: &History, name: &str) -> Section {
    let mut rows = Vec::new();
    for entry in history.of_kind("deployment") {
        let said = history.said::<Deployment>(&entry.link);
        let Some(said) = said.filter(|it| it.name == name) else {
            continue;
        };
        rows.push(row("model", Value::Digest(entry.statement.subject())));
        if said.demonstration {
            rows.push(row("kind", Value::Word("demonstration".to_owned())));
        }
        rows.push(row("at", Value::Time(said.at_ms)));
        rows.push(row("statement", Value::Digest(entry.link)));
    }
    if rows.is_empty() {
        rows.push(row("state", Value::Word("deployment.none".to_owned())));
    }
    section("deployments", rows)
}

/// What came over it: the breaker's moves, and data withdrawn. Single records are named by the
/// breaker's reason; whether a leaf is of the dataset only its files tell.
fn incidents(history: &History, name: &str, judged: &Judged<'_>) -> Section {
    let mut rows = Vec::new();
    for entry in history.of_kind("breaker") {
        let said = history.said::<Breaker>(&entry.link);
        let Some(said) = said.filter(|it| it.deployment == name) else {
            continue;
        };
        rows.push(row("breaker", Value::Word(word_of("breaker", &said.to))));
        rows.push(row("cause", Value::Word(word_of("cause", &said.cause))));
        rows.push(text("reason", &said.reason));
        rows.push(row("at", Value::Time(said.at_ms)));
    }
    for entry in history.of_kind("withdrawal") {
        let Some(said) = history.said::<Withdrawal>(&entry.link) else {
            continue;
        };
        if judged.trunk.datasets.iter().any(|it| concerns(said, it)) {
            rows.push(row("withdrawn", Value::Digest(entry.statement.subject())));
            rows.push(text("reason", &said.reason));
            rows.push(row("at", Value::Time(said.at_ms)));
        }
    }
    if rows.is_empty() {
        rows.push(row("state", Value::Word("incidents.none".to_owned())));
    }
    section("incidents", rows)
}

fn concerns(said: &Withdrawal, dataset: &Said<'_, Dataset>) -> bool {
    match &said.what {
        Withdrawn::Leaf(_) => false,
        Withdrawn::Dataset(digest) => *digest == dataset.subject,
        Withdrawn::Agreement(name) => dataset.what.agreement.as_ref() == Some(name),
    }
}

/// The word of a value that is written as one.
fn word_of(kind: &str, value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    format!("{kind}.{}", value.as_str().unwrap_or_default())
}

/// Filed: only with the authority's number, date and document.
fn filings(entry: &Entry) -> Section {
    let mut rows = Vec::new();
    for filed in &entry.filings {
        rows.push(row(
            "kind",
            Value::Word(word_of("filing", &filed.filing.kind)),
        ));
        rows.push(text("authority", &filed.filing.authority));
        rows.push(text("filing-number", &filed.filing.number));
        rows.push(text("filing-date", &filed.filing.date));
        rows.push(row("document", Value::Digest(filed.document)));
        rows.push(row("statement", Value::Digest(filed.link)));
    }
    if rows.is_empty() {
        rows.push(row("state", Value::Word("filing.none".to_owned())));
    }
    section("filings", rows)
}
