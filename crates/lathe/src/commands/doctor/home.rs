//! The home: who holds it, whether its store is of this version, whether its ledger holds and can be
//! continued, and whether the clock can be right.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lathe_workshop::health::{Health, LedgerHealth, StoreHealth};
use lathe_workshop::home::Holder;
use lathe_workshop::store::Store;
use lathe_workshop::{Home, WorkshopError};
use serde_json::{Value, json};

use super::{Finding, State};
use crate::table::minute;

/// How long a daemon may take to say anything.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// A clock may be this much behind what was written by another: hours of time zones and of builders.
const BEHIND_S_MAX: i64 = 86_400;

/// What there is to say of it.
pub(super) fn findings(home: &Home, health: &Result<Health, WorkshopError>) -> Vec<Finding> {
    let mut findings = Vec::new();
    match health {
        Ok(health) => {
            findings.push(lock(home, health.holder.as_ref()));
            findings.extend(store(home, health.store.as_ref()));
        }
        Err(error) => findings.push(unreadable(error)),
    }
    findings.push(clock(
        now_ms(),
        program_ms(),
        health.as_ref().ok().and_then(newest),
    ));
    findings
}

fn unreadable(error: &WorkshopError) -> Finding {
    let figures = json!({ "code": error.code() });
    let holes = [
        ("error", error.to_string()),
        ("do", error.next().to_owned()),
    ];
    Finding::new("store", State::Fail, "store.unreadable", &holes, figures)
}

fn lock(home: &Home, holder: Option<&Holder>) -> Finding {
    let Some(holder) = holder else {
        let folder = [("folder", home.root().display().to_string())];
        return Finding::new("lock", State::Ok, "lock.free", &folder, Value::Null);
    };
    let figures = json!({ "pid": holder.pid, "url": holder.url });
    let url = holder.url.clone().unwrap_or_default();
    let holes = [("pid", holder.pid.to_string()), ("url", url.clone())];
    let (state, word) = match &holder.url {
        None => (State::Ok, "lock.command"),
        Some(url) if answers(url) => (State::Ok, "lock.daemon"),
        Some(_) => (State::Fail, "lock.silent"),
    };
    Finding::new("lock", state, word, &holes, figures)
}

/// Whether anything is answered at all: whether a model is ready is for `/health` to say.
fn answers(url: &str) -> bool {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(ANSWER_MAX))
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into();
    agent.get(format!("{url}/health")).call().is_ok()
}

fn store(home: &Home, store: Option<&StoreHealth>) -> Vec<Finding> {
    let Some(store) = store else {
        return vec![Finding::new(
            "store",
            State::Ok,
            "store.none",
            &[],
            Value::Null,
        )];
    };
    let known = Store::schema_known();
    let holes = [
        ("schema", store.schema.to_string()),
        ("known", known.to_string()),
    ];
    let (state, word) = match store.schema.cmp(&known) {
        std::cmp::Ordering::Equal => (State::Ok, "store"),
        std::cmp::Ordering::Less => (State::Warn, "store.older"),
        std::cmp::Ordering::Greater => (State::Fail, "store.newer"),
    };
    let figures = json!({ "schema": store.schema, "schema_known": known });
    let mut findings = vec![Finding::new("store", state, word, &holes, figures)];
    let Some(content) = &store.content else {
        return findings;
    };
    match &content.ledger {
        None => findings.push(Finding::new(
            "ledger",
            State::Ok,
            "ledger.none",
            &[],
            Value::Null,
        )),
        Some(Ok(ledger)) => findings.extend(whole(home, ledger)),
        Some(Err(problems)) => {
            let first = problems.first().cloned().unwrap_or_default();
            let holes = [("problem", first), ("count", problems.len().to_string())];
            let figures = json!({ "problems": problems });
            findings.push(Finding::new(
                "ledger",
                State::Fail,
                "ledger.broken",
                &holes,
                figures,
            ));
        }
    }
    findings
}

/// A ledger that holds: its size, and the key that continues it.
fn whole(home: &Home, ledger: &LedgerHealth) -> [Finding; 2] {
    let holes = [
        ("entries", ledger.entries.to_string()),
        ("origin", ledger.origin.clone()),
        ("newest", minute(ledger.newest_ms)),
    ];
    let figures = json!({
        "origin": ledger.origin,
        "entries": ledger.entries,
        "newest_ms": ledger.newest_ms,
    });
    let entries = Finding::new("ledger", State::Ok, "ledger", &holes, figures);
    [entries, key(home, ledger)]
}

fn key(home: &Home, ledger: &LedgerHealth) -> Finding {
    let id = match &ledger.signs {
        Ok(id) => id.to_string(),
        Err(error) => {
            let holes = [
                ("error", error.to_string()),
                ("do", error.next().to_owned()),
            ];
            let figures = json!({ "code": error.code() });
            return Finding::new("keys", State::Fail, "keys.missing", &holes, figures);
        }
    };
    let holes = [
        ("id", id.chars().take(16).collect()),
        ("folder", home.keys().display().to_string()),
    ];
    let figures = json!({ "id": id });
    if readable_by_others(&home.keys()) {
        return Finding::new("keys", State::Warn, "keys.open", &holes, figures);
    }
    Finding::new("keys", State::Ok, "keys", &holes, figures)
}

/// Whether anybody but their user may read a key.
fn readable_by_others(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return false;
    };
    let mut files = entries.flatten().filter_map(|entry| entry.metadata().ok());
    files.any(|data| data.is_file() && data.permissions().mode() & 0o077 != 0)
}

/// When the newest entry of the ledger was written.
fn newest(health: &Health) -> Option<i64> {
    let content = health.store.as_ref()?.content.as_ref()?;
    Some(content.ledger.as_ref()?.as_ref().ok()?.newest_ms)
}

fn now_ms() -> i64 {
    ms(SystemTime::now())
}

fn ms(time: SystemTime) -> i64 {
    let age = time.duration_since(UNIX_EPOCH);
    age.map_or(0, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}

/// When this very program was written: no clock that is right can be before it.
fn program_ms() -> Option<i64> {
    let file = std::fs::metadata(std::env::current_exe().ok()?).ok()?;
    file.modified().ok().map(ms)
}

/// Whether the clock can be right: entries of a ledger never go back in time.
fn clock(now_ms: i64, program_ms: Option<i64>, newest_ms: Option<i64>) -> Finding {
    let behind = |other: i64| now_ms.saturating_add(BEHIND_S_MAX * 1000) < other;
    let (state, word, other) = match (program_ms, newest_ms) {
        (_, Some(newest)) if behind(newest) => (State::Fail, "clock.before_ledger", newest),
        (Some(program), _) if behind(program) => (State::Fail, "clock.before_program", program),
        _ => (State::Ok, "clock", now_ms),
    };
    let holes = [("now", minute(now_ms)), ("other", minute(other))];
    let figures = json!({
        "now_ms": now_ms,
        "program_ms": program_ms,
        "ledger_newest_ms": newest_ms,
    });
    Finding::new("clock", state, word, &holes, figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;

    #[test]
    fn a_clock_before_what_was_written_is_wrong() {
        let now = 1000 * DAY_MS;
        assert_eq!(clock(now, Some(now), Some(now)).state, State::Ok);
        assert_eq!(clock(now, None, None).state, State::Ok);
        let program = clock(now, Some(now + 2 * DAY_MS), None);
        let ledger = clock(now, None, Some(now + 2 * DAY_MS));
        for wrong in [&program, &ledger] {
            assert!(wrong.state == State::Fail && wrong.next.is_some());
        }
        assert_ne!(program.text, ledger.text);
    }

    #[test]
    fn a_held_home_whose_daemon_is_silent_fails() {
        let home = Home::locate(Some("/srv/lathe".into())).unwrap();
        assert_eq!(lock(&home, None).state, State::Ok);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let silent = lock(
            &home,
            Some(&Holder {
                pid: 1,
                url: Some(url),
            }),
        );
        assert!(silent.state == State::Fail && silent.next.is_some());
        let command = lock(&home, Some(&Holder { pid: 1, url: None }));
        assert_eq!(command.state, State::Ok);
    }

    #[test]
    fn keys_that_others_may_read_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.key");
        std::fs::write(&file, "x").unwrap();
        for (mode, open) in [(0o600, false), (0o640, true), (0o604, true)] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(readable_by_others(folder.path()), open, "{mode:o}");
        }
        assert!(!readable_by_others(&folder.path().join("none")));
    }
}
