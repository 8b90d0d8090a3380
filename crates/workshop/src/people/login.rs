//! Logging in and out. A wrong name, a wrong password and a person who was shut out are told apart by
//! nobody: the same words after the same work.

use std::net::IpAddr;
use std::sync::Arc;

use super::password::{self, NOBODYS, PasswordChange, Secret};
use super::session::{
    AGENT_CHARS_MAX, OwnSession, SESSIONS_MAX, Session, SessionRow, csrf_of, new_id,
};
use super::{AuditRow, People, PeopleChange, Person, Signed, Unmet, lock, read, write};
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::people::reach;

/// Passwords that are computed at the same time; each takes 19 MiB and some 20 ms of a core.
pub(super) const COMPUTED_MAX: usize = 2;

/// Somebody who wants in.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The name they give.
    pub name: String,
    /// The password they give.
    pub password: Secret,
    /// Where they come from.
    pub address: Option<IpAddr>,
    /// The browser, as it calls itself.
    pub agent: String,
    /// The session they present already, which ends.
    pub before: Option<String>,
}

/// Why somebody does not come in.
#[derive(Debug)]
pub enum Shut {
    /// Name and password do not belong together, or not any more.
    Wrong,
    /// Too many attempts; after so many seconds there may be another.
    Braked(u64),
    /// They may be who they say, outside, and do not come in here.
    Unmet(Unmet),
    /// The workshop could not look.
    Failed(WorkshopError),
}

impl From<WorkshopError> for Shut {
    fn from(error: WorkshopError) -> Shut {
        Shut::Failed(error)
    }
}

impl From<Unmet> for Shut {
    fn from(unmet: Unmet) -> Shut {
        Shut::Unmet(unmet)
    }
}

impl People {
    /// Lets somebody in: the id of a new session, for their cookie.
    ///
    /// # Errors
    /// Why not.
    pub async fn log_in(&self, attempt: Attempt) -> Result<String, Shut> {
        self.log_in_at(attempt, now_ms()).await
    }

    pub(super) async fn log_in_at(&self, attempt: Attempt, now_ms: i64) -> Result<String, Shut> {
        let name = known_as(&attempt.name);
        let braked = lock(&self.inner.brake).attempt(&name, attempt.address, now_ms);
        if let Err(wait_s) = braked {
            self.note(AuditRow::now("login", &name, "log in", "login-braked"));
            return Err(Shut::Braked(wait_s));
        }
        let told = self.told_apart(&name, attempt.password.clone()).await;
        let person = self.noted(told, &name)?;
        lock(&self.inner.brake).succeeded(&name, attempt.address);
        let before = attempt.before.as_deref();
        self.enter(&person, before, &attempt.agent, now_ms).await
    }

    /// Who gives this name and password: by a directory, for whoever has no password here; by the password that
    /// is kept, else.
    async fn told_apart(&self, name: &str, password: Secret) -> Result<Arc<Person>, Shut> {
        if let Some(told) = self.by_directory(name, &password).await {
            return told;
        }
        let before = self.find(name);
        let is_right = self.is_password_of(name, password).await?;
        // Looked up again after the work: they may have been shut out meanwhile, or have another password.
        let person = self.find(name).filter(|now| {
            let same = before.is_some_and(|it| it.row.password == now.row.password);
            is_right && same && !now.is_disabled()
        });
        person.ok_or(Shut::Wrong)
    }

    /// Has it written where somebody stays out.
    pub(super) fn noted<T>(&self, told: Result<T, Shut>, by: &str) -> Result<T, Shut> {
        let code = match &told {
            Err(Shut::Wrong) => "login-wrong".to_owned(),
            Err(Shut::Unmet(unmet)) => unmet.code(),
            _ => return told,
        };
        self.note(AuditRow::now("login", by, "log in", &code));
        told
    }

    /// Begins a session of a new id for somebody who was told apart, and ends the one that was brought.
    pub(super) async fn enter(
        &self,
        person: &Person,
        before: Option<&str>,
        agent: &str,
        now_ms: i64,
    ) -> Result<String, Shut> {
        if let Some(before) = before {
            self.log_out(before).await?;
        }
        let id = self.begin(&person.row.name, agent, now_ms).await?;
        self.note(AuditRow::now("login", &person.told(), "log in", "done"));
        Ok(id)
    }

    /// Whether the password is that person's. As much work for a name that nobody has.
    pub(crate) async fn is_password_of(
        &self,
        name: &str,
        password: Secret,
    ) -> Result<bool, WorkshopError> {
        let kept = self.find(name).map(|person| person.row.password.clone());
        // Who is from outside has none, and costs as much.
        let kept = kept.filter(|it| !it.is_empty());
        let kept = kept.unwrap_or_else(|| NOBODYS.to_owned());
        self.compute(move || password::matches(&kept, &password))
            .await
    }

    /// Computes beside what serves, a bounded number at a time.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, WorkshopError> {
        let crashed = |error: &dyn std::fmt::Display| {
            let next = "this is a mistake in Lathe; please report it";
            WorkshopError::new("daemon-crashed", error.to_string(), next)
        };
        let place = self.inner.computing.acquire().await;
        let _place = place.map_err(|error| crashed(&error))?;
        #[cfg(test)]
        self.inner
            .computed
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        reach::spawn_blocking(work)
            .await
            .map_err(|error| crashed(&error))
    }

    async fn begin(&self, name: &str, agent: &str, now_ms: i64) -> Result<String, WorkshopError> {
        let (id, digest) = new_id()?;
        let printed = agent.chars().filter(|letter| !letter.is_control());
        let row = SessionRow {
            digest,
            person: name.to_owned(),
            agent: printed.take(AGENT_CHARS_MAX).collect(),
            created_ms: now_ms,
            seen_ms: now_ms,
        };
        let mut changes = self.crowded_out(name, now_ms);
        changes.push(PeopleChange::SessionBegun(Box::new(row.clone())));
        self.apply(changes).await?;
        write(&self.inner.sessions).insert(digest, Arc::new(Session::new(row)));
        Ok(id)
    }

    /// Ends what has ended by itself, and the oldest sessions of somebody who has too many.
    fn crowded_out(&self, name: &str, now_ms: i64) -> Vec<PeopleChange> {
        let mut sessions = write(&self.inner.sessions);
        let mut ended: Vec<_> = sessions
            .iter()
            .filter(|(_, it)| it.has_ended(now_ms))
            .map(|(digest, _)| *digest)
            .collect();
        let mut own: Vec<_> = sessions
            .iter()
            .filter(|(digest, it)| it.row().person == name && !ended.contains(digest))
            .map(|(digest, it)| (it.row().created_ms, *digest))
            .collect();
        own.sort_unstable();
        let too_many = (own.len() + 1).saturating_sub(SESSIONS_MAX);
        ended.extend(own.into_iter().take(too_many).map(|(_, digest)| digest));
        for digest in &ended {
            sessions.remove(digest);
        }
        vec![PeopleChange::SessionsEnded(ended)]
    }

    /// Who presents this id; nobody where it is none, or its session has ended.
    pub fn signed(&self, id: &str) -> Option<Signed> {
        self.signed_at(id, now_ms())
    }

    pub(super) fn signed_at(&self, id: &str, now_ms: i64) -> Option<Signed> {
        let digest = super::session::digest_of(id);
        let session = read(&self.inner.sessions).get(&digest).cloned()?;
        if session.has_ended(now_ms) {
            return None;
        }
        let person = self.find(&session.row().person)?;
        if person.is_disabled() {
            return None;
        }
        session.note_use(now_ms);
        Some(Signed {
            person,
            session,
            csrf: csrf_of(id),
            decides_here: self.decides_here(),
        })
    }

    /// Whether a session still lets in whose it is: it has not ended, and they were not shut out. Asking is no use
    /// of it.
    pub fn is_open(&self, session: &Session) -> bool {
        let row = session.row();
        let is_kept = read(&self.inner.sessions).contains_key(&row.digest);
        let person = self.find(&row.person);
        is_kept && !session.has_ended(now_ms()) && person.is_some_and(|it| !it.is_disabled())
    }

    /// Ends the session of this id; none is no error.
    ///
    /// # Errors
    /// `store`, `disk-full`.
    pub async fn log_out(&self, id: &str) -> Result<(), WorkshopError> {
        let digest = super::session::digest_of(id);
        self.end(|it| it.row().digest == digest).await.map(drop)
    }

    /// Ends the session of theirs that is listed under `id`; whether there is one.
    ///
    /// # Errors
    /// `store`, `disk-full`.
    pub async fn end_own_session(&self, who: &Signed, id: &str) -> Result<bool, WorkshopError> {
        let name = &who.person.row.name;
        let is_meant = |it: &Session| it.row().person == *name && it.id() == id;
        let ended = self.end(is_meant).await? > 0;
        if ended {
            let by = who.person.told();
            self.note(AuditRow::now("logout", &by, "end a session", "done"));
        }
        Ok(ended)
    }

    /// Ends all sessions of theirs but the one that they ask from; how many.
    ///
    /// # Errors
    /// `store`, `disk-full`.
    pub async fn end_other_sessions(&self, who: &Signed) -> Result<usize, WorkshopError> {
        let (name, this) = (&who.person.row.name, who.session.row().digest);
        let is_meant = |it: &Session| it.row().person == *name && it.row().digest != this;
        let ended = self.end(is_meant).await?;
        let by = who.person.told();
        self.note(AuditRow::now(
            "logout",
            &by,
            "end all other sessions",
            "done",
        ));
        Ok(ended)
    }

    /// Ends all sessions of a person.
    ///
    /// # Errors
    /// `store`, `disk-full`.
    pub async fn log_out_everywhere(&self, person: &str) -> Result<usize, WorkshopError> {
        self.end(|it| it.row().person == person).await
    }

    async fn end(&self, is_meant: impl Fn(&Session) -> bool) -> Result<usize, WorkshopError> {
        let meant: Vec<_> = read(&self.inner.sessions)
            .iter()
            .filter(|(_, it)| is_meant(it))
            .map(|(digest, _)| *digest)
            .collect();
        if meant.is_empty() {
            return Ok(0);
        }
        // First in memory: what follows may fail, but they are out.
        for digest in &meant {
            write(&self.inner.sessions).remove(digest);
        }
        let count = meant.len();
        self.apply(vec![PeopleChange::SessionsEnded(meant)]).await?;
        Ok(count)
    }

    /// Their sessions, the newest first.
    pub fn own_sessions(&self, who: &Signed) -> Vec<OwnSession> {
        let sessions = self.sessions_of(&who.person.row.name);
        sessions.iter().map(|it| who.told_of(it)).collect()
    }

    /// The sessions of a person, the newest first.
    pub fn sessions_of(&self, person: &str) -> Vec<Arc<Session>> {
        let now_ms = now_ms();
        let sessions = read(&self.inner.sessions);
        let own = sessions
            .values()
            .filter(|it| it.row().person == person && !it.has_ended(now_ms));
        let mut own: Vec<_> = own.cloned().collect();
        own.sort_by_key(|it| std::cmp::Reverse(it.row().created_ms));
        own
    }
}

/// A name as it is looked for; cut, so that what is remembered of attempts is bounded.
fn known_as(name: &str) -> String {
    let name = name.trim().to_lowercase();
    name.chars()
        .filter(|letter| !letter.is_control())
        .take(super::NAME_CHARS_MAX)
        .collect()
}

impl People {
    /// Somebody changes their own password, and is logged out everywhere: the id of a new session, in the place of
    /// the one that they ask from.
    ///
    /// # Errors
    /// `person-password` when the old one is wrong or was tried too often, `person-request` for one that is
    /// easily guessed, `person-outside` for whoever has none here; the store's.
    pub async fn change_own_password(
        &self,
        name: &str,
        PasswordChange { old, new }: PasswordChange,
        agent: &str,
    ) -> Result<String, WorkshopError> {
        let wrong = || {
            WorkshopError::new(
                "person-password",
                "the password you have now is another",
                "try again; after ten attempts, in a quarter of an hour",
            )
        };
        if let Some(person) = self.find(name) {
            person.has_password()?;
        }
        let braked = lock(&self.inner.brake).attempt(name, None, now_ms());
        braked.map_err(|_| wrong())?;
        if !self.is_password_of(name, old).await? {
            return Err(wrong());
        }
        lock(&self.inner.brake).succeeded(name, None);
        password::acceptable(&new, name)?;
        let hash = self.compute(move || password::hashed(&new)).await??;
        let _alone = self.change_alone().await;
        // Looked up again after the work: they may have been shut out meanwhile.
        let person = self.find(name).filter(|it| !it.is_disabled());
        let person = person.ok_or_else(wrong)?;
        let row = super::PersonRow {
            password: hash,
            password_ms: now_ms(),
            ..person.row.clone()
        };
        self.put(row, true).await?;
        let id = self.begin(name, agent, now_ms()).await?;
        self.note(AuditRow::now("login", &person.told(), "log in", "done"));
        Ok(id)
    }
}
