//! What the pages and the API ask of the workshop, as a trait.
//!
//! [`Workshop`] is the one real desk. The trait stands between so that every page can be shown
//! and tested over written-down views, without a home, a model or an order that runs for minutes.

use std::fs::File;

use lathe_evidence::Digest;
use lathe_evidence::receipt::Receipt;
use lathe_evidence::report::Report;
use lathe_evidence::statement::{Approval, Link};
use lathe_gate::Verdict;
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
    BoxFuture, CurvePoint, DatasetRequest, DatasetView, DeploymentView, LogLine, ModelDetail,
    ModelRow, ModelView, ModelsAsked, Operation, OrderId, OrderRequest, OrderSummary, OrderView,
    OrdersAsked, ReceiptsFrom, UpstreamView, Workshop, WorkshopError,
};
use serde_json::Value;
use tokio::sync::watch;

/// The future of an answer from the desk.
pub type Asked<'a, T> = BoxFuture<'a, Result<T, WorkshopError>>;

/// Everything the pages read, and the two things they order.
pub trait Desk: Send + Sync + 'static {
    /// Places an order.
    fn submit(&self, request: OrderRequest) -> Asked<'_, OrderId>;
    /// The orders that are asked for.
    fn orders<'a>(
        &'a self,
        asked: &'a OrdersAsked,
        limit: u32,
        offset: u32,
    ) -> Asked<'a, Vec<OrderSummary>>;
    /// The names of the packs that orders were placed with.
    fn packs(&self) -> Asked<'_, Vec<String>>;
    /// One order with its steps.
    fn order<'a>(&'a self, id: &'a OrderId) -> Asked<'a, Option<OrderView>>;
    /// The loss curve after `after_step`, so much of it as is read at once.
    fn curve<'a>(&'a self, id: &'a OrderId, after_step: u64) -> Asked<'a, Vec<CurvePoint>>;
    /// The loss curve as it is drawn: of a long one not every point.
    fn curve_outline<'a>(&'a self, id: &'a OrderId) -> Asked<'a, Vec<CurvePoint>>;
    /// At most `limit` lines of the order's log after line `after_seq`.
    fn log<'a>(&'a self, id: &'a OrderId, after_seq: u64, limit: u32) -> Asked<'a, Vec<LogLine>>;
    /// The last `limit` lines of the order's log, oldest first.
    fn log_tail<'a>(&'a self, id: &'a OrderId, limit: u32) -> Asked<'a, Vec<LogLine>>;
    /// The order's report, once evaluated.
    fn report<'a>(&'a self, id: &'a OrderId) -> Asked<'a, Option<Report>>;
    /// The gate's verdict on that report, computed now.
    fn verdict<'a>(&'a self, id: &'a OrderId) -> Asked<'a, Option<Verdict>>;
    /// Orders side by side; none where one of them is not here.
    fn compare<'a>(&'a self, ids: &'a [OrderId]) -> Asked<'a, Option<Comparison>>;
    /// Every setting of the order's effective pack by its dotted path.
    fn settings<'a>(&'a self, id: &'a OrderId) -> Asked<'a, Option<Vec<(String, Value)>>>;
    /// The first `records` records that the order learns from, once its data are prepared.
    fn lesson<'a>(&'a self, id: &'a OrderId, records: usize) -> Asked<'a, Option<Preview>>;
    /// Dataset versions, newest first, each with how much of it was withdrawn.
    fn datasets(&self, limit: u32, offset: u32) -> Asked<'_, Vec<DatasetView>>;
    /// The same without: nothing of it is looked up.
    fn versions(&self, limit: u32, offset: u32) -> Asked<'_, Vec<DatasetView>>;
    /// One dataset version by its digest.
    fn dataset<'a>(&'a self, digest: &'a str) -> Asked<'a, Option<DatasetView>>;
    /// At most `limit` records of a dataset version from the one at `offset` on; none where the ledger does not speak
    /// of it.
    fn dataset_records<'a>(
        &'a self,
        dataset: &'a Digest,
        limit: u32,
        offset: u32,
    ) -> Asked<'a, Option<Vec<RecordView>>>;
    /// Registers a file as a dataset version.
    fn add_dataset(&self, request: DatasetRequest) -> Asked<'_, DatasetView>;
    /// Takes a piece of a file that is brought, which begins at `offset`.
    fn bring_piece<'a>(
        &'a self,
        id: &'a str,
        offset: u64,
        piece: Vec<u8>,
    ) -> Asked<'a, BroughtFile>;
    /// Models, newest first.
    fn models(&self, limit: u32, offset: u32) -> Asked<'_, Vec<ModelView>>;
    /// The models that are asked for, with what became of each, newest first.
    fn models_asked<'a>(
        &'a self,
        asked: &'a ModelsAsked,
        limit: u32,
        offset: u32,
    ) -> Asked<'a, Vec<ModelRow>>;
    /// One model with all that is known of it.
    fn model<'a>(&'a self, digest: &'a str) -> Asked<'a, Option<ModelDetail>>;
    /// The registered models with their versions, by name.
    fn shelf(&self) -> Asked<'_, Vec<ShelfModel>>;
    /// The files of a version that is handed out.
    fn shelf_files<'a>(&'a self, version: &'a ShelfVersion) -> Asked<'a, Vec<ShelfFile>>;
    /// One of them, open at its beginning, its content hashed.
    fn shelf_open<'a>(&'a self, file: &'a ShelfFile) -> Asked<'a, File>;
    /// The deployments that answer now.
    fn deployments(&self) -> Asked<'_, Vec<DeploymentView>>;
    /// The other servers that answer under a name here.
    fn upstreams(&self) -> Asked<'_, Vec<UpstreamView>>;
    /// One answer and all it rests on.
    fn trace<'a>(&'a self, receipt: &'a str) -> Asked<'a, Option<TraceView>>;
    /// A record and all that depends on it.
    fn trace_record<'a>(&'a self, leaf: &'a Digest) -> Asked<'a, Option<RecordTrace>>;
    /// The answers that a passage may have come from.
    fn trace_text<'a>(&'a self, text: &'a str) -> Asked<'a, Vec<ReceiptLine>>;
    /// Receipts, newest first; of one deployment where it is named.
    fn receipts(&self, of: Option<Link>, limit: u32, offset: u32) -> Asked<'_, Vec<Receipt>>;
    /// At most `limit` receipts from there on, newest first.
    fn receipts_from<'a>(&'a self, from: &'a ReceiptsFrom, limit: u32) -> Asked<'a, Vec<Receipt>>;
    /// The register, newest first.
    fn registrations(&self, limit: u32, offset: u32) -> Asked<'_, Vec<RegistrationView>>;
    /// One registration by its number.
    fn registration<'a>(&'a self, number: &'a str) -> Asked<'a, Option<RegistrationView>>;
    /// The registration that the newest deployment of a name rests on.
    fn registration_under<'a>(&'a self, name: &'a str) -> Asked<'a, Option<RegistrationView>>;
    /// The dossier of a registration as a page.
    fn dossier<'a>(&'a self, number: &'a str, lang: Lang) -> Asked<'a, Option<String>>;
    /// What waits for somebody's approval.
    fn pending(&self) -> Asked<'_, Vec<PendingRow>>;
    /// What waits under a number, or of an order.
    fn pending_of<'a>(&'a self, what: &'a str) -> Asked<'a, Vec<PendingRow>>;
    /// What waits, with what it rests on and what of that was withdrawn.
    fn waiting<'a>(&'a self, row: &'a PendingRow) -> Asked<'a, WaitingView>;
    /// How many models wait that whoever asks may decide about, counted up to a bound.
    fn pending_count(&self, counted_max: u32) -> Asked<'_, u32>;
    /// What approvers rejected under these numbers, the last one first.
    fn rejections<'a>(&'a self, numbers: &'a [&'a str]) -> Asked<'a, Vec<Said<Approval>>>;
    /// Who placed an order, as the audit names them.
    fn author<'a>(&'a self, order: &'a OrderId) -> Asked<'a, Option<String>>;
    /// What an authority did about a registration.
    fn filing<'a>(&'a self, of: &'a str) -> Asked<'a, Option<FilingView>>;
    /// The bill of materials of a deployment.
    fn ml_bom<'a>(&'a self, name: &'a str) -> Asked<'a, Option<Value>>;
    /// A deployment with all it rests on, as a tar archive.
    fn bundle<'a>(&'a self, name: &'a str) -> Asked<'a, File>;
    /// The head of the ledger.
    fn ledger_head(&self) -> Asked<'_, LedgerHead>;
    /// Entries, newest first; of one kind where it is named.
    fn ledger_entries<'a>(
        &'a self,
        kind: Option<&'a str>,
        limit: u32,
        offset: u32,
    ) -> Asked<'a, Vec<EntryView>>;
    /// One entry by its place or link.
    fn ledger_entry<'a>(&'a self, name: &'a str) -> Asked<'a, Option<EntryTrace>>;
    /// The breaker of a deployment.
    fn breaker<'a>(&'a self, name: &'a str) -> Asked<'a, BreakerView>;
    /// What the workshop runs with.
    fn runs_with(&self) -> Asked<'_, WorkshopSettings>;
    /// Does something to an order or to evidence.
    fn operate(&self, operation: Operation) -> Asked<'_, Value>;
    /// A counter that rises with every visible change.
    fn changes(&self) -> watch::Receiver<u64>;
}

impl Desk for Workshop {
    fn submit(&self, request: OrderRequest) -> Asked<'_, OrderId> {
        Box::pin(Workshop::submit(self, request))
    }
    fn orders<'a>(
        &'a self,
        asked: &'a OrdersAsked,
        limit: u32,
        offset: u32,
    ) -> Asked<'a, Vec<OrderSummary>> {
        Box::pin(Workshop::orders(self, asked, limit, offset))
    }
    fn packs(&self) -> Asked<'_, Vec<String>> {
        Box::pin(Workshop::packs_of_orders(self))
    }
    fn order<'a>(&'a self, id: &'a OrderId) -> Asked<'a, Option<OrderView>> {
        Box::pin(Workshop::order(self, id))
    }
    fn curve<'a>(&'a self, id: &'a OrderId, after_step: u64) -> Asked<'a, Vec<CurvePoint>> {
        Box::pin(Workshop::curve(self, id, after_step))
    }
    fn curve_outline<'a>(&'a self, id: &'a OrderId) -> Asked<'a, Vec<CurvePoint>> {
        Box::pin(Workshop::curve_outline(self, id))
    }
    fn log<'a>(&'a self, id: &'a OrderId, after_seq: u64, limit: u32) -> Asked<'a, Vec<LogLine>> {
        Box::pin(Workshop::log(self, id, after_seq, limit))
    }
    fn log_tail<'a>(&'a self, id: &'a OrderId, limit: u32) -> Asked<'a, Vec<LogLine>> {
        Box::pin(Workshop::log_tail(self, id, limit))
    }
    fn report<'a>(&'a self, id: &'a OrderId) -> Asked<'a, Option<Report>> {
        Box::pin(Workshop::report(self, id))
    }
    fn verdict<'a>(&'a self, id: &'a OrderId) -> Asked<'a, Option<Verdict>> {
        Box::pin(Workshop::verdict(self, id))
    }
    fn compare<'a>(&'a self, ids: &'a [OrderId]) -> Asked<'a, Option<Comparison>> {
        Box::pin(Workshop::compare(self, ids))
    }
    fn settings<'a>(&'a self, id: &'a OrderId) -> Asked<'a, Option<Vec<(String, Value)>>> {
        Box::pin(Workshop::settings(self, id))
    }
    fn lesson<'a>(&'a self, id: &'a OrderId, records: usize) -> Asked<'a, Option<Preview>> {
        Box::pin(Workshop::lesson(self, id, records))
    }
    fn datasets(&self, limit: u32, offset: u32) -> Asked<'_, Vec<DatasetView>> {
        Box::pin(Workshop::datasets(self, limit, offset))
    }
    fn versions(&self, limit: u32, offset: u32) -> Asked<'_, Vec<DatasetView>> {
        Box::pin(Workshop::versions(self, limit, offset))
    }
    fn dataset<'a>(&'a self, digest: &'a str) -> Asked<'a, Option<DatasetView>> {
        Box::pin(Workshop::dataset(self, digest))
    }
    fn dataset_records<'a>(
        &'a self,
        dataset: &'a Digest,
        limit: u32,
        offset: u32,
    ) -> Asked<'a, Option<Vec<RecordView>>> {
        Box::pin(Workshop::dataset_records(self, dataset, limit, offset))
    }
    fn add_dataset(&self, request: DatasetRequest) -> Asked<'_, DatasetView> {
        Box::pin(Workshop::add_dataset(self, request))
    }
    fn bring_piece<'a>(
        &'a self,
        id: &'a str,
        offset: u64,
        piece: Vec<u8>,
    ) -> Asked<'a, BroughtFile> {
        Box::pin(Workshop::bring_piece(self, id, offset, piece))
    }
    fn models(&self, limit: u32, offset: u32) -> Asked<'_, Vec<ModelView>> {
        Box::pin(Workshop::models(self, limit, offset))
    }
    fn models_asked<'a>(
        &'a self,
        asked: &'a ModelsAsked,
        limit: u32,
        offset: u32,
    ) -> Asked<'a, Vec<ModelRow>> {
        Box::pin(Workshop::models_asked(self, asked, limit, offset))
    }
    fn model<'a>(&'a self, digest: &'a str) -> Asked<'a, Option<ModelDetail>> {
        Box::pin(Workshop::model(self, digest))
    }
    fn shelf(&self) -> Asked<'_, Vec<ShelfModel>> {
        Box::pin(Workshop::shelf(self))
    }
    fn shelf_files<'a>(&'a self, version: &'a ShelfVersion) -> Asked<'a, Vec<ShelfFile>> {
        Box::pin(Workshop::shelf_files(self, version))
    }
    fn shelf_open<'a>(&'a self, file: &'a ShelfFile) -> Asked<'a, File> {
        Box::pin(Workshop::shelf_open(self, file))
    }
    fn deployments(&self) -> Asked<'_, Vec<DeploymentView>> {
        Box::pin(Workshop::deployments(self))
    }
    fn upstreams(&self) -> Asked<'_, Vec<UpstreamView>> {
        Box::pin(Workshop::upstreams(self))
    }
    fn trace<'a>(&'a self, receipt: &'a str) -> Asked<'a, Option<TraceView>> {
        Box::pin(Workshop::trace(self, receipt))
    }
    fn trace_record<'a>(&'a self, leaf: &'a Digest) -> Asked<'a, Option<RecordTrace>> {
        Box::pin(Workshop::trace_record(self, leaf))
    }
    fn trace_text<'a>(&'a self, text: &'a str) -> Asked<'a, Vec<ReceiptLine>> {
        Box::pin(Workshop::trace_text(self, text))
    }
    fn receipts(&self, of: Option<Link>, limit: u32, offset: u32) -> Asked<'_, Vec<Receipt>> {
        Box::pin(Workshop::receipts(self, of, limit, offset))
    }
    fn receipts_from<'a>(&'a self, from: &'a ReceiptsFrom, limit: u32) -> Asked<'a, Vec<Receipt>> {
        Box::pin(Workshop::receipts_from(self, from, limit))
    }
    fn registrations(&self, limit: u32, offset: u32) -> Asked<'_, Vec<RegistrationView>> {
        Box::pin(Workshop::registrations(self, limit, offset))
    }
    fn registration<'a>(&'a self, number: &'a str) -> Asked<'a, Option<RegistrationView>> {
        Box::pin(Workshop::registration(self, number))
    }
    fn registration_under<'a>(&'a self, name: &'a str) -> Asked<'a, Option<RegistrationView>> {
        Box::pin(Workshop::registration_under(self, name))
    }
    fn dossier<'a>(&'a self, number: &'a str, lang: Lang) -> Asked<'a, Option<String>> {
        Box::pin(Workshop::dossier(self, number, lang))
    }
    fn pending(&self) -> Asked<'_, Vec<PendingRow>> {
        Box::pin(Workshop::pending(self))
    }
    fn pending_of<'a>(&'a self, what: &'a str) -> Asked<'a, Vec<PendingRow>> {
        Box::pin(Workshop::pending_of(self, what))
    }
    fn waiting<'a>(&'a self, row: &'a PendingRow) -> Asked<'a, WaitingView> {
        Box::pin(Workshop::waiting(self, row))
    }
    fn pending_count(&self, counted_max: u32) -> Asked<'_, u32> {
        Box::pin(Workshop::pending_count(self, counted_max))
    }
    fn rejections<'a>(&'a self, numbers: &'a [&'a str]) -> Asked<'a, Vec<Said<Approval>>> {
        Box::pin(Workshop::rejections(self, numbers))
    }
    fn author<'a>(&'a self, order: &'a OrderId) -> Asked<'a, Option<String>> {
        Box::pin(Workshop::author(self, order))
    }
    fn filing<'a>(&'a self, of: &'a str) -> Asked<'a, Option<FilingView>> {
        Box::pin(Workshop::filing(self, of))
    }
    fn ml_bom<'a>(&'a self, name: &'a str) -> Asked<'a, Option<Value>> {
        Box::pin(Workshop::ml_bom(self, name))
    }
    fn bundle<'a>(&'a self, name: &'a str) -> Asked<'a, File> {
        Box::pin(Workshop::bundle_archive(self, name))
    }
    fn ledger_head(&self) -> Asked<'_, LedgerHead> {
        Box::pin(Workshop::ledger_head(self))
    }
    fn ledger_entries<'a>(
        &'a self,
        kind: Option<&'a str>,
        limit: u32,
        offset: u32,
    ) -> Asked<'a, Vec<EntryView>> {
        Box::pin(Workshop::ledger_entries(self, kind, limit, offset))
    }
    fn ledger_entry<'a>(&'a self, name: &'a str) -> Asked<'a, Option<EntryTrace>> {
        Box::pin(Workshop::ledger_entry(self, name))
    }
    fn breaker<'a>(&'a self, name: &'a str) -> Asked<'a, BreakerView> {
        Box::pin(Workshop::breaker_view(self, name))
    }
    fn runs_with(&self) -> Asked<'_, WorkshopSettings> {
        Box::pin(Workshop::runs_with(self))
    }
    fn operate(&self, operation: Operation) -> Asked<'_, Value> {
        Box::pin(Workshop::operate(self, operation))
    }
    fn changes(&self) -> watch::Receiver<u64> {
        Workshop::changes(self)
    }
}
