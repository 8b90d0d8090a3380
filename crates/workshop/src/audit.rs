//! What is decided here, as events for an audit that is kept elsewhere: every entry of the ledger but the
//! batches of receipts, every operation, every request that changes something or is turned away.
//!
//! They are events of the log under a target of their own; who sends them where stands in the binary
//! (`syslog`). The ledger stays the record: these are a copy that tells a second pair of eyes in time. What
//! was asked and answered is never in them.

use lathe_ledger::History;
use lathe_ledger::history::Entry;
use serde_json::Value;

/// The target of these events.
pub const TARGET: &str = "lathe_audit";

/// The statement that comes every second and decides nothing.
const UNDECIDED: &str = "receipts";

/// Members of a statement that say what was decided.
const DECIDES: [&str; 3] = ["action", "decision", "to"];

/// How somebody at this machine is called where nobody is asked who they are.
pub const ANYBODY: &str = "anybody on this machine";

tokio::task_local! {
    /// For whom something is done.
    static BY: String;
}

/// Does `work` for somebody, who stands in what it tells.
pub async fn on_behalf<T>(by: String, work: impl Future<Output = T>) -> T {
    BY.scope(by, work).await
}

/// For whom this is done; none where the workshop does it by itself.
pub(crate) fn by() -> Option<String> {
    BY.try_with(Clone::clone).ok()
}

/// Entries that the ledger holds since it had `before` of them.
pub(crate) fn said(history: &History, before: u64, content: impl Fn(&Entry) -> Value) {
    let since = usize::try_from(before).unwrap_or(usize::MAX);
    let new = history.entries().iter().skip(since);
    let by = by();
    for entry in new.filter(|entry| entry.kind() != UNDECIDED) {
        let content = content(entry);
        let text = |member: &str| content[member].as_str();
        let signer = history.key(&entry.signer);
        let name = entry.statement.subjects.first();
        tracing::info!(
            target: TARGET,
            event = "said",
            kind = entry.kind(),
            index = entry.index,
            name = name.map(|it| it.name.as_str()),
            action = DECIDES.iter().find_map(|member| text(member)),
            reason = text("reason"),
            by = by.as_deref(),
            signer = signer.map(|it| it.record.name.as_str()),
            subject = %entry.statement.subject(),
            link = %entry.link,
            "a statement entered the ledger"
        );
    }
}

/// An operation that somebody asked for, the project of what it was about, and the code of the error where it
/// was refused.
pub(crate) fn operated(
    operation: &str,
    by: Option<&str>,
    refused: Option<&str>,
    project: Option<&str>,
) {
    match refused {
        None => tracing::info!(
            target: TARGET,
            event = "operation",
            operation,
            by,
            project,
            "an operation was done"
        ),
        Some(code) => tracing::warn!(
            target: TARGET,
            event = "operation",
            operation,
            by,
            code,
            project,
            "an operation was refused"
        ),
    }
}

/// A request that changes something, its status, and the project of what it changes.
pub fn asked(method: &str, path: &str, by: &str, status: u16, project: Option<&str>) {
    tracing::info!(
        target: TARGET,
        event = "request",
        method,
        path,
        by,
        status,
        project,
        "a request that changes something was answered"
    );
}

/// A request that was turned away, by the code of the reason; with the project of what it is about.
pub fn turned_away(method: &str, path: &str, code: &str, project: Option<&str>) {
    tracing::warn!(
        target: TARGET,
        event = "refused",
        method,
        path,
        code,
        project,
        "a request was turned away"
    );
}
