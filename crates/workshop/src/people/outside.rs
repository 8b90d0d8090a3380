//! People from outside: they sign in by a provider (OpenID Connect) or by a directory (LDAP), as `sign-in.yaml`
//! in the home says, and have no password here.
//!
//! Whoever was told apart there is one row of the people here, found again by way and subject, never by name:
//! a name that somebody else has already is refused. Their roles are what the file makes of their groups, anew
//! at each login; who has none stays out. What is denied to them here stays denied.
//!
//! Each way is a cargo feature of its own (`oidc`, `ldap`), so that a binary without it has none of its crates;
//! what the file says is read by every binary, which refuses what it cannot do. Not here: pages and cookies
//! (`lathe_web`).

#[cfg(any(feature = "oidc", feature = "ldap", feature = "unproved", test))]
mod admit;
#[cfg(feature = "oidc")]
mod begun;
#[cfg(any(feature = "oidc", test))]
mod claims;
mod file;
#[cfg(feature = "ldap")]
mod ldap;
#[cfg(feature = "oidc")]
mod oidc;
mod without;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{People, Shut};
use crate::error::WorkshopError;

#[cfg(feature = "oidc")]
pub use claims::fuzz_claims;
pub use file::{FILE, Find, GroupsFrom, LdapWay, Mapping, OidcWay, SignIn, fuzz};

/// The most groups of one person that are looked at.
pub const GROUPS_MAX: usize = 2000;
/// The longest name of a group, and the longest subject, in bytes.
pub const GROUP_BYTES_MAX: usize = 1000;

/// How somebody is told apart outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// OpenID Connect.
    Oidc,
    /// A directory.
    Ldap,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 2] = [Kind::Oidc, Kind::Ldap];

    /// Its name, as it is written: the key in the file and the feature of the binary.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Oidc => "oidc",
            Kind::Ldap => "ldap",
        }
    }

    /// Whether this binary has it.
    pub fn is_built(self) -> bool {
        match self {
            Kind::Oidc => cfg!(feature = "oidc"),
            Kind::Ldap => cfg!(feature = "ldap"),
        }
    }
}

/// Whence a person is, and who they are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// How they are told apart.
    pub kind: Kind,
    /// The name of the way, in the file.
    pub way: String,
    /// Who they are there, for good: a provider's `sub`, a directory's name of the entry or its id.
    pub subject: String,
}

/// Why somebody who may be who they say does not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmet {
    /// None of their groups has a role here.
    NoRole,
    /// Somebody else here has their name.
    NameTaken,
    /// Their name cannot be one here.
    Name,
    /// They were shut out here.
    Out,
    /// This workshop has as many people as it can.
    Full,
    /// The provider or the directory does not answer.
    Unanswered,
    /// What the provider or the directory says does not hold.
    Untrue,
    /// It was not begun in this browser, or too long ago, or it was ended already.
    Stale,
    /// The provider says no.
    Denied,
}

impl Unmet {
    /// All reasons.
    pub const ALL: [Unmet; 9] = [
        Unmet::NoRole,
        Unmet::NameTaken,
        Unmet::Name,
        Unmet::Out,
        Unmet::Full,
        Unmet::Unanswered,
        Unmet::Untrue,
        Unmet::Stale,
        Unmet::Denied,
    ];

    /// Its name: words for people stand under `web.login.unmet.NAME`.
    pub fn name(self) -> &'static str {
        match self {
            Unmet::NoRole => "no-role",
            Unmet::NameTaken => "name-taken",
            Unmet::Name => "name",
            Unmet::Out => "out",
            Unmet::Full => "full",
            Unmet::Unanswered => "unanswered",
            Unmet::Untrue => "untrue",
            Unmet::Stale => "stale",
            Unmet::Denied => "denied",
        }
    }

    /// As the audit has it.
    pub fn code(self) -> String {
        format!("login-{}", self.name())
    }
}

/// A way to sign in that has a button.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Its name, in addresses.
    pub name: String,
    /// What the button says.
    pub title: String,
}

/// A sign-in that was begun: where the browser goes, and what it has to bring back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// The provider's page.
    pub url: String,
    /// For a cookie.
    pub id: String,
}

/// What a browser brings back from a provider.
#[derive(Debug, Clone, Default)]
pub struct Back {
    /// The way it says it comes from.
    pub way: String,
    /// The cookie of [`Begun::id`].
    pub id: Option<String>,
    /// The provider's `state`.
    pub state: String,
    /// The provider's `code`; empty where it says no.
    pub code: String,
    /// Who the provider says it is (RFC 9207), where it does.
    pub issuer: Option<String>,
    /// Where they come from.
    pub address: Option<IpAddr>,
    /// The browser, as it calls itself.
    pub agent: String,
    /// The session they present already, which ends.
    pub before: Option<String>,
}

/// Somebody who came in by a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    /// The id of a new session, for their cookie.
    pub id: String,
    /// Where they wanted to go, as they said when they began.
    pub next: String,
}

/// The ways that this binary has and the file asks for.
#[derive(Debug, Default)]
pub(super) struct Ways {
    #[cfg(feature = "oidc")]
    oidc: oidc::Providers,
    #[cfg(feature = "ldap")]
    ldap: Vec<ldap::Directory>,
}

impl People {
    /// Takes up what the file asks for, once, before anybody is let in.
    ///
    /// # Errors
    /// `sign-in-feature` for a way that this binary was built without; `sign-in-file` for certificates that
    /// cannot be read, or a filter that is none.
    pub fn sign_in_by(&self, file: SignIn) -> Result<(), WorkshopError> {
        file.is_built()?;
        let ways = Ways {
            #[cfg(feature = "oidc")]
            oidc: oidc::Providers::new(&file)?,
            #[cfg(feature = "ldap")]
            ldap: ldap::directories(&file)?,
        };
        // Who set them first had the same file.
        let _ = self.inner.outside.set(ways);
        Ok(())
    }

    /// The ways that have a button.
    pub fn ways(&self) -> Vec<Way> {
        self.providers_ways()
    }

    /// Begins a sign-in by the provider of this name; `next` is where to go afterwards. Nothing where there is
    /// none.
    ///
    /// # Errors
    /// Why not.
    pub async fn begin_outside(&self, way: &str, next: &str) -> Result<Option<Begun>, Shut> {
        self.begin_by_provider(way, next).await
    }

    /// Ends it: who was told apart is let in. Nothing where there is no such provider.
    ///
    /// # Errors
    /// Why not.
    pub async fn end_outside(&self, back: Back) -> Result<Option<Entered>, Shut> {
        self.end_by_provider(back).await
    }

    #[cfg(any(feature = "oidc", feature = "ldap"))]
    fn outside(&self) -> Option<&Ways> {
        self.inner.outside.get()
    }
}
