//! Upstreams: other servers that answer under a name of this workshop, each by its operator's signed
//! word and by nothing more.
//!
//! An [`Attested`] is to an upstream what an [`crate::Admitted`] is to a model, and on purpose another
//! type: no weights were seen, no report was gated, and whatever answers through it says so. Only this
//! module makes one, from a standing `upstream` statement of the ledger, which is the whole record: there
//! is no table beside it that could say otherwise. A key for the upstream lies in the home, for its user
//! alone, and never in the ledger, the store, a log or a backup.
//!
//! Not here: asking it (`lathe_serve`), who decides (`ops::upstream`).

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lathe_evidence::Digest;
use lathe_evidence::statement::{self, BreakerState, Link, Predicate, UpstreamAction};
use lathe_ledger::History;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::error::WorkshopError;
use crate::home::Home;
use crate::people::{Right, reach};
use crate::store::receipts::BreakerRow;
use crate::workshop::Workshop;

/// The longest name of an upstream, and of a model of it.
pub const NAME_CHARS_MAX: usize = 100;
/// The longest address.
pub const URL_BYTES_MAX: usize = 1000;
/// The most upstreams of one workshop.
pub const UPSTREAMS_MAX: usize = 100;
/// The most times that one is asked again where nothing has come.
pub const RETRIES_MAX: u32 = 5;
/// The longest wait for a connection, in milliseconds.
pub const CONNECT_MS_MAX: u64 = 60_000;
/// The longest silence that may be allowed, in milliseconds.
pub const SILENCE_MS_MAX: u64 = 3_600_000;
/// What is known of an upstream's weights.
pub const WEIGHTS_NOT_VERIFIED: &str = "not verified";
/// The longest key, in bytes.
const KEY_BYTES_MAX: u64 = 4096;

/// A value that somebody answers for with a signature, and that nothing proves. Only this module makes
/// one.
#[derive(Debug, Clone)]
pub struct Attested<T> {
    inner: T,
}

impl<T> Attested<T> {
    /// The attested value.
    pub fn get(&self) -> &T {
        &self.inner
    }
}

/// A text that no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// This text.
    pub fn new(text: &str) -> Secret {
        Secret(text.to_owned())
    }

    /// The text itself, to be sent and kept nowhere.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Another server that answers under a name of this workshop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// The name it answers under: the `model` field of requests.
    pub name: String,
    /// Where it is: what `/chat/completions` follows, without a slash at its end.
    pub url: Url,
    /// The name that it is asked for there.
    pub model: String,
    /// Whether text may leave this machine for it.
    pub remote: bool,
    /// The upstream that is asked while this one is down.
    pub failover: Option<String>,
    /// How often it is asked again where nothing has come.
    pub retries: u32,
    /// Longest wait for a connection.
    pub connect_max: Duration,
    /// Longest silence, before the first token and between two.
    pub silence_max: Duration,
    /// The key it is asked with.
    pub key: Option<Secret>,
    /// The statement that it rests on.
    pub link: Link,
    /// The subject of that statement: stands in receipts where a model's digest stands else.
    pub subject: Digest,
    /// The workshop's origin: the ContentProducer of what it answers (GB 45438).
    pub origin: String,
    /// When it was added, milliseconds since 1970.
    pub created_ms: i64,
}

/// How an upstream is, as far as whoever asks it knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamHealth {
    /// Its name.
    pub name: String,
    /// Whether it answers; absent before the first look.
    pub up: Option<bool>,
    /// Why not; empty where it does.
    pub reason: String,
    /// When it was last looked at, milliseconds since 1970; 0 for never.
    pub checked_ms: i64,
}

/// How an upstream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamState {
    /// It answered when it was last looked at.
    Up,
    /// It did not.
    Down,
    /// Nobody has looked yet.
    Unknown,
    /// It is not asked, because something of it is wrong here.
    Refused,
}

/// An upstream as pages and commands show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamView {
    /// The name it answers under: the `model` field of requests.
    pub name: String,
    /// How it stands.
    pub state: UpstreamState,
    /// Why it does not answer; empty where it does.
    pub reason: String,
    /// When it was last looked at, milliseconds since 1970; 0 for never.
    pub checked_ms: i64,
    /// Where it is.
    pub url: String,
    /// The name that it is asked for there.
    pub model: String,
    /// Whether text may leave this machine for it.
    pub remote: bool,
    /// Whether it is asked with a key.
    pub keyed: bool,
    /// The upstream that is asked while this one is down.
    pub failover: Option<String>,
    /// How often it is asked again where nothing has come.
    pub retries: u32,
    /// What is known of its weights: `not verified`, always.
    pub weights: String,
    /// When it was added, milliseconds since 1970.
    pub since_ms: i64,
    /// How its breaker stands.
    pub breaker: BreakerState,
    /// Why the breaker is not closed; empty when it is.
    pub breaker_reason: String,
}

/// An upstream that is to be added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamRequest {
    /// The name it is to answer under.
    pub name: String,
    /// Where it is; without a path `/v1` is meant.
    pub url: String,
    /// The name that it is asked for there; the same unless given.
    #[serde(default)]
    pub model: Option<String>,
    /// A file with the key it is asked with; copied into the home.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// Text may leave this machine for it.
    #[serde(default)]
    pub remote: bool,
    /// The upstream that is asked while this one is down; none unless given.
    #[serde(default)]
    pub failover: Option<String>,
    /// How often it is asked again where nothing has come; never unless given.
    #[serde(default)]
    pub retries: u32,
    /// Longest wait for a connection, in milliseconds.
    pub connect_ms_max: u64,
    /// Longest silence, before the first token and between two, in milliseconds.
    pub silence_ms_max: u64,
    /// Why.
    pub reason: String,
}

/// What `request` says, at this moment; nothing is looked up.
///
/// # Errors
/// `upstream-request` naming what does not fit.
pub(crate) fn said_of(
    request: &UpstreamRequest,
    at_ms: i64,
) -> Result<statement::Upstream, WorkshopError> {
    let said = statement::Upstream {
        name: request.name.clone(),
        action: UpstreamAction::Added,
        url: address(&request.url)?.as_str().to_owned(),
        model: request
            .model
            .clone()
            .unwrap_or_else(|| request.name.clone()),
        remote: request.remote,
        failover: request.failover.clone(),
        retries: request.retries,
        connect_ms_max: request.connect_ms_max,
        silence_ms_max: request.silence_ms_max,
        keyed: request.key_file.is_some(),
        reason: request.reason.clone(),
        at_ms,
    };
    check(&said)?;
    Ok(said)
}

/// The address as it is kept: without a slash at its end, and with `/v1` where it had no path.
fn address(text: &str) -> Result<Url, WorkshopError> {
    let wrong = |why: &str| {
        let next = "give it as http://HOST:PORT/v1; a key goes into a file, with --key-file";
        refused(&format!("its address {why}"), next)
    };
    if text.len() > URL_BYTES_MAX {
        return Err(wrong("is too long"));
    }
    // What it says is not repeated: somebody may have put a key into it.
    let mut url = Url::parse(text).map_err(|error| wrong(&format!("is none: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong("is neither http nor https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("has a name or a password in it"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has a query or a fragment"));
    }
    let path = match url.path().trim_end_matches('/') {
        "" => "/v1".to_owned(),
        path => path.to_owned(),
    };
    url.set_path(&path);
    Ok(url)
}

/// Whether an address can only be this machine's.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether what a statement says can be done; the same before it is said and each time it is read.
fn check(said: &statement::Upstream) -> Result<Url, WorkshopError> {
    let url = address(&said.url)?;
    let is_name = |name: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._:/-".contains(c);
        (1..=NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(plain)
    };
    if !is_name(&said.name) {
        let next = "name it in at most 100 letters, digits and . _ : / -";
        return Err(refused("its name is not one", next));
    }
    let chars = said.model.chars();
    if said.model.is_empty()
        || chars.clone().count() > NAME_CHARS_MAX
        || chars.clone().any(char::is_control)
    {
        let next = "give --model as the upstream's own /v1/models has it";
        return Err(refused("the model asked for there has no name", next));
    }
    if !said.remote && !is_loopback(&url) {
        let next =
            "give --remote if the text of questions and answers may leave this machine for it";
        return Err(refused("its address is not of this machine", next));
    }
    if said.retries > RETRIES_MAX {
        return Err(refused(
            "it is to be asked again too often",
            "give --retries from 0 to 5",
        ));
    }
    let waits = (1..=CONNECT_MS_MAX).contains(&said.connect_ms_max)
        && (1..=SILENCE_MS_MAX).contains(&said.silence_ms_max);
    if !waits {
        let next = "connections may take up to 60 s, silence may last up to 3600 s";
        return Err(refused("its longest waits are out of range", next));
    }
    if said.failover.as_deref() == Some(said.name.as_str()) {
        return Err(refused(
            "it is to stand in for itself",
            "name another with --failover",
        ));
    }
    Ok(url)
}

fn refused(why: &str, next: &str) -> WorkshopError {
    WorkshopError::new("upstream-request", format!("not an upstream: {why}"), next)
}

/// The upstreams that stand, by name: the newest standing statement of each, where that adds it. After
/// a restore only what is added afresh stands, as with deployments: the backup does not know what was
/// taken away since.
pub(crate) fn standing(history: &History) -> BTreeMap<String, (Link, statement::Upstream)> {
    let mut all = BTreeMap::new();
    let restored = history.of_kind("restored").next_back();
    let since = restored.map_or(0, |entry| entry.index);
    for entry in history.of_kind("upstream") {
        if entry.index < since {
            continue;
        }
        let Predicate::Upstream(said) = &entry.statement.predicate else {
            continue;
        };
        match said.action {
            UpstreamAction::Added => {
                all.insert(said.name.clone(), (entry.link, said.clone()));
            }
            UpstreamAction::Removed => {
                all.remove(&said.name);
            }
        }
    }
    all
}

/// Attests an upstream: what was said of it is looked at anew, and its key is there.
///
/// # Errors
/// `upstream-request`, `upstream-key`.
pub(crate) fn attest(
    home: &Home,
    origin: &str,
    link: Link,
    said: statement::Upstream,
) -> Result<Attested<Upstream>, WorkshopError> {
    let url = check(&said)?;
    let key = if said.keyed {
        Some(read_key(&key_path(home, &said.name))?)
    } else {
        None
    };
    let inner = Upstream {
        url,
        key,
        link,
        subject: said.subject(),
        origin: origin.to_owned(),
        name: said.name,
        model: said.model,
        remote: said.remote,
        failover: said.failover,
        retries: said.retries,
        connect_max: Duration::from_millis(said.connect_ms_max),
        silence_max: Duration::from_millis(said.silence_ms_max),
        created_ms: said.at_ms,
    };
    Ok(Attested { inner })
}

/// Where the key of an upstream lies; by its name's digest, which is no path.
pub(crate) fn key_path(home: &Home, name: &str) -> PathBuf {
    let file = format!("{}.secret", Digest::of(name.as_bytes()).short());
    home.root().join("upstreams").join(file)
}

/// Reads a key: one line of printable characters.
///
/// # Errors
/// `upstream-key`.
pub(crate) fn read_key(path: &Path) -> Result<Secret, WorkshopError> {
    let wrong = |why: String| {
        WorkshopError::new(
            "upstream-key",
            format!(
                "cannot read the key of an upstream from {}: {why}",
                path.display()
            ),
            "put the key alone into a file and add the upstream again with --key-file FILE",
        )
    };
    let size = std::fs::metadata(path)
        .map_err(|error| wrong(error.to_string()))?
        .len();
    if size > KEY_BYTES_MAX {
        return Err(wrong(format!("it has more than {KEY_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let key = text.trim();
    if key.is_empty() || !key.chars().all(|c| c.is_ascii_graphic()) {
        return Err(wrong("it holds no key, or more than one line".to_owned()));
    }
    Ok(Secret::new(key))
}

/// Refuses a name for a model of this workshop under which an upstream answers.
///
/// # Errors
/// `upstream-taken`.
pub(crate) fn leaves_free(history: &History, name: &str) -> Result<(), WorkshopError> {
    if standing(history).contains_key(name) {
        return Err(WorkshopError::new(
            "upstream-taken",
            format!("cannot deploy {name}: an upstream of this workshop answers under that name"),
            format!("run `lathe upstream remove {name} --reason \"…\"`, then the same order again"),
        ));
    }
    Ok(())
}

/// All upstreams that stand: attested, or why not, by name. Where a model is deployed under the name of
/// one, no upstream answers, whether the model does or not.
///
/// # Errors
/// `ledger-broken`.
pub(crate) async fn all(
    shop: &Workshop,
) -> Result<
    Vec<(
        statement::Upstream,
        Result<Attested<Upstream>, WorkshopError>,
    )>,
    WorkshopError,
> {
    let deployments = shop.store().deployments().await?;
    let history = shop.store().ledger()?.read().await;
    let origin = history.origin().to_owned();
    let standing = standing(&history);
    drop(history);
    let attested = standing.into_values().map(|(link, said)| {
        let attested = match deployments.iter().find(|row| row.name == said.name) {
            Some(row) => Err(taken(&row.name)),
            None => attest(shop.home(), &origin, link, said.clone()),
        };
        (said, attested)
    });
    Ok(attested.collect())
}

/// A model of this workshop has the name.
fn taken(name: &str) -> WorkshopError {
    WorkshopError::new(
        "upstream-taken",
        format!(
            "the upstream {name} does not answer: a model of this workshop is deployed under that name"
        ),
        format!("run `lathe upstream remove {name} --reason \"…\"` and add it under another name"),
    )
}

/// All upstreams that stand, each with how it is, by name.
///
/// # Errors
/// `ledger-broken`.
pub(crate) async fn views(shop: &Workshop) -> Result<Vec<UpstreamView>, WorkshopError> {
    let health = shop.door().relays();
    let all = all(shop).await?.into_iter();
    let seen = all.filter(|(said, _)| reach::may_name(Right::Look, &said.name));
    let views = seen.map(|(said, attested)| {
        let found = health.iter().find(|it| it.name == said.name);
        let breaker = shop.breakers().of(&said.name);
        view(said, attested.err(), found, breaker)
    });
    Ok(views.collect())
}

fn view(
    said: statement::Upstream,
    refused: Option<WorkshopError>,
    found: Option<&UpstreamHealth>,
    breaker: Option<BreakerRow>,
) -> UpstreamView {
    let (state, reason) = match (refused, found.and_then(|it| it.up)) {
        (Some(error), _) => (UpstreamState::Refused, format!("{error}; {}", error.next())),
        (None, Some(true)) => (UpstreamState::Up, String::new()),
        (None, Some(false)) => (
            UpstreamState::Down,
            found.map_or_else(String::new, |it| it.reason.clone()),
        ),
        (None, None) => (UpstreamState::Unknown, String::new()),
    };
    let (breaker, breaker_reason) = breaker.map_or_else(
        || (BreakerState::Closed, String::new()),
        |it| (it.state, it.reason),
    );
    UpstreamView {
        state,
        reason,
        checked_ms: found.map_or(0, |it| it.checked_ms),
        weights: WEIGHTS_NOT_VERIFIED.to_owned(),
        since_ms: said.at_ms,
        breaker,
        breaker_reason,
        name: said.name,
        url: said.url,
        model: said.model,
        remote: said.remote,
        keyed: said.keyed,
        failover: said.failover,
        retries: said.retries,
    }
}

/// Tells the door which upstreams stand now. What cannot be attested does not answer.
///
/// # Errors
/// `ledger-broken`.
pub(crate) async fn tell_door(shop: &Workshop) -> Result<(), WorkshopError> {
    let _held = shop.hold_upstreams().await;
    let mut standing = Vec::new();
    for (said, attested) in all(shop).await? {
        match attested {
            Ok(attested) => standing.push(attested),
            Err(error) => {
                tracing::error!("{} does not answer: {error}; {}", said.name, error.next())
            }
        }
    }
    shop.door().relay(standing, shop.book());
    Ok(())
}

/// For the tests of whoever asks upstreams: one of which nobody said anything.
#[cfg(feature = "unproved")]
pub fn unsaid(upstream: Upstream) -> Attested<Upstream> {
    Attested { inner: upstream }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(url: &str) -> UpstreamRequest {
        UpstreamRequest {
            name: "big".to_owned(),
            url: url.to_owned(),
            model: None,
            key_file: None,
            remote: false,
            failover: None,
            retries: 0,
            connect_ms_max: 5_000,
            silence_ms_max: 60_000,
            reason: "a larger model".to_owned(),
        }
    }

    #[test]
    fn an_address_is_kept_as_one_form() {
        for (given, kept) in [
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
            ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1"),
            ("http://localhost:8000/v1/", "http://localhost:8000/v1"),
            ("https://[::1]/openai", "https://[::1]/openai"),
        ] {
            let said = said_of(&request(given), 7).expect(given);
            assert_eq!((said.url.as_str(), said.model.as_str()), (kept, "big"));
            assert_eq!(address(&said.url).expect(kept).as_str(), kept, "read again");
        }
    }

    #[test]
    fn text_leaves_the_machine_only_where_somebody_says_so() {
        for url in [
            "http://10.0.0.5:8000/v1",
            "https://models.example/v1",
            // Whoever answers for names decides where that is.
            "http://localhost.example/v1",
            "http://0.0.0.0:8000/v1",
        ] {
            let mut asked = request(url);
            let error = said_of(&asked, 7).expect_err(url);
            assert!(error.next().contains("--remote"), "{url}: {error}");
            asked.remote = true;
            assert!(said_of(&asked, 7).is_ok(), "{url}");
        }
    }

    #[test]
    fn what_is_no_upstream_is_refused_and_a_key_in_an_address_is_not_repeated() {
        for url in [
            "",
            "127.0.0.1:8000",
            "ftp://127.0.0.1/v1",
            "file:///etc/passwd",
            "http://127.0.0.1/v1?key=sk-hidden",
            "http://u:sk-hidden@127.0.0.1/v1",
            "http://127.0.0.1/v1#sk-hidden",
        ] {
            let error = said_of(&request(url), 7).expect_err(url);
            assert_eq!(error.code(), "upstream-request", "{url}");
            assert!(!error.to_string().contains("sk-hidden"), "{error}");
        }
        let changes: [fn(&mut UpstreamRequest); 8] = [
            |it| it.name = String::new(),
            |it| it.name = "a b".to_owned(),
            |it| it.name = "x".repeat(NAME_CHARS_MAX + 1),
            |it| it.model = Some("a\nb".to_owned()),
            |it| it.retries = RETRIES_MAX + 1,
            |it| it.connect_ms_max = 0,
            |it| it.silence_ms_max = SILENCE_MS_MAX + 1,
            |it| it.failover = Some("big".to_owned()),
        ];
        for change in changes {
            let mut asked = request("http://127.0.0.1:8000");
            change(&mut asked);
            assert_eq!(
                said_of(&asked, 7).expect_err("refused").code(),
                "upstream-request"
            );
        }
    }

    #[test]
    fn a_key_is_one_line_and_shown_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "  sk-hidden\n").unwrap();
        let key = read_key(&file).unwrap();
        assert_eq!(key.reveal(), "sk-hidden");
        assert!(!format!("{key:?}").contains("hidden"));
        for wrong in ["", "\n", "sk-hidden\nsk-other", "sk hidden"] {
            std::fs::write(&file, wrong).unwrap();
            let error = read_key(&file).unwrap_err();
            assert_eq!(error.code(), "upstream-key");
            assert!(!error.to_string().contains("hidden"), "{error}");
        }
        assert!(read_key(&folder.path().join("none")).is_err());
    }
}
