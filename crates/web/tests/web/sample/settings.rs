//! What the sample workshop runs with.

use lathe_workshop::settings::{SettingLine, SettingsSection, WorkshopSettings};
use serde_json::{Value, json};

fn line(name: &str, value: Value, changed_by: &[&str]) -> SettingLine {
    SettingLine {
        name: name.to_owned(),
        value,
        changed_by: changed_by.iter().map(|it| (*it).to_owned()).collect(),
    }
}

fn section(name: &str, settings: Vec<SettingLine>) -> SettingsSection {
    SettingsSection {
        name: name.to_owned(),
        settings,
    }
}

/// One that others reach, with people who sign in elsewhere, in a home of that name.
pub fn settings(home: &str) -> WorkshopSettings {
    let tls = ["--tls-cert", "--tls-key", "LATHE_TLS_CERT", "LATHE_TLS_KEY"];
    let listen = vec![
        line(
            "url",
            json!("https://10.0.0.5:7878"),
            &["--listen", "LATHE_LISTEN"],
        ),
        line("tls", json!(true), &tls),
        line("key_required", json!(true), &["--listen"]),
        line("drain_s", json!(25), &["--drain-s"]),
    ];
    let people = vec![
        line("accounts", json!(14), &["lathe people add"]),
        line(
            "sign_in",
            json!(["password", "oidc", "ldap"]),
            &["sign-in.yaml"],
        ),
        line("session_idle_s", json!(3600), &[]),
    ];
    let evidence = vec![
        line("keeps_texts", json!(false), &["--keep-texts"]),
        line("scrub_s", json!(60), &["--scrub-s", "LATHE_SCRUB_S"]),
        line("batch_receipts_max", json!(4096), &[]),
    ];
    let computation = vec![
        line("processor", json!("AMD EPYC 9B45"), &[]),
        line("threads", json!(16), &["LATHE_THREADS"]),
        line("memory_bytes", json!(68_719_476_736_u64), &[]),
        line("cgroup_processors", json!(15.5), &[]),
        line("cgroup_memory_bytes", Value::Null, &[]),
    ];
    let storage = vec![
        line(
            "home",
            json!(format!("/srv/{home}")),
            &["--home", "LATHE_HOME"],
        ),
        line("objects_bytes", json!(3_456_789_012_u64), &[]),
    ];
    WorkshopSettings {
        sections: vec![
            section("listen", listen),
            section("people", people),
            section(
                "approval",
                vec![line("policy", json!("person"), &["lathe people add"])],
            ),
            section("evidence", evidence),
            section("computation", computation),
            section("storage", storage),
        ],
    }
}
