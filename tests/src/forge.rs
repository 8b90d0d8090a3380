//! Somebody who has the home with all its keys, and writes its ledger anew.
//!
//! [`forge`] hands out what was said, takes back what shall have been said, signs it, corrects every
//! link that follows from it, and makes a new checkpoint: what nothing inside the home contradicts
//! afterwards can only be noticed from outside.

use std::fs;
use std::path::Path;

use lathe_evidence::statement::{Key, KeyAction, PAYLOAD_TYPE, Role, Statement};
use lathe_evidence::{Digest, canonical, merkle};
use lathe_ledger::{Checkpoint, Envelope, SigningKey};
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection as _, Row as _};

/// A statement as it stands in the ledger, or shall stand.
#[derive(Clone)]
pub struct Told {
    /// The statement.
    pub said: Value,
    /// Who signs it anew; the workshop itself if nobody is named.
    pub by: Option<SigningKey>,
    /// The envelope as it came: kept where nothing of it is to be signed anew.
    pub envelope: Vec<u8>,
    /// Keep the old signature around what is said now.
    pub unsigned: bool,
}

impl Told {
    /// The kind of statement.
    pub fn kind(&self) -> &str {
        let uri = self.said["predicateType"].as_str().expect("a statement");
        uri.split(':').nth(3).expect("a kind")
    }

    /// What is said, to be changed.
    pub fn predicate(&mut self) -> &mut Value {
        &mut self.said["predicate"]
    }

    fn link(&self) -> String {
        merkle::leaf_hash(&self.envelope).to_string()
    }
}

/// A key of somebody who does not belong here.
pub fn stranger() -> SigningKey {
    SigningKey::from_seed(&[9; 32])
}

/// The statement that lets the stranger sign with this role, said right after the ledger's first.
pub fn invited(first: &Told, role: Role) -> Told {
    let said = Key {
        key: stranger().public().to_record("a stranger", &[role]),
        action: KeyAction::Added,
        reason: String::new(),
        at_ms: first.said["predicate"]["at_ms"].as_i64().expect("a time"),
    };
    let bytes = Statement::of("a stranger", stranger().id(), said).to_bytes();
    Told {
        said: serde_json::from_slice(&bytes.expect("a statement")).expect("JSON"),
        by: None,
        envelope: Vec::new(),
        unsigned: false,
    }
}

/// Writes the ledger of a stopped home anew.
pub fn forge(home: &Path, change: impl FnOnce(&mut Vec<Told>)) {
    block(async {
        let mut store = open(home).await?;
        let mut told = all(&mut store).await?;
        let origin = told[0].said["predicate"]["origin"].clone();
        change(&mut told);
        let pem = fs::read_to_string(home.join("keys/workshop.key")).expect("a key");
        let key = SigningKey::from_pem(&pem).expect("a key");
        let replaced = sign(&mut told, &key);
        let origin = origin.as_str().expect("an origin");
        write(&mut store, &told, &replaced, origin, &key).await?;
        store.close().await
    });
}

/// Leads the row of what answers under `name` to another deployment.
pub fn lead(home: &Path, name: &str, to: &str) {
    block(async {
        let mut store = open(home).await?;
        sqlx::query("UPDATE deployments SET link = ? WHERE name = ?")
            .bind(to)
            .bind(name)
            .execute(&mut store)
            .await?;
        store.close().await
    });
}

/// Everything that was said, in its order.
pub fn told(home: &Path) -> Vec<Told> {
    let mut told = Vec::new();
    block(async {
        let mut store = open(home).await?;
        told = all(&mut store).await?;
        store.close().await
    });
    told
}

async fn all(store: &mut SqliteConnection) -> Result<Vec<Told>, sqlx::Error> {
    let rows = sqlx::query("SELECT envelope FROM ledger ORDER BY seq")
        .fetch_all(store)
        .await?;
    Ok(rows.iter().map(|row| read(row.get("envelope"))).collect())
}

/// The links of the deployments under `name`, oldest first.
pub fn deployments(home: &Path, name: &str) -> Vec<String> {
    let told = told(home).into_iter();
    let own = told.filter(|it| it.kind() == "deployment" && it.said["predicate"]["name"] == name);
    own.map(|it| it.link()).collect()
}

fn block(work: impl Future<Output = Result<(), sqlx::Error>>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(work).expect("the store is written");
}

async fn open(home: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let file = SqliteConnectOptions::new().filename(home.join("store.sqlite"));
    SqliteConnection::connect_with(&file).await
}

fn read(envelope: Vec<u8>) -> Told {
    let parsed = Envelope::parse(&envelope).expect("an envelope");
    Told {
        said: serde_json::from_slice(parsed.payload()).expect("JSON"),
        by: None,
        envelope,
        unsigned: false,
    }
}

/// Signs everything; returns the old and the new links.
fn sign(told: &mut [Told], key: &SigningKey) -> Vec<(String, String)> {
    let mut replaced: Vec<(String, String)> = Vec::new();
    for it in told {
        let before = it.link();
        let mut text = it.said.to_string();
        for (from, to) in &replaced {
            text = text.replace(from, to);
        }
        it.said = serde_json::from_str(&text).expect("JSON");
        let payload = canonical::to_bytes(&it.said).expect("no floats");
        let by = it.by.as_ref().unwrap_or(key);
        let sealed = Envelope::seal_bytes(PAYLOAD_TYPE, payload, &[by]).expect("seals");
        it.envelope = match it.unsigned {
            true => with_signature(sealed.bytes(), &it.envelope),
            false => sealed.into_bytes(),
        };
        replaced.push((before, it.link()));
    }
    replaced
}

/// The envelope with the signature of another.
fn with_signature(envelope: &[u8], other: &[u8]) -> Vec<u8> {
    let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("JSON");
    let mut mixed = parse(envelope);
    mixed["signatures"] = parse(other)["signatures"].clone();
    canonical::to_bytes(&mixed).expect("no floats")
}

async fn write(
    store: &mut SqliteConnection,
    told: &[Told],
    replaced: &[(String, String)],
    origin: &str,
    key: &SigningKey,
) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("DELETE FROM ledger; DELETE FROM checkpoints")
        .execute(&mut *store)
        .await?;
    for (seq, it) in told.iter().enumerate() {
        let subject = &it.said["subject"][0]["digest"]["sha256"];
        sqlx::query("INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?)")
            .bind(seq as i64)
            .bind(it.kind())
            .bind(subject.as_str().expect("a digest"))
            .bind(it.link())
            .bind(&it.envelope)
            .bind(it.said["predicate"]["at_ms"].as_i64().expect("a time"))
            .execute(&mut *store)
            .await?;
    }
    for (from, to) in replaced {
        for update in [
            "UPDATE deployments SET link = ? WHERE link = ?",
            "UPDATE batches SET link = ? WHERE link = ?",
        ] {
            sqlx::query(update)
                .bind(to)
                .bind(from)
                .execute(&mut *store)
                .await?;
        }
    }
    let leaves: Vec<Digest> = told
        .iter()
        .map(|it| merkle::leaf_hash(&it.envelope))
        .collect();
    let checkpoint = Checkpoint {
        origin: origin.to_owned(),
        size: leaves.len() as u64,
        root: merkle::root(&leaves),
    };
    sqlx::query("INSERT INTO checkpoints VALUES (?, ?, ?)")
        .bind(checkpoint.size as i64)
        .bind(checkpoint.root.to_string())
        .bind(checkpoint.sign(key).expect("signs"))
        .execute(&mut *store)
        .await
        .map(drop)
}
