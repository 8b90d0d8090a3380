//! The ledger as rows of the store.
//!
//! Statements are made and written by [`Store::apply_said`] alone: what is said, the checkpoint over
//! it and the changes it speaks of are one transaction. The verified [`History`] in memory runs a
//! step ahead while that is written, and is taken back when it fails.
//!
//! Not here: what is said and when (the steps, `ops`), and whether statements make a chain.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lathe_evidence::Digest;
use lathe_evidence::statement::{Link, Predicate, Statement, Subject};
use lathe_ledger::history::{History, Problem, Trust};
use lathe_ledger::model_signing::ModelKey;
use lathe_ledger::{Envelope, SigningKey};
use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use super::write::signed;
use super::{Change, Store, failed};
use crate::audit;
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::people::reach;

/// Rows read at a time.
const PAGE: u32 = 10_000;

/// The ledger of an open store.
#[derive(Debug)]
pub(crate) struct Ledger {
    key: RwLock<SigningKey>,
    history: Arc<RwLock<History>>,
    size: AtomicU64,
}

/// Says statements within one transaction.
pub(crate) struct Speaker<'a> {
    history: &'a mut History,
    key: SigningKey,
    at_ms: i64,
    said: Vec<NewEntry>,
}

/// A row to be written.
struct NewEntry {
    seq: u64,
    kind: &'static str,
    subject: Digest,
    link: Link,
    envelope: Vec<u8>,
    at_ms: i64,
}

/// An entry as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    /// Its place, from 0.
    pub seq: u64,
    /// The envelope, verbatim.
    pub envelope: Vec<u8>,
}

impl Ledger {
    /// A ledger over a history that was verified, to be continued with `key`.
    pub(crate) fn new(history: History, key: SigningKey) -> Ledger {
        Ledger {
            key: RwLock::new(key),
            size: AtomicU64::new(history.len()),
            history: Arc::new(RwLock::new(history)),
        }
    }

    /// The number of entries that are durable.
    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// An envelope over bytes that are no statement, signed by the workshop's key.
    ///
    /// # Errors
    /// `statement` when it is too long.
    pub(crate) async fn seal(
        &self,
        payload_type: &str,
        payload: Vec<u8>,
    ) -> Result<Envelope, WorkshopError> {
        let key = self.key.read().await;
        Envelope::seal_bytes(payload_type, payload, &[&*key]).map_err(|error| {
            WorkshopError::new(
                "statement",
                format!("cannot sign a {payload_type}: {error}"),
                "this is a mistake in Lathe; please report it",
            )
        })
    }

    /// The key that signs models for other people's tools, derived from the workshop's.
    pub(crate) async fn model_key(&self) -> ModelKey {
        ModelKey::derive(&*self.key.read().await)
    }

    /// The history, to be read for a moment.
    pub(crate) async fn read(&self) -> OwnedRwLockReadGuard<History> {
        self.history.clone().read_owned().await
    }
}

/// A statement the ledger does not take.
pub(crate) fn refused(problem: &Problem) -> WorkshopError {
    WorkshopError::new(
        problem.flaw.code(),
        format!("the ledger does not take the statement: {problem}"),
        "look at the statement and its signer; `lathe verify` looks at the whole ledger",
    )
}

impl Speaker<'_> {
    /// The moment of what is said here, milliseconds since 1970: never before what was said last.
    pub(crate) fn at_ms(&self) -> i64 {
        self.at_ms
    }

    /// The ledger so far, what was said here with it.
    pub(crate) fn history(&self) -> &History {
        self.history
    }

    /// Signs what follows, the checkpoint too, with another key; from here on for good.
    pub(crate) fn sign_with(&mut self, key: SigningKey) {
        self.key = key;
    }

    /// The id of the key that signs.
    pub(crate) fn signer(&self) -> Digest {
        self.key.id()
    }

    /// Says something about one subject, signed by the workshop's key.
    ///
    /// # Errors
    /// `ledger-…` when the rules of the ledger refuse it.
    pub(crate) fn say(
        &mut self,
        name: &str,
        subject: Digest,
        predicate: impl Into<Predicate>,
    ) -> Result<Link, WorkshopError> {
        self.say_statement(&Statement::of(name, subject, predicate))
    }

    /// Says a statement of several subjects.
    ///
    /// # Errors
    /// `ledger-…` when the rules of the ledger refuse it.
    pub(crate) fn say_of(
        &mut self,
        subjects: Vec<Subject>,
        predicate: impl Into<Predicate>,
    ) -> Result<Link, WorkshopError> {
        let predicate = predicate.into();
        self.say_statement(&Statement {
            subjects,
            predicate,
        })
    }

    fn say_statement(&mut self, statement: &Statement) -> Result<Link, WorkshopError> {
        let envelope = Envelope::seal(statement, &self.key).map_err(|error| {
            WorkshopError::new(
                "statement",
                format!(
                    "cannot write a statement of {}: {error}",
                    statement.predicate.name()
                ),
                "this is a mistake in Lathe; please report it",
            )
        })?;
        self.take(envelope.into_bytes())
    }

    /// Takes an envelope that somebody else signed.
    ///
    /// # Errors
    /// `ledger-…` when the rules of the ledger refuse it.
    pub(crate) fn take(&mut self, envelope: Vec<u8>) -> Result<Link, WorkshopError> {
        let entry = self
            .history
            .extend(&envelope)
            .map_err(|error| refused(&error))?;
        let row = NewEntry {
            seq: entry.index,
            kind: entry.kind(),
            subject: entry.statement.subject(),
            link: entry.link,
            at_ms: entry.at_ms(),
            envelope,
        };
        let link = row.link;
        self.said.push(row);
        Ok(link)
    }

    /// The standing statement that says the same already, else a new one. When it was said and by
    /// which order does not count.
    ///
    /// # Errors
    /// `ledger-…` when the rules of the ledger refuse it.
    pub(crate) fn ensure(
        &mut self,
        name: &str,
        subject: Digest,
        predicate: impl Into<Predicate>,
    ) -> Result<Link, WorkshopError> {
        let statement = Statement::of(name, subject, predicate);
        let wanted = content(&statement.predicate);
        let kind = statement.predicate.name();
        let known = self
            .history
            .of_kind(kind)
            .rev()
            .find(|entry| {
                entry.statement.subject() == subject
                    && content(&entry.statement.predicate) == wanted
            })
            .map(|entry| entry.link);
        match known {
            Some(link) => Ok(link),
            None => self.say_statement(&statement),
        }
    }
}

/// What a predicate says, without when and for which order.
fn content(predicate: &Predicate) -> Value {
    let statement = Statement::of("", Digest::of(b""), predicate.clone());
    let bytes = statement.to_bytes().unwrap_or_default();
    let mut value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let mut said = value["predicate"].take();
    if let Some(members) = said.as_object_mut() {
        members.remove("at_ms");
        members.remove("order");
    }
    said
}

impl Store {
    /// The ledger.
    ///
    /// # Errors
    /// `ledger-broken` when what is stored does not hold; it says what.
    pub(crate) fn ledger(&self) -> Result<&Arc<Ledger>, WorkshopError> {
        match self.ledger.get() {
            Some(Ok(ledger)) => Ok(ledger),
            Some(Err(problems)) => Err(broken(problems)),
            None => Err(WorkshopError::new(
                "ledger-closed",
                "the ledger of this store was not opened",
                "this is a mistake in Lathe; please report it",
            )),
        }
    }

    /// Writes what `say` says together with the changes it returns, and a checkpoint over it, in one
    /// transaction; durable when this returns, or nothing of it happened.
    ///
    /// # Errors
    /// Those of `say`; `ledger-…`, `store`, `disk-full`.
    pub(crate) async fn apply_said<T>(
        &self,
        say: impl FnOnce(&mut Speaker<'_>) -> Result<(Vec<Change>, T), WorkshopError>,
    ) -> Result<T, WorkshopError> {
        let ledger = self.ledger()?;
        let mut key = ledger.key.write().await;
        let mut history = ledger.history.write().await;
        let before = history.len();
        let mut speaker = Speaker {
            at_ms: now_ms().max(history.last_ms()),
            history: &mut history,
            key: key.clone(),
            said: Vec::new(),
        };
        let spoken = say(&mut speaker);
        let Speaker {
            said: rows,
            key: signs,
            ..
        } = speaker;
        let written = match spoken {
            Ok((changes, value)) => match note_of(&history, &signs, before) {
                Ok(note) => self
                    .write_said(&changes, &rows, &history, note)
                    .await
                    .map(|()| value),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        match written {
            Ok(_) => {
                *key = signs;
                audit::said(&history, before, |it| content(&it.statement.predicate));
            }
            Err(_) => history.rewind(before),
        }
        ledger.size.store(history.len(), Ordering::Release);
        written
    }

    async fn write_said(
        &self,
        changes: &[Change],
        rows: &[NewEntry],
        history: &History,
        note: Option<String>,
    ) -> Result<(), WorkshopError> {
        let doing = "write to the ledger";
        let mut transaction = self.begin(doing).await?;
        for row in rows {
            insert(&mut transaction, row).await.map_err(failed(doing))?;
            crate::pause::written();
        }
        if let Some(note) = note {
            insert_checkpoint(&mut transaction, history, &note)
                .await
                .map_err(failed(doing))?;
            crate::pause::written();
        }
        for change in changes {
            change
                .write(&mut transaction)
                .await
                .map_err(failed(doing))?;
            crate::pause::written();
        }
        transaction.commit().await.map_err(failed(doing))?;
        crate::pause::written();
        Ok(())
    }

    /// Begins a ledger with its first envelope.
    ///
    /// # Errors
    /// `ledger-…`, `store`, `disk-full`.
    pub(crate) async fn begin_ledger(
        &self,
        genesis: &Statement,
        key: &SigningKey,
    ) -> Result<History, WorkshopError> {
        let envelope = Envelope::seal(genesis, key).map_err(|error| {
            WorkshopError::new(
                "statement",
                format!("cannot write the ledger's first statement: {error}"),
                "this is a mistake in Lathe; please report it",
            )
        })?;
        let bytes = envelope.into_bytes();
        let history = History::begin(&bytes).map_err(|error| refused(&error))?;
        let entry = &history.entries()[0];
        let row = NewEntry {
            seq: 0,
            kind: entry.kind(),
            subject: entry.statement.subject(),
            link: entry.link,
            at_ms: entry.at_ms(),
            envelope: bytes,
        };
        let note = note_of(&history, key, 0)?;
        self.write_said(&[], &[row], &history, note).await?;
        audit::said(&history, 0, |it| content(&it.statement.predicate));
        Ok(history)
    }

    /// Every envelope in its order, verbatim.
    ///
    /// # Errors
    /// `store`.
    pub async fn envelopes(&self) -> Result<Vec<Vec<u8>>, WorkshopError> {
        let mut all = Vec::new();
        loop {
            let rows = sqlx::query("SELECT envelope FROM ledger ORDER BY seq LIMIT ? OFFSET ?")
                .bind(PAGE)
                .bind(signed(all.len() as u64))
                .fetch_all(&self.read)
                .await
                .map_err(failed("read the ledger"))?;
            all.extend(rows.iter().map(|row| row.get::<Vec<u8>, _>("envelope")));
            if rows.len() < PAGE as usize {
                return Ok(all);
            }
        }
    }

    /// Entries from `from` on, at most `limit`, verbatim.
    ///
    /// # Errors
    /// `store`.
    pub async fn ledger_rows(
        &self,
        from: u64,
        limit: u32,
    ) -> Result<Vec<LedgerRow>, WorkshopError> {
        let rows =
            sqlx::query("SELECT seq, envelope FROM ledger WHERE seq >= ? ORDER BY seq LIMIT ?")
                .bind(signed(from))
                .bind(limit)
                .fetch_all(&self.read)
                .await
                .map_err(failed("read the ledger"))?;
        Ok(rows.iter().map(ledger_row).collect())
    }

    /// The newest checkpoint, as the signed note it is; `None` before the ledger began.
    ///
    /// # Errors
    /// `store`.
    pub async fn checkpoint(&self) -> Result<Option<String>, WorkshopError> {
        let row = sqlx::query("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1")
            .fetch_optional(&self.read)
            .await
            .map_err(failed("read the checkpoint"))?;
        Ok(row.map(|row| row.get("note")))
    }

    /// Reads and verifies the whole ledger as it is stored; `None` before it began.
    ///
    /// # Errors
    /// `store`; `ledger-broken`, naming all that does not hold.
    pub async fn history(&self, trust: &Trust) -> Result<Option<History>, WorkshopError> {
        Ok(match self.verify_ledger(trust).await? {
            None => None,
            Some(verified) => Some(verified.map_err(|problems| broken(&problems))?),
        })
    }

    /// As [`Store::history`], with what does not hold as it was found.
    ///
    /// # Errors
    /// `store`.
    pub async fn verify_ledger(
        &self,
        trust: &Trust,
    ) -> Result<Option<Result<History, Vec<Problem>>>, WorkshopError> {
        let envelopes = self.envelopes().await?;
        let note = self.checkpoint().await?;
        if envelopes.is_empty() && note.is_none() {
            return Ok(None);
        }
        let trust = trust.clone();
        let verify = move || History::verify(envelopes, &note.unwrap_or_default(), &trust);
        reach::spawn_blocking(verify)
            .await
            .map(Some)
            .map_err(|error| {
                WorkshopError::new(
                    "daemon-crashed",
                    format!("reading the ledger stumbled: {error}"),
                    "this is a mistake in Lathe; please report it",
                )
            })
    }
}

fn ledger_row(row: &SqliteRow) -> LedgerRow {
    LedgerRow {
        seq: row.get::<i64, _>("seq").unsigned_abs(),
        envelope: row.get("envelope"),
    }
}

/// What does not hold, as one error.
fn broken(problems: &[Problem]) -> WorkshopError {
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    WorkshopError::new(
        "ledger-broken",
        format!("the ledger does not hold: {}", texts.join("; ")),
        "restore the home from a backup; nothing is served until the ledger holds",
    )
}

/// The signed checkpoint over the history, where something was added to it.
fn note_of(
    history: &History,
    key: &SigningKey,
    before: u64,
) -> Result<Option<String>, WorkshopError> {
    if history.len() == before {
        return Ok(None);
    }
    let note = history.checkpoint().sign(key).map_err(|error| {
        WorkshopError::new(
            "checkpoint",
            format!("cannot sign a checkpoint: {error}"),
            "this is a mistake in Lathe; please report it",
        )
    })?;
    Ok(Some(note))
}

async fn insert(tx: &mut Transaction<'_, Sqlite>, row: &NewEntry) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO ledger (seq, kind, subject, link, envelope, at_ms) VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(signed(row.seq))
    .bind(row.kind)
    .bind(row.subject.to_string())
    .bind(row.link.to_string())
    .bind(&row.envelope)
    .bind(row.at_ms)
    .execute(&mut **tx)
    .await
    .map(drop)
}

async fn insert_checkpoint(
    tx: &mut Transaction<'_, Sqlite>,
    history: &History,
    note: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO checkpoints (size, root, note) VALUES (?, ?, ?)")
        .bind(signed(history.len()))
        .bind(history.root().to_string())
        .bind(note)
        .execute(&mut **tx)
        .await
        .map(drop)
}
