//! Entry points for outside bytes, one per format, for fuzz targets and for the
//! tests that break files on purpose.
//!
//! Each takes whatever bytes there are and goes as far as the format allows:
//! parses, and reads what it parsed. It must not panic, and must not allocate
//! beyond a small multiple of the bytes present; the result does not matter.

use crate::adapter::Adapter;
use crate::config::{self, Config};
use crate::gguf::{Gguf, Value};
use crate::template::{ChatTemplate, Message, SpecialTokens};
use crate::tokenizer::Tokenizer;
use crate::weights::RawModel;

/// A GGUF file: metadata and every tensor, without asking what they mean.
pub fn gguf(bytes: &[u8]) {
    let Ok(gguf) = Gguf::parse(bytes) else { return };
    for (_, value) in gguf.metadata() {
        if let Value::Array(array) = value {
            array.iter().for_each(drop);
        }
    }
    for (_, info) in gguf.tensors() {
        drop(info.block_type.dequantize(&bytes[info.bytes.clone()]));
    }
}

/// A GGUF file as a model: config, tokenizer, template and every tensor.
pub fn gguf_model(bytes: &[u8]) {
    let Ok(model) = RawModel::from_gguf(bytes.to_vec()) else {
        return;
    };
    for name in model.tensor_names() {
        drop(model.tensor_f32(name));
    }
    use_tokenizer(&model.tokenizer);
}

/// A safetensors file, and the index of shards.
pub fn safetensors(bytes: &[u8]) {
    drop(crate::safetensors::parse_index(bytes));
    let Ok(entries) = crate::safetensors::parse(bytes) else {
        return;
    };
    for (name, entry) in entries {
        drop(entry.values(bytes, &name));
    }
}

/// A `config.json` or a `generation_config.json`.
pub fn config(bytes: &[u8]) {
    drop(config::generation_eos(bytes));
    if let Ok(config) = Config::from_json(bytes) {
        drop(config.inverse_frequencies());
        let window = config.window.as_ref();
        drop(window.map(|it| it.inverse_frequencies(config.head_dim)));
    }
}

/// A `tokenizer.json`; what it builds is used.
pub fn tokenizer(bytes: &[u8]) {
    if let Ok(tokenizer) = Tokenizer::from_json(bytes) {
        use_tokenizer(&tokenizer);
    }
}

/// A chat template, rendered for a conversation with a tool.
pub fn chat_template(bytes: &[u8]) {
    let Ok(source) = std::str::from_utf8(bytes) else {
        return;
    };
    let function = serde_json::json!({"name": "f", "arguments": {"x": 0.5}});
    let call = Message {
        role: "assistant".to_owned(),
        tool_calls: Some(serde_json::json!([{"function": function}])),
        ..Message::default()
    };
    let turns = [
        Message::new("user", "Hello"),
        Message::new("assistant", "你好"),
        call,
    ];
    if let Ok(template) = ChatTemplate::new(source, SpecialTokens::new()) {
        let tools = serde_json::json!([{"type": "function", "function": {"name": "f"}}]);
        drop(template.render_with_tools(&turns, Some(&tools), true));
    }
}

/// The two files of an adapter for `model`: config, a zero byte, weights.
pub fn adapter(bytes: &[u8], model: &Config) {
    let cut = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    let (config, weights) = bytes.split_at(cut);
    drop(Adapter::from_peft(
        config,
        weights.get(1..).unwrap_or_default(),
        model,
    ));
}

fn use_tokenizer(tokenizer: &Tokenizer) {
    let ids = tokenizer.encode("<|im_start|>user\nIt's 12.5 €, 你好 👋!  <|im_end|>");
    drop(tokenizer.decode(&ids, true));
    drop(tokenizer.decode(&[0, 1, u32::MAX], false));
}
