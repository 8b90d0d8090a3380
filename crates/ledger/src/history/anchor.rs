//! What a ledger is held against as a whole: its own checkpoint, pinned keys, and a checkpoint kept
//! outside the home.

use lathe_evidence::Digest;
use lathe_evidence::statement::Role;

use super::keyring::Refusal;
use super::{Flaw, History, Problem};
use crate::checkpoint::Checkpoint;

/// What a reader brings from outside the home.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// Ids of keys, one of which is the ledger's first or signed its checkpoint. Empty: any.
    pub roots: Vec<Digest>,
    /// A checkpoint kept from before, which this ledger must continue.
    pub minimum: Option<Checkpoint>,
}

/// What a ledger was held against that does not lie beside it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Anchor {
    /// A pinned key stands behind it.
    pub key: bool,
    /// The size of the checkpoint it continues.
    pub minimum: Option<u64>,
}

impl Anchor {
    /// Whether there was anything: otherwise it is consistent with itself alone.
    pub fn is_anchored(&self) -> bool {
        self.key || self.minimum.is_some()
    }
}

impl History {
    /// Signed by a standing root key, over exactly these entries, with a pinned key behind it.
    pub(super) fn check_checkpoint(
        &mut self,
        note: &str,
        trust: &Trust,
        problems: &mut Vec<Problem>,
    ) {
        let mut report = |flaw, text: String| problems.push(Problem::new(flaw, None, text));
        let checkpoint = match Checkpoint::parse(note) {
            Ok(checkpoint) => checkpoint,
            Err(error) => return report(Flaw::Checkpoint, error.to_string()),
        };
        let origin = self.origin().to_owned();
        let signers: Vec<_> = self
            .keyring
            .all()
            .filter(|key| key.stands() && key.has(Role::Root))
            .filter(|key| Checkpoint::verify(note, &origin, key.public()).is_ok())
            .map(|key| key.record.id)
            .collect();
        if checkpoint.origin != origin {
            let found = checkpoint.origin;
            let text = format!("its checkpoint is of {found:?}, the ledger is {origin:?}");
            return report(Flaw::Checkpoint, text);
        }
        if signers.is_empty() {
            let text = "no root key that stands signed its checkpoint".to_owned();
            return report(Flaw::Checkpoint, text);
        }
        if let Some((flaw, text)) = self.differs(&checkpoint, "its checkpoint") {
            report(flaw, text);
        } else if checkpoint.size < self.len() {
            let (size, len) = (checkpoint.size, self.len());
            let text = format!("its checkpoint is over {size} entries, but there are {len}");
            report(Flaw::Checkpoint, text);
        }
        let first = self.workshop().key.id;
        let pinned = |id: &Digest| trust.roots.contains(id);
        self.anchor.key = pinned(&first) || signers.iter().any(pinned);
        if !trust.roots.is_empty() && !self.anchor.key {
            let text = format!("it begins with key {first}, which is none of those pinned");
            report(Flaw::NotPinned, text);
        }
    }

    pub(super) fn check_minimum(&mut self, trust: &Trust, problems: &mut Vec<Problem>) {
        let Some(minimum) = &trust.minimum else {
            return;
        };
        if minimum.origin != self.origin() {
            let text = format!(
                "the checkpoint kept outside is of {:?}, the ledger is {:?}",
                minimum.origin,
                self.origin()
            );
            problems.push(Problem::new(Flaw::NotPinned, None, text));
        } else if let Some((flaw, text)) = self.differs(minimum, "the checkpoint kept outside") {
            problems.push(Problem::new(flaw, None, text));
        } else {
            self.anchor.minimum = Some(minimum.size);
        }
    }

    /// How the entries are not those that a checkpoint was made over.
    fn differs(&self, checkpoint: &Checkpoint, whose: &str) -> Option<Refusal> {
        let (size, len) = (checkpoint.size, self.len());
        let Ok(root) = self.tree.root_at(size) else {
            let text = format!("{whose} is over {size} entries, but only {len} are there");
            return Some((Flaw::Truncated, text));
        };
        (root != checkpoint.root).then(|| {
            let text = format!(
                "{whose} says that the first {size} entries have the root {}, but they have {root}",
                checkpoint.root
            );
            (Flaw::Rewritten, text)
        })
    }
}
