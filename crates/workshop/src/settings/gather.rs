//! Gathering what a workshop runs with: one function a section.
//!
//! Everything is looked up when it is asked for, so that nothing told is of yesterday; the store is asked for one
//! sum, the disk for its room and a size.

use std::fs;
use std::path::Path;

use lathe_evidence::statement::ApprovalPolicy;
use lathe_kernel::Isa;
use serde_json::{Value, json};

use super::{RunningLimits, SettingLine, SettingsSection, Started, WorkshopSettings};
use crate::error::WorkshopError;
use crate::feedback::{CORRECTIONS_MIN, FEEDBACK_MAX, OF_RECEIPT_MAX};
use crate::home::Home;
use crate::machine::Machine;
use crate::pack::breaker::ComplaintsSpec;
use crate::people::{AUDIT_ROWS_MAX, IDLE_MS_MAX, Kind, SESSION_MS_MAX, reach};
use crate::receipts::{BATCH_EVERY, BATCH_RECEIPTS_MAX};
use crate::store::Store;
use crate::workshop::Workshop;

impl Workshop {
    /// What this workshop runs with.
    ///
    /// # Errors
    /// `store`.
    pub async fn runs_with(&self) -> Result<WorkshopSettings, WorkshopError> {
        let started = self.started().cloned().unwrap_or_default();
        let objects_bytes = self.store().artifact_bytes().await?;
        let home = self.home().clone();
        let looked = reach::spawn_blocking(move || (Machine::look(), Disk::of(&home)));
        let (machine, disk) = looked.await.map_err(|error| {
            WorkshopError::new(
                "internal",
                format!("cannot look at this machine: {error}"),
                "this is a mistake in Lathe; please report it",
            )
        })?;
        let mut sections = vec![
            build(),
            listen(self, &started),
            people(self, &started),
            approval(self).await,
            evidence(self),
            feedback(),
            computation(&machine),
        ];
        sections.extend(started.limits.map(limits));
        sections.extend([
            log(&started),
            storage(self.home(), &disk, objects_bytes),
            language(),
        ]);
        Ok(WorkshopSettings { sections })
    }
}

/// The disk under a home.
#[derive(Debug, Default)]
struct Disk {
    /// Its size and its room; none where the system does not tell.
    total_and_free_bytes: Option<(u64, u64)>,
    /// The store with what is written ahead of it.
    store_bytes: u64,
}

impl Disk {
    fn of(home: &Home) -> Disk {
        let disk = rustix::fs::statvfs(home.root()).ok();
        let room = disk.map(|it| {
            let bytes = |blocks: u64| blocks.saturating_mul(it.f_frsize);
            (bytes(it.f_blocks), bytes(it.f_bavail))
        });
        let store = home.store();
        let ahead = store.with_extension("sqlite-wal");
        Disk {
            total_and_free_bytes: room,
            store_bytes: size_of(&store) + size_of(&ahead),
        }
    }
}

/// Bytes of a file; 0 where there is none.
fn size_of(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |data| data.len())
}

fn section(name: &str, settings: Vec<SettingLine>) -> SettingsSection {
    SettingsSection {
        name: name.to_owned(),
        settings,
    }
}

fn line(name: &str, value: Value, changed_by: &[&str]) -> SettingLine {
    SettingLine {
        name: name.to_owned(),
        value,
        changed_by: changed_by.iter().map(|it| (*it).to_owned()).collect(),
    }
}

fn build() -> SettingsSection {
    let built = Kind::ALL.into_iter().filter(|it| it.is_built());
    let built: Vec<&str> = built.map(Kind::name).collect();
    let settings = vec![
        line("version", json!(env!("CARGO_PKG_VERSION")), &[]),
        line(
            "features",
            json!(built),
            &["cargo build --features oidc,ldap"],
        ),
    ];
    section("build", settings)
}

fn listen(shop: &Workshop, started: &Started) -> SettingsSection {
    let url = match started.url.is_empty() {
        true => shop.url(),
        false => started.url.clone(),
    };
    let asks = started.asks_for_a_key || !shop.tokens().is_empty() || !shop.people().is_empty();
    let tls = ["--tls-cert", "--tls-key", "LATHE_TLS_CERT", "LATHE_TLS_KEY"];
    let keys = ["--listen", "lathe token create", "lathe people add"];
    let settings = vec![
        line("url", json!(url), &["--listen", "LATHE_LISTEN"]),
        line("tls", json!(started.over_tls), &tls),
        line("key_required", json!(asks), &keys),
        line(
            "key_file",
            json!(started.takes_key_file),
            &["--key-file", "LATHE_KEY_FILE"],
        ),
        line("drain_s", json!(started.drain_s), &["--drain-s"]),
    ];
    section("listen", settings)
}

fn people(shop: &Workshop, started: &Started) -> SettingsSection {
    let accounts = shop.people().all().len();
    let outside = started.sign_in.iter().map(|kind| kind.name());
    let ways: Vec<&str> = std::iter::once("password").chain(outside).collect();
    let settings = vec![
        line("accounts", json!(accounts), &["lathe people add"]),
        line("login_required", json!(accounts > 0), &["lathe people add"]),
        line("sign_in", json!(ways), &["sign-in.yaml"]),
        line("session_idle_s", json!(IDLE_MS_MAX / 1000), &[]),
        line("session_s", json!(SESSION_MS_MAX / 1000), &[]),
    ];
    section("people", settings)
}

async fn approval(shop: &Workshop) -> SettingsSection {
    let policy = match shop.store().ledger() {
        Ok(ledger) => Some(ledger.read().await.approval_policy()),
        // A ledger that does not hold decides nothing.
        Err(_) => None,
    };
    let by_people = !shop.people().is_empty();
    let said = match policy {
        None => "unknown",
        Some(ApprovalPolicy::TwoPerson) => "two-person",
        Some(ApprovalPolicy::Itself) if by_people => "person",
        Some(ApprovalPolicy::Itself) => "self",
    };
    let changed_by = ["lathe up --approval", "lathe people add"];
    section("approval", vec![line("policy", json!(said), &changed_by)])
}

fn evidence(shop: &Workshop) -> SettingsSection {
    let keeps = shop.keeps_texts();
    let how_long = if keeps { "with-home" } else { "not-kept" };
    let scrub = ["--scrub-s", "LATHE_SCRUB_S"];
    let settings = vec![
        line("keeps_texts", json!(keeps), &["--keep-texts"]),
        line("texts_are_kept", json!(how_long), &[]),
        line("scrub_s", json!(shop.scrub_every().as_secs()), &scrub),
        line("batch_receipts_max", json!(BATCH_RECEIPTS_MAX), &[]),
        line("batch_s", json!(BATCH_EVERY.as_secs()), &[]),
    ];
    section("evidence", settings)
}

/// What a pack says of its own deployment holds instead: told is what holds where it says nothing.
fn feedback() -> SettingsSection {
    let usual = ComplaintsSpec::default();
    let of_pack = ["pack.yaml: breaker.complaints"];
    let settings = vec![
        line("feedback_max", json!(FEEDBACK_MAX), &[]),
        line("feedback_of_answer_max", json!(OF_RECEIPT_MAX), &[]),
        line("corrections_min", json!(CORRECTIONS_MIN), &[]),
        line("window_answers", json!(usual.window_answers), &of_pack),
        line("complaints_min", json!(usual.complaints_min), &of_pack),
        line("restrict_percent", json!(usual.restrict_percent), &of_pack),
        line("open_percent", json!(usual.open_percent), &of_pack),
    ];
    section("feedback", settings)
}

fn computation(machine: &Machine) -> SettingsSection {
    let bound = machine.limits;
    let settings = vec![
        line("processor", json!(machine.cpu), &[]),
        line("threads", json!(machine.threads), &["LATHE_THREADS"]),
        line("threads_usable", json!(machine.usable), &[]),
        line("processors", json!(machine.present), &[]),
        line(
            "instructions",
            json!(Isa::detect().to_string()),
            &["LATHE_ISA"],
        ),
        line("memory_bytes", json!(machine.memory_bytes), &[]),
        line("memory_free_bytes", json!(machine.free_bytes()), &[]),
        line("cgroup_processors", json!(bound.cpus), &[]),
        line("cgroup_memory_bytes", json!(bound.memory_bytes), &[]),
    ];
    section("computation", settings)
}

fn limits(limits: RunningLimits) -> SettingsSection {
    let settings = vec![
        line("answers_max", json!(limits.answers_max), &[]),
        line("queue_requests_max", json!(limits.queue_requests_max), &[]),
        line("wait_ms_max", json!(limits.wait_ms_max), &[]),
        line("step_rows_max", json!(limits.step_rows_max), &[]),
        line("step_ms_max", json!(limits.step_ms_max), &[]),
        line("cache_bytes_max", json!(limits.cache_bytes_max), &[]),
        line("weights_bytes_max", json!(limits.weights_bytes_max), &[]),
        line("body_bytes_max", json!(limits.body_bytes_max), &[]),
        line(
            "upstream_requests_max",
            json!(limits.upstream_requests_max),
            &[],
        ),
    ];
    section("limits", settings)
}

fn log(started: &Started) -> SettingsSection {
    let syslog = ["--audit-syslog", "LATHE_AUDIT_SYSLOG"];
    let mut settings = vec![line("log", json!(started.log), &["LATHE_LOG"])];
    if started.log.is_some() {
        settings.extend([
            line("log_format", json!(started.log_format), &["--log-format"]),
            line("log_texts", json!(started.logs_texts), &["--log-texts"]),
        ]);
    }
    settings.extend([
        line("audit_syslog", json!(started.audit_syslog), &syslog),
        line("audit_rows_max", json!(AUDIT_ROWS_MAX), &[]),
    ]);
    section("log", settings)
}

fn storage(home: &Home, disk: &Disk, objects_bytes: u64) -> SettingsSection {
    let folder = home.root().display().to_string();
    let mut settings = vec![
        line("home", json!(folder), &["--home", "LATHE_HOME"]),
        line("store_bytes", json!(disk.store_bytes), &[]),
        line("store_schema", json!(Store::schema_known()), &[]),
        line("objects_bytes", json!(objects_bytes), &[]),
    ];
    if let Some((total, free)) = disk.total_and_free_bytes {
        settings.extend([
            line("disk_free_bytes", json!(free), &[]),
            line("disk_bytes", json!(total), &[]),
        ]);
    }
    section("storage", settings)
}

fn language() -> SettingsSection {
    let pages = ["?lang=en", "?lang=zh"];
    let settings = vec![
        line("pages", json!("accept-language"), &pages),
        line("commands", json!("environment"), &["LATHE_LANG", "LANG"]),
    ];
    section("language", settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Operation;
    use crate::people::{PersonRequest, PersonRole, Secret};
    use crate::testing;
    use crate::words::{self, Lang};

    /// As a daemon says it that serves beyond loopback.
    fn started() -> Started {
        Started {
            url: "https://10.0.0.5:7878".to_owned(),
            over_tls: true,
            asks_for_a_key: true,
            takes_key_file: true,
            drain_s: 25,
            sign_in: vec![Kind::Oidc, Kind::Ldap],
            log: Some("lathe_serve=debug".to_owned()),
            log_format: "json",
            logs_texts: false,
            audit_syslog: Some("udp://10.0.0.9:514".to_owned()),
            limits: Some(RunningLimits {
                answers_max: 32,
                queue_requests_max: 256,
                wait_ms_max: 60_000,
                step_rows_max: 256,
                step_ms_max: 100,
                cache_bytes_max: 1 << 30,
                weights_bytes_max: None,
                body_bytes_max: 1 << 20,
                upstream_requests_max: 256,
            }),
        }
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    }

    #[test]
    fn everything_has_its_words_in_both_languages() {
        runtime().block_on(async {
            let (_folder, shop) = testing::shop().await;
            shop.started_with(started());
            let told = shop.runs_with().await.unwrap();
            assert_eq!(told.sections.len(), 11);
            for section in &told.sections {
                let key = format!("web.settings.section.{}", section.name);
                assert!(words::has(&key), "{key}");
                for line in &section.settings {
                    let key = format!("web.settings.name.{}", line.name);
                    assert!(words::has(&key), "{key}");
                    for lang in [Lang::En, Lang::Zh] {
                        let text = line.text(lang);
                        assert!(!text.is_empty() && !text.contains("web."), "{text}");
                    }
                }
            }
            shop.stop().await;
        });
    }

    #[test]
    fn what_is_told_is_what_holds() {
        runtime().block_on(async {
            let (folder, shop) = testing::shop().await;
            let before = shop.runs_with().await.unwrap();
            assert_eq!(before.value("listen", "key_required"), Some(&json!(false)));
            assert_eq!(
                before.value("people", "login_required"),
                Some(&json!(false))
            );
            assert_eq!(before.value("approval", "policy"), Some(&json!("self")));
            assert_eq!(before.value("log", "log"), Some(&Value::Null));
            assert_eq!(before.value("limits", "answers_max"), None);
            assert_eq!(before.value("evidence", "scrub_s"), Some(&json!(86_400)));
            let home = folder.path().join("home").display().to_string();
            assert_eq!(before.value("storage", "home"), Some(&json!(home)));
            let store = before.value("storage", "store_bytes").unwrap();
            assert!(store.as_u64().unwrap() > 0, "{store}");

            let first = PersonRequest {
                name: "root".to_owned(),
                display: String::new(),
                roles: vec![PersonRole::Administrator],
                denied: Vec::new(),
                password: Some(Secret("correct horse battery".to_owned())),
            };
            shop.operate(Operation::PersonAdd(first)).await.unwrap();
            shop.started_with(started());
            let after = shop.runs_with().await.unwrap();
            assert_eq!(after.value("listen", "key_required"), Some(&json!(true)));
            assert_eq!(after.value("people", "accounts"), Some(&json!(1)));
            assert_eq!(after.value("approval", "policy"), Some(&json!("person")));
            let ways = json!(["password", "oidc", "ldap"]);
            assert_eq!(after.value("people", "sign_in"), Some(&ways));
            assert_eq!(after.value("limits", "answers_max"), Some(&json!(32)));
            shop.stop().await;
        });
    }
}
