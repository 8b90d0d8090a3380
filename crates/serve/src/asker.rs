//! Who asks, as the handlers see it: the key presented, where one is asked for, and the request's id.
//!
//! The guard has looked the key up and put it into the request; here it is held against the model that
//! is asked, and charged. Requests a minute are counted in [`crate::api`]'s middleware.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use lathe_workshop::feedback::Giver;
use lathe_workshop::people::{Reach, Right, reach};
use lathe_workshop::token::Scope;
use lathe_workshop::{Caller, Token};

use crate::api::error::ApiError;
use crate::observe::RequestId;
use crate::place::Place;

/// Who asks.
pub(crate) struct Asker {
    /// Absent where no key is asked for.
    token: Option<Arc<Token>>,
    /// How far they reach, where they are somebody who is logged in, or have a project's key.
    reach: Option<Reach>,
    request_id: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Asker {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Asker, Infallible> {
        let caller = parts.extensions.get::<Caller>();
        let id = parts.extensions.get::<RequestId>();
        Ok(Asker {
            token: caller.map(|Caller(token)| token.clone()),
            reach: reach::now(),
            request_id: id.map(|RequestId(id)| id.clone()).unwrap_or_default(),
        })
    }
}

impl Asker {
    /// The request's id.
    pub(crate) fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The name of the key; where none is asked for, whoever asks is at this machine.
    pub(crate) fn name(&self) -> &str {
        self.token.as_ref().map_or("local", |token| token.name())
    }

    /// With which key something is given.
    pub(crate) fn giver(&self) -> Giver {
        let token = self.token.as_ref().map_or("", |token| token.id());
        Giver {
            token: token.to_owned(),
            name: self.name().to_owned(),
        }
    }

    /// Whether it sees what others gave: where no key is asked for, and with an administrator's.
    pub(crate) fn sees_all(&self) -> bool {
        self.token.as_ref().is_none_or(|it| it.opens(Scope::Admin))
    }

    /// Whether this model is shown.
    pub(crate) fn sees(&self, model: &str) -> bool {
        self.token.as_ref().is_none_or(|it| it.may_ask(model)) && self.reaches(model)
    }

    /// Whether this model is of a project in which they may ask.
    fn reaches(&self, model: &str) -> bool {
        let may = |it: &Reach| it.may_name(Right::Ask, model);
        self.reach.as_ref().is_none_or(may)
    }

    /// That this model may be asked.
    ///
    /// # Errors
    /// 403 where the key is for others.
    pub(crate) fn may_ask(&self, model: &str) -> Result<(), ApiError> {
        match &self.token {
            Some(token) if !token.may_ask(model) => {
                Err(ApiError::model_not_allowed(token.id(), model))
            }
            // The same whether it is there or not.
            _ if !self.reaches(model) => Err(ApiError::model_not_yours(model)),
            _ => Ok(()),
        }
    }

    /// Takes the tokens of a prompt; those of the answer follow as it ends, both by `place`, which
    /// gives the prompt's back where it is never read.
    ///
    /// # Errors
    /// 429 where they do not suffice.
    pub(crate) fn charge(&self, place: &mut Place, prompt_tokens: usize) -> Result<(), ApiError> {
        let tokens = prompt_tokens as u64;
        let toll = match &self.token {
            None => None,
            Some(token) => {
                let day = token
                    .prompt(tokens)
                    .map_err(|short| ApiError::limited(&short))?;
                Some(Toll {
                    token: token.clone(),
                    prompt_tokens: tokens,
                    day,
                })
            }
        };
        place.charged(toll, &self.request_id);
        Ok(())
    }
}

/// What was taken for a prompt, to be settled once.
pub(crate) struct Toll {
    token: Arc<Token>,
    prompt_tokens: u64,
    /// The day that they were taken of.
    day: i64,
}

impl Toll {
    /// The request ended: its answer is charged, or its prompt given back if nobody read it.
    /// What was taken for it was guessed where `counted` tells how many tokens the prompt really had.
    pub(crate) fn settle(self, read: bool, counted: Option<usize>, answer_tokens: usize) {
        let taken = self.prompt_tokens;
        match counted.map(|tokens| tokens as u64) {
            _ if !read => self.token.give_back(taken, self.day),
            Some(real) if real > taken => self.token.more(real - taken),
            Some(real) => self.token.give_back(taken - real, self.day),
            None => {}
        }
        self.token.answer(answer_tokens as u64);
    }
}
