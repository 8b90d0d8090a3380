//! What a caller of `/v1/completions` asked for: its JSON read strictly.

use serde_json::{Map, Value};

use super::super::error::ApiError;
use super::super::fields::Fields;
use super::super::parameters::Handling::{Ignored, Only, Read};
use super::super::parameters::{self, Table};
use super::super::prompts::{self, Given};
use super::super::terms::{ANSWERS_MAX, Terms};

/// The likeliest tokens told beside each (OpenAI's bound).
const LIKELIEST_MAX: i64 = 5;

/// Every known parameter, by name.
const PARAMETERS: &Table = &[
    ("best_of", Read),
    ("echo", Read),
    ("frequency_penalty", Read),
    ("ignore_eos", Read),
    ("logit_bias", Read),
    ("logprobs", Read),
    ("max_tokens", Read),
    ("metadata", Ignored),
    ("model", Read),
    ("n", Read),
    ("presence_penalty", Read),
    ("priority", Read),
    ("prompt", Read),
    ("seed", Read),
    ("stop", Read),
    ("stream", Read),
    ("stream_options", Read),
    (
        "suffix",
        Only(
            is_no_text,
            "the model goes on with a text, it fills no gaps",
        ),
    ),
    ("temperature", Read),
    ("top_k", Read),
    ("top_p", Read),
    ("user", Ignored),
];

fn is_no_text(value: &Value) -> bool {
    value.as_str().is_some_and(str::is_empty)
}

/// A completion as it was asked for.
#[derive(Debug)]
pub(super) struct CompletionRequest {
    /// What any model is asked; a longest answer of 0 only together with `echo`.
    pub terms: Terms,
    /// The texts that are gone on with.
    pub prompts: Vec<Given>,
    /// Whether the prompt stands in front of its answer.
    pub echo: bool,
}

impl CompletionRequest {
    /// Reads the members of a request's body.
    ///
    /// # Errors
    /// 400 naming the parameter that is missing, of the wrong kind, out of its range, unknown or
    /// unsupported.
    pub(super) fn read(map: &Map<String, Value>) -> Result<CompletionRequest, ApiError> {
        parameters::check_by(PARAMETERS, map)?;
        let fields = Fields::new(map);
        let echo = fields.flag("echo")?.unwrap_or(false);
        let scores = fields.integer("logprobs", 0, LIKELIEST_MAX)?;
        let scores = scores.map(|count| count as usize);
        let terms = Terms::read(map, read_answer_tokens_max(&fields, echo)?, scores)?;
        check_best_of(&fields, terms.answers)?;
        Ok(CompletionRequest {
            terms,
            prompts: prompts::read(map, "prompt")?,
            echo,
        })
    }
}

fn read_answer_tokens_max(fields: &Fields<'_>, echo: bool) -> Result<Option<usize>, ApiError> {
    let tokens = fields.integer("max_tokens", 0, i64::from(u32::MAX))?;
    if tokens == Some(0) && !echo {
        let message = "'max_tokens' of 0 is only allowed together with 'echo': true: without it \
                       nothing would be answered.";
        return Err(ApiError::invalid(Some("max_tokens"), message));
    }
    Ok(tokens.map(|tokens| tokens as usize))
}

/// All answers that are made are sent.
fn check_best_of(fields: &Fields<'_>, answers: usize) -> Result<(), ApiError> {
    match fields.integer("best_of", 1, ANSWERS_MAX.max(20))? {
        Some(best_of) if best_of as usize != answers => Err(ApiError::unsupported(
            "best_of",
            "no answers are made but the 'n' that are sent",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scheduler::Bias;

    fn parse(extra: Value) -> Result<CompletionRequest, ApiError> {
        let mut request = json!({"model": "m", "prompt": "hello"});
        let members = extra.as_object().expect("an object").clone();
        request.as_object_mut().expect("an object").extend(members);
        CompletionRequest::read(request.as_object().expect("an object"))
    }

    #[test]
    fn reads_every_parameter() {
        let read = parse(json!({
            "prompt": [[1, 2], [3]], "n": 2, "best_of": 2, "echo": true, "logprobs": 5,
            "max_tokens": 0, "seed": 4, "temperature": 1, "stop": "x", "suffix": null,
            "logit_bias": {"7": 1}, "stream": true,
        }))
        .expect("readable");
        let tokens = |ids: &[u32]| Given::Tokens(ids.to_vec());
        assert_eq!(read.prompts, [tokens(&[1, 2]), tokens(&[3])]);
        assert_eq!(
            (read.terms.answers, read.echo, read.terms.scores),
            (2, true, Some(5))
        );
        assert_eq!(
            (read.terms.answer_tokens_max, read.terms.seeded),
            (Some(0), true)
        );
        assert_eq!(read.terms.bias, Bias(vec![(7, 1.0)]));
        let plain = parse(json!({})).expect("readable");
        assert_eq!(
            (plain.terms.answers, plain.echo, plain.terms.scores),
            (1, false, None)
        );
        assert_eq!(plain.terms.answer_tokens_max, None);
    }

    #[test]
    fn refuses_by_name() {
        for (name, value, code) in [
            ("suffix", json!("end"), json!("unsupported_parameter")),
            ("best_of", json!(3), json!("unsupported_parameter")),
            ("messages", json!([]), json!("unknown_parameter")),
            ("logprobs", json!(6), json!(null)),
            ("logprobs", json!(true), json!(null)),
            ("max_tokens", json!(0), json!(null)),
            ("max_tokens", json!(-1), json!(null)),
            ("n", json!(9), json!(null)),
            ("echo", json!("yes"), json!(null)),
            ("prompt", json!(null), json!(null)),
            ("prompt", json!({}), json!(null)),
        ] {
            let error = parse(json!({name: value})).expect_err(name);
            let error = &error.body()["error"];
            assert_eq!((&error["param"], &error["code"]), (&json!(name), &code));
        }
    }

    #[test]
    fn the_guide_names_every_parameter_and_the_table_is_sorted() {
        let guide = include_str!("../../../../../docs/guide/serving.md");
        for (name, _) in PARAMETERS {
            assert!(guide.contains(&format!("`{name}`")), "{name}");
        }
        assert!(PARAMETERS.is_sorted_by(|(a, _), (b, _)| a < b));
    }
}
