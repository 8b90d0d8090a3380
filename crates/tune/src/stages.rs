//! The `tune.pretrain` and `tune.preference` sections of a pack: the stages before and after the
//! supervised one.
//!
//! All stages of a pack tune one adapter, one after another; its shape is that of `tune.sft`. Here is
//! what a stage is told and how rendered records become what it learns from; the losses are
//! [`crate::sft`]'s, [`crate::dpo`]'s and [`crate::kto`]'s, the order of the stages is the workshop's.

use lathe_data::DataSpec;
use lathe_data::task::Example;
use lathe_data::template::Template;
use lathe_engine::Model;
use lathe_evidence::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::TuneError;
use crate::dialogue::{Dialogues, Masking};
use crate::dpo::DpoPair;
use crate::kto::{JudgedAnswer, KtoSpec};
use crate::pack::{Chat, Packed, Row};
use crate::schedule::Shape;
use crate::spec::SftSpec;

/// Keys of a section that are not what the stage is told of its records: they are said elsewhere.
const SAID_ELSEWHERE: [&str; 2] = ["data", "learn"];

/// Continued pretraining (持续预训练): every token of plain texts is learnt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainSpec {
    /// The texts: a data source of its own.
    pub data: DataSpec,
    /// What of a record is read: a template over its fields.
    pub text: String,
    /// How it learns.
    #[serde(default)]
    pub learn: LearnSpec,
}

/// Preference tuning (偏好对齐): of two answers the better one, or of single answers the wanted ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreferenceSpec {
    /// The loss.
    #[serde(default)]
    pub method: Method,
    /// A data source of its own; the pack's training records if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DataSpec>,
    /// What is asked: a template over a record's fields; the task's prompt if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The better answer, a template; the task's right answer if absent. With `dpo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<String>,
    /// The other answer, a template. With `dpo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
    /// The answer that was judged, a template. With `kto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Whether it is wanted: a template that writes `true` or `false`. With `kto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// β: how dear it is to leave what the adapter was before.
    #[serde(default = "beta")]
    pub beta: f64,
    /// How it learns.
    #[serde(default)]
    pub learn: LearnSpec,
}

fn beta() -> f64 {
    KtoSpec::default().beta
}

/// The loss of a preference stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Pairs of answers: [`crate::dpo`].
    #[default]
    Dpo,
    /// Judged answers: [`crate::kto`].
    Kto,
}

/// How a stage beside `sft` learns. Every key has a default; what is not here is as in `tune.sft`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LearnSpec {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Shape of the learning rate after the warm-up.
    pub schedule: Shape,
    /// Share of the steps that warm up, 0 to 1.
    pub warmup_ratio: f64,
    /// Passes over the records; a fraction is allowed.
    pub epochs: f64,
    /// Records in one step of the optimizer.
    pub batch_records: usize,
    /// Tokens of a piece of text, or above which a pair is kept out.
    pub tokens_max: usize,
    /// Most token rows computed at once: bounds memory, not the result.
    pub rows_max: usize,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Gradients are scaled down to this global norm.
    pub max_grad_norm: f64,
    /// Fixes the order of the records.
    pub seed: u64,
    /// Steps between checkpoints.
    pub checkpoint_steps: u64,
}

impl Default for LearnSpec {
    fn default() -> Self {
        let sft = SftSpec::default();
        Self {
            // A tenth of what an adapter that starts afresh learns with.
            learning_rate: 5e-5,
            schedule: sft.schedule,
            warmup_ratio: sft.warmup_ratio,
            epochs: sft.epochs,
            batch_records: sft.batch_records,
            tokens_max: sft.tokens_max,
            rows_max: sft.rows_max,
            weight_decay: sft.weight_decay,
            max_grad_norm: sft.max_grad_norm,
            seed: sft.seed,
            checkpoint_steps: sft.checkpoint_steps,
        }
    }
}

impl LearnSpec {
    /// The spec of the stage's run: these keys, and the adapter's shape and the optimizer of `sft`.
    pub fn over(&self, sft: &SftSpec) -> SftSpec {
        SftSpec {
            learning_rate: self.learning_rate,
            schedule: self.schedule,
            warmup_ratio: self.warmup_ratio,
            epochs: self.epochs,
            batch_records: self.batch_records,
            tokens_max: self.tokens_max,
            rows_max: self.rows_max,
            weight_decay: self.weight_decay,
            max_grad_norm: self.max_grad_norm,
            seed: self.seed,
            checkpoint_steps: self.checkpoint_steps,
            soft_number: None,
            ..sft.clone()
        }
    }

    fn check(&self, stage: &'static str) -> Result<(), TuneError> {
        let checked = self.over(&SftSpec::default()).check();
        checked.map_err(|error| match error {
            TuneError::Spec { key, reason, .. } => TuneError::Spec { stage, key, reason },
            other => other,
        })
    }
}

impl PretrainSpec {
    /// Refuses what no run can use.
    ///
    /// # Errors
    /// [`TuneError::Spec`], or a text that is no template.
    pub fn check(&self) -> Result<(), TuneError> {
        self.learn.check("pretrain.learn")?;
        self.text().map(drop)
    }

    /// The template of a record's text.
    ///
    /// # Errors
    /// When it is none.
    pub fn text(&self) -> Result<Template, TuneError> {
        Ok(Template::new("tune.pretrain.text", &self.text)?)
    }

    /// What the stage is told beside its [`LearnSpec`], for its account.
    pub fn told(&self) -> Map<String, Value> {
        told(json!(self))
    }
}

impl PreferenceSpec {
    /// Refuses what no run can use.
    ///
    /// # Errors
    /// [`TuneError::Spec`] that names the first bad key, or a text that is no template.
    pub fn check(&self) -> Result<(), TuneError> {
        self.check_learning()?;
        match self.method {
            Method::Dpo if self.rejected.is_none() => {
                return refuse("rejected", "dpo needs it: the answer that is not preferred");
            }
            Method::Kto if self.answer.is_none() => {
                return refuse("answer", "kto needs it: the answer that was judged");
            }
            Method::Kto if self.wanted.is_none() => {
                return refuse("wanted", "kto needs it: a template of true or false");
            }
            _ => {}
        }
        let of_other = match self.method {
            Method::Dpo => [("answer", &self.answer), ("wanted", &self.wanted)],
            Method::Kto => [("chosen", &self.chosen), ("rejected", &self.rejected)],
        };
        let mut of_other = of_other.into_iter();
        if let Some((key, _)) = of_other.find(|(_, text)| text.is_some()) {
            return refuse(key, "belongs to the other method: remove it");
        }
        self.templates().map(drop)
    }

    /// As [`PreferenceSpec::check`], of a task of conversations: a record is a pair as it stands.
    ///
    /// # Errors
    /// [`TuneError::Spec`] that names the first bad key.
    pub fn check_conversations(&self) -> Result<(), TuneError> {
        self.check_learning()?;
        if self.method != Method::Dpo {
            return refuse("method", "must be dpo where the task is of conversations");
        }
        if self.data.is_some() {
            return refuse(
                "data",
                "is the pack's own where the task is of conversations",
            );
        }
        let written = [
            ("prompt", &self.prompt),
            ("chosen", &self.chosen),
            ("rejected", &self.rejected),
            ("answer", &self.answer),
            ("wanted", &self.wanted),
        ];
        match written.into_iter().find(|(_, text)| text.is_some()) {
            Some((key, _)) => refuse(key, "is in the conversations already: remove it"),
            None => Ok(()),
        }
    }

    fn check_learning(&self) -> Result<(), TuneError> {
        self.learn.check("preference.learn")?;
        match self.beta.is_finite() && self.beta > 0.0 {
            true => Ok(()),
            false => refuse("beta", "must be positive"),
        }
    }

    /// The templates that the pack writes.
    ///
    /// # Errors
    /// When one is none.
    pub fn templates(&self) -> Result<PreferenceTemplates, TuneError> {
        let template = |key, text: &Option<String>| {
            let text = text.as_ref().map(|text| Template::new(key, text));
            text.transpose()
        };
        Ok(PreferenceTemplates {
            prompt: template("tune.preference.prompt", &self.prompt)?,
            chosen: template("tune.preference.chosen", &self.chosen)?,
            rejected: template("tune.preference.rejected", &self.rejected)?,
            answer: template("tune.preference.answer", &self.answer)?,
            wanted: template("tune.preference.wanted", &self.wanted)?,
        })
    }

    /// What the stage is told beside its [`LearnSpec`], for its account.
    pub fn told(&self) -> Map<String, Value> {
        told(json!(self))
    }
}

/// The templates of a preference stage; those that the pack leaves out are absent.
#[derive(Debug)]
pub struct PreferenceTemplates {
    /// What is asked.
    pub prompt: Option<Template>,
    /// The better answer.
    pub chosen: Option<Template>,
    /// The other answer.
    pub rejected: Option<Template>,
    /// The answer that was judged.
    pub answer: Option<Template>,
    /// Whether it is wanted.
    pub wanted: Option<Template>,
}

fn refuse(key: &'static str, reason: &str) -> Result<(), TuneError> {
    Err(TuneError::Spec {
        stage: "preference",
        key,
        reason: reason.to_owned(),
    })
}

fn told(section: Value) -> Map<String, Value> {
    let Value::Object(mut told) = section else {
        return Map::new();
    };
    told.retain(|key, _| !SAID_ELSEWHERE.contains(&key.as_str()));
    told
}

/// The rows of texts, each with its record's id and leaf; longer ones in pieces of `tokens_max`.
///
/// # Errors
/// [`TuneError::NoEndToken`]; [`TuneError::NothingToLearn`] when no text has a token.
pub fn texts(
    model: &Model,
    texts: &[(String, Digest, String)],
    spec: &SftSpec,
) -> Result<Packed, TuneError> {
    let masking = Masking {
        piece_tokens: Some(spec.tokens_max),
        ..Masking::default()
    };
    let dialogues = Dialogues::new(model, masking)?;
    let rows = texts.iter();
    let rows = rows.flat_map(|(id, leaf, text)| dialogues.text(id, *leaf, text));
    Packed::of(rows.collect::<Vec<Row>>(), spec)
}

/// Pairs as tokens: each example's own answer is the better one, the text beside it the other. A
/// pair is committed to by its record's leaf.
///
/// # Errors
/// When the model has no template or no end token, or an answer melts into its prompt.
pub fn pairs(model: &Model, all: &[(Example, String)]) -> Result<Vec<DpoPair>, TuneError> {
    let chat = Chat::of(model.into())?;
    let pair = |(example, rejected): &(Example, String)| {
        let (prompt, id) = (chat.prompt(example)?, &example.id);
        let answers = [example.answer.as_str(), rejected.as_str()];
        let pair = DpoPair::encode(chat.tokenizer, chat.end, id, &prompt, answers)?;
        Ok(DpoPair {
            leaf: example.leaf,
            ..pair
        })
    };
    all.iter().map(pair).collect()
}

/// Judged answers as tokens: each example's own answer, and whether it is wanted. It is committed to
/// by its record's leaf.
///
/// # Errors
/// As [`pairs`].
pub fn judged(model: &Model, all: &[(Example, bool)]) -> Result<Vec<JudgedAnswer>, TuneError> {
    let chat = Chat::of(model.into())?;
    let judge = |(example, wanted): &(Example, bool)| {
        let (prompt, id) = (chat.prompt(example)?, &example.id);
        let answer = (example.answer.as_str(), *wanted);
        let judged = JudgedAnswer::encode(chat.tokenizer, chat.end, id, &prompt, answer)?;
        Ok(JudgedAnswer {
            leaf: example.leaf,
            ..judged
        })
    };
    all.iter().map(judge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn preference(keys: Value) -> PreferenceSpec {
        serde_json::from_value(keys).expect("a section")
    }

    #[test]
    fn a_method_asks_for_its_own_keys_and_refuses_the_other_ones() {
        let dpo = json!({"rejected": "{{ worse }}"});
        preference(dpo)
            .check()
            .expect("the better one is the task's");
        let kto = json!({"method": "kto", "answer": "{{ a }}", "wanted": "{{ good }}"});
        preference(kto).check().expect("sound");
        for (keys, wrong) in [
            (json!({}), "tune.preference.rejected"),
            (
                json!({"method": "kto", "answer": "a"}),
                "tune.preference.wanted",
            ),
            (
                json!({"method": "kto", "wanted": "true"}),
                "tune.preference.answer",
            ),
            (
                json!({"rejected": "x", "wanted": "true"}),
                "tune.preference.wanted",
            ),
            (json!({"rejected": "{{ x"}), "tune.preference.rejected"),
            (json!({"rejected": "x", "beta": 0}), "tune.preference.beta"),
            (
                json!({"rejected": "x", "learn": {"epochs": 0}}),
                "tune.preference.learn.epochs",
            ),
        ] {
            let error = preference(keys).check().expect_err(wrong).to_string();
            assert!(error.contains(wrong), "{wrong}: {error}");
        }
    }

    #[test]
    fn the_shape_is_that_of_the_supervised_stage() {
        let sft = SftSpec {
            rank: 3,
            learning_rate: 1.0,
            seed: 9,
            ..SftSpec::default()
        };
        let spec = LearnSpec::default().over(&sft);
        assert_eq!((spec.rank, spec.seed), (3, 1));
        assert!(spec.learning_rate < 1e-3);
        assert_eq!(spec.lora(), sft.lora());
    }

    #[test]
    fn what_is_told_is_the_section_without_data_and_pace() {
        let told = preference(json!({"rejected": "x", "beta": 0.5})).told();
        let keys: Vec<&str> = told.keys().map(String::as_str).collect();
        assert_eq!(keys.len(), 3, "{keys:?}");
        assert_eq!(
            (&told["method"], &told["beta"]),
            (&json!("dpo"), &json!(0.5))
        );
    }

    #[test]
    fn pairs_and_judged_answers_are_rows_of_the_supervised_stage_by_their_leaves() {
        let model = testing::model();
        let examples = testing::examples(2);
        let rows = crate::pack::pack(&model, &examples, &SftSpec::default()).expect("rows");
        let other = |example: &Example| (example.clone(), "{}".to_owned());
        let all: Vec<_> = examples.iter().map(other).collect();
        let pairs = pairs(&model, &all).expect("pairs");
        let wanted = |example: &Example| (example.clone(), true);
        let all: Vec<_> = examples.iter().map(wanted).collect();
        let judged = judged(&model, &all).expect("answers");
        for ((row, pair), judged) in rows.rows.iter().zip(&pairs).zip(&judged) {
            assert_eq!([&pair.prompt[..], &pair.chosen].concat(), row.tokens);
            assert_eq!([&judged.prompt[..], &judged.answer].concat(), row.tokens);
            assert_eq!((pair.leaf, judged.leaf), (row.leaf, row.leaf));
            let rejected = &pair.rejected[..pair.rejected.len() - 1];
            assert_eq!(model.tokenizer.decode(rejected, false), "{}");
        }
    }

    #[test]
    fn long_texts_come_in_pieces_under_their_records_leaf() {
        let (model, leaf) = (testing::model(), Digest::of(b"leaf"));
        let long = "the camera is great and ".repeat(20);
        let all = [("7".to_owned(), leaf, long.clone())];
        let spec = SftSpec {
            tokens_max: 16,
            ..SftSpec::default()
        };
        let packed = texts(&model, &all, &spec).expect("rows");
        assert!(packed.rows.len() > 2 && packed.over_long.is_empty());
        let tokens: Vec<u32> = packed.rows.iter().flat_map(|row| row.tokens).collect();
        let (end, text) = tokens.split_last().expect("tokens");
        assert!(model.config.eos.contains(end));
        assert_eq!(model.tokenizer.decode(text, false), long);
        assert!(packed.rows.iter().all(|row| row.leaf == leaf));
    }
}
