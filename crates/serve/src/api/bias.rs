//! `logit_bias`: what is added to the logits of single tokens.

use super::error::ApiError;
use super::fields::Fields;
use crate::scheduler::Bias;

/// Tokens in one request.
const TOKENS_MAX: usize = 1024;
/// The most that is added or taken away (OpenAI's bound).
const BIAS_MAX: f64 = 100.0;

/// Reads the member `logit_bias`: token ids as names, numbers as values.
///
/// # Errors
/// 400 where it is none.
pub(super) fn read(fields: &Fields<'_>) -> Result<Bias, ApiError> {
    let Some(given) = fields.object("logit_bias")? else {
        return Ok(Bias::default());
    };
    let refuse = || {
        let message = format!(
            "'logit_bias' must hold at most {TOKENS_MAX} token ids, each with a number from \
             -{BIAS_MAX} to {BIAS_MAX}."
        );
        ApiError::invalid(Some("logit_bias"), message)
    };
    if given.len() > TOKENS_MAX {
        return Err(refuse());
    }
    let pairs = given.iter().map(|(token, bias)| {
        let token: u32 = token.parse().map_err(|_| refuse())?;
        let bias = bias.as_f64().filter(|it| it.abs() <= BIAS_MAX);
        bias.map(|it| (token, it as f32)).ok_or_else(refuse)
    });
    Ok(Bias(pairs.collect::<Result<_, ApiError>>()?))
}

/// Refuses tokens that the model does not have.
///
/// # Errors
/// 400 naming the token.
pub(super) fn check(bias: &Bias, vocab: usize) -> Result<(), ApiError> {
    match bias.0.iter().find(|(token, _)| *token as usize >= vocab) {
        None => Ok(()),
        Some((token, _)) => {
            let message =
                format!("'logit_bias' names token {token}, but this model has {vocab} tokens.");
            Err(ApiError::invalid(Some("logit_bias"), message))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read_from(value: Value) -> Result<Bias, ApiError> {
        let body = json!({"logit_bias": value});
        read(&Fields::new(body.as_object().expect("an object")))
    }

    #[test]
    fn ids_and_numbers_are_read() {
        let read = read_from(json!({"5": 10, "0": -99.5})).expect("readable");
        assert_eq!(read, Bias(vec![(5, 10.0), (0, -99.5)]));
        assert!(check(&read, 6).is_ok());
        let error = check(&read, 5).expect_err("no such token");
        assert_eq!(error.body()["error"]["param"], "logit_bias");
        assert_eq!(read_from(json!(null)).expect("none"), Bias::default());
    }

    #[test]
    fn what_is_no_bias_is_refused() {
        let many: serde_json::Map<String, Value> = (0..=TOKENS_MAX)
            .map(|id| (id.to_string(), json!(1)))
            .collect();
        for value in [
            json!([1]),
            json!({"hello": 1}),
            json!({"-1": 1}),
            json!({"1": "x"}),
            json!({"1": 100.5}),
            Value::Object(many),
        ] {
            let error = read_from(value.clone()).expect_err("no bias");
            assert_eq!(error.body()["error"]["param"], "logit_bias", "{value}");
        }
    }
}
