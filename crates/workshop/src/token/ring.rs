//! The keys of the API in memory: found by what a request presents, counted as they are used.
//!
//! A key is looked for by comparing its digest with every one that is kept, each in constant time and
//! to the end, so that how long it takes tells nothing. Use is written every few seconds, not with each
//! request: a process that is killed loses at most [`WRITE_EVERY`] of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use lathe_evidence::Digest;
use subtle::{ConditionallySelectable, ConstantTimeEq};
use tokio::sync::watch;

use super::meter::Meter;
use super::{DayUse, Scope, Short, Standing, TokenRow, TokenUse};
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::people::COMMON;
use crate::store::{Change, Store};

/// How often use is written.
const WRITE_EVERY: Duration = Duration::from_secs(5);

/// Stands for "never" and "not": the clock begins later.
const NEVER: i64 = 0;

/// One key, shared by all requests that present it.
#[derive(Debug)]
pub struct Token {
    row: TokenRow,
    revoked_ms: AtomicI64,
    last_used_ms: AtomicI64,
    /// Presented since that was written.
    presented: AtomicI64,
    meter: Mutex<Meter>,
}

/// Who asks, as the guard found out: in a request's extensions.
#[derive(Debug, Clone)]
pub struct Caller(pub Arc<Token>);

/// In the extensions of a request to what everybody is told, where a key is asked for and none that fits
/// was presented: names of models are kept from whoever asks so.
#[derive(Debug, Clone, Copy)]
pub struct Stranger;

/// Why a key opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// There is no such key.
    Unknown,
    /// It was taken back.
    Revoked,
    /// Its time is over.
    Expired,
}

/// All keys of a workshop. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    all: RwLock<Vec<Arc<Token>>>,
    /// What this process itself and the home's own commands present.
    own: RwLock<Option<Arc<Token>>>,
}

impl Token {
    fn new(row: TokenRow, today: Option<DayUse>) -> Token {
        Token {
            revoked_ms: AtomicI64::new(row.revoked_ms.unwrap_or(NEVER)),
            last_used_ms: AtomicI64::new(row.last_used_ms.unwrap_or(NEVER)),
            presented: AtomicI64::new(NEVER),
            meter: Mutex::new(Meter::new(row.allowance, today, now_ms())),
            row,
        }
    }

    /// As it was issued; when it was last used and taken back is told by [`Token::row`].
    pub fn id(&self) -> &str {
        &self.row.id
    }

    /// Whom or what it is for.
    pub fn name(&self) -> &str {
        &self.row.name
    }

    /// The project that it is for; the common one where it is for the whole workshop.
    pub fn project(&self) -> &str {
        &self.row.project
    }

    /// The row, as of now.
    pub fn row(&self) -> TokenRow {
        TokenRow {
            revoked_ms: some(self.revoked_ms.load(Ordering::Acquire)),
            last_used_ms: some(self.last_used_ms.load(Ordering::Acquire)),
            ..self.row.clone()
        }
    }

    /// Whether it opens what has this scope. An administrator's opens everything.
    pub fn opens(&self, scope: Scope) -> bool {
        self.row.scopes.contains(&scope) || self.row.scopes.contains(&Scope::Admin)
    }

    /// Whether it may ask this model.
    pub fn may_ask(&self, model: &str) -> bool {
        let named = self.row.models.is_empty() || self.row.models.iter().any(|name| name == model);
        named && self.is_of(model)
    }

    /// Whether the name of a model is of its project, with whose id it begins then.
    fn is_of(&self, model: &str) -> bool {
        let project = &self.row.project;
        let of_project = model.strip_prefix(project.as_str());
        project == COMMON || of_project.is_some_and(|rest| rest.starts_with('.'))
    }

    /// Counts a request.
    ///
    /// # Errors
    /// What is used up.
    pub fn request(&self) -> Result<(), Short> {
        self.meter().request(now_ms())
    }

    /// Takes the tokens of a prompt, and tells of which day.
    ///
    /// # Errors
    /// What does not suffice; nothing is taken then.
    pub fn prompt(&self, tokens: u64) -> Result<i64, Short> {
        self.meter().prompt(tokens, now_ms())
    }

    /// Takes the tokens of an answer that ended.
    pub fn answer(&self, tokens: u64) {
        self.meter().answer(tokens, now_ms());
    }

    /// Takes tokens of a prompt that turned out longer than was taken for it.
    pub fn more(&self, tokens: u64) {
        self.meter().more(tokens, now_ms());
    }

    /// Gives back the tokens of a prompt that was never read, or was shorter than was taken for it;
    /// they were taken of `day`.
    pub fn give_back(&self, tokens: u64, day: i64) {
        self.meter().give_back(tokens, day, now_ms());
    }

    /// How much is left of what is limited.
    pub fn stands(&self) -> Standing {
        self.meter().stands(now_ms())
    }

    /// What was asked with it today, by UTC.
    pub fn today(&self) -> DayUse {
        self.meter().today(now_ms())
    }

    fn meter(&self) -> std::sync::MutexGuard<'_, Meter> {
        // Each change is a few additions; one cut short by a panic leaves it usable.
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it still opens what it opened: it was not taken back, and its time is not over.
    pub fn is_fit(&self) -> bool {
        self.fit(now_ms()).is_ok()
    }

    fn fit(&self, now_ms: i64) -> Result<(), Unfit> {
        if self.revoked_ms.load(Ordering::Acquire) != NEVER {
            return Err(Unfit::Revoked);
        }
        match self.row.expires_ms {
            Some(expires_ms) if expires_ms <= now_ms => Err(Unfit::Expired),
            _ => Ok(()),
        }
    }

    fn note_use(&self, now_ms: i64) {
        self.last_used_ms.store(now_ms, Ordering::Release);
        self.presented.store(now_ms, Ordering::Release);
    }

    /// What changed since the last call, if anything.
    fn changed(&self) -> Option<TokenUse> {
        let last_used_ms = some(self.presented.swap(NEVER, Ordering::AcqRel));
        let days = self.meter().changed();
        (last_used_ms.is_some() || !days.is_empty()).then(|| TokenUse {
            id: self.row.id.clone(),
            last_used_ms,
            days,
        })
    }
}

fn some(at_ms: i64) -> Option<i64> {
    (at_ms != NEVER).then_some(at_ms)
}

impl Tokens {
    /// The keys as the store has them, with what was asked today.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub(crate) async fn load(store: &Store) -> Result<Tokens, WorkshopError> {
        let mut today: BTreeMap<String, DayUse> = store
            .token_use(super::day_of(now_ms()))
            .await?
            .into_iter()
            .collect();
        let rows = store.tokens().await?;
        let all = rows.into_iter().map(|row| {
            let today = today.remove(&row.id);
            Arc::new(Token::new(row, today))
        });
        let tokens = Tokens::default();
        *write(&tokens.inner.all) = all.collect();
        Ok(tokens)
    }

    /// Whether none was ever issued. One that was revoked or has expired counts: the door does not
    /// open to everybody because the last key ended.
    pub fn is_empty(&self) -> bool {
        read(&self.inner.all).is_empty()
    }

    /// All that were issued, the oldest first.
    pub fn all(&self) -> Vec<Arc<Token>> {
        read(&self.inner.all).clone()
    }

    /// The key that a request presents.
    ///
    /// # Errors
    /// Why it opens nothing.
    pub fn find(&self, key: &str) -> Result<Arc<Token>, Unfit> {
        let now_ms = now_ms();
        let digest = Digest::of(key.as_bytes());
        if let Some(own) = &*read(&self.inner.own)
            && bool::from(own.row.digest.0.ct_eq(&digest.0))
        {
            return Ok(own.clone());
        }
        let all = read(&self.inner.all);
        // No early end and no branch: the place of the one that is equal, if there is one.
        let mut place = u32::MAX;
        for (index, token) in (0..).zip(all.iter()) {
            let equal = token.row.digest.0.ct_eq(&digest.0);
            place.conditional_assign(&index, equal);
        }
        let token = all.get(place as usize).ok_or(Unfit::Unknown)?;
        token.fit(now_ms)?;
        token.note_use(now_ms);
        Ok(token.clone())
    }

    /// Takes a key in that was written.
    pub(crate) fn issued(&self, row: TokenRow) {
        write(&self.inner.all).push(Arc::new(Token::new(row, None)));
    }

    /// A key was written to be taken back.
    pub(crate) fn revoked(&self, id: &str, at_ms: i64) {
        let all = read(&self.inner.all);
        if let Some(token) = all.iter().find(|token| token.row.id == id) {
            token.revoked_ms.store(at_ms, Ordering::Release);
        }
    }

    /// The key that this process presents to itself, unlimited and kept nowhere.
    pub(crate) fn set_own(&self, key: &str) {
        let digest = Digest::of(key.as_bytes());
        let row = TokenRow {
            id: "own".to_owned(),
            name: "this workshop".to_owned(),
            digest,
            scopes: vec![Scope::Admin],
            models: Vec::new(),
            project: COMMON.to_owned(),
            allowance: super::Allowance::default(),
            created_ms: now_ms(),
            expires_ms: None,
            revoked_ms: None,
            last_used_ms: None,
        };
        *write(&self.inner.own) = Some(Arc::new(Token::new(row, None)));
    }

    /// Writes what was asked since the last call.
    ///
    /// # Errors
    /// `store`, `disk-full`.
    pub(crate) async fn write_use(&self, store: &Store) -> Result<(), WorkshopError> {
        let changed: Vec<TokenUse> = self.all().iter().filter_map(|it| it.changed()).collect();
        if changed.is_empty() {
            return Ok(());
        }
        store.apply(&[Change::TokensUsed(changed)]).await
    }

    /// Writes use until the workshop stops; the last of it is written there.
    pub(crate) async fn write_for_good(self, store: Store, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(WRITE_EVERY) => {}
                _ = stop.changed() => return,
            }
            if let Err(error) = self.write_use(&store).await {
                tracing::error!("the use of keys could not be written: {error}");
            }
        }
    }
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(any(test, feature = "unproved"))]
impl Tokens {
    /// Keys that no store has, for tests of whoever asks for them.
    pub fn of_rows(rows: impl IntoIterator<Item = TokenRow>) -> Tokens {
        let tokens = Tokens::default();
        for row in rows {
            tokens.issued(row);
        }
        tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::Allowance;

    fn row(key: &str) -> TokenRow {
        let digest = Digest::of(key.as_bytes());
        TokenRow {
            id: digest.short(),
            name: key.to_owned(),
            digest,
            scopes: vec![Scope::Answer],
            models: vec!["triage".to_owned()],
            project: COMMON.to_owned(),
            allowance: Allowance::default(),
            created_ms: 1,
            expires_ms: None,
            revoked_ms: None,
            last_used_ms: None,
        }
    }

    #[test]
    fn a_key_is_found_by_itself_and_by_nothing_near_it() {
        let tokens = Tokens::of_rows(["a", "b", "c"].map(row));
        for key in ["a", "b", "c"] {
            assert_eq!(tokens.find(key).unwrap().name(), key);
        }
        for key in ["", "A", "ab", "d"] {
            assert_eq!(tokens.find(key).unwrap_err(), Unfit::Unknown, "{key}");
        }
        assert_eq!(Tokens::default().find("").unwrap_err(), Unfit::Unknown);
    }

    #[test]
    fn what_ended_opens_nothing_and_still_counts_as_a_key() {
        let over = TokenRow {
            expires_ms: Some(now_ms() - 1),
            ..row("over")
        };
        let tokens = Tokens::of_rows([over, row("kept")]);
        assert_eq!(tokens.find("over").unwrap_err(), Unfit::Expired);
        let id = tokens.find("kept").unwrap().id().to_owned();
        tokens.revoked(&id, 7);
        assert_eq!(tokens.find("kept").unwrap_err(), Unfit::Revoked);
        assert!(!tokens.is_empty());
        assert_eq!(tokens.all()[1].row().revoked_ms, Some(7));
    }

    #[test]
    fn a_key_opens_what_it_says_and_an_administrators_everything() {
        let admin = TokenRow {
            scopes: vec![Scope::Admin],
            models: Vec::new(),
            ..row("admin")
        };
        let tokens = Tokens::of_rows([row("a"), admin]);
        let (own, admin) = (tokens.find("a").unwrap(), tokens.find("admin").unwrap());
        let opened = Scope::ALL.map(|scope| (own.opens(scope), admin.opens(scope)));
        assert_eq!(
            opened,
            [
                (true, true),
                (false, true),
                (false, true),
                (false, true),
                (false, true),
                (false, true)
            ]
        );
        assert!(own.may_ask("triage") && !own.may_ask("support"));
        assert!(admin.may_ask("support"));
    }

    #[test]
    fn a_projects_key_asks_its_models_alone() {
        let of = |models: &[&str]| {
            let row = TokenRow {
                project: "ward".to_owned(),
                models: models.iter().map(|name| (*name).to_owned()).collect(),
                ..row("of the ward")
            };
            Tokens::of_rows([row]).find("of the ward").unwrap()
        };
        let all = of(&[]);
        assert!(all.may_ask("ward.care"));
        for model in ["care", "wards.care", "ward", "bank.care", "ft:ward.x"] {
            assert!(!all.may_ask(model), "{model}");
        }
        assert!(!of(&["care"]).may_ask("care"), "naming it is not enough");
    }

    #[test]
    fn the_workshops_own_key_is_not_one_that_was_issued() {
        let tokens = Tokens::default();
        tokens.set_own("secret");
        assert!(tokens.is_empty());
        assert!(tokens.find("secret").unwrap().opens(Scope::Admin));
        tokens.set_own("other");
        assert_eq!(tokens.find("secret").unwrap_err(), Unfit::Unknown);
    }
}
