//! What loading holds at most: the packed model and one tensor, not copies of the whole.
//!
//! The model is nearly all embeddings, as small models with large vocabularies are. One test alone,
//! for the process's peak is measured; only where the system tells it (Linux).

use lathe_engine::{LoadOptions, Model};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

const VOCAB: usize = 60_000;
const MIB: usize = 1 << 20;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures/tiny-qwen2")
        .join(name)
}

/// The fixture's shapes with more rows, wider and with one block; the head is the embeddings.
fn config() -> Value {
    let bytes = std::fs::read(fixture("config.json")).expect("is there");
    let mut config: Value = serde_json::from_slice(&bytes).expect("JSON");
    config["vocab_size"] = json!(VOCAB);
    config["hidden_size"] = json!(512);
    config["head_dim"] = json!(16);
    config["num_hidden_layers"] = json!(1);
    config["tie_word_embeddings"] = json!(true);
    config
}

fn shapes() -> Vec<(String, Vec<usize>)> {
    let layer = |name: &str| format!("model.layers.0.{name}");
    vec![
        ("model.embed_tokens.weight".to_owned(), vec![VOCAB, 512]),
        ("model.norm.weight".to_owned(), vec![512]),
        (layer("input_layernorm.weight"), vec![512]),
        (layer("post_attention_layernorm.weight"), vec![512]),
        (layer("self_attn.q_proj.weight"), vec![96, 512]),
        (layer("self_attn.k_proj.weight"), vec![32, 512]),
        (layer("self_attn.v_proj.weight"), vec![32, 512]),
        (layer("self_attn.q_proj.bias"), vec![96]),
        (layer("self_attn.k_proj.bias"), vec![32]),
        (layer("self_attn.v_proj.bias"), vec![32]),
        (layer("self_attn.o_proj.weight"), vec![512, 96]),
        (layer("mlp.gate_proj.weight"), vec![160, 512]),
        (layer("mlp.up_proj.weight"), vec![160, 512]),
        (layer("mlp.down_proj.weight"), vec![512, 160]),
    ]
}

/// Writes the folder piece by piece, so that this takes no memory itself.
fn write_model(folder: &Path) {
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(fixture(name), folder.join(name)).expect("is copied");
    }
    std::fs::write(folder.join("config.json"), config().to_string()).expect("is written");
    let (mut header, mut end) = (json!({}), 0);
    for (name, shape) in shapes() {
        let start = end;
        end += 2 * shape.iter().product::<usize>();
        header[name] = json!({"dtype": "BF16", "shape": shape, "data_offsets": [start, end]});
    }
    let header = header.to_string();
    let file = File::create(folder.join("model.safetensors")).expect("is made");
    let mut file = BufWriter::new(file);
    let mut write = |bytes: &[u8]| file.write_all(bytes).expect("is written");
    write(&(header.len() as u64).to_le_bytes());
    write(header.as_bytes());
    for at in 0..end / 2 {
        // About ±0.01, in bfloat16.
        write(&(0x3c00u16 | ((at % 2) << 15) as u16 | (at % 64) as u16).to_le_bytes());
    }
    file.flush().expect("is written");
}

/// A line of `/proc/self/status`, in bytes.
fn memory(line: &str) -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let found = status.lines().find(|found| found.starts_with(line))?;
    let kib: usize = found.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

#[test]
fn loading_holds_the_packed_model_and_one_tensor() {
    let folder = tempfile::tempdir().expect("a folder");
    write_model(folder.path());
    let Some(before) = memory("VmHWM:") else {
        return;
    };
    let model = Model::load(folder.path(), LoadOptions::default()).expect("it loads");
    let peak = memory("VmHWM:").expect("as before") - before;
    let values = model.config.parameters() as usize;
    // The embeddings twice in bf16, as rows and as the packed head, and one tensor in f32.
    let packed = 2 * 2 * values;
    let tensor = 4 * VOCAB * model.config.hidden;
    println!(
        "{} MiB for {values} values: {} MiB packed, {} MiB of one tensor",
        peak / MIB,
        packed / MIB,
        tensor / MIB
    );
    assert!(peak > packed, "the peak was measured");
    assert!(
        peak < packed + tensor + 24 * MIB,
        "{} MiB at most, {} MiB of them packed",
        peak / MIB,
        packed / MIB
    );
}
