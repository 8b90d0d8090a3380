//! The verified reading of a whole ledger.
//!
//! [`History::verify`] is the only door: whoever holds a `History` knows that every entry is in its
//! one form, signed by a key that the ledger knew at that point with the role for it, no older than
//! the one before, naming earlier statements of the right kind; and that a root key signed a
//! checkpoint over exactly these entries. [`History::extend`] holds one more entry to the same
//! rules, and is what is called before an entry is written.
//!
//! Not here: whether statements make a chain (the register), whether a file is what a statement says
//! (whoever can read it).

mod anchor;
mod check;
mod keyring;
mod problem;
mod references;

use std::collections::{BTreeMap, HashMap, HashSet};

use lathe_evidence::statement::{ApprovalPolicy, Link, Predicate, Statement, Workshop};
use lathe_evidence::{Digest, merkle};

pub use anchor::{Anchor, Trust};
pub use keyring::KnownKey;
pub use problem::{Flaw, Problem};
pub use references::{Reference, expected_subject, references};

use crate::checkpoint::Checkpoint;
use crate::tree::Tree;
use keyring::Keyring;

/// The most entries a ledger may have.
pub const ENTRIES_MAX: u64 = 1 << 24;

/// The most problems that are reported; reading ends there.
pub const PROBLEMS_MAX: usize = 64;

/// One statement in its place.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its place, from 0.
    pub index: u64,
    /// What others name it by.
    pub link: Link,
    /// What is said.
    pub statement: Statement,
    /// The id of the key that signed it.
    pub signer: Digest,
    /// The entry that voided it, because its signer's key was stolen.
    pub void: Option<u64>,
}

impl Entry {
    /// The kind of statement: `training`.
    pub fn kind(&self) -> &'static str {
        self.statement.predicate.name()
    }

    /// When it was said, milliseconds since 1970.
    pub fn at_ms(&self) -> i64 {
        self.statement.predicate.at_ms()
    }
}

/// A ledger that holds.
#[derive(Debug, Clone)]
pub struct History {
    entries: Vec<Entry>,
    tree: Tree,
    by_link: HashMap<Link, usize>,
    by_subject: BTreeMap<(&'static str, Digest), Vec<usize>>,
    keyring: Keyring,
    /// The last batch of receipts.
    batch: u64,
    anchor: Anchor,
    /// Leaves of entries that do not hold, while a ledger is read to report all that is wrong.
    refused: HashSet<Link>,
}

impl History {
    /// A ledger that begins with this envelope.
    ///
    /// # Errors
    /// It is no beginning.
    pub fn begin(genesis: &[u8]) -> Result<Self, Problem> {
        let mut history = Self::empty();
        history.extend(genesis)?;
        Ok(history)
    }

    /// Reads a whole ledger: every envelope in its order, its newest checkpoint, and what the reader
    /// trusts.
    ///
    /// # Errors
    /// All that does not hold, at most [`PROBLEMS_MAX`]; the first is often the cause of the others.
    pub fn verify(
        envelopes: impl IntoIterator<Item = Vec<u8>>,
        checkpoint: &str,
        trust: &Trust,
    ) -> Result<Self, Vec<Problem>> {
        let mut history = Self::empty();
        let mut problems = Vec::new();
        for envelope in envelopes {
            let Err(problem) = history.extend(&envelope) else {
                continue;
            };
            let hopeless = problem.index == Some(0) || problem.flaw == Flaw::Length;
            problems.push(problem);
            if hopeless || problems.len() == PROBLEMS_MAX {
                return Err(problems);
            }
            let leaf = merkle::leaf_hash(&envelope);
            history.tree.push(leaf);
            history.refused.insert(leaf);
        }
        if history.entries.is_empty() {
            return Err(vec![Problem::new(Flaw::Length, None, "it has no entries")]);
        }
        history.check_checkpoint(checkpoint, trust, &mut problems);
        history.check_minimum(trust, &mut problems);
        if problems.is_empty() {
            Ok(history)
        } else {
            Err(problems)
        }
    }

    /// Adds one envelope, held to the same rules. On an error nothing has changed.
    ///
    /// # Errors
    /// What does not hold.
    pub fn extend(&mut self, envelope: &[u8]) -> Result<&Entry, Problem> {
        let index = self.tree.len();
        if index >= ENTRIES_MAX {
            let text = format!("it has {ENTRIES_MAX} entries and takes no more");
            return Err(Problem::new(Flaw::Length, None, text));
        }
        let entry = self
            .check(envelope, index)
            .map_err(|(flaw, text)| Problem::new(flaw, Some(index), text))?;
        self.fold(&entry)
            .map_err(|(flaw, text)| Problem::new(flaw, Some(index), text))?;
        self.tree.push(entry.link);
        let position = self.entries.len();
        self.by_link.insert(entry.link, position);
        self.by_subject
            .entry((entry.kind(), entry.statement.subject()))
            .or_default()
            .push(position);
        self.entries.push(entry);
        Ok(&self.entries[position])
    }

    /// Takes back what was added after the first `size` entries: the transaction that was to write
    /// them failed, or an earlier state is asked about. The first entry stays in any case.
    pub fn rewind(&mut self, size: u64) {
        let size = size.max(1);
        let kept = usize::try_from(size).unwrap_or(usize::MAX);
        if kept >= self.entries.len() {
            return;
        }
        let entries: Vec<_> = self.entries.drain(..).take(kept).collect();
        self.tree.truncate(size);
        self.by_link.clear();
        self.by_subject.clear();
        self.keyring = Keyring::default();
        self.batch = 0;
        for (position, mut entry) in entries.into_iter().enumerate() {
            entry.void = None;
            self.fold(&entry)
                .expect("it was folded before, after the same entries");
            self.by_link.insert(entry.link, position);
            self.by_subject
                .entry((entry.kind(), entry.statement.subject()))
                .or_default()
                .push(position);
            self.entries.push(entry);
        }
    }

    /// All entries in their order, void ones with them.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry that a link names, if nothing voids it.
    pub fn get(&self, link: &Link) -> Option<&Entry> {
        self.lookup(link).filter(|entry| entry.void.is_none())
    }

    /// The entry that a link names, void or not.
    pub fn lookup(&self, link: &Link) -> Option<&Entry> {
        self.by_link
            .get(link)
            .map(|position| &self.entries[*position])
    }

    /// What a link says, if it is of this type and nothing voids it.
    ///
    /// `history.said::<Training>(&link)`
    pub fn said<'a, T>(&'a self, link: &Link) -> Option<&'a T>
    where
        &'a T: TryFrom<&'a Predicate>,
    {
        self.get(link)
            .and_then(|entry| (&entry.statement.predicate).try_into().ok())
    }

    /// The newest standing entry of this kind about this subject.
    pub fn find(&self, kind: &str, subject: &Digest) -> Option<&Entry> {
        let name = Predicate::NAMES.iter().find(|name| **name == kind)?;
        let positions = self.by_subject.get(&(*name, *subject))?;
        let entries = positions
            .iter()
            .rev()
            .map(|position| &self.entries[*position]);
        entries.into_iter().find(|entry| entry.void.is_none())
    }

    /// The standing entries of this kind, in their order.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl DoubleEndedIterator<Item = &'a Entry> {
        self.entries
            .iter()
            .filter(move |entry| entry.kind() == kind && entry.void.is_none())
    }

    /// The number of entries.
    pub fn len(&self) -> u64 {
        self.tree.len()
    }

    /// Whether there is no entry; there always is one.
    pub fn is_empty(&self) -> bool {
        self.tree.is_empty()
    }

    /// The root over all entries.
    pub fn root(&self) -> Digest {
        self.tree.root()
    }

    /// The tree over all entries, for proofs.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The head of the ledger, to be signed.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            origin: self.origin().to_owned(),
            size: self.len(),
            root: self.root(),
        }
    }

    /// The first statement.
    pub fn workshop(&self) -> &Workshop {
        match &self.entries[0].statement.predicate {
            Predicate::Workshop(it) => it,
            _ => unreachable!("the first entry was checked to be the workshop's"),
        }
    }

    /// The ledger's own name.
    pub fn origin(&self) -> &str {
        &self.workshop().origin
    }

    /// Who has to approve.
    pub fn approval_policy(&self) -> ApprovalPolicy {
        self.workshop().approval
    }

    /// When the newest entry was said: what is said next cannot be older.
    pub fn last_ms(&self) -> i64 {
        self.entries.last().map_or(0, Entry::at_ms)
    }

    /// The number of the last batch of receipts; 0 for none.
    pub fn last_batch(&self) -> u64 {
        self.batch
    }

    /// A key that the ledger knows, or knew.
    pub fn key(&self, id: &Digest) -> Option<&KnownKey> {
        self.keyring.get(id)
    }

    /// All keys that the ledger knows, or knew.
    pub fn keys(&self) -> impl Iterator<Item = &KnownKey> {
        self.keyring.all()
    }

    /// What it was held against.
    pub fn anchor(&self) -> Anchor {
        self.anchor
    }

    fn empty() -> Self {
        Self {
            entries: Vec::new(),
            tree: Tree::new(),
            by_link: HashMap::new(),
            by_subject: BTreeMap::new(),
            keyring: Keyring::default(),
            batch: 0,
            anchor: Anchor::default(),
            refused: HashSet::new(),
        }
    }

    /// Takes in what a checked entry changes beside being there.
    fn fold(&mut self, entry: &Entry) -> Result<(), keyring::Refusal> {
        match &entry.statement.predicate {
            Predicate::Workshop(it) => self.keyring.begin(&it.key)?,
            Predicate::Receipts(it) => self.batch = it.batch,
            Predicate::Key(it) => {
                let voided = self.keyring.apply(it, entry.index, entry.signer)?;
                for earlier in &mut self.entries {
                    if voided.keys.contains(&earlier.signer)
                        && !voided.kept.contains(&earlier.index)
                    {
                        earlier.void.get_or_insert(entry.index);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
