//! What a request was let through by, for what goes on for long: whether it would be let through still.
//!
//! The guard asks once, at the door. A stream of events outlives sessions that end, keys that are taken back and the
//! day on which the first person is let in; it asks again at each look. Asking uses neither a session nor a key: a
//! forgotten window keeps nobody logged in while nothing happens. Not here: the right to the thing (`People::may_still`).

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use lathe_workshop::Caller;
use lathe_workshop::people::{Session, Signed};
use lathe_workshop::token::Token;

use super::{Access, Guard};
use crate::AppState;

/// What a request was let through by.
pub(crate) struct Pass {
    guard: Guard,
    by: By,
}

enum By {
    /// Nothing, or a key of the operator's file, which is read once.
    Anybody,
    /// A key that was issued.
    Key(Arc<Token>),
    /// Somebody's session.
    Session(Arc<Session>),
}

impl Pass {
    /// Whether it holds.
    pub fn holds(&self) -> bool {
        match &self.by {
            By::Anybody => matches!(self.guard.access, Access::Keys(_)) || !self.guard.asks(),
            By::Key(token) => token.is_fit(),
            By::Session(session) => self.guard.people.is_open(session),
        }
    }
}

impl FromRequestParts<AppState> for Pass {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Pass, Infallible> {
        let key = parts.extensions.get::<Caller>();
        let signed = parts.extensions.get::<Signed>();
        let by = match (key, signed) {
            (Some(Caller(token)), _) => By::Key(token.clone()),
            (None, Some(signed)) => By::Session(signed.session.clone()),
            (None, None) => By::Anybody,
        };
        Ok(Pass {
            guard: state.guard(),
            by,
        })
    }
}
