//! A `tokenizer.json` and `tokenizer_config.json` for a model that came as GGUF.
//!
//! The encoder is the one that answers here, written out by the library it runs on; the decoder is put
//! beside it. Tokens that the file adds to every text (`tokenizer.ggml.add_bos_token`) become a
//! post-processor, which Lathe heeds where no template is put around a text.

use super::Speech;
use crate::config::Config;
use crate::error::EngineError;
use crate::gguf::Gguf;
use crate::tokenizer::Tokenizer;
use crate::tokenizer::opening::is_in_gguf;
use serde_json::{Map, Value, json};

/// The text of a `tokenizer.json`.
///
/// # Errors
/// [`EngineError::Tokenizer`] where it would not be read as the same tokenizer.
pub(super) fn of(
    tokenizer: &Tokenizer,
    config: &Config,
    gguf: &Gguf<'_>,
) -> Result<String, EngineError> {
    let mut file = tokenizer.to_json()?;
    if is_in_gguf(gguf)?
        && let Some(id) = config.bos
    {
        let bos = tokenizer.decode(&[id], false);
        file["post_processor"] = post_processor(&bos, id);
    }
    let text = serde_json::to_string(&file).expect("a JSON value is always written");
    Tokenizer::from_json(text.as_bytes())?;
    Ok(text)
}

fn post_processor(bos: &str, id: u32) -> Value {
    let special = json!({ "SpecialToken": { "id": bos, "type_id": 0 } });
    let text = |id: &str, kind: u8| json!({ "Sequence": { "id": id, "type_id": kind } });
    json!({
        "type": "TemplateProcessing",
        "single": [special, text("A", 0)],
        "pair": [special, text("A", 0), text("B", 1)],
        "special_tokens": { bos: { "id": bos, "ids": [id], "tokens": [bos] } },
    })
}

/// What `transformers` has to know beside the tokenizer.
pub(super) fn described(tokenizer: &Tokenizer, config: &Config, speech: &Speech<'_>) -> Value {
    let mut file = Map::new();
    file.insert(
        "tokenizer_class".to_owned(),
        json!("PreTrainedTokenizerFast"),
    );
    file.insert("model_max_length".to_owned(), json!(config.context));
    file.insert("clean_up_tokenization_spaces".to_owned(), json!(false));
    if let Some(template) = speech.template {
        for (name, token) in template.special() {
            file.insert(name.clone(), json!(token));
        }
    }
    if let Some(id) = config.bos {
        file.insert(
            "bos_token".to_owned(),
            json!(tokenizer.decode(&[id], false)),
        );
    }
    Value::Object(file)
}
