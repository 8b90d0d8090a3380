//! The audit to syslog: what is decided (`lathe_workshop::audit`) goes out as RFC 5424 messages, to a
//! socket of this machine or to an address, where that is asked for.
//!
//! The ledger is the record, this a copy: nothing waits for the other side. A bounded number of messages
//! waits for one that is away; those beyond are counted, and the count is sent when it is back. Not here:
//! what is told, and TLS, for which a relay of this machine is the way (rsyslog, syslog-ng).

mod message;
mod send;

use std::str::FromStr as _;
use std::sync::OnceLock;
use std::time::Duration;

use lathe_workshop::audit::TARGET;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::fail::Failure;
use message::{Message, Severity};
use send::{Address, Outbox};

/// The variable that names the address for every command.
pub const VARIABLE: &str = "LATHE_AUDIT_SYSLOG";

/// How long the end waits for messages that are still to be sent.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// Where messages go, once they go somewhere.
static OUTBOX: OnceLock<Outbox> = OnceLock::new();

/// The address that the environment names.
pub fn named() -> Option<String> {
    std::env::var(VARIABLE).ok().filter(|it| !it.is_empty())
}

/// Sends from here on to this address. It has to be there now.
pub fn begin(address: &str) -> Result<(), Failure> {
    let refuse = |why: String| {
        Failure::new(
            "audit-syslog",
            format!("cannot send the audit to {address}: {why}"),
            "name a socket (/dev/log), udp://HOST:PORT or tcp://HOST:PORT that takes syslog, or none",
        )
    };
    let parsed = Address::from_str(address).map_err(refuse)?;
    let outbox = Outbox::open(parsed).map_err(|error| refuse(error.to_string()))?;
    // A process has one daemon; a second would find its audit going where the first one's goes.
    let _ = OUTBOX.set(outbox);
    Ok(())
}

/// Waits until what was told is sent, for a short while.
pub fn flush() {
    if let Some(outbox) = OUTBOX.get() {
        outbox.flush(FLUSH_MAX);
    }
}

/// What hands events of the audit on; it does nothing until [`begin`].
pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> {
    let told = Targets::new().with_target(TARGET, Level::INFO);
    Layer::<S>::with_filter(Audit, told)
}

struct Audit;

impl<S: Subscriber> Layer<S> for Audit {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Some(outbox) = OUTBOX.get() else { return };
        let severity = if *event.metadata().level() <= Level::WARN {
            Severity::Warning
        } else {
            Severity::Notice
        };
        let mut gathered = Gathered(Message::now(severity));
        event.record(&mut gathered);
        outbox.put(&gathered.0);
    }
}

/// The members of an event.
struct Gathered(Message);

impl Gathered {
    fn take(&mut self, field: &Field, value: String) {
        match field.name() {
            "event" => self.0.id = value,
            "message" => self.0.text = value,
            name => self.0.members.push((name, value)),
        }
    }
}

impl Visit for Gathered {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.take(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// The outbox is the process's: this is the only test that opens it.
    #[test]
    fn events_of_the_audit_go_out_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        assert_eq!(begin("tcp://nowhere").unwrap_err().code(), "audit-syslog");
        let absent = path.display().to_string();
        assert_eq!(begin(&absent).unwrap_err().code(), "audit-syslog");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        begin(&absent).unwrap();
        let subscriber = tracing_subscriber::registry().with(layer());
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!("what is logged is not told");
            let by = Some("key 1 \"shop\"");
            tracing::warn!(target: TARGET, event = "operation", by, reason = None::<&str>, count = 3, "it was refused");
        });
        flush();
        let mut buffer = [0; 4096];
        let read = socket.recv(&mut buffer).unwrap();
        let said = std::str::from_utf8(&buffer[..read]).unwrap();
        assert!(said.starts_with("<108>1 "), "{said}");
        let end = " operation [lathe@32473 by=\"key 1 \\\"shop\\\"\" count=\"3\"] it was refused";
        assert!(said.ends_with(end), "{said}");
    }
}
