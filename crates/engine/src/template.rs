//! The model's chat template.

use crate::error::EngineError;
use serde::{Deserialize, Serialize};

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant`, or what the template knows.
    pub role: String,
    /// The text of the turn.
    pub content: String,
}

/// A compiled chat template with the special tokens it may name.
#[derive(Debug, Clone)]
pub struct ChatTemplate {}

impl ChatTemplate {
    /// The conversation as the model's prompt; with `add_generation_prompt` the
    /// assistant's turn is opened.
    ///
    /// # Errors
    /// [`EngineError::Template`] when the template raises, fails or does not end.
    pub fn render(
        &self,
        _messages: &[Message],
        _add_generation_prompt: bool,
    ) -> Result<String, EngineError> {
        todo!()
    }

    /// The template's source text.
    pub fn source(&self) -> &str {
        todo!()
    }
}
