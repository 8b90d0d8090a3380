//! From examples to token rows: the prompt as it is served, the answer as it should come.
//!
//! Prompt and answer are rendered with the model's own chat template and tokenised as one string;
//! a row whose first tokens are not exactly those that serving will send is refused. Only the
//! answer and the token that ends it are supervised. What all rows begin with (the system message,
//! the template's frame) is the shared prefix, found token by token, so that it can be computed
//! once per batch. Rows over the cutoff and rows without an answer are kept out and named, never
//! cut: half an answer teaches half an answer.

use lathe_data::task::Example;
use lathe_engine::{ChatTemplate, Message, Tokenizer};
use lathe_evidence::Digest;

use crate::TuneError;
use crate::rows::Rows;
use crate::soft_number::{Soft, Softener};
use crate::spec::SftSpec;
use crate::voice::Voice;

/// One example as tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The record's id.
    pub id: String,
    /// The record's leaf.
    pub leaf: Digest,
    /// Prompt, answer and end-of-turn token.
    pub tokens: Vec<u32>,
    /// How much each token counts in the loss, 0 for one that is only read; as many as `tokens`.
    /// The first is 0: nothing stands before it to predict it from.
    pub weights: Vec<f32>,
    /// Places in `tokens` that are supervised by several tokens instead of the one there.
    pub soft: Vec<(usize, Soft)>,
}

impl Row {
    /// A row whose tokens from `answer_start` on are supervised.
    pub fn answering(id: String, leaf: Digest, tokens: Vec<u32>, answer_start: usize) -> Row {
        let weight = |at: usize| if at < answer_start { 0.0 } else { 1.0 };
        Row {
            id,
            leaf,
            weights: (0..tokens.len()).map(weight).collect(),
            tokens,
            soft: Vec::new(),
        }
    }

    /// Index of the first supervised token; the row's length if there is none.
    pub fn answer_start(&self) -> usize {
        let first = self.weights.iter().position(|&weight| weight > 0.0);
        first.unwrap_or(self.tokens.len())
    }

    /// Whether it supervises an answer: what ends one is none.
    pub fn answers(&self) -> bool {
        self.answer_start() + 1 < self.tokens.len()
    }
}

/// All rows of a run, and what was kept out.
#[derive(Clone, Debug, PartialEq)]
pub struct Packed {
    /// Rows that are trained on, in the order of the examples.
    pub rows: Rows,
    /// Tokens that all rows begin with and none supervises; 0 when nothing is shared.
    pub prefix_len: usize,
    /// Ids of examples over the cutoff.
    pub over_long: Vec<String>,
    /// Ids of examples whose answer is empty.
    pub unanswered: Vec<String>,
}

/// Tokenises `examples` as `spec` says; those over its cutoff and those without an answer are kept
/// out.
///
/// # Errors
/// As [`rows`], or when no row is left.
pub fn pack<'a>(
    model: impl Into<Voice<'a>>,
    examples: &[Example],
    spec: &SftSpec,
) -> Result<Packed, TuneError> {
    Packed::of(rows(model, examples, spec)?, spec)
}

/// The rows of `examples`, those that [`Packed::of`] keeps out too.
///
/// # Errors
/// When the model has no template or no end token, or when an answer melts into its prompt.
pub fn rows<'a>(
    model: impl Into<Voice<'a>>,
    examples: &[Example],
    spec: &SftSpec,
) -> Result<Rows, TuneError> {
    spec.check()?;
    let chat = Chat::of(model.into())?;
    let soft_number = spec.soft_number.as_ref();
    let mut softener = soft_number.map(|soft| Softener::new(soft, chat.tokenizer));
    let row = |example: &Example| {
        let mut row = chat.row(example)?;
        if let Some(softener) = &mut softener {
            row.soften(&example.answer, softener);
        }
        Ok(row)
    };
    examples.iter().map(row).collect()
}

impl Packed {
    /// Keeps out rows over the cutoff and rows that supervise nothing, and finds what all begin with.
    ///
    /// # Errors
    /// [`TuneError::NothingToLearn`] when no row is left.
    pub fn of(rows: impl Into<Rows>, spec: &SftSpec) -> Result<Packed, TuneError> {
        let all: Rows = rows.into();
        // What ends an answer is no answer.
        let unanswered = |at: usize| all.answer_start(at) + 1 >= all.tokens_len(at);
        let over_long = |at: usize| !unanswered(at) && all.tokens_len(at) > spec.tokens_max;
        let ids = |left_out: &dyn Fn(usize) -> bool| -> Vec<String> {
            let places = (0..all.len()).filter(|&at| left_out(at));
            places.map(|at| all.id(at)).collect()
        };
        let mut packed = Packed {
            rows: all.filter(|at| !unanswered(at) && !over_long(at)),
            prefix_len: 0,
            over_long: ids(&over_long),
            unanswered: ids(&unanswered),
        };
        if packed.rows.is_empty() {
            return Err(TuneError::NothingToLearn {
                examples: all.len(),
                over_long: packed.over_long.len(),
                unanswered: packed.unanswered.len(),
                tokens_max: spec.tokens_max,
            });
        }
        if spec.prefix_sharing {
            packed.prefix_len = shared_prefix(&packed.rows);
        }
        Ok(packed)
    }
}

impl Row {
    fn soften(&mut self, answer: &str, softener: &mut Softener<'_>) {
        let start = self.answer_start();
        let path = &self.tokens[start..self.tokens.len() - 1];
        let shift = |(at, soft): (usize, Soft)| (at + start, soft);
        self.soft = softener
            .soften(answer, path)
            .into_iter()
            .map(shift)
            .collect();
    }
}

/// How many tokens all `rows` begin with. The row that predicts the first supervised token always
/// stays outside, for its target differs from record to record.
pub(crate) fn shared_prefix(rows: &Rows) -> usize {
    if rows.len() < 2 {
        return 0;
    }
    let unsupervised = (0..rows.len()).map(|at| rows.answer_start(at).saturating_sub(1));
    let mut shared = unsupervised.min().unwrap_or(0);
    let first = rows.get(0);
    for row in rows.iter().skip(1) {
        if shared == 0 {
            break;
        }
        let pairs = first.tokens.iter().zip(&row.tokens);
        shared = pairs.take(shared).take_while(|(a, b)| a == b).count();
    }
    shared
}

/// The model's way of writing a conversation.
pub(crate) struct Chat<'a> {
    pub(crate) tokenizer: &'a Tokenizer,
    template: &'a ChatTemplate,
    /// The token that ends an answer.
    pub(crate) end: u32,
}

impl<'a> Chat<'a> {
    pub(crate) fn of(voice: Voice<'a>) -> Result<Self, TuneError> {
        let template = voice.template.ok_or(TuneError::NoTemplate)?;
        let tokenizer = voice.tokenizer;
        let end = end_of_turn(tokenizer, template, voice.ends)?;
        Ok(Self {
            tokenizer,
            template,
            end,
        })
    }

    /// What the answer to an example follows, as serving renders it.
    pub(crate) fn prompt(&self, example: &Example) -> Result<String, TuneError> {
        Ok(self.template.render(&conversation(example), true)?)
    }

    fn row(&self, example: &Example) -> Result<Row, TuneError> {
        let prompt = self.prompt(example)?;
        let served = self.tokenizer.encode(&prompt);
        let mut tokens = self.tokenizer.encode(&(prompt + &example.answer));
        if served.is_empty() || !tokens.starts_with(&served) {
            return Err(TuneError::Boundary {
                id: example.id.clone(),
            });
        }
        tokens.push(self.end);
        let id = example.id.clone();
        Ok(Row::answering(id, example.leaf, tokens, served.len()))
    }
}

/// The messages that are served for an example.
fn conversation(example: &Example) -> Vec<Message> {
    let system = example.system.as_ref();
    let system = system.map(|text| Message::new("system", text.as_str()));
    let asked = Message::new("user", example.prompt.as_str());
    system.into_iter().chain([asked]).collect()
}

/// The token that ends an answer: of the model's end tokens the one its template writes after an
/// assistant's message; the first, where it writes a special token there that is none of them. Where it
/// writes neither, a model would be shown earlier answers that do not end.
pub(crate) fn end_of_turn(
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
    ends: &[u32],
) -> Result<u32, TuneError> {
    const ANSWER: &str = "answer";
    let first = *ends.first().ok_or(TuneError::NoEndToken)?;
    let turns = [
        Message::new("user", "question"),
        Message::new("assistant", ANSWER),
    ];
    let whole = template.render(&turns, false)?;
    let after = whole
        .rfind(ANSWER)
        .map_or("", |at| &whole[at + ANSWER.len()..]);
    let written = tokenizer.encode(after);
    if let Some(end) = written.iter().find(|token| ends.contains(token)) {
        return Ok(*end);
    }
    if written.iter().any(|token| tokenizer.is_special(*token)) {
        return Ok(first);
    }
    let end = tokenizer.decode(&[first], false);
    Err(TuneError::EndlessTemplate { end })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialogue::{Dialogues, Masking};
    use crate::testing;

    #[test]
    fn only_the_answer_and_its_end_are_supervised() {
        let model = testing::model();
        let examples = testing::examples(6);
        let packed = pack(&model, &examples, &SftSpec::default()).expect("packs");
        for (row, example) in packed.rows.iter().zip(&examples) {
            let answer = &row.tokens[row.answer_start()..];
            let (end, text) = answer.split_last().expect("an answer");
            assert_eq!(model.tokenizer.decode(text, false), example.answer);
            assert!(model.config.eos.contains(end));
        }
    }

    #[test]
    fn rows_begin_as_serving_does() {
        let model = testing::model();
        let examples = testing::examples(3);
        let packed = pack(&model, &examples, &SftSpec::default()).expect("packs");
        for (row, example) in packed.rows.iter().zip(&examples) {
            let template = model.template.as_ref().expect("a template");
            let prompt = template
                .render(&conversation(example), true)
                .expect("renders");
            assert_eq!(
                row.tokens[..row.answer_start()],
                model.tokenizer.encode(&prompt)
            );
        }
    }

    /// Pain 5: a model that never stops (unsloth 416), here because its template ends no answer.
    #[test]
    fn pain_5_a_template_that_ends_no_answer_is_refused() {
        let mut model = testing::model();
        let source =
            "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:";
        model.template = Some(ChatTemplate::new(source, Default::default()).expect("compiles"));
        let packed = pack(&model, &testing::examples(2), &SftSpec::default());
        let error = packed.expect_err("it would never stop");
        assert_eq!(error.code(), "tune-no-end-token");
        assert!(error.to_string().contains("<|im_end|>"), "{error}");
        let texts = Masking {
            piece_tokens: Some(8),
            ..Masking::default()
        };
        Dialogues::new(&model, texts).expect("a text is no turn");
    }

    #[test]
    fn the_shared_prefix_is_the_system_message() {
        let model = testing::model();
        let packed = pack(&model, &testing::examples(6), &SftSpec::default()).expect("packs");
        let first = packed.rows.get(0);
        let shared = &first.tokens[..packed.prefix_len];
        let text = model.tokenizer.decode(shared, false);
        assert!(text.contains(testing::SYSTEM), "{text}");
        assert!(packed.rows.iter().all(|row| row.tokens.starts_with(shared)));
        let alone = pack(&model, &testing::examples(1), &SftSpec::default()).expect("packs");
        assert_eq!(alone.prefix_len, 0, "one row shares with none");
    }

    #[test]
    fn equal_prompts_keep_their_last_row() {
        let row = |answer: u32| {
            let tokens = vec![1, 2, 3, answer, 9];
            Row::answering("a".into(), Digest::of(b"a"), tokens, 3)
        };
        assert_eq!(shared_prefix(&vec![row(4), row(5)].into()), 2);
        assert_eq!(shared_prefix(&vec![row(4), row(4)].into()), 2);
    }

    #[test]
    fn over_long_and_unanswered_examples_are_named() {
        let cutoff = |tokens_max| SftSpec {
            tokens_max,
            ..SftSpec::default()
        };
        let model = testing::model();
        let mut examples = testing::examples(4);
        examples[1].answer.clear();
        examples[2].prompt = "good ".repeat(100);
        let packed = pack(&model, &examples, &cutoff(100)).expect("packs");
        assert_eq!(packed.unanswered, [examples[1].id.clone()]);
        assert_eq!(packed.over_long, [examples[2].id.clone()]);
        assert_eq!(packed.rows.len(), 2);
        let error = pack(&model, &examples, &cutoff(3)).expect_err("nothing is left");
        assert_eq!(error.code(), "tune-nothing-to-learn");
    }
}
