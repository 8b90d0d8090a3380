//! What a model reads and writes in: tokenizer, template and the tokens that end an answer.
//!
//! Rows need no weights: they are made alike for a model that is loaded for tuning and for one
//! whose file was only opened.

use lathe_engine::{ChatTemplate, Model, RawModel, Tokenizer};

/// Parts of a model, borrowed.
#[derive(Clone, Copy)]
pub struct Voice<'a> {
    /// The model's own tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// Its chat template, if there is one.
    pub template: Option<&'a ChatTemplate>,
    /// The tokens that end an answer.
    pub ends: &'a [u32],
}

impl<'a> From<&'a Model> for Voice<'a> {
    fn from(model: &'a Model) -> Self {
        Self {
            tokenizer: &model.tokenizer,
            template: model.template.as_ref(),
            ends: &model.config.eos,
        }
    }
}

impl<'a> From<&'a RawModel> for Voice<'a> {
    fn from(model: &'a RawModel) -> Self {
        Self {
            tokenizer: &model.tokenizer,
            template: model.template.as_ref(),
            ends: &model.config.eos,
        }
    }
}
