//! Receipts in the ledger: batches of them, and showing that one is in it.
//!
//! A batch is a tree of its own over the receipts that closed in one second; its root is said in a
//! `receipts` statement. A caller who holds a receipt can hold it against the whole ledger
//! ([`verify`]), or with a [`Proof`] against one checkpoint and a key alone ([`Proof::verify`]).
//!
//! When a batch is closed and where receipts lie is the store's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lathe_evidence::Digest;
use lathe_evidence::receipt::Receipt;
use lathe_evidence::statement::{
    Deployment, Link, Predicate, Receipts, Upstream, UpstreamAction, Verdict,
};
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::dsse::{Envelope, EnvelopeError};
use crate::history::History;
use crate::keys::PublicKey;
use crate::proofs::{PROOF_HASHES_MAX, ProofError, verify_inclusion};
use crate::tree::{Tree, TreeError};

/// The most bytes a receipt may have.
pub const RECEIPT_BYTES_MAX: usize = 65_535;

/// Why a receipt does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not a receipt in its one form.
    #[error("this is not a receipt: {0}")]
    Layout(String),
    /// The ledger has no such batch.
    #[error("the ledger has no standing statement {0} of a batch of receipts")]
    Batch(Link),
    /// It is not in its batch, or the batch not in the ledger.
    #[error("{what}: {source}")]
    Proof {
        /// What was to be shown.
        what: &'static str,
        /// Why it is not.
        source: ProofError,
    },
    /// It says something that the ledger says otherwise.
    #[error("the receipt's {member} is {found}, but the ledger says {expected}")]
    Differs {
        /// The member.
        member: &'static str,
        /// As the receipt says.
        found: String,
        /// As the ledger says.
        expected: String,
    },
    /// The envelope of the batch.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// What shows that a receipt is in the ledger that a checkpoint is of; JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The receipt's bytes, base64.
    pub receipt: String,
    /// Its place in the batch, from 0.
    pub position: u64,
    /// From the receipt to the batch's root.
    pub batch_path: Vec<Digest>,
    /// The envelope of the batch's statement, base64.
    pub batch: String,
    /// Its place in the ledger, from 0.
    pub index: u64,
    /// From the envelope to the ledger's root.
    pub ledger_path: Vec<Digest>,
    /// The checkpoint, a signed note.
    pub checkpoint: String,
}

/// The root over the leaves of a batch, in the order the receipts closed.
pub fn batch_root(leaves: &[Digest]) -> Digest {
    lathe_evidence::merkle::root(leaves)
}

/// What shows that the receipt at `position` is in the batch of these leaves.
///
/// # Errors
/// No such position.
pub fn batch_path(leaves: &[Digest], position: u64) -> Result<Vec<Digest>, TreeError> {
    let tree: Tree = leaves.iter().copied().collect();
    tree.inclusion(position, tree.len())
}

/// Reads a receipt strictly: canonical, every member known.
///
/// # Errors
/// It is not in its one form.
pub fn parse(bytes: &[u8]) -> Result<Receipt, ReceiptError> {
    let layout = |why: &dyn std::fmt::Display| ReceiptError::Layout(why.to_string());
    if bytes.len() > RECEIPT_BYTES_MAX {
        return Err(layout(&format!(
            "it has more than {RECEIPT_BYTES_MAX} bytes"
        )));
    }
    let receipt: Receipt = serde_json::from_slice(bytes).map_err(|error| layout(&error))?;
    if receipt.to_bytes().map_err(|error| layout(&error))? != bytes {
        return Err(layout(&"it is not in canonical form (RFC 8785)"));
    }
    Ok(receipt)
}

/// Whether a receipt is in the batch that `statement` names, and says of its deployment what the
/// ledger says.
///
/// # Errors
/// What does not hold.
pub fn verify(
    history: &History,
    bytes: &[u8],
    statement: &Link,
    position: u64,
    path: &[Digest],
) -> Result<Receipt, ReceiptError> {
    let receipt = parse(bytes)?;
    let batch = history
        .said::<Receipts>(statement)
        .ok_or(ReceiptError::Batch(*statement))?;
    in_batch(bytes, batch, position, path)?;
    if receipt.closed_ms > batch.at_ms {
        return Err(differs("closed_ms", receipt.closed_ms, batch.at_ms));
    }
    agrees(history, &receipt)?;
    Ok(receipt)
}

/// Whether what a receipt says of its deployment is what the ledger says.
///
/// # Errors
/// What differs.
pub fn agrees(history: &History, receipt: &Receipt) -> Result<(), ReceiptError> {
    let unknown = || differs("deployment", receipt.deployment, "nothing of it");
    let entry = history.get(&receipt.deployment).ok_or_else(unknown)?;
    let (name, model, policy) = match &entry.statement.predicate {
        Predicate::Deployment(it) => answered_by(history, it),
        Predicate::Upstream(it) if it.action == UpstreamAction::Added => relayed_by(it),
        _ => return Err(unknown()),
    };
    if receipt.upstream.is_some() != matches!(entry.statement.predicate, Predicate::Upstream(_)) {
        let said = |is: bool| if is { "one" } else { "none" };
        let is = receipt.upstream.is_some();
        return Err(differs("upstream", said(is), said(!is)));
    }
    if receipt.model != model {
        return Err(differs("model", receipt.model, model));
    }
    if receipt.name != name {
        return Err(differs("name", &receipt.name, name));
    }
    if let Some(policy) = policy
        && receipt.policy != policy
    {
        return Err(differs("policy", receipt.policy, policy));
    }
    if !(entry.index + 1..=history.len()).contains(&receipt.ledger_size) {
        let expected = format!("{} to {}", entry.index + 1, history.len());
        return Err(differs("ledger_size", receipt.ledger_size, expected));
    }
    if receipt.opened_ms > receipt.closed_ms {
        return Err(differs("opened_ms", receipt.opened_ms, receipt.closed_ms));
    }
    Ok(())
}

/// What a receipt says of a deployment: its name, its model, and its policy if that is known.
fn answered_by<'a>(
    history: &History,
    deployment: &'a Deployment,
) -> (&'a str, Digest, Option<Digest>) {
    let verdict = history.said::<Verdict>(&deployment.verdict);
    let policy = verdict.map(|it| Digest::of(it.policy.as_bytes()));
    let model = deployment.adapter.unwrap_or(deployment.base_model);
    (&deployment.name, model, policy)
}

/// The same of an upstream, of which nobody knows a model or a policy.
fn relayed_by(upstream: &Upstream) -> (&str, Digest, Option<Digest>) {
    (&upstream.name, upstream.subject(), Some(upstream.subject()))
}

impl Proof {
    /// Puts together what shows that a receipt is in the ledger of `history`, whose checkpoint is
    /// `note` and in which `batch` is the envelope of its batch.
    ///
    /// # Errors
    /// The envelope is not in the ledger, or the checkpoint is no checkpoint of it.
    pub fn new(
        history: &History,
        note: &str,
        batch: &Envelope,
        receipt: &[u8],
        position: u64,
        batch_path: Vec<Digest>,
    ) -> Result<Self, ReceiptError> {
        let link = batch.leaf();
        let index = history
            .get(&link)
            .map(|entry| entry.index)
            .ok_or(ReceiptError::Batch(link))?;
        let size = Checkpoint::parse(note)?.size;
        let ledger_path = history
            .tree()
            .inclusion(index, size)
            .map_err(|_| ReceiptError::Batch(link))?;
        Ok(Self {
            receipt: BASE64.encode(receipt),
            position,
            batch_path,
            batch: BASE64.encode(batch.bytes()),
            index,
            ledger_path,
            checkpoint: note.to_owned(),
        })
    }

    /// The receipt, if `key` signed the checkpoint that it is under. Nothing but this proof and the
    /// key is needed; who signed the batch is vouched for by the ledger.
    ///
    /// # Errors
    /// What does not hold.
    pub fn verify(&self, origin: &str, key: &PublicKey) -> Result<Receipt, ReceiptError> {
        let decode = |text: &str, what: &str| {
            BASE64
                .decode(text)
                .map_err(|_| ReceiptError::Layout(format!("its {what} is not base64")))
        };
        let bytes = decode(&self.receipt, "receipt")?;
        let receipt = parse(&bytes)?;
        let envelope = Envelope::parse(&decode(&self.batch, "batch")?)?;
        let Predicate::Receipts(batch) = envelope.statement()?.predicate else {
            return Err(ReceiptError::Batch(envelope.leaf()));
        };
        in_batch(&bytes, &batch, self.position, &self.batch_path)?;
        let checkpoint = Checkpoint::verify(&self.checkpoint, origin, key)?;
        let path = bounded(&self.ledger_path)?;
        let size = checkpoint.size;
        verify_inclusion(&envelope.leaf(), self.index, size, path, &checkpoint.root).map_err(
            |source| ReceiptError::Proof {
                what: "the batch is not in the ledger",
                source,
            },
        )?;
        Ok(receipt)
    }
}

fn in_batch(
    bytes: &[u8],
    batch: &Receipts,
    position: u64,
    path: &[Digest],
) -> Result<(), ReceiptError> {
    let leaf = Receipt::leaf(bytes);
    verify_inclusion(&leaf, position, batch.count, bounded(path)?, &batch.root).map_err(|source| {
        ReceiptError::Proof {
            what: "the receipt is not in its batch",
            source,
        }
    })
}

fn bounded(path: &[Digest]) -> Result<&[Digest], ReceiptError> {
    if path.len() <= PROOF_HASHES_MAX {
        return Ok(path);
    }
    Err(ReceiptError::Proof {
        what: "the path is too long",
        source: ProofError::Length(path.len()),
    })
}

fn differs(
    member: &'static str,
    found: impl std::fmt::Display,
    expected: impl std::fmt::Display,
) -> ReceiptError {
    ReceiptError::Differs {
        member,
        found: found.to_string(),
        expected: expected.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use lathe_evidence::receipt::Relayed;

    use super::*;
    use crate::fixture::{Chain, Ledger, ORIGIN, key, whole};

    /// `verify` for the fixture's receipt, its bytes changed by `change`.
    fn check(
        ledger: &Ledger,
        chain: &Chain,
        change: impl Fn(&mut Receipt),
    ) -> Result<Receipt, ReceiptError> {
        let mut receipt = parse(&chain.receipt).unwrap();
        change(&mut receipt);
        let path = batch_path(&chain.leaves, chain.position).unwrap();
        let bytes = receipt.to_bytes().unwrap();
        verify(&ledger.history, &bytes, &chain.batch, chain.position, &path)
    }

    #[test]
    fn a_receipt_is_in_its_batch_and_no_other_is() {
        let (ledger, chain) = whole();
        check(&ledger, &chain, |_| {}).unwrap();
        let refused = check(&ledger, &chain, |it| it.answer_tokens += 1);
        assert!(
            matches!(refused, Err(ReceiptError::Proof { .. })),
            "{refused:?}"
        );
        let path = batch_path(&chain.leaves, 1).unwrap();
        let at = |position| {
            verify(
                &ledger.history,
                &chain.receipt,
                &chain.batch,
                position,
                &path,
            )
        };
        assert!(at(1).is_ok() && at(0).is_err() && at(2).is_err());
        let missing = verify(&ledger.history, &chain.receipt, &chain.deployment, 1, &path);
        assert_eq!(missing, Err(ReceiptError::Batch(chain.deployment)));
    }

    /// Also whoever writes batches cannot have a receipt that says of its deployment what is not so.
    #[test]
    fn what_a_receipt_says_of_its_deployment_is_the_ledgers() {
        let (ledger, chain) = whole();
        let differs = |change: &dyn Fn(&mut Receipt)| {
            let mut receipt = parse(&chain.receipt).unwrap();
            change(&mut receipt);
            match agrees(&ledger.history, &receipt) {
                Err(ReceiptError::Differs { member, .. }) => member,
                other => panic!("{other:?}"),
            }
        };
        let other = Digest::of(b"other");
        assert_eq!(differs(&|it| it.deployment = other), "deployment");
        assert_eq!(differs(&|it| it.deployment = chain.batch), "deployment");
        assert_eq!(differs(&|it| it.model = other), "model");
        assert_eq!(differs(&|it| it.name = "other".to_owned()), "name");
        assert_eq!(differs(&|it| it.policy = other), "policy");
        assert_eq!(differs(&|it| it.ledger_size = 1), "ledger_size");
        assert_eq!(differs(&|it| it.ledger_size = 999), "ledger_size");
        assert_eq!(differs(&|it| it.opened_ms = it.closed_ms + 1), "opened_ms");
    }

    /// No receipt of an upstream passes for a model's, nor the other way round.
    #[test]
    fn a_receipt_of_an_upstream_says_so() {
        let (ledger, chain) = whole();
        let entry = ledger.history.of_kind("upstream").next().unwrap();
        let mut receipt = parse(&chain.receipt).unwrap();
        receipt.deployment = entry.link;
        receipt.name = "big".to_owned();
        receipt.model = entry.statement.subject();
        receipt.policy = entry.statement.subject();
        receipt.ledger_size = ledger.history.len();
        let differs = |receipt: &Receipt| match agrees(&ledger.history, receipt) {
            Err(ReceiptError::Differs { member, .. }) => member,
            other => panic!("{other:?}"),
        };
        assert_eq!(differs(&receipt), "upstream");
        receipt.upstream = Some(Relayed::unknown());
        agrees(&ledger.history, &receipt).unwrap();
        let altered = |change: &dyn Fn(&mut Receipt)| {
            let mut other = receipt.clone();
            change(&mut other);
            differs(&other)
        };
        let other = Digest::of(b"other");
        assert_eq!(altered(&|it| it.model = other), "model");
        assert_eq!(altered(&|it| it.policy = other), "policy");
        assert_eq!(altered(&|it| it.name = "support".to_owned()), "name");
        assert_eq!(altered(&|it| it.deployment = chain.deployment), "upstream");
    }

    #[test]
    fn a_proof_stands_alone() {
        let (ledger, chain) = whole();
        let batch = ledger.envelopes.iter().find(|it| it.leaf() == chain.batch);
        let path = batch_path(&chain.leaves, chain.position).unwrap();
        let position = chain.position;
        let proof = Proof::new(
            &ledger.history,
            &ledger.note(),
            batch.unwrap(),
            &chain.receipt,
            position,
            path,
        )
        .unwrap();
        let json = serde_json::to_string(&proof).unwrap();
        let proof: Proof = serde_json::from_str(&json).unwrap();
        let public = ledger.key.public();
        assert_eq!(
            proof.verify(ORIGIN, &public).unwrap(),
            parse(&chain.receipt).unwrap()
        );
        assert!(proof.verify("lathe/other", &public).is_err());
        assert!(proof.verify(ORIGIN, &key(9).public()).is_err());
        let changes: [fn(&mut Proof); 6] = [
            |it| it.position = 0,
            |it| it.index += 1,
            |it| it.batch_path.push(Digest::of(b"more")),
            |it| it.ledger_path[0] = Digest::of(b"other"),
            |it| it.receipt = BASE64.encode("{}"),
            |it| it.checkpoint = it.checkpoint.replacen("lathe", "Lathe", 1),
        ];
        for (at, change) in changes.iter().enumerate() {
            let mut changed = proof.clone();
            change(&mut changed);
            assert!(changed.verify(ORIGIN, &public).is_err(), "change {at}");
        }
    }

    #[test]
    fn a_receipt_has_one_form() {
        let (_, chain) = whole();
        let text = String::from_utf8(chain.receipt).unwrap();
        for changed in [
            text.replace(":", ": "),
            text.replace("\"answer\"", "\"extra\":1,\"answer\""),
            text.replace(",\"spans\":[]", ""),
        ] {
            let refused = parse(changed.as_bytes());
            assert!(matches!(refused, Err(ReceiptError::Layout(_))), "{changed}");
        }
    }
}
