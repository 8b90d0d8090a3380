//! What a request for text asks of any model: the parameters that chat and plain completions share.
//!
//! How each is read and refused stands here once; what only one of the two has is in its own request.

use lathe_engine::Sampling;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::bias;
use super::error::ApiError;
use super::fields::Fields;
use crate::scheduler::{Bias, Penalties, Plan, Wanted};

/// Stop sequences in one request (OpenAI allows four).
pub(super) const STOP_SEQUENCES_MAX: usize = 16;
/// Length of one stop sequence.
pub(super) const STOP_BYTES_MAX: usize = 1024;

/// Answers to one prompt.
pub(super) const ANSWERS_MAX: i64 = 8;
/// The least urgent a request can be.
const PRIORITY_MAX: i64 = 100;

/// The parameters that both interfaces have.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// Name of the model.
    pub model: String,
    /// How the answers are sent.
    pub delivery: Delivery,
    /// How tokens are chosen; `seed` of 0 where the caller fixed none and none was drawn.
    pub sampling: Sampling,
    /// Whether the caller fixed the seed.
    pub seeded: bool,
    /// What repeated tokens cost.
    pub penalties: Penalties,
    /// What is added to single tokens' logits.
    pub bias: Bias,
    /// Texts that end an answer.
    pub stop: Vec<String>,
    /// Longest answer, if that is stated.
    pub answer_tokens_max: Option<usize>,
    /// Goes on past the model's end token; for load tests.
    pub ignore_eos: bool,
    /// Who goes first where not all can, 0 before all others.
    pub priority: u8,
    /// Answers to each prompt.
    pub answers: usize,
    /// Whether log-probabilities are told, and how many of the likeliest tokens beside each.
    pub scores: Option<usize>,
}

/// How the answer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// One JSON object.
    Whole,
    /// Server-sent events, with the usage as told.
    Stream(StreamUsage),
}

/// Where a stream tells how many tokens were used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamUsage {
    /// On the chunk that carries `finish_reason`: the default here. It reaches
    /// callers who never asked and breaks none that reads `choices[0]`.
    WithFinish,
    /// In a chunk of its own without choices, as OpenAI does on
    /// `include_usage: true`.
    OwnChunk,
    /// Not at all, on `include_usage: false`.
    Absent,
}

impl Terms {
    /// Reads the members that both interfaces spell alike; the longest answer and the scores, which
    /// they do not, come read.
    ///
    /// # Errors
    /// 400 naming the parameter that is missing, of the wrong kind or out of its range.
    pub(super) fn read(
        map: &Map<String, Value>,
        answer_tokens_max: Option<usize>,
        scores: Option<usize>,
    ) -> Result<Terms, ApiError> {
        let fields = Fields::new(map);
        let seed = fields.seed()?;
        Ok(Terms {
            model: fields.required_text("model")?,
            delivery: read_delivery(&fields)?,
            sampling: read_sampling(&fields, seed)?,
            seeded: seed.is_some(),
            penalties: read_penalties(&fields)?,
            bias: bias::read(&fields)?,
            stop: read_stop(map.get("stop"))?,
            answer_tokens_max,
            ignore_eos: fields.flag("ignore_eos")?.unwrap_or(false),
            priority: read_priority(&fields)?,
            answers: read_answers(&fields)?,
            scores,
        })
    }

    /// Draws a seed where the caller fixed none.
    pub(super) fn draw_seed(&mut self) {
        if !self.seeded {
            // The low half of a version 7 identifier is random.
            self.sampling.seed = Uuid::now_v7().as_u64_pair().1;
        }
    }

    /// How the first answer to a prompt is made, of at most so many tokens. It begins a turn and obeys
    /// no grammar, and the prompt has no scores, unless the caller says otherwise.
    pub(super) fn plan(&self, answer_tokens_max: usize) -> Plan {
        Plan {
            sampling: self.sampling.clone(),
            penalties: self.penalties,
            bias: self.bias.clone(),
            stop: self.stop.clone(),
            answer_tokens_max,
            ignore_eos: self.ignore_eos,
            priority: self.priority,
            grammar: None,
            continues: false,
            scores: Wanted {
                prompt: None,
                answer: self.scores,
            },
        }
    }
}

/// `priority` as vLLM means it, the smaller first, but from 0 on: a caller can let others past, and not
/// pass by them.
fn read_priority(fields: &Fields<'_>) -> Result<u8, ApiError> {
    let priority = fields.integer("priority", 0, PRIORITY_MAX)?;
    Ok(priority.map_or(0, |priority| priority as u8))
}

/// `n`, which is 1 where it is not given.
fn read_answers(fields: &Fields<'_>) -> Result<usize, ApiError> {
    let answers = fields.integer("n", 1, ANSWERS_MAX)?;
    Ok(answers.map_or(1, |answers| answers as usize))
}

fn read_penalties(fields: &Fields<'_>) -> Result<Penalties, ApiError> {
    let penalty = |name: &str| -> Result<f32, ApiError> {
        Ok(fields.number(name, -2.0, 2.0)?.unwrap_or(0.0))
    };
    Ok(Penalties {
        presence: penalty("presence_penalty")?,
        frequency: penalty("frequency_penalty")?,
    })
}

/// Without a temperature the answer is greedy: that is what the gate measured.
fn read_sampling(fields: &Fields<'_>, seed: Option<u64>) -> Result<Sampling, ApiError> {
    let top_p = fields.number("top_p", 0.0, 1.0)?.unwrap_or(1.0);
    if top_p <= 0.0 {
        return Err(ApiError::invalid(
            Some("top_p"),
            "'top_p' must be above 0 and at most 1.",
        ));
    }
    Ok(Sampling {
        temperature: fields.number("temperature", 0.0, 2.0)?.unwrap_or(0.0),
        top_p,
        top_k: fields
            .integer("top_k", 0, i64::from(u32::MAX))?
            .unwrap_or(0) as usize,
        seed: seed.unwrap_or(0),
    })
}

fn read_delivery(fields: &Fields<'_>) -> Result<Delivery, ApiError> {
    let stream = fields.flag("stream")?.unwrap_or(false);
    let Some(options) = fields.object("stream_options")? else {
        let usage = StreamUsage::WithFinish;
        return Ok(if stream {
            Delivery::Stream(usage)
        } else {
            Delivery::Whole
        });
    };
    if !stream {
        let message = "'stream_options' is only allowed together with 'stream': true.";
        return Err(ApiError::invalid(Some("stream_options"), message));
    }
    let known = ["include_usage", "include_obfuscation"];
    if let Some(name) = options.keys().find(|name| !known.contains(&name.as_str())) {
        let message = format!("Unrecognized stream option: {name}.");
        return Err(ApiError::invalid(Some("stream_options"), message));
    }
    Ok(Delivery::Stream(match options.get("include_usage") {
        None | Some(Value::Null) => StreamUsage::WithFinish,
        Some(Value::Bool(true)) => StreamUsage::OwnChunk,
        Some(Value::Bool(false)) => StreamUsage::Absent,
        Some(_) => {
            let message = "'stream_options.include_usage' must be true or false.";
            return Err(ApiError::invalid(Some("stream_options"), message));
        }
    }))
}

fn read_stop(value: Option<&Value>) -> Result<Vec<String>, ApiError> {
    let refuse = || {
        let message = format!(
            "'stop' must be a string or at most {STOP_SEQUENCES_MAX} strings, each of 1 to \
             {STOP_BYTES_MAX} bytes."
        );
        ApiError::invalid(Some("stop"), message)
    };
    let sequences = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) if many.len() <= STOP_SEQUENCES_MAX => many
            .iter()
            .map(|one| one.as_str().map(str::to_owned).ok_or_else(refuse))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(refuse()),
    };
    if sequences
        .iter()
        .any(|one| one.is_empty() || one.len() > STOP_BYTES_MAX)
    {
        return Err(refuse());
    }
    Ok(sequences)
}
