//! Log-probabilities as OpenAI's two interfaces spell them.
//!
//! Of every token of the answer there is one entry, the end token included, so that there are as many
//! as `usage.completion_tokens` says.

use lathe_engine::Tokenizer;
use serde_json::{Map, Value, json};

use crate::scheduler::TokenScore;

/// `choices[].logprobs` of a chat completion.
pub(super) fn of_chat(tokenizer: &Tokenizer, scores: &[TokenScore]) -> Value {
    let content: Vec<Value> = scores
        .iter()
        .map(|score| {
            let likeliest = score.likeliest.iter();
            let likeliest: Vec<Value> = likeliest
                .map(|(token, log_prob)| entry(tokenizer, *token, *log_prob))
                .collect();
            let mut entry = entry(tokenizer, score.token, score.log_prob.unwrap_or(0.0));
            entry["top_logprobs"] = Value::Array(likeliest);
            entry
        })
        .collect();
    json!({"content": content, "refusal": null})
}

fn entry(tokenizer: &Tokenizer, token: u32, log_prob: f32) -> Value {
    let bytes = tokenizer.bytes_of(token);
    json!({
        "token": String::from_utf8_lossy(bytes),
        "logprob": log_prob,
        "bytes": bytes,
    })
}

/// `choices[].logprobs` of a completion: of the prompt's tokens where it is echoed, then of the
/// answer's, before which `echo_chars` characters of the prompt stand.
pub(super) fn of_completion(
    tokenizer: &Tokenizer,
    prompt: &[TokenScore],
    answer: &[TokenScore],
    echo_chars: usize,
) -> Value {
    let all = || prompt.iter().chain(answer);
    let tokens: Vec<String> = all().map(|it| name(tokenizer, it.token)).collect();
    let log_probs: Vec<Option<f32>> = all().map(|it| it.log_prob).collect();
    let likeliest: Vec<Value> = all().map(|it| by_name(tokenizer, it)).collect();
    let mut offsets = offsets(tokenizer, prompt, echo_chars);
    offsets.extend(answer.iter().map(|it| echo_chars + it.offset_chars));
    json!({
        "tokens": tokens,
        "token_logprobs": log_probs,
        "top_logprobs": likeliest,
        "text_offset": offsets,
    })
}

/// Where each of a prompt's tokens begins in its text of `echo_chars` characters, in which the tokens
/// that begin every text are not spelt.
fn offsets(tokenizer: &Tokenizer, prompt: &[TokenScore], echo_chars: usize) -> Vec<usize> {
    let mut decoder = tokenizer.stream(false);
    let mut chars = 0;
    let mut begin = |score: &TokenScore| {
        let begin = chars;
        chars += decoder.push(score.token).chars().count();
        begin
    };
    let begins: Vec<usize> = prompt.iter().map(&mut begin).collect();
    let opening = tokenizer.opening();
    let tokens = prompt.iter().map(|score| &score.token);
    let opened = !opening.is_empty() && tokens.take(opening.len()).eq(opening);
    let unspelt = chars.saturating_sub(echo_chars);
    let spelt = |begin: usize| begin - if opened { unspelt.min(begin) } else { 0 };
    begins.into_iter().map(spelt).collect()
}

/// The likeliest tokens and the one that stands there, by name; null before a prompt's first token.
fn by_name(tokenizer: &Tokenizer, score: &TokenScore) -> Value {
    let Some(log_prob) = score.log_prob else {
        return Value::Null;
    };
    let mut names = Map::new();
    let own = (score.token, log_prob);
    for (token, log_prob) in score.likeliest.iter().copied().chain([own]) {
        // Of two tokens with one name the likelier stays.
        let entry = names.entry(name(tokenizer, token));
        entry.or_insert_with(|| json!(log_prob));
    }
    Value::Object(names)
}

/// A token's text; of one that is no text by itself its bytes, as OpenAI writes them.
fn name(tokenizer: &Tokenizer, token: u32) -> String {
    let bytes = tokenizer.bytes_of(token);
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => {
            let escaped = bytes.iter().map(|byte| format!("\\x{byte:02x}"));
            format!("bytes:{}", escaped.collect::<String>())
        }
    }
}
