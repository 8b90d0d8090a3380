//! A workshop written down: the views that the pages show in tests and in the example, and a model
//! server that answers one fixed answer. Nothing here measures anything; the figures are invented
//! to look like an order's.

use std::io::{Seek as _, Write as _};

use axum::Router;
use axum::extract::Json;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use lathe_evidence::Digest;
use lathe_evidence::receipt::Receipt;
use lathe_evidence::report::Report;
use lathe_evidence::statement::{Approval, Decision, Link};
use lathe_gate::Verdict;
use lathe_web::{Asked, Desk};
use lathe_workshop::bring::BroughtFile;
use lathe_workshop::compare::Comparison;
use lathe_workshop::preview::Preview;
use lathe_workshop::settings::WorkshopSettings;
use lathe_workshop::shelf::{ShelfFile, ShelfModel, ShelfVersion};
use lathe_workshop::store::PendingRow;
use lathe_workshop::trace::{
    BreakerView, EntryTrace, EntryView, FilingView, LedgerHead, ReceiptLine, RecordTrace,
    RecordView, RegistrationView, Said, TraceView, WaitingView,
};
use lathe_workshop::words::Lang;
use lathe_workshop::{
    AnsweringNow, CurvePoint, DatasetRequest, DatasetView, DeploymentView, LogLine, ModelDetail,
    ModelRow, ModelView, ModelsAsked, Operation, OrderId, OrderRequest, OrderSummary, OrderView,
    OrdersAsked, OrdersSort, ReceiptsFrom, StepName, StepState, StepView, UpstreamView,
    WorkshopError,
};
use serde_json::{Value, json};
use tokio::sync::watch;

pub mod compare;
pub mod evidence;
pub mod lesson;
pub mod models;
pub mod nobody;
pub mod orders;
pub mod settings;
pub mod shelf;
pub mod trace;

/// The moment at which the sample orders were placed: 2026-11-03 12:30:05 UTC.
pub const PLACED_MS: i64 = 1_793_709_005_000;
/// An order that is done, with report, verdict and deployment.
pub const DONE: &str = "019a4a1e-58c8-7c31-9d52-5a0c3e8f1b77";
/// An order in the middle of tuning.
pub const RUNNING: &str = "019a4a2b-0f10-7a44-8e21-7b1d90c2e455";
/// A demonstration that failed while it fetched its data.
pub const FAILED: &str = "019a4a0c-77aa-7e02-b5b9-1f6a44d0c912";
/// An order that waits.
pub const QUEUED: &str = "019a4a2c-9b3e-7d18-a0c4-33e97d51f608";
/// An order that somebody set aside, a clone of the one that is done.
pub const PAUSED: &str = "019a4a2d-1c77-7b52-b1e6-0c9f4d7a2e31";
/// The dataset version of the sample orders.
pub const DATASET: &str = "6e1f0b6a2d0c4f7cb1a8e6f7d9c24b53a3f0d1c87e5b49266f1d0a9c8b7e6f54";

/// The sample workshop; `empty` has nothing in it, `hostile` has text that wants to be markup.
#[derive(Clone)]
pub struct SampleDesk {
    pub orders: Vec<OrderView>,
    datasets: Vec<DatasetView>,
    pub deployments: Vec<DeploymentView>,
    pub upstreams: Vec<UpstreamView>,
    models: Vec<ModelRow>,
    pub report: Report,
    verdict: Verdict,
    lesson: Preview,
    name: String,
    trace: TraceView,
    /// Newest first; the first one is the trace's.
    receipts: Vec<Receipt>,
    record: RecordTrace,
    pub registrations: Vec<RegistrationView>,
    pending: Vec<PendingRow>,
    /// Who placed the orders.
    pub author: Option<String>,
    /// What approvers rejected, the last one first.
    pub rejections: Vec<Said<Approval>>,
    /// The packs beside the daemon.
    pub packs: Vec<Value>,
    entries: Vec<EntryView>,
    entry: EntryTrace,
    pub breaker: BreakerView,
    changes: watch::Sender<u64>,
}

impl SampleDesk {
    /// A workshop at work.
    pub fn new() -> SampleDesk {
        SampleDesk {
            orders: vec![
                orders::queued(),
                orders::running(),
                orders::done(),
                orders::failed(),
                orders::paused(),
            ],
            datasets: vec![evidence::dataset()],
            deployments: vec![evidence::deployment()],
            upstreams: vec![evidence::upstream()],
            models: vec![models::tuned(), models::base()],
            report: evidence::report(),
            verdict: evidence::verdict(),
            lesson: lesson::lesson(),
            name: "customer-care".to_owned(),
            trace: trace::trace(),
            receipts: trace::receipts(),
            record: trace::record_trace(),
            registrations: vec![trace::registration_view()],
            pending: vec![trace::pending()],
            author: None,
            rejections: Vec::new(),
            packs: vec![json!({
                "pack": "packs/customer-care", "name": "customer-care", "brought": false, "carried": false,
                "title": {"en": "Customer care", "zh": "客户关怀"},
                "description": {"en": "", "zh": ""},
            })],
            entries: trace::entries(),
            entry: trace::entry(),
            breaker: trace::breaker(),
            changes: watch::channel(0).0,
        }
    }

    /// A workshop with nothing in it.
    pub fn empty() -> SampleDesk {
        SampleDesk {
            orders: Vec::new(),
            datasets: Vec::new(),
            deployments: Vec::new(),
            upstreams: Vec::new(),
            models: Vec::new(),
            registrations: Vec::new(),
            pending: Vec::new(),
            receipts: Vec::new(),
            entries: trace::entries().split_off(trace::entries().len() - 1),
            ..SampleDesk::new()
        }
    }

    /// A workshop of more orders than one page shows.
    pub fn many() -> SampleDesk {
        let desk = SampleDesk::new();
        let copy = |(at, order): (usize, &OrderView)| {
            let mut order = order.clone();
            order.id = OrderId(format!("019a4a00-0000-7000-8000-{:012}", 999 - at));
            if at % 3 == 0 {
                order.pack = "after-sales".to_owned();
            }
            order
        };
        let all = desk.orders.iter().cycle().take(120).enumerate();
        SampleDesk {
            orders: all.map(copy).collect(),
            models: models::many(120),
            ..desk
        }
    }

    /// The same workshop, its registration filed with the authority.
    pub fn filed() -> SampleDesk {
        let mut desk = SampleDesk::new();
        for view in &mut desk.registrations {
            view.filings = vec![trace::filing()];
        }
        desk
    }

    /// The same workshop, in which another model waits under the number of the one that answers.
    pub fn waiting() -> SampleDesk {
        let mut desk = SampleDesk::new();
        let waiting = trace::waiting();
        desk.pending.insert(0, trace::pending_again(&waiting));
        for view in &mut desk.registrations {
            view.waiting = Some(waiting.clone());
        }
        desk
    }

    /// The same workshop; a record that the one that waits and the one that answers rest on was withdrawn.
    pub fn taken_back() -> SampleDesk {
        let mut desk = SampleDesk::waiting();
        for view in &mut desk.registrations {
            let waiting = view.waiting.iter_mut().map(|it| &mut it.chain);
            for chain in waiting.chain(&mut view.chain) {
                chain.withdrawn = vec![trace::withdrawn()];
            }
        }
        desk
    }

    /// The same workshop, whose traced record was withdrawn; what was tuned on it is restricted.
    pub fn without_record() -> SampleDesk {
        let mut desk = SampleDesk::new();
        trace::take_back(&mut desk.record);
        for dataset in &mut desk.datasets {
            dataset.withdrawn = Some(1);
            dataset.withdrawals = vec![trace::withdrawn().withdrawal];
        }
        desk.lesson.rows[0].withdrawn = true;
        desk.models[0].used.now = Some(AnsweringNow::Restricted);
        desk.trace.breaker = desk.breaker.now.clone();
        desk.trace.chain.withdrawn = vec![trace::withdrawn()];
        desk
    }

    /// The same workshop, whose model a person approved that the workshop's own key signed for.
    pub fn decided() -> SampleDesk {
        let mut desk = SampleDesk::new();
        desk.trace.chain.self_approved = false;
        if let Some(approval) = &mut desk.trace.chain.approval {
            approval.person = Some("wang".to_owned());
        }
        for view in &mut desk.registrations {
            let chain = view.chain.iter_mut();
            let shown = chain.flat_map(|it| {
                it.self_approved = false;
                it.approval.iter_mut()
            });
            for approval in shown.chain(&mut view.approvals) {
                approval.person = Some("wang".to_owned());
                approval.said.reason = Approval::reason_for("the figures hold", "wang");
            }
        }
        desk
    }

    /// The same workshop, in which a person approved another model a moment ago; its order goes on.
    pub fn going_on() -> SampleDesk {
        let mut desk = SampleDesk::new();
        for view in &mut desk.registrations {
            let model = trace::waiting().model;
            let approved = trace::decision(20, Decision::Approved, model, "the figures hold");
            view.approvals.push(approved);
        }
        desk
    }

    /// The same workshop, in which the gate refused the model of the order that is done otherwise.
    pub fn refused() -> SampleDesk {
        let mut desk = SampleDesk::new();
        desk.verdict = evidence::refusal();
        let orders = desk.orders.iter_mut();
        orders.filter(|it| it.id.0 == DONE).for_each(orders::refuse);
        desk
    }

    /// The same workshop, in which a person rejected the model of the order that failed, which waits anew in
    /// another one.
    pub fn rejected() -> SampleDesk {
        let mut desk = SampleDesk::waiting();
        let model = trace::waiting().model;
        desk.rejections = vec![
            trace::decision(22, Decision::Rejected, trace::leaf(), "of another model"),
            trace::decision(21, Decision::Rejected, model, "too <b>curt</b>"),
        ];
        let number = trace::NUMBER;
        let why = format!("the approval of {number} was refused: too <b>curt</b>");
        desk.ended("approval-rejected", &why)
    }

    /// The same workshop, in which somebody cancelled the order that failed.
    pub fn cancelled() -> SampleDesk {
        let why = "the order was cancelled by person <b>wang</b>";
        SampleDesk::new().ended("order-cancelled", why)
    }

    /// The same workshop, in which the order that failed ended for this reason.
    fn ended(mut self, code: &str, text: &str) -> SampleDesk {
        for order in self.orders.iter_mut().filter(|it| it.id.0 == FAILED) {
            for error in order.steps.iter_mut().filter_map(|it| it.error.as_mut()) {
                (error.code, error.text) = (code.to_owned(), text.to_owned());
            }
        }
        self
    }

    /// The same workshop with `text` in every place that people, packs or models can write to.
    pub fn written_over(text: &str) -> SampleDesk {
        let mut desk = SampleDesk::new();
        for order in &mut desk.orders {
            order.title.en = text.to_owned();
            order.title.zh = text.to_owned();
            order.pack = text.to_owned();
            order.deployment = order.deployment.take().map(|_| text.to_owned());
            if let Some(it) = &mut order.answering {
                it.name = text.to_owned();
            }
            let origin = order.origin.take();
            order.origin = origin.map(|it| compare::cloned(&it.order.0, text));
            for step in &mut order.steps {
                orders::write_over(step, text);
            }
        }
        for dataset in &mut desk.datasets {
            evidence::write_over_dataset(dataset, text);
        }
        for deployment in &mut desk.deployments {
            deployment.name = text.to_owned();
            deployment.system = Some(text.to_owned());
            deployment.examples = vec![text.to_owned()];
        }
        for upstream in &mut desk.upstreams {
            upstream.name = text.to_owned();
            upstream.reason = text.to_owned();
        }
        for row in &mut desk.models {
            models::write_over(row, text);
        }
        evidence::write_over_report(&mut desk.report, text);
        evidence::write_over_verdict(&mut desk.verdict, text);
        lesson::write_over(&mut desk.lesson, text);
        text.clone_into(&mut desk.name);
        desk.write_over_evidence(text);
        desk
    }

    fn write_over_evidence(&mut self, text: &str) {
        trace::write_over(&mut self.trace, text);
        self.trace.receipt.name = text.to_owned();
        for receipt in &mut self.receipts {
            receipt.name = text.to_owned();
        }
        if let Some(record) = self.trace.records.first() {
            self.record.record = record.clone();
        }
        for used in &mut self.record.deployments {
            used.deployment.said.name = text.to_owned();
        }
        for row in &mut self.pending {
            row.name = text.to_owned();
        }
        for view in &mut self.registrations {
            view.filings = vec![trace::filing()];
            for it in &mut view.filings {
                it.said.number = text.to_owned();
                it.said.authority = text.to_owned();
            }
            view.name = text.to_owned();
            for step in &mut view.steps {
                step.said.note = text.to_owned();
            }
            if let Some(chain) = &mut view.chain {
                trace::write_over_chain(chain, text);
            }
        }
        for entry in &mut self.entries {
            entry.subject_name = text.to_owned();
            entry.signer_name = text.to_owned();
        }
        self.entry.statement = json!({ text: text });
        self.entry.envelope = text.to_owned();
        self.breaker.name = text.to_owned();
        for it in &mut self.breaker.moves {
            it.said.reason = text.to_owned();
        }
        if let Some(now) = &mut self.breaker.now {
            now.reason = text.to_owned();
        }
    }

    fn find(&self, id: &OrderId) -> Option<&OrderView> {
        self.orders.iter().find(|order| order.id == *id)
    }

    fn is_evaluated(&self, id: &OrderId) -> bool {
        let measured =
            |step: &StepView| step.name == StepName::Evaluate && step.state == StepState::Done;
        self.find(id)
            .is_some_and(|order| order.steps.iter().any(measured))
    }
}

fn summary(order: &OrderView) -> OrderSummary {
    let stands = |step: &&StepView| !matches!(step.state, StepState::Done | StepState::Reused);
    OrderSummary {
        id: order.id.clone(),
        pack: order.pack.clone(),
        title: order.title.clone(),
        project: order.project.clone(),
        demonstration: order.demonstration,
        state: order.state,
        step: order
            .steps
            .iter()
            .find(stands)
            .map_or(StepName::Ask, |step| step.name),
        position: order.position,
        created_ms: order.created_ms,
        ended_ms: order.ended_ms,
        worked_ms: order.worked_ms(order.ended_ms.unwrap_or(PLACED_MS)),
        answering: order.answering.clone(),
        ending: order.ending(),
        origin: order.origin.clone(),
    }
}

/// Whether an order is one of those that are asked for.
fn fits(row: &OrderSummary, asked: &OrdersAsked) -> bool {
    let holds = |text: &str| {
        [&row.title.en, &row.title.zh, &row.pack, &row.id.0]
            .iter()
            .any(|it| it.contains(text))
    };
    asked.state.is_none_or(|it| it == row.state)
        && asked.ending.is_none_or(|it| Some(it) == row.ending)
        && asked.pack.as_ref().is_none_or(|it| *it == row.pack)
        && asked.project.as_ref().is_none_or(|it| *it == row.project)
        && asked.sought().is_none_or(|it| holds(&it))
}

fn window<T: Clone>(rows: &[T], limit: u32, offset: u32) -> Vec<T> {
    rows.iter()
        .skip(offset as usize)
        .take(limit as usize)
        .cloned()
        .collect()
}

/// A file without a name, with a few bytes in it.
fn small_file() -> std::fs::File {
    let mut file = tempfile::tempfile().expect("a temporary file");
    let written = file.write_all(&[0; 1024]).and_then(|()| file.rewind());
    written.expect("room for a few bytes");
    file
}

fn asked<'a, T: Send + 'a>(value: T) -> Asked<'a, T> {
    Box::pin(async move { Ok(value) })
}

impl Desk for SampleDesk {
    fn submit(&self, request: OrderRequest) -> Asked<'_, OrderId> {
        Box::pin(async move {
            if request.pack.to_string_lossy().contains("customer-care") {
                return Ok(OrderId(RUNNING.to_owned()));
            }
            let text = format!(
                "cannot read the pack {}: no pack.yaml there",
                request.pack.display()
            );
            Err(WorkshopError::new(
                "pack-missing",
                text,
                "Name the folder that holds pack.yaml.",
            ))
        })
    }
    fn orders<'a>(
        &'a self,
        wanted: &'a OrdersAsked,
        limit: u32,
        offset: u32,
    ) -> Asked<'a, Vec<OrderSummary>> {
        let mut rows: Vec<_> = self.orders.iter().map(summary).collect();
        rows.retain(|row| fits(row, wanted));
        match wanted.sort {
            OrdersSort::Newest => {}
            OrdersSort::Oldest => rows.reverse(),
            OrdersSort::Pack => rows.sort_by(|a, b| a.pack.cmp(&b.pack)),
            OrdersSort::Longest => {
                rows.sort_by_key(|row| row.ended_ms.map_or(0, |ended| row.created_ms - ended));
            }
        }
        asked(window(&rows, limit, offset))
    }
    fn packs(&self) -> Asked<'_, Vec<String>> {
        let packs: std::collections::BTreeSet<String> =
            self.orders.iter().map(|it| it.pack.clone()).collect();
        asked(packs.into_iter().collect())
    }
    fn order<'a>(&'a self, id: &'a OrderId) -> Asked<'a, Option<OrderView>> {
        asked(self.find(id).cloned())
    }
    fn curve<'a>(&'a self, id: &'a OrderId, after_step: u64) -> Asked<'a, Vec<CurvePoint>> {
        let steps = match id.0.as_str() {
            DONE => orders::STEPS,
            RUNNING => orders::STEPS_RUN,
            _ => 0,
        };
        asked(
            orders::curve(steps)
                .into_iter()
                .filter(|point| point.step > after_step)
                .collect(),
        )
    }
    fn curve_outline<'a>(&'a self, id: &'a OrderId) -> Asked<'a, Vec<CurvePoint>> {
        self.curve(id, 0)
    }
    fn log<'a>(&'a self, id: &'a OrderId, after_seq: u64, limit: u32) -> Asked<'a, Vec<LogLine>> {
        let lines = if self.find(id).is_some() {
            orders::log()
        } else {
            Vec::new()
        };
        let after = lines.into_iter().filter(|line| line.seq > after_seq);
        asked(after.take(limit as usize).collect())
    }
    fn log_tail<'a>(&'a self, id: &'a OrderId, limit: u32) -> Asked<'a, Vec<LogLine>> {
        let after = orders::log().len().saturating_sub(limit as usize) as u64;
        self.log(id, after, limit)
    }
    fn report<'a>(&'a self, id: &'a OrderId) -> Asked<'a, Option<Report>> {
        asked(self.is_evaluated(id).then(|| self.report.clone()))
    }
    fn verdict<'a>(&'a self, id: &'a OrderId) -> Asked<'a, Option<Verdict>> {
        asked(self.is_evaluated(id).then(|| self.verdict.clone()))
    }
    fn lesson<'a>(&'a self, id: &'a OrderId, records: usize) -> Asked<'a, Option<Preview>> {
        let mut lesson = self.lesson.clone();
        lesson.rows.truncate(records);
        asked(self.is_evaluated(id).then_some(lesson))
    }
    fn compare<'a>(&'a self, ids: &'a [OrderId]) -> Asked<'a, Option<Comparison>> {
        if ids.len() < 2 {
            let error = WorkshopError::new("order-compare", "too few orders", "Name two of them.");
            return Box::pin(std::future::ready(Err(error)));
        }
        let found: Option<Vec<&OrderView>> = ids.iter().map(|id| self.find(id)).collect();
        asked(found.map(|orders| compare::comparison(&orders, &self.report)))
    }
    fn settings<'a>(&'a self, id: &'a OrderId) -> Asked<'a, Option<Vec<(String, Value)>>> {
        asked(self.find(id).map(|_| compare::settings(&self.name)))
    }
    fn datasets(&self, limit: u32, offset: u32) -> Asked<'_, Vec<DatasetView>> {
        asked(window(&self.datasets, limit, offset))
    }
    fn versions(&self, limit: u32, offset: u32) -> Asked<'_, Vec<DatasetView>> {
        self.datasets(limit, offset)
    }
    fn dataset<'a>(&'a self, digest: &'a str) -> Asked<'a, Option<DatasetView>> {
        asked(
            self.datasets
                .iter()
                .find(|dataset| dataset.digest == digest)
                .cloned(),
        )
    }
    fn dataset_records<'a>(
        &'a self,
        dataset: &'a Digest,
        limit: u32,
        offset: u32,
    ) -> Asked<'a, Option<Vec<RecordView>>> {
        let all = [self.record.record.clone()];
        let found = (dataset.to_string() == DATASET).then(|| window(&all, limit, offset));
        asked(found)
    }
    fn add_dataset(&self, request: DatasetRequest) -> Asked<'_, DatasetView> {
        Box::pin(async move {
            let mut datasets = self.datasets.iter();
            let found = datasets.find(|dataset| dataset.name == request.name);
            found.cloned().ok_or_else(|| {
                let text = format!("cannot read {}: no such file", request.file.display());
                WorkshopError::new("data-file", text, "Name a file the daemon can read.")
            })
        })
    }
    fn models(&self, _limit: u32, _offset: u32) -> Asked<'_, Vec<ModelView>> {
        asked(Vec::new())
    }
    fn models_asked<'a>(
        &'a self,
        wanted: &'a ModelsAsked,
        limit: u32,
        offset: u32,
    ) -> Asked<'a, Vec<ModelRow>> {
        let mut rows = self.models.clone();
        rows.retain(|it| models::fits(it, wanted));
        asked(window(&rows, limit, offset))
    }
    fn model<'a>(&'a self, digest: &'a str) -> Asked<'a, Option<ModelDetail>> {
        let found = self.models.iter().find(|it| it.model.digest == digest);
        asked(found.map(models::detail))
    }
    fn shelf(&self) -> Asked<'_, Vec<ShelfModel>> {
        let all = self.deployments.iter();
        asked(all.map(|it| shelf::model(&it.name)).collect())
    }
    fn shelf_files<'a>(&'a self, _version: &'a ShelfVersion) -> Asked<'a, Vec<ShelfFile>> {
        asked(shelf::files())
    }
    fn shelf_open<'a>(&'a self, file: &'a ShelfFile) -> Asked<'a, std::fs::File> {
        asked(shelf::open(file))
    }
    fn deployments(&self) -> Asked<'_, Vec<DeploymentView>> {
        asked(self.deployments.clone())
    }
    fn upstreams(&self) -> Asked<'_, Vec<UpstreamView>> {
        asked(self.upstreams.clone())
    }
    fn trace<'a>(&'a self, receipt: &'a str) -> Asked<'a, Option<TraceView>> {
        asked((receipt == trace::RECEIPT).then(|| self.trace.clone()))
    }
    fn trace_record<'a>(&'a self, leaf: &'a Digest) -> Asked<'a, Option<RecordTrace>> {
        asked((*leaf == trace::leaf()).then(|| self.record.clone()))
    }
    fn trace_text<'a>(&'a self, _text: &'a str) -> Asked<'a, Vec<ReceiptLine>> {
        asked(self.record.receipts.clone())
    }
    fn receipts(&self, _of: Option<Link>, limit: u32, offset: u32) -> Asked<'_, Vec<Receipt>> {
        asked(window(&self.receipts, limit, offset))
    }
    fn receipts_from<'a>(&'a self, from: &'a ReceiptsFrom, limit: u32) -> Asked<'a, Vec<Receipt>> {
        let place = |id: &str| self.receipts.iter().position(|it| it.id == id);
        let rows = match from {
            ReceiptsFrom::Newest => &self.receipts[..],
            ReceiptsFrom::Before(id) => place(id).map_or(&[][..], |at| &self.receipts[at + 1..]),
            ReceiptsFrom::After(id) => {
                let newer = &self.receipts[..place(id).unwrap_or(0)];
                &newer[newer.len().saturating_sub(limit as usize)..]
            }
        };
        asked(window(rows, limit, 0))
    }
    fn registrations(&self, limit: u32, offset: u32) -> Asked<'_, Vec<RegistrationView>> {
        asked(window(&self.registrations, limit, offset))
    }
    fn registration<'a>(&'a self, number: &'a str) -> Asked<'a, Option<RegistrationView>> {
        let mut all = self.registrations.iter();
        asked(all.find(|it| it.number == number).cloned())
    }
    fn registration_under<'a>(&'a self, name: &'a str) -> Asked<'a, Option<RegistrationView>> {
        let mut all = self.registrations.iter();
        asked(
            all.find(|it| it.name == name && it.chain.is_some())
                .cloned(),
        )
    }
    fn dossier<'a>(&'a self, number: &'a str, lang: Lang) -> Asked<'a, Option<String>> {
        let page = format!(
            "<!doctype html><html lang=\"{}\"><h1>{number}</h1>",
            lang.tag()
        );
        asked((number == trace::NUMBER).then_some(page))
    }
    fn pending(&self) -> Asked<'_, Vec<PendingRow>> {
        asked(self.pending.clone())
    }
    fn pending_of<'a>(&'a self, what: &'a str) -> Asked<'a, Vec<PendingRow>> {
        let mut rows = self.pending.clone();
        rows.retain(|it| it.number == what || it.order.0 == what);
        asked(rows)
    }
    fn waiting<'a>(&'a self, row: &'a PendingRow) -> Asked<'a, WaitingView> {
        let all = self.registrations.iter();
        let mut all = all.filter_map(|it| it.waiting.as_ref());
        let found = all.find(|it| it.order == row.order);
        asked(found.cloned().unwrap_or_else(trace::waiting))
    }
    fn pending_count(&self, counted_max: u32) -> Asked<'_, u32> {
        let all = u32::try_from(self.pending.len()).unwrap_or(u32::MAX);
        asked(all.min(counted_max))
    }
    fn rejections<'a>(&'a self, _: &'a [&'a str]) -> Asked<'a, Vec<Said<Approval>>> {
        asked(self.rejections.clone())
    }
    fn author<'a>(&'a self, _: &'a OrderId) -> Asked<'a, Option<String>> {
        asked(self.author.clone())
    }
    fn filing<'a>(&'a self, of: &'a str) -> Asked<'a, Option<FilingView>> {
        let mut all = self.registrations.iter();
        asked(all.find(|it| it.number == of).map(|it| FilingView {
            number: it.number.clone(),
            name: it.name.clone(),
            filed: !it.filings.is_empty(),
            filings: Vec::new(),
        }))
    }
    fn bundle<'a>(&'a self, name: &'a str) -> Asked<'a, std::fs::File> {
        let is_known = self.deployments.iter().any(|it| it.name == name);
        let text = format!("nothing is deployed as {name} in this sample");
        Box::pin(async move {
            match is_known {
                true => Ok(small_file()),
                false => Err(WorkshopError::new("deployment-unknown", text, "")),
            }
        })
    }
    fn ml_bom<'a>(&'a self, name: &'a str) -> Asked<'a, Option<Value>> {
        let mut all = self.deployments.iter();
        let found = all.any(|it| it.name == name);
        asked(found.then(|| json!({ "bomFormat": "CycloneDX", "specVersion": "1.6" })))
    }
    fn ledger_head(&self) -> Asked<'_, LedgerHead> {
        asked(trace::head())
    }
    fn ledger_entries<'a>(
        &'a self,
        kind: Option<&'a str>,
        limit: u32,
        offset: u32,
    ) -> Asked<'a, Vec<EntryView>> {
        let rows: Vec<EntryView> = self
            .entries
            .iter()
            .filter(|it| kind.is_none_or(|kind| it.kind == kind))
            .cloned()
            .collect();
        asked(window(&rows, limit, offset))
    }
    fn ledger_entry<'a>(&'a self, name: &'a str) -> Asked<'a, Option<EntryTrace>> {
        asked((name == "6").then(|| self.entry.clone()))
    }
    fn breaker<'a>(&'a self, name: &'a str) -> Asked<'a, BreakerView> {
        asked(BreakerView {
            name: name.to_owned(),
            ..self.breaker.clone()
        })
    }
    fn bring_piece<'a>(&'a self, _: &'a str, _: u64, _: Vec<u8>) -> Asked<'a, BroughtFile> {
        let text = "no file is brought to a workshop that is written down";
        let error = WorkshopError::new("bring-unknown", text, "bring it to a real one");
        Box::pin(std::future::ready(Err(error)))
    }
    fn operate(&self, operation: Operation) -> Asked<'_, Value> {
        let done = match &operation {
            Operation::Packs {} => Ok(json!({ "packs": self.packs })),
            other => trace::operated(other),
        };
        Box::pin(std::future::ready(done))
    }
    fn runs_with(&self) -> Asked<'_, WorkshopSettings> {
        asked(settings::settings(&self.name))
    }
    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

/// A model server that always answers the same, streamed or whole; a message of `refuse`, and the code of an error, is
/// answered with that error, one of `echo` with what was sent.
pub fn door() -> Router {
    Router::new().route("/v1/chat/completions", post(answer))
}

async fn answer(headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let asked = body
        .pointer("/messages")
        .and_then(Value::as_array)
        .and_then(|all| all.last());
    let said = asked.and_then(|message| message["content"].as_str());
    if let Some(code) = said.and_then(|said| said.strip_prefix("refuse")) {
        let error = json!({ "message": "the prompt is too long <b>", "code": code.trim() });
        let error = json!({ "error": error });
        return (StatusCode::BAD_REQUEST, Json(error)).into_response();
    }
    let text = match said {
        Some("echo") => match headers.get("x-lathe-accept-restricted") {
            Some(_) => format!("{body} restricted is accepted"),
            None => body.to_string(),
        },
        _ => r#"{"sentiment":2.3,"label":"positive"}"#.to_owned(),
    };
    let usage = json!({ "prompt_tokens": 74, "completion_tokens": 14 });
    if body["stream"] != true {
        let message = json!({ "role": "assistant", "content": text });
        let lathe = json!({ "receipt": trace::RECEIPT });
        let body = json!({ "choices": [{ "message": message }], "usage": usage, "lathe": lathe });
        return Json(body).into_response();
    }
    let mut stream = String::new();
    for piece in text.split_inclusive(['"', ':', ',']) {
        let chunk = json!({ "choices": [{ "delta": { "content": piece } }] });
        stream.push_str(&format!("data: {chunk}\n\n"));
    }
    let last = json!({ "choices": [], "usage": usage });
    stream.push_str(&format!("data: {last}\n\ndata: [DONE]\n\n"));
    let headers = [
        (CONTENT_TYPE.as_str(), "text/event-stream"),
        ("x-lathe-receipt", trace::RECEIPT),
    ];
    (headers, stream).into_response()
}
