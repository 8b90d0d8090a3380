//! People: who they are, what they may do, where they are logged in, and what was decided.
//!
//! While there is nobody, the workshop is its owner's and asks no one. Once there is somebody, the pages and
//! the API ask for a session, or for a key of the API as before. The commands of the home's own user need
//! neither: whoever can read the home can read its keys.
//!
//! People of the workshop have a password here; others sign in by a provider or a directory ([`outside`]).
//!
//! What belongs to a project can be for its members alone (`project.rs`).
//!
//! Not here: how a session travels and which page asks for which right (`lathe_web`), and keys of the API
//! (`token`).

mod brake;
mod log;
mod login;
pub mod outside;
mod password;
pub(crate) mod project;
pub mod reach;
mod role;
mod session;
#[cfg(test)]
mod tests;
mod thing;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use lathe_evidence::Digest;
use lathe_evidence::statement::ApprovalPolicy;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};

use crate::error::WorkshopError;
use crate::store::Store;
use brake::Brake;
use log::Waiting;

pub use log::{AUDIT_ROWS_MAX, AuditOutcome, AuditRow, AuditSought};
pub use login::{Attempt, Shut};
pub use outside::{Kind, Origin, SignIn, Unmet};
pub use password::{
    PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN, PasswordChange, Secret, acceptable, hashed,
};
pub use project::{
    COMMON, Member, MemberRow, PROJECT_ID_CHARS_MAX, PROJECT_NAME_CHARS_MAX, PROJECTS_MAX, Project,
    ProjectRow, Shown, answers_as,
};
pub use reach::Reach;
pub use role::{PersonRole, Right};
pub use session::{
    IDLE_MS_MAX, OwnSession, SESSION_MS_MAX, SESSIONS_MAX, Session, SessionRow, Signed, csrf_of,
};
pub use thing::{Judged, Thing};

/// The most people of a workshop, those who were shut out with them.
pub const PEOPLE_MAX: usize = 1000;
/// The longest name that one logs in with.
pub const NAME_CHARS_MAX: usize = 64;
/// The longest name that people are called by.
pub const DISPLAY_CHARS_MAX: usize = 100;

/// How often the audit and the use of sessions are written.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// A person to be let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonRequest {
    /// What they log in with: small letters, digits, `.`, `-` and `_`.
    pub name: String,
    /// What people call them; the name unless given.
    #[serde(default)]
    pub display: String,
    /// What they do in the workshop.
    pub roles: Vec<PersonRole>,
    /// Rights that they never have, whatever their roles.
    #[serde(default)]
    pub denied: Vec<Right>,
    /// Their first password; one is made and told once unless given.
    #[serde(default)]
    pub password: Option<Secret>,
}

/// A project to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectRequest {
    /// Its id, with which the names of its models begin: small letters, digits and hyphens.
    pub id: String,
    /// What people call it; the id unless given.
    #[serde(default)]
    pub name: String,
}

/// A person as the store has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonRow {
    /// What they log in with.
    pub name: String,
    /// What people call them.
    pub display: String,
    /// Whence they are; none for a person of the workshop.
    pub origin: Option<Origin>,
    /// The hash of their password, as PHC text; empty where they have none here.
    pub password: String,
    /// What they do; sorted, none twice.
    pub roles: Vec<PersonRole>,
    /// Rights that they never have; sorted, none twice.
    pub denied: Vec<Right>,
    /// When they were let in, milliseconds since 1970.
    pub created_ms: i64,
    /// When their password was last set.
    pub password_ms: i64,
    /// When they were shut out.
    pub disabled_ms: Option<i64>,
}

/// A person of this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// As the store has them.
    pub row: PersonRow,
}

impl Person {
    /// Whether they may.
    pub fn may(&self, right: Right) -> bool {
        !self.is_disabled() && right.is_held(&self.row.roles, &self.row.denied)
    }

    /// Whether they were shut out.
    pub fn is_disabled(&self) -> bool {
        self.row.disabled_ms.is_some()
    }

    /// Whether they have a password here.
    ///
    /// # Errors
    /// `person-outside` for whoever signs in elsewhere.
    pub(crate) fn has_password(&self) -> Result<(), WorkshopError> {
        match &self.row.origin {
            None => Ok(()),
            Some(origin) => Err(WorkshopError::new(
                "person-outside",
                format!(
                    "{} signs in by {} and has no password here",
                    self.row.name, origin.way
                ),
                "change it where they sign in",
            )),
        }
    }

    /// As the audit names them.
    pub fn told(&self) -> String {
        format!("person {}", self.row.name)
    }
}

/// What is written of people.
#[derive(Debug, Clone, PartialEq)]
pub enum PeopleChange {
    /// Somebody came, or is another than before.
    PersonIs(Box<PersonRow>),
    /// Somebody logged in.
    SessionBegun(Box<SessionRow>),
    /// Sessions ended.
    SessionsEnded(Vec<Digest>),
    /// Sessions were used, and when last.
    SessionsUsed(Vec<(Digest, i64)>),
    /// Something was decided.
    Audited(Vec<AuditRow>),
    /// A project came, or is called something else.
    ProjectIs(ProjectRow),
    /// A project is no more, and nobody has a part in it.
    ProjectGone(String),
    /// Somebody has a part in a project, or another one than before.
    MemberIs(MemberRow),
    /// Somebody has no part in a project any more.
    MemberLeft {
        /// The project.
        project: String,
        /// What they log in with.
        person: String,
    },
}

/// The people of a workshop. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct People {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// None of views that are written down: nothing is kept then.
    store: Option<Store>,
    all: RwLock<BTreeMap<String, Arc<Person>>>,
    projects: RwLock<BTreeMap<String, Arc<Project>>>,
    sessions: RwLock<BTreeMap<Digest, Arc<Session>>>,
    brake: Mutex<Brake>,
    waiting: Mutex<Waiting>,
    computing: Semaphore,
    /// The other ways to sign in, set once when the daemon starts.
    outside: OnceLock<outside::Ways>,
    changing: tokio::sync::Mutex<()>,
    /// Passwords that were computed.
    #[cfg(test)]
    computed: std::sync::atomic::AtomicU32,
    /// Whether the workshop's own key signs what approvers decide.
    decides_here: bool,
}

impl Default for Inner {
    fn default() -> Inner {
        Inner {
            store: None,
            all: RwLock::default(),
            projects: RwLock::default(),
            sessions: RwLock::default(),
            brake: Mutex::default(),
            waiting: Mutex::default(),
            computing: Semaphore::new(login::COMPUTED_MAX),
            outside: OnceLock::new(),
            changing: tokio::sync::Mutex::default(),
            #[cfg(test)]
            computed: Default::default(),
            decides_here: false,
        }
    }
}

impl People {
    /// The people as the store has them, whose ledger was opened.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub(crate) async fn load(store: &Store) -> Result<People, WorkshopError> {
        // A ledger that does not hold decides nothing.
        let decides_here = match store.ledger() {
            Ok(ledger) => ledger.read().await.approval_policy() == ApprovalPolicy::Itself,
            Err(_) => false,
        };
        let all = store.people().await?.into_iter();
        let all = all.map(|row| (row.name.clone(), Arc::new(Person { row })));
        let projects = project::loaded(store.projects().await?, store.members().await?);
        let sessions = store.sessions().await?.into_iter();
        let sessions = sessions.map(|row| (row.digest, Arc::new(Session::new(row))));
        Ok(People {
            inner: Arc::new(Inner {
                store: Some(store.clone()),
                all: RwLock::new(all.collect()),
                projects: RwLock::new(projects),
                sessions: RwLock::new(sessions.collect()),
                decides_here,
                ..Inner::default()
            }),
        })
    }

    /// Whether nobody was ever let in. Somebody who was shut out counts: the door does not open to
    /// everybody because the last one left.
    pub fn is_empty(&self) -> bool {
        read(&self.inner.all).is_empty()
    }

    /// All, by name.
    pub fn all(&self) -> Vec<Arc<Person>> {
        read(&self.inner.all).values().cloned().collect()
    }

    /// The person of this name.
    pub fn find(&self, name: &str) -> Option<Arc<Person>> {
        read(&self.inner.all).get(name).cloned()
    }

    /// Takes somebody in who was written.
    fn is_now(&self, row: PersonRow) {
        write(&self.inner.all).insert(row.name.clone(), Arc::new(Person { row }));
    }

    /// Whoever changes people holds this meanwhile: two changes beside each other could leave nobody who
    /// lets people in.
    pub(crate) async fn change_alone(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.inner.changing.lock().await
    }

    /// Writes somebody as they are now; where it `ends_sessions`, they are logged out everywhere.
    pub(crate) async fn put(
        &self,
        row: PersonRow,
        ends_sessions: bool,
    ) -> Result<(), WorkshopError> {
        let name = row.name.clone();
        let mut ended = Vec::new();
        if ends_sessions {
            let sessions = read(&self.inner.sessions);
            let own = sessions.iter().filter(|(_, it)| it.row().person == name);
            ended.extend(own.map(|(digest, _)| *digest));
        }
        self.apply(vec![
            PeopleChange::PersonIs(Box::new(row.clone())),
            PeopleChange::SessionsEnded(ended),
        ])
        .await?;
        self.is_now(row);
        if ends_sessions {
            // In memory, and those that were begun in this very moment.
            self.log_out_everywhere(&name).await?;
        }
        Ok(())
    }

    fn decides_here(&self) -> bool {
        self.inner.decides_here
    }

    /// Writes the audit and the use of sessions until told to stop.
    pub(crate) async fn write_for_good(self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            tokio::select! {
                () = tokio::time::sleep(WRITE_EVERY) => {}
                // A dropped sender means the workshop is gone: end as well.
                _ = stop.changed() => {}
            }
            if let Err(error) = self.write_use().await {
                tracing::warn!("the audit was not written: {error}");
            }
            if stop.has_changed().is_err() {
                return;
            }
        }
    }
}

/// The guarded value; each change is one assignment, so that a panic elsewhere leaves it usable.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
