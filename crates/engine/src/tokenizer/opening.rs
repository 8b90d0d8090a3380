//! The tokens that a model expects before every text: `<s>`, `<bos>`, or none.
//!
//! A chat template writes them itself, so [`Tokenizer::encode`] never adds any. A text that is read as
//! it is, without a template, gets them here, as `transformers`, llama.cpp and vLLM add them. What
//! some tokenizers put behind a text is absent: a text that is gone on with has no end.

use super::Tokenizer;
use crate::error::EngineError;
use crate::gguf::{Gguf, Value as Metadatum};
use serde_json::Value;

impl Tokenizer {
    /// Token ids of a text that no template was put around: those that begin every text first.
    pub fn encode_plain(&self, text: &str) -> Vec<u32> {
        [&self.opening[..], &self.encode(text)].concat()
    }

    /// The tokens that begin every text; most models have none.
    pub fn opening(&self) -> &[u32] {
        &self.opening
    }

    /// The same tokenizer, before whose texts these tokens stand.
    pub(crate) fn with_opening(self, tokens: &[u32]) -> Tokenizer {
        Tokenizer {
            opening: tokens.into(),
            ..self
        }
    }
}

/// What the post-processor of a `tokenizer.json` puts before a text. Only ids that the file names are
/// taken; a processor of another kind puts nothing there.
pub(super) fn of_post_processor(processor: Option<&Value>) -> Vec<u32> {
    let Some(processor) = processor else {
        return Vec::new();
    };
    if let Some(Value::Array(several)) = processor.get("processors") {
        let all = several.iter().map(|one| of_post_processor(Some(one)));
        return all.collect::<Vec<_>>().concat();
    }
    let Some(Value::Array(single)) = processor.get("single") else {
        return Vec::new();
    };
    let before = single.iter().map_while(|piece| piece.get("SpecialToken"));
    let ids = before.filter_map(|special| {
        let name = special.get("id")?.as_str()?;
        let ids = processor.get("special_tokens")?.get(name)?.get("ids")?;
        Some(ids.as_array()?.iter().filter_map(Value::as_u64))
    });
    ids.flatten()
        .filter_map(|id| u32::try_from(id).ok())
        .collect()
}

/// Whether a GGUF file puts its first token before every text; SentencePiece's do where nothing is said.
///
/// # Errors
/// [`EngineError`] where the file is damaged.
pub(crate) fn is_in_gguf(gguf: &Gguf<'_>) -> Result<bool, EngineError> {
    Ok(match gguf.get("tokenizer.ggml.add_bos_token") {
        Some(Metadatum::Bool(adds)) => *adds,
        _ => gguf.string("tokenizer.ggml.model")? == Some("llama"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The forms that tokenizer.json files of Llama 2, Llama 3, Gemma and Qwen hold.
    #[test]
    fn what_stands_before_a_text_is_read_from_every_form() {
        let template = |single: Value| {
            json!({
                "type": "TemplateProcessing",
                "single": single,
                "special_tokens": {
                    "<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]},
                    "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]},
                },
            })
        };
        let special = |name: &str| json!({"SpecialToken": {"id": name, "type_id": 0}});
        let text = json!({"Sequence": {"id": "A", "type_id": 0}});
        let llama2 = template(json!([special("<s>"), text]));
        let byte_level = json!({"type": "ByteLevel", "trim_offsets": false});
        let llama3 = json!({"type": "Sequence", "processors": [byte_level, llama2]});
        let ended = template(json!([special("<s>"), text, special("</s>")]));
        for (processor, expected) in [
            (llama2.clone(), vec![1]),
            (llama3, vec![1]),
            (ended, vec![1]),
            (template(json!([text, special("</s>")])), vec![]),
            (byte_level.clone(), vec![]),
            (template(json!([special("<none>"), text])), vec![]),
            (template(json!("<s>")), vec![]),
        ] {
            assert_eq!(of_post_processor(Some(&processor)), expected, "{processor}");
        }
        assert_eq!(of_post_processor(None), Vec::<u32>::new());
    }
}
