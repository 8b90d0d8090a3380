//! Conversations and plain texts as token rows, each token supervised or only read.
//!
//! An assistant's turn is supervised from the token after the opened turn to the token that ends
//! it, exactly as serving opens and ends it: what stands before is rendered with the generation
//! prompt, and its tokens must begin those of the whole. So are its calls of tools, in whatever way
//! the template writes them; what tools gave back is only read. Where a template writes earlier turns
//! differently once others follow (reasoning left out, for instance), a conversation becomes one
//! row for each turn that is learnt from.

use std::borrow::Cow;

use lathe_data::samples::{Sample, Turn};
use lathe_engine::template::Skills;
use lathe_engine::{ChatTemplate, Message, Tokenizer};
use lathe_evidence::Digest;
use serde_json::Value;

use self::messages::{is_at_risk, left_out, messages};
use crate::TuneError;
use crate::pack::{Row, end_of_turn};
use crate::voice::Voice;

mod messages;
#[cfg(test)]
mod tests;

/// Which tokens of a conversation are supervised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Masking {
    /// All tokens, questions too.
    pub train_on_prompt: bool,
    /// Of the turns that are learnt from only the last.
    pub mask_history: bool,
    /// A plain text of more tokens becomes several rows, each of so many at most.
    pub piece_tokens: Option<usize>,
    /// Whether anything but a plain text is refused.
    pub texts_only: bool,
}

/// Makes rows in a model's own way of writing a conversation.
pub struct Dialogues<'a> {
    tokenizer: &'a Tokenizer,
    template: Option<&'a ChatTemplate>,
    skills: Skills,
    end: u32,
    masking: Masking,
}

/// A conversation that is being made a row of.
struct Talk<'a> {
    id: &'a str,
    leaf: Digest,
    messages: Vec<Message>,
    tools: Option<&'a Value>,
}

impl Talk<'_> {
    fn refuse(&self, reason: String) -> TuneError {
        TuneError::Sample {
            id: self.id.to_owned(),
            reason,
        }
    }
}

impl<'a> Dialogues<'a> {
    /// For a model; without a template only plain texts have rows.
    ///
    /// # Errors
    /// [`TuneError::NoEndToken`], and [`TuneError::EndlessTemplate`] unless texts are read in pieces.
    pub fn new(model: impl Into<Voice<'a>>, masking: Masking) -> Result<Self, TuneError> {
        let Voice {
            tokenizer,
            template,
            ends,
        } = model.into();
        let first = ends.first().copied().ok_or(TuneError::NoEndToken)?;
        let end = match template.map(|it| end_of_turn(tokenizer, it, ends)) {
            None => first,
            // Where texts are read, which are no turns, it does not matter how these end.
            Some(Err(TuneError::EndlessTemplate { .. })) if masking.piece_tokens.is_some() => first,
            Some(found) => found?,
        };
        Ok(Self {
            tokenizer,
            template,
            skills: template.map(ChatTemplate::skills).unwrap_or_default(),
            end,
            masking,
        })
    }

    /// The rows of record `number`: mostly one.
    ///
    /// # Errors
    /// A sample of another stage, what the template cannot express, or an answer that melts into
    /// what stands before it.
    pub fn rows(&self, number: u64, sample: &Sample) -> Result<Vec<Row>, TuneError> {
        let id = number.to_string();
        let leaf = Digest::of(format!("{sample:?}").as_bytes());
        let refuse = |reason: &str| TuneError::Sample {
            id: id.clone(),
            reason: reason.to_owned(),
        };
        match sample {
            Sample::Text(text) => Ok(self.text(&id, leaf, text)),
            _ if self.masking.texts_only => Err(refuse("it is no plain text: use stage: sft")),
            Sample::Chat { turns, tools } => {
                let tools = tools.as_ref();
                let talk = Talk {
                    id: &id,
                    leaf,
                    messages: self.messages(&id, turns, tools)?,
                    tools,
                };
                self.conversation(&talk, turns)
            }
            Sample::Pair { .. } => Err(refuse("it is a pair of answers: use stage: dpo")),
            Sample::Judged { .. } => Err(refuse("it is a judged answer: use stage: kto")),
        }
    }

    /// The rows of a text, in pieces where it is longer than these may be.
    pub fn text(&self, id: &str, leaf: Digest, text: &str) -> Vec<Row> {
        let mut tokens = self.tokenizer.encode(text);
        tokens.push(self.end);
        let pieces = tokens.chunks(self.masking.piece_tokens.unwrap_or(usize::MAX).max(2));
        let several = pieces.len() > 1;
        let piece = |(at, tokens): (usize, &[u32])| {
            let id = if several {
                format!("{id}.{}", at + 1)
            } else {
                id.to_owned()
            };
            Row::answering(id, leaf, tokens.to_vec(), 1)
        };
        pieces.enumerate().map(piece).collect()
    }

    /// What an answer to these turns follows, as serving renders it.
    ///
    /// # Errors
    /// What the template cannot express.
    pub fn prompt(&self, id: &str, turns: &[Turn]) -> Result<String, TuneError> {
        let talk = Talk {
            id,
            leaf: Digest::of(b""),
            messages: self.messages(id, turns, None)?,
            tools: None,
        };
        self.check_written(&talk, turns.len(), &[])?;
        self.written(&talk, turns.len(), true)
    }

    /// The token that ends an answer.
    pub fn end(&self) -> u32 {
        self.end
    }

    fn messages(
        &self,
        id: &str,
        turns: &[Turn],
        tools: Option<&Value>,
    ) -> Result<Vec<Message>, TuneError> {
        messages(turns, tools, self.skills).map_err(|reason| TuneError::Sample {
            id: id.to_owned(),
            reason,
        })
    }

    fn conversation(&self, talk: &Talk<'_>, turns: &[Turn]) -> Result<Vec<Row>, TuneError> {
        let learnt = |(at, turn): (usize, &Turn)| (turn.weight > 0.0).then_some(at);
        let mut learnt: Vec<usize> = turns.iter().enumerate().filter_map(learnt).collect();
        if self.masking.mask_history {
            learnt.drain(..learnt.len().saturating_sub(1));
        }
        let count = learnt.last().map_or(0, |last| last + 1);
        self.check_written(talk, count, &learnt)?;
        let weighed: Vec<(usize, f32)> = learnt.iter().map(|&at| (at, turns[at].weight)).collect();
        if let Some(row) = self.row(talk, &weighed)? {
            return Ok(vec![row]);
        }
        let alone = |it: &(usize, f32)| {
            let row = self.row(talk, std::slice::from_ref(it))?;
            row.ok_or_else(|| TuneError::Boundary {
                id: talk.id.to_owned(),
            })
        };
        weighed.iter().map(alone).collect()
    }

    /// One row with these turns supervised; `None` where the template or the tokenizer writes one
    /// of them differently once the others follow.
    fn row(&self, talk: &Talk<'_>, learnt: &[(usize, f32)]) -> Result<Option<Row>, TuneError> {
        let last = learnt
            .last()
            .map_or(talk.messages.len().saturating_sub(1), |(at, _)| *at);
        let whole = self.encode(talk, last + 1, false)?;
        let mut tokens = whole.clone();
        let mut weights = vec![0.0; tokens.len()];
        let mut end = tokens.len();
        for &(at, weight) in learnt {
            let opened = self.encode(talk, at, true)?;
            let closed = if at == last {
                Cow::Borrowed(&whole[..])
            } else {
                Cow::Owned(self.encode(talk, at + 1, false)?)
            };
            if opened.is_empty() || !closed.starts_with(&opened) || !tokens.starts_with(&closed) {
                return Ok(None);
            }
            let ended = closed.iter().rposition(|&token| token == self.end);
            end = match ended.filter(|&place| place >= opened.len()) {
                Some(place) => place + 1,
                None => closed.len(),
            };
            weights[opened.len()..end].fill(weight);
        }
        tokens.truncate(end);
        weights.truncate(end);
        if !learnt.is_empty() && tokens.last() != Some(&self.end) {
            // A template that ends turns with a token of no end of the model's: the answer ends all the same.
            tokens.push(self.end);
            weights.push(learnt.last().map_or(1.0, |(_, weight)| *weight));
        }
        if self.masking.train_on_prompt && !learnt.is_empty() {
            weights[1..].fill(1.0);
        }
        Ok(Some(Row {
            id: talk.id.to_owned(),
            leaf: talk.leaf,
            tokens,
            weights,
            soft: Vec::new(),
        }))
    }

    /// Refuses a conversation of whose first `count` turns the template leaves out a call or what is
    /// said beside it, or what is thought in one that is learnt.
    fn check_written(
        &self,
        talk: &Talk<'_>,
        count: usize,
        learnt: &[usize],
    ) -> Result<(), TuneError> {
        for (at, message) in talk.messages[..count].iter().enumerate() {
            let with_thought = !self.skills.reasoning && learnt.contains(&at);
            if !is_at_risk(message, with_thought) {
                continue;
            }
            let opened = self.written(talk, at, true)?;
            let closed = self.written(talk, at + 1, false)?;
            let answer = closed.strip_prefix(&opened).unwrap_or(&closed);
            if let Some(what) = left_out(message, answer, with_thought) {
                return Err(talk.refuse(format!(
                    "the model's chat template leaves out {what} in turn {}: take it out of the \
                     record, or use a model whose template writes it",
                    at + 1
                )));
            }
        }
        Ok(())
    }

    /// The first `count` messages as the template writes them; with `opened` an answer is opened.
    fn written(&self, talk: &Talk<'_>, count: usize, opened: bool) -> Result<String, TuneError> {
        let template = self.template.ok_or(TuneError::NoTemplate)?;
        template
            .render_with_tools(&talk.messages[..count], talk.tools, opened)
            .map_err(|error| talk.refuse(error.to_string()))
    }

    fn encode(&self, talk: &Talk<'_>, count: usize, opened: bool) -> Result<Vec<u32>, TuneError> {
        Ok(self.tokenizer.encode(&self.written(talk, count, opened)?))
    }

    /// All that its rows depend on beside the sample, as text; a tokenizer may take megabytes.
    pub(crate) fn manner(&self) -> String {
        let Self {
            tokenizer,
            template,
            skills,
            end,
            masking,
        } = self;
        let tokenizer = tokenizer.definition();
        format!("{template:?} {skills:?} {end} {masking:?} {tokenizer}")
    }

    /// How many tokens the vocabulary has room for: every token is below.
    pub(crate) fn vocabulary(&self) -> usize {
        self.tokenizer.id_max() as usize + 1
    }
}
