//! Conversations and plain texts as token rows, each token supervised or only read.
//!
//! An assistant's turn is supervised from the token after the opened turn to the token that ends
//! it, exactly as serving opens and ends it: what stands before is rendered with the generation
//! prompt, and its tokens must begin those of the whole. Where a template writes earlier turns
//! differently once others follow (reasoning left out, for instance), a conversation becomes one
//! row for each turn that is learnt from.

use std::borrow::Cow;

use lathe_data::samples::{Role, Sample, Turn};
use lathe_engine::{ChatTemplate, Message, Tokenizer};
use lathe_evidence::Digest;

use crate::TuneError;
use crate::pack::{Row, end_of_turn};
use crate::voice::Voice;

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
    end: u32,
    masking: Masking,
}

impl<'a> Dialogues<'a> {
    /// For a model; without a template only plain texts have rows.
    ///
    /// # Errors
    /// [`TuneError::NoEndToken`].
    pub fn new(model: impl Into<Voice<'a>>, masking: Masking) -> Result<Self, TuneError> {
        let Voice {
            tokenizer,
            template,
            ends,
        } = model.into();
        let end = match template {
            Some(template) => end_of_turn(tokenizer, template, ends)?,
            None => *ends.first().ok_or(TuneError::NoEndToken)?,
        };
        Ok(Self {
            tokenizer,
            template,
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
            Sample::Chat { tools: Some(_), .. } => {
                Err(refuse("it names tools, which templates are not given yet"))
            }
            Sample::Chat { turns, tools: None } => {
                let messages = messages(turns).map_err(refuse)?;
                self.conversation(&id, leaf, turns, &messages)
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
        let messages = messages(turns).map_err(|reason| TuneError::Sample {
            id: id.to_owned(),
            reason: reason.to_owned(),
        })?;
        let template = self.template.ok_or(TuneError::NoTemplate)?;
        Ok(template.render(&messages, true)?)
    }

    /// The token that ends an answer.
    pub fn end(&self) -> u32 {
        self.end
    }

    fn conversation(
        &self,
        id: &str,
        leaf: Digest,
        turns: &[Turn],
        messages: &[Message],
    ) -> Result<Vec<Row>, TuneError> {
        let learnt = |(at, turn): (usize, &Turn)| (turn.weight > 0.0).then_some(at);
        let mut learnt: Vec<usize> = turns.iter().enumerate().filter_map(learnt).collect();
        if self.masking.mask_history {
            learnt.drain(..learnt.len().saturating_sub(1));
        }
        let weighed: Vec<(usize, f32)> = learnt.iter().map(|&at| (at, turns[at].weight)).collect();
        if let Some(row) = self.row(id, leaf, &weighed, messages)? {
            return Ok(vec![row]);
        }
        let alone = |it: &(usize, f32)| {
            let row = self.row(id, leaf, std::slice::from_ref(it), messages)?;
            row.ok_or_else(|| TuneError::Boundary { id: id.to_owned() })
        };
        weighed.iter().map(alone).collect()
    }

    /// One row with these turns supervised; `None` where the template or the tokenizer writes one
    /// of them differently once the others follow.
    fn row(
        &self,
        id: &str,
        leaf: Digest,
        learnt: &[(usize, f32)],
        messages: &[Message],
    ) -> Result<Option<Row>, TuneError> {
        let last = learnt
            .last()
            .map_or(messages.len().saturating_sub(1), |(at, _)| *at);
        let whole = self.encode(&messages[..=last], false)?;
        let mut tokens = whole.clone();
        let mut weights = vec![0.0; tokens.len()];
        let mut end = tokens.len();
        for &(at, weight) in learnt {
            let opened = self.encode(&messages[..at], true)?;
            let closed = if at == last {
                Cow::Borrowed(&whole[..])
            } else {
                Cow::Owned(self.encode(&messages[..=at], false)?)
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
            // A template that does not end turns: the answer ends all the same.
            tokens.push(self.end);
            weights.push(learnt.last().map_or(1.0, |(_, weight)| *weight));
        }
        if self.masking.train_on_prompt && !learnt.is_empty() {
            weights[1..].fill(1.0);
        }
        Ok(Some(Row {
            id: id.to_owned(),
            leaf,
            tokens,
            weights,
            soft: Vec::new(),
        }))
    }

    fn encode(&self, messages: &[Message], opened: bool) -> Result<Vec<u32>, TuneError> {
        let template = self.template.ok_or(TuneError::NoTemplate)?;
        Ok(self.tokenizer.encode(&template.render(messages, opened)?))
    }

    /// All that its rows depend on beside the sample, as text; a tokenizer may take megabytes.
    pub(crate) fn manner(&self) -> String {
        let Self {
            tokenizer,
            template,
            end,
            masking,
        } = self;
        let tokenizer = tokenizer.definition();
        format!("{template:?} {end} {masking:?} {tokenizer}")
    }

    /// How many tokens the vocabulary has room for: every token is below.
    pub(crate) fn vocabulary(&self) -> usize {
        self.tokenizer.id_max() as usize + 1
    }
}

/// The turns as a template takes them.
fn messages(turns: &[Turn]) -> Result<Vec<Message>, &'static str> {
    let message = |turn: &Turn| {
        if turn.tool_calls.is_some() {
            return Err("it calls tools, which templates are not given yet");
        }
        let role = match turn.role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        };
        let content = match &turn.reasoning {
            Some(reasoning) => format!("<think>\n{reasoning}\n</think>\n\n{}", turn.content),
            None => turn.content.clone(),
        };
        Ok(Message {
            role: role.to_owned(),
            content,
        })
    };
    turns.iter().map(message).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use lathe_engine::Model;

    fn turn(role: Role, content: &str) -> Turn {
        Turn {
            role,
            content: content.to_owned(),
            reasoning: None,
            tool_calls: None,
            weight: if role == Role::Assistant { 1.0 } else { 0.0 },
        }
    }

    fn chat(contents: &[(Role, &str)]) -> Sample {
        Sample::Chat {
            turns: contents
                .iter()
                .map(|&(role, text)| turn(role, text))
                .collect(),
            tools: None,
        }
    }

    const TWO_ROUNDS: [(Role, &str); 5] = [
        (Role::System, "Be brief."),
        (Role::User, "Is it good?"),
        (Role::Assistant, "Yes, it is."),
        (Role::User, "And cheap?"),
        (Role::Assistant, "No."),
    ];

    /// What the supervised tokens say, one string for each run of them.
    fn supervised(model: &Model, row: &Row) -> Vec<String> {
        let mut runs: Vec<Vec<u32>> = Vec::new();
        let mut open = false;
        for (&token, &weight) in row.tokens.iter().zip(&row.weights) {
            if weight > 0.0 && !open {
                runs.push(Vec::new());
            }
            open = weight > 0.0;
            if open {
                runs.last_mut().expect("a run is open").push(token);
            }
        }
        runs.iter()
            .map(|run| model.tokenizer.decode(run, false))
            .collect()
    }

    fn rows(model: &Model, masking: Masking, sample: &Sample) -> Vec<Row> {
        let dialogues = Dialogues::new(model, masking).expect("a way to write");
        dialogues.rows(7, sample).expect("rows")
    }

    /// Pain 4: only the last turn was trained (axolotl 1761).
    #[test]
    fn pain_4_every_turn_of_the_assistant_is_learnt_with_its_end() {
        let model = testing::model();
        let rows = rows(&model, Masking::default(), &chat(&TWO_ROUNDS));
        assert_eq!(rows.len(), 1);
        assert_eq!(
            supervised(&model, &rows[0]),
            ["Yes, it is.<|im_end|>", "No.<|im_end|>"]
        );
        assert_eq!(rows[0].id, "7");
    }

    #[test]
    fn what_is_read_before_an_answer_is_what_serving_sends() {
        let model = testing::model();
        let row = &rows(&model, Masking::default(), &chat(&TWO_ROUNDS))[0];
        let Sample::Chat { turns, .. } = chat(&TWO_ROUNDS) else {
            unreachable!("a chat")
        };
        let messages = messages(&turns[..4]).expect("plain turns");
        let template = model.template.as_ref().expect("a template");
        let served = template.render(&messages, true).expect("renders");
        assert!(row.tokens.starts_with(&model.tokenizer.encode(&served)));
    }

    /// Pain 4: labels masked against what was asked (axolotl 3088).
    #[test]
    fn pain_4_masks_follow_weights_history_and_prompts() {
        let model = testing::model();
        let only_last = Masking {
            mask_history: true,
            ..Masking::default()
        };
        let row = &rows(&model, only_last, &chat(&TWO_ROUNDS))[0];
        assert_eq!(supervised(&model, row), ["No.<|im_end|>"]);
        let all = Masking {
            train_on_prompt: true,
            ..Masking::default()
        };
        let row = &rows(&model, all, &chat(&TWO_ROUNDS))[0];
        assert!(row.weights[1..].iter().all(|&weight| weight == 1.0));
        assert_eq!(row.weights[0], 0.0);
        let Sample::Chat { mut turns, tools } = chat(&TWO_ROUNDS) else {
            unreachable!("a chat")
        };
        turns[4].weight = 0.0;
        let sample = Sample::Chat { turns, tools };
        let row = &rows(&model, Masking::default(), &sample)[0];
        assert_eq!(supervised(&model, row), ["Yes, it is.<|im_end|>"]);
        assert_eq!(
            row.tokens.last(),
            model.config.eos.first(),
            "nothing after it is read"
        );
    }

    /// Pain 4: turns looked for by their text were found in the wrong place, or not at all, where a
    /// template has no marks of its own around an answer (axolotl 2089).
    #[test]
    fn pain_4_equal_texts_and_bare_templates_do_not_move_the_mask() {
        let mut model = testing::model();
        let source = "{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]{% elif m['role'] == 'assistant' %} {{ m['content'] }}<|im_end|>{% endif %}{% endfor %}";
        model.template = Some(ChatTemplate::new(source, Default::default()).expect("compiles"));
        let turns = [
            (Role::User, "Yes."),
            (Role::Assistant, "Yes."),
            (Role::User, "[INST] Yes. [/INST] Yes."),
            (Role::Assistant, "Yes."),
        ];
        let rows = rows(&model, Masking::default(), &chat(&turns));
        assert_eq!(rows.len(), 1);
        let (row, tokens) = (&rows[0], &rows[0].tokens);
        assert_eq!(supervised(&model, row), [" Yes.<|im_end|>"; 2]);
        let learnt = |at: usize| row.weights[at] > 0.0;
        let before = |at: usize| model.tokenizer.decode(&tokens[..at], false);
        let starts = (1..tokens.len()).filter(|&at| learnt(at) && !learnt(at - 1));
        for start in starts {
            assert!(before(start).ends_with("[/INST]"), "{}", before(start));
        }
    }

    /// Pain 5: a model that pads with its end token never learnt to stop (unsloth 416).
    #[test]
    fn pain_5_the_end_is_learnt_after_every_answer_and_nowhere_else() {
        let model = testing::model();
        let end = model.config.eos[0];
        let row = &rows(&model, Masking::default(), &chat(&TWO_ROUNDS))[0];
        let ends = (0..row.tokens.len()).filter(|&at| row.tokens[at] == end);
        let weights: Vec<f32> = ends.map(|at| row.weights[at]).collect();
        assert_eq!(weights, [0.0, 0.0, 1.0, 0.0, 1.0]);
        let packed = crate::pack::Packed::of(vec![row.clone(); 2], &Default::default());
        let packed = packed.expect("packs");
        let batch = crate::batching::micro_batches(&packed, &[0, 1], 1000).remove(0);
        let targets = batch.targets.iter();
        let learnt = targets.filter(|it| it.token == end && it.weight == 1.0);
        assert_eq!(
            learnt.count(),
            4,
            "two ends of each row are targets of the loss"
        );
    }

    #[test]
    fn a_template_that_rewrites_history_gives_a_row_a_turn() {
        let mut model = testing::model();
        let source = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['role'] == 'assistant' and not loop.last %}(earlier){% else %}{{ m['content'] }}{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
        model.template = Some(ChatTemplate::new(source, Default::default()).expect("compiles"));
        let rows = rows(&model, Masking::default(), &chat(&TWO_ROUNDS));
        let said: Vec<_> = rows.iter().map(|row| supervised(&model, row)).collect();
        assert_eq!(said, [["Yes, it is.<|im_end|>"], ["No.<|im_end|>"]]);
    }

    #[test]
    fn a_text_is_learnt_whole_and_ends() {
        let model = testing::model();
        let row = &rows(
            &model,
            Masking::default(),
            &Sample::Text("Good morning.".into()),
        )[0];
        let (end, text) = row.tokens.split_last().expect("tokens");
        assert_eq!(model.tokenizer.decode(text, false), "Good morning.");
        assert!(model.config.eos.contains(end));
        assert_eq!(row.weights[0], 0.0);
        assert!(row.weights[1..].iter().all(|&weight| weight == 1.0));
    }

    #[test]
    fn samples_of_other_stages_are_refused_with_the_stage() {
        let model = testing::model();
        let dialogues = Dialogues::new(&model, Masking::default()).expect("a way to write");
        let pair = Sample::Pair {
            turns: vec![turn(Role::User, "q")],
            chosen: turn(Role::Assistant, "a"),
            rejected: turn(Role::Assistant, "b"),
        };
        let error = dialogues.rows(3, &pair).expect_err("a pair").to_string();
        assert!(
            error.contains("record 3") && error.contains("dpo"),
            "{error}"
        );
    }
}
