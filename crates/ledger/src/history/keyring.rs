//! The keys of a ledger as its statements made them: who may sign, and since when no longer.
//!
//! A compromised key voids what it signed. The lineage of the key that says so, from the ledger's
//! first key on, stays: else nobody could say it. A ledger in which a thief was the first to say so
//! cannot be told apart from inside; a pinned key and a checkpoint kept outside can.

use std::collections::{BTreeMap, BTreeSet};

use lathe_evidence::Digest;
use lathe_evidence::statement::{Key, KeyAction, KeyRecord, Predicate, Role};

use super::problem::Flaw;
use crate::keys::PublicKey;

/// The most bytes the name of a key's owner may have.
const NAME_BYTES_MAX: usize = 200;

/// A key that the ledger knows, or knew.
#[derive(Debug, Clone)]
pub struct KnownKey {
    /// What was said of it when it came.
    pub record: KeyRecord,
    /// The entry that brought it.
    pub added: u64,
    /// The key that brought it; itself, for the first.
    pub added_by: Digest,
    /// The entry since which it signs no more, having been retired.
    pub retired: Option<u64>,
    /// The entry that says it was stolen.
    pub compromised: Option<u64>,
    /// The entry that says the key that brought it was stolen.
    pub void: Option<u64>,
    public: PublicKey,
}

impl KnownKey {
    /// Whether it may sign now.
    pub fn stands(&self) -> bool {
        self.retired.is_none() && self.compromised.is_none() && self.void.is_none()
    }

    /// Whether it has this role.
    pub fn has(&self, role: Role) -> bool {
        self.record.roles.contains(&role)
    }

    /// The key.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }
}

/// What a key statement did to what was signed before.
pub(super) struct Voided {
    /// Keys whose statements are void, all but those in `kept`.
    pub keys: BTreeSet<Digest>,
    /// Entries that stay: the first, and those that brought the accuser's lineage.
    pub kept: BTreeSet<u64>,
}

/// What is wrong, and of which kind.
pub(super) type Refusal = (Flaw, String);

#[derive(Debug, Clone, Default)]
pub(super) struct Keyring {
    keys: BTreeMap<Digest, KnownKey>,
}

impl Keyring {
    pub fn get(&self, id: &Digest) -> Option<&KnownKey> {
        self.keys.get(id)
    }

    pub fn all(&self) -> impl Iterator<Item = &KnownKey> {
        self.keys.values()
    }

    /// The key that may sign `said` now.
    pub fn signer(&self, id: &Digest, said: &Predicate) -> Result<&KnownKey, Refusal> {
        let refuse = |flaw, why: &str| Err((flaw, format!("{} is signed by {why}", said.name())));
        let Some(key) = self.keys.get(id) else {
            return refuse(Flaw::Signer, &format!("key {id}, which is not known here"));
        };
        let owner = format!("{:?}, key {}", key.record.name, id.short());
        if !key.stands() {
            let why = match key.retired {
                Some(index) => format!("{owner}, which was retired in entry {index}"),
                None => format!("{owner}, which was compromised"),
            };
            return refuse(Flaw::Signer, &why);
        }
        if !said.signers().iter().any(|role| key.has(*role)) {
            let wanted: Vec<_> = said.signers().iter().map(|role| role.name()).collect();
            let why = format!("{owner}, which lacks the role {}", wanted.join(" or "));
            return refuse(Flaw::Role, &why);
        }
        Ok(key)
    }

    /// Puts in the first key.
    pub fn begin(&mut self, record: &KeyRecord) -> Result<(), Refusal> {
        if !record.roles.contains(&Role::Root) {
            let why = "the first key does not have the role root".to_owned();
            return Err((Flaw::Genesis, why));
        }
        self.add(record, 0, record.id)
    }

    /// Whether a key statement can be; changes nothing.
    pub fn check(&self, said: &Key, signer: Digest) -> Result<(), Refusal> {
        let id = said.key.id;
        let refuse = |why: String| Err((Flaw::Key, format!("key {}: {why}", id.short())));
        if said.action == KeyAction::Added {
            check_record(&said.key)?;
            return match self.keys.get(&id) {
                None => Ok(()),
                Some(_) => refuse("it is known already; make a new one".to_owned()),
            };
        }
        let Some(key) = self.keys.get(&id) else {
            return refuse("it is not known here".to_owned());
        };
        if key.record != said.key {
            return refuse("its record is not the one it was added with".to_owned());
        }
        if key.compromised.is_some() {
            return refuse("it is compromised already".to_owned());
        }
        let last_root = || {
            !self
                .all()
                .any(|it| it.record.id != id && it.stands() && it.has(Role::Root))
        };
        match said.action {
            KeyAction::Retired if !key.stands() => refuse("it no longer signs".to_owned()),
            KeyAction::Retired if last_root() => {
                refuse("it is the last root; add another one first".to_owned())
            }
            KeyAction::Compromised if signer == id => {
                refuse("it cannot say so itself; another root says it".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Folds a key statement that was checked.
    pub fn apply(&mut self, said: &Key, index: u64, signer: Digest) -> Result<Voided, Refusal> {
        let mut voided = Voided {
            keys: BTreeSet::new(),
            kept: BTreeSet::new(),
        };
        match said.action {
            KeyAction::Added => self.add(&said.key, index, signer)?,
            KeyAction::Retired => {
                if let Some(key) = self.keys.get_mut(&said.key.id) {
                    key.retired = Some(index);
                }
            }
            KeyAction::Compromised => voided = self.compromise(said.key.id, index, signer),
        }
        Ok(voided)
    }

    fn compromise(&mut self, stolen: Digest, index: u64, accuser: Digest) -> Voided {
        let mut lineage = BTreeSet::new();
        let mut kept = BTreeSet::from([0]);
        let mut at = accuser;
        while let Some(key) = self.keys.get(&at)
            && lineage.insert(at)
        {
            kept.insert(key.added);
            at = key.added_by;
        }
        let mut voided = BTreeSet::from([stolen]);
        // A key comes after the one that brought it, but ids are in no such order: until nothing
        // more is found. At most as many rounds as there are keys.
        loop {
            let found = self.keys.values().find(|key| {
                let id = key.record.id;
                voided.contains(&key.added_by) && !voided.contains(&id) && !lineage.contains(&id)
            });
            let Some(key) = found else { break };
            voided.insert(key.record.id);
        }
        for id in &voided {
            let Some(key) = self.keys.get_mut(id) else {
                continue;
            };
            if *id == stolen {
                key.compromised = Some(index);
            } else {
                key.void.get_or_insert(index);
            }
        }
        Voided { keys: voided, kept }
    }

    fn add(&mut self, record: &KeyRecord, index: u64, by: Digest) -> Result<(), Refusal> {
        let public = check_record(record)?;
        self.keys.insert(
            record.id,
            KnownKey {
                record: record.clone(),
                added: index,
                added_by: by,
                retired: None,
                compromised: None,
                void: None,
                public,
            },
        );
        Ok(())
    }
}

fn check_record(record: &KeyRecord) -> Result<PublicKey, Refusal> {
    let refuse = |why: String| (Flaw::Key, format!("key {}: {why}", record.id.short()));
    let public = PublicKey::of_record(record).map_err(|error| refuse(error.to_string()))?;
    if record.roles.is_empty() || record.roles.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(refuse(
            "its roles are none, twice, or out of order".to_owned(),
        ));
    }
    if !(1..=NAME_BYTES_MAX).contains(&record.name.len()) {
        return Err(refuse(format!(
            "its name does not have 1 to {NAME_BYTES_MAX} bytes"
        )));
    }
    Ok(public)
}
