//! A grammar over one answer: which tokens may come next, and when nothing can follow.
//!
//! Where it comes from is `crate::grammar`. Each step costs what its bounds allow at most; a grammar
//! that would take more ends its answer with an error, and no other.

use std::fmt;
use std::sync::Arc;

use llguidance::Matcher;

use crate::grammar::{Tokens, WORD_TOKENS, brief};

/// The state of a grammar after the tokens of an answer. A clone goes on from it by itself.
pub(crate) struct Grammar {
    matcher: Box<Matcher>,
    tokens: Arc<Tokens>,
}

impl Grammar {
    /// A grammar before the first token.
    pub(crate) fn new(matcher: Matcher, tokens: Arc<Tokens>) -> Self {
        Grammar {
            matcher: Box::new(matcher),
            tokens,
        }
    }

    /// Computes what may come first.
    ///
    /// # Errors
    /// Nothing may, or it costs more than it may.
    pub(crate) fn try_first(&mut self) -> Result<(), String> {
        let mask = self.matcher.compute_mask();
        let mask = mask.map_err(|error| format!("no answer can begin: {}", brief(&error)))?;
        if self.tokens.allowed(&mask).all(|word| word == 0) {
            return Err("no answer can begin: no token of the model fits".to_owned());
        }
        Ok(())
    }

    /// Leaves the logits of tokens that may come next; the others become −∞.
    ///
    /// # Errors
    /// There is none, or finding out costs more than it may.
    pub(crate) fn allow_only(&mut self, logits: &mut [f32]) -> Result<(), String> {
        let mask = self.matcher.compute_mask();
        let mask = mask.map_err(|error| stuck(&brief(&error)))?;
        let mut any = 0;
        for (logits, word) in logits
            .chunks_mut(WORD_TOKENS)
            .zip(self.tokens.allowed(&mask))
        {
            any |= word;
            for (bit, logit) in logits.iter_mut().enumerate() {
                if (word >> bit) & 1 == 0 {
                    *logit = f32::NEG_INFINITY;
                }
            }
        }
        if any == 0 {
            return Err(stuck("no token of the model fits"));
        }
        Ok(())
    }

    /// Takes note of the token chosen, which is no end; whether the answer is whole and nothing can
    /// follow.
    ///
    /// # Errors
    /// The token was not allowed, or following it costs more than it may.
    pub(crate) fn take(&mut self, token: u32) -> Result<bool, String> {
        let taken = self.matcher.consume_token(token);
        taken.map_err(|error| stuck(&brief(&error)))?;
        Ok(self.matcher.is_stopped())
    }
}

fn stuck(reason: &str) -> String {
    format!("its grammar does not go on: {reason}")
}

impl Clone for Grammar {
    fn clone(&self) -> Self {
        Grammar {
            // A shallow clone would share, and lock, the lexer's states.
            matcher: Box::new(self.matcher.deep_clone()),
            tokens: self.tokens.clone(),
        }
    }
}

impl fmt::Debug for Grammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grammar").finish_non_exhaustive()
    }
}
