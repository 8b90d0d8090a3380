//! Files broken on purpose: cut anywhere, changed anywhere.
//!
//! The broken files are made from the fixtures by a seeded generator. Nothing
//! may panic, and nothing may allocate more than the bytes present justify: the
//! whole run is repeated in a child process whose address space is limited, so
//! that one allocation for a size that a file merely claims would end it.

#[path = "support/gguf_writer.rs"]
mod gguf_writer;

use gguf_writer::GgufWriter;
use lathe_engine::random::Random;
use lathe_engine::{Adapter, Config, LoraSpec, fuzz};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Changed files per format.
const CHANGES: usize = 4000;
/// What the child process may map: three times what it needs, for files of at most 200 kB.
const ADDRESS_SPACE_KIB_MAX: usize = 128 << 10;
/// Bytes of a file in which every length is tried; beyond, every 61st.
const CUT_EVERYWHERE_BYTES: usize = 700;

fn fixture(name: &str) -> Vec<u8> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    std::fs::read(path.join(name)).expect("the fixture is there")
}

/// Feeds every cut and many changes of a file to `read`.
fn torment(original: &[u8], read: impl Fn(&[u8])) {
    read(original);
    let everywhere = 0..original.len().min(CUT_EVERYWHERE_BYTES);
    for length in everywhere.chain((0..original.len()).step_by(61)) {
        read(&original[..length]);
    }
    let mut random = Random::new(original.len() as u64);
    for _ in 0..CHANGES {
        let mut changed = original.to_vec();
        for _ in 0..1 + below(&mut random, 3) {
            change(&mut changed, &mut random);
        }
        read(&changed);
    }
}

fn below(random: &mut Random, limit: usize) -> usize {
    (random.next_u64() % limit.max(1) as u64) as usize
}

/// One change of the kinds that break parsers: bits, extreme integers, numbers in text, pieces
/// removed, doubled and moved.
fn change(bytes: &mut Vec<u8>, random: &mut Random) {
    if bytes.len() < 16 {
        return;
    }
    // Half of the changes hit the head, where the sizes stand.
    let reach = if random.next_u64().is_multiple_of(2) {
        bytes.len().min(4096)
    } else {
        bytes.len()
    };
    let at = below(random, reach - 8);
    match random.next_u64() % 6 {
        0 => bytes[at] ^= 1 << (random.next_u64() % 8),
        1 => bytes[at] = random.next_u64() as u8,
        2 => {
            let extreme = [
                0,
                1,
                u64::MAX,
                i64::MAX as u64,
                1 << 32,
                u64::from(u32::MAX),
            ];
            let value: u64 = extreme[below(random, extreme.len())];
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        3 => extreme_number(bytes, at, random),
        4 => {
            let length = below(random, 40.min(bytes.len() - at));
            bytes.drain(at..at + length);
        }
        _ => {
            let from = below(random, bytes.len() - 8);
            let piece = bytes[from..(from + 1 + below(random, 40)).min(bytes.len())].to_vec();
            bytes.splice(at..at, piece);
        }
    }
}

/// Replaces the number in a text that stands at or after `at`.
fn extreme_number(bytes: &mut Vec<u8>, at: usize, random: &mut Random) {
    let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit) else {
        return;
    };
    let start = at + start;
    let digits = bytes[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let extreme = [
        "18446744073709551615",
        "4294967295",
        "-1",
        "0",
        "1e999",
        "99999999999999999999",
    ];
    let number = extreme[below(random, extreme.len())];
    bytes.splice(start..start + digits, number.bytes());
}

#[test]
fn gguf_files() {
    torment(&fixture("tiny-model.gguf"), fuzz::gguf);
}

#[test]
fn gguf_models() {
    torment(&fixture("tiny-model.gguf"), fuzz::gguf_model);
    torment(&windowed_metadata(), fuzz::gguf_model);
}

/// Metadata of a model with windows and a SentencePiece vocabulary; its tensors are missing, which
/// is found out last.
fn windowed_metadata() -> Vec<u8> {
    let tokens = [
        "<unk>", "<s>", "</s>", "<0x0A>", "\n\n", "▁", "a", "b", "ab", "▁ab", "abab", "aaaa", "aa",
    ];
    let mut writer = GgufWriter::default().string("general.architecture", "gemma3");
    for (key, value) in [
        ("block_count", 2),
        ("context_length", 64),
        ("embedding_length", 8),
        ("feed_forward_length", 12),
        ("attention.head_count", 2),
        ("attention.head_count_kv", 1),
        ("attention.sliding_window", 4),
        ("attention.sliding_window_pattern", 2),
    ] {
        writer = writer.unsigned(&format!("gemma3.{key}"), value);
    }
    writer
        .float("gemma3.attention.layer_norm_rms_epsilon", 1e-6)
        .string("tokenizer.ggml.model", "llama")
        .strings("tokenizer.ggml.tokens", tokens)
        .floats(
            "tokenizer.ggml.scores",
            (0..tokens.len()).map(|it| -(it as f32)),
        )
        .signed(
            "tokenizer.ggml.token_type",
            [2, 3, 3, 6, 4, 1, 1, 1, 1, 1, 1, 1, 1],
        )
        .unsigned("tokenizer.ggml.unknown_token_id", 0)
        .boolean("tokenizer.ggml.add_space_prefix", true)
        .finish()
}

#[test]
fn safetensors_files() {
    torment(&fixture("tiny-model/model.safetensors"), fuzz::safetensors);
}

#[test]
fn configs() {
    torment(&fixture("tiny-model/config.json"), fuzz::config);
    let stretched =
        br#"{"architectures":["LlamaForCausalLM"],"hidden_size":64,"num_hidden_layers":2,
        "num_attention_heads":4,"intermediate_size":128,"vocab_size":416,"rms_norm_eps":1e-5,
        "max_position_embeddings":512,"eos_token_id":[1,2],"rope_parameters":{"rope_type":"llama3",
        "factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"rope_theta":500000.0,
        "original_max_position_embeddings":64}}"#;
    torment(stretched, fuzz::config);
}

#[test]
fn tokenizers() {
    torment(&fixture("tiny-model/tokenizer.json"), fuzz::tokenizer);
}

#[test]
fn chat_templates() {
    let vectors = fixture("../reference/template-vectors.json");
    let vectors: serde_json::Value = serde_json::from_slice(&vectors).expect("JSON");
    for (_, template) in vectors["templates"].as_object().expect("an object") {
        torment(
            template["source"].as_str().expect("text").as_bytes(),
            fuzz::chat_template,
        );
    }
}

#[test]
fn adapters() {
    let config = Config::from_json(&fixture("tiny-model/config.json")).expect("sound");
    let spec = LoraSpec {
        rank: 2,
        alpha: 4.0,
        targets: vec!["q_proj".to_owned(), "down_proj".to_owned()],
        dora: false,
    };
    let adapter = Adapter::new(&config, &spec, 1).expect("is made");
    let folder = tempfile::tempdir().expect("a folder");
    adapter
        .save_peft(folder.path(), "tiny")
        .expect("is written");
    let mut files = std::fs::read(folder.path().join("adapter_config.json")).expect("is there");
    files.push(0);
    files.extend(std::fs::read(folder.path().join("adapter_model.safetensors")).expect("is there"));
    torment(&files, |bytes| fuzz::adapter(bytes, &config));
}

/// Runs every test above again where memory is short.
#[test]
#[cfg(target_os = "linux")]
fn nothing_allocates_what_a_file_merely_claims() {
    let program = std::env::current_exe().expect("this test's program");
    let limited = format!("ulimit -v {ADDRESS_SPACE_KIB_MAX} && exec \"$0\" \"$@\"");
    let output = Command::new("sh")
        .args(["-c", &limited])
        .arg(program)
        .args(["--skip", "nothing_allocates", "--test-threads", "1"])
        // One arena: each further one reserves 64 MB of address space.
        .env("MALLOC_ARENA_MAX", "1")
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("sh runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    assert!(said.contains("test result: ok. 7 passed"), "{said}");
}
