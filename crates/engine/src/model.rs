//! A model packed for this machine.

use crate::config::Config;
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;

/// A loaded model: sizes, tokenizer, template and packed weights.
pub struct Model {
    /// Sizes and constants.
    pub config: Config,
    /// The model's own tokenizer.
    pub tokenizer: Tokenizer,
    /// The model's own chat template, if it has one.
    pub template: Option<ChatTemplate>,
}
