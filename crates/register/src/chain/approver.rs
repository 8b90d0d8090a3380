//! Who approved: nobody but the workshop itself, a person whom its key signed for, or somebody with a key of
//! their own.
//!
//! Only the workshop's own key signs for people, and it names them at the end of what it signs. Whatever a key of
//! somebody else's says at that place is their reason and nothing more.

use std::fmt;

use lathe_evidence::Digest;
use lathe_evidence::statement::{Approval, Role};
use lathe_ledger::History;

/// Who decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approver<'h> {
    /// Nobody: the workshop's own key, for no person. With the owner of the key.
    Itself(&'h str),
    /// A person, by what they log in with; the workshop's own key signed for them.
    Person(&'h str),
    /// The owner of this key, which is not the workshop's.
    Key(&'h str),
}

/// Who decided what `said` says, which this key signed.
pub fn approver<'h>(history: &'h History, signer: &Digest, said: &'h Approval) -> Approver<'h> {
    let key = history.key(signer);
    let owner = key.map_or("", |key| key.record.name.as_str());
    // A key that names keys is the workshop's: approvers' keys name none.
    if key.is_some_and(|key| !key.has(Role::Root)) {
        return Approver::Key(owner);
    }
    said.person()
        .map_or(Approver::Itself(owner), Approver::Person)
}

impl<'h> Approver<'h> {
    /// The person whom the workshop's own key signed for.
    pub fn person(self) -> Option<&'h str> {
        match self {
            Approver::Person(name) => Some(name),
            Approver::Itself(_) | Approver::Key(_) => None,
        }
    }

    /// What they log in with, or whose key it is.
    pub fn name(self) -> &'h str {
        match self {
            Approver::Person(name) | Approver::Itself(name) | Approver::Key(name) => name,
        }
    }

    /// Whether nobody else approved: neither a person, nor somebody whose key signed nothing of what was
    /// approved. `signers` are the keys that did, `signer` is the one that approved.
    pub fn is_itself(self, signers: &[Digest], signer: &Digest) -> bool {
        match self {
            Approver::Itself(_) => true,
            Approver::Person(_) => false,
            Approver::Key(_) => signers.contains(signer),
        }
    }
}

impl fmt::Display for Approver<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Approver::Person(name) => write!(out, "person {name}"),
            Approver::Itself(_) | Approver::Key(_) => out.write_str(self.name()),
        }
    }
}
