//! What one entry is held to, in its place after the ones before it. Nothing here changes anything.

use lathe_evidence::Digest;
use lathe_evidence::statement::{Predicate, Statement, Workshop};

use super::keyring::Refusal;
use super::{Entry, Flaw, History, Reference, expected_subject, references};
use crate::dsse::{Envelope, EnvelopeError};
use crate::keys::PublicKey;
use crate::note::check_name;

impl History {
    /// The entry that an envelope makes at `index`; changes nothing.
    pub(super) fn check(&self, envelope: &[u8], index: u64) -> Result<Entry, Refusal> {
        let wrong = |error: EnvelopeError| (Flaw::Envelope, error.to_string());
        let envelope = Envelope::parse(envelope).map_err(wrong)?;
        if let Some(earlier) = self.lookup(&envelope.leaf()) {
            let why = format!("it is entry {} once more", earlier.index);
            return Err((Flaw::Replayed, why));
        }
        let statement = envelope.statement().map_err(wrong)?;
        let signers: Vec<_> = envelope.signers().collect();
        let [signer] = signers[..] else {
            let why = format!("it has {} signatures instead of one", signers.len());
            return Err((Flaw::Envelope, why));
        };
        let said = &statement.predicate;
        let public = match (said, index) {
            (Predicate::Workshop(it), 0) => check_genesis(it, signer)?,
            (_, 0) => {
                let why = format!(
                    "the ledger begins with a {}, not with a workshop",
                    said.name()
                );
                return Err((Flaw::Genesis, why));
            }
            (Predicate::Workshop(_), _) => {
                let why = "a workshop begins here a second time".to_owned();
                return Err((Flaw::Genesis, why));
            }
            _ => self.keyring.signer(&signer, said)?.public().clone(),
        };
        let unsigned =
            |error: EnvelopeError| (Flaw::Signature, format!("{}: {error}", said.name()));
        envelope.verify(&public).map_err(unsigned)?;
        self.check_time(said)?;
        self.check_subject(&statement)?;
        self.check_references(said)?;
        if let Predicate::Key(it) = said {
            self.keyring.check(it, signer)?;
        }
        Ok(Entry {
            index,
            link: envelope.leaf(),
            statement,
            signer,
            void: None,
        })
    }

    fn check_time(&self, said: &Predicate) -> Result<(), Refusal> {
        if said.at_ms() >= self.last_ms() {
            return Ok(());
        }
        let why = format!(
            "{} was said at {} ms, before the entry that stands before it ({} ms)",
            said.name(),
            said.at_ms(),
            self.last_ms()
        );
        Err((Flaw::Time, why))
    }

    fn check_subject(&self, statement: &Statement) -> Result<(), Refusal> {
        let (found, said) = (statement.subject(), &statement.predicate);
        if let Some(expected) = expected_subject(statement)
            && expected != found
        {
            let name = said.name();
            let why = format!("the subject of the {name} is {found}, but it speaks of {expected}");
            return Err((Flaw::Subject, why));
        }
        match said {
            Predicate::Receipts(it) if it.batch != self.batch + 1 => {
                let why = format!(
                    "batch {} of receipts follows batch {}",
                    it.batch, self.batch
                );
                Err((Flaw::Batch, why))
            }
            _ => Ok(()),
        }
    }

    fn check_references(&self, said: &Predicate) -> Result<(), Refusal> {
        for Reference { member, kind, link } in references(said) {
            if self.refused.contains(&link) {
                continue;
            }
            let refuse = |why: String| {
                let name = said.name();
                Err((
                    Flaw::Link,
                    format!("{member} of the {name} names {link}, {why}"),
                ))
            };
            match self.lookup(&link) {
                None => return refuse("which is not in the ledger before it".to_owned()),
                Some(entry) if entry.kind() != kind => {
                    return refuse(format!("which is a {}, not a {kind}", entry.kind()));
                }
                Some(Entry { void: Some(by), .. }) => {
                    return refuse(format!(
                        "which entry {by} voided: its signer's key was stolen"
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// The first statement is signed by the very key it names, and its origin can be a name.
fn check_genesis(said: &Workshop, signer: Digest) -> Result<PublicKey, Refusal> {
    let genesis = |why: String| (Flaw::Genesis, why);
    check_name(&said.origin).map_err(|error| genesis(error.to_string()))?;
    if said.key.id != signer {
        return Err(genesis(format!(
            "the workshop names key {}, but {signer} signed it",
            said.key.id
        )));
    }
    PublicKey::of_record(&said.key).map_err(|error| genesis(error.to_string()))
}
