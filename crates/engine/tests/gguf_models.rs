//! GGUF files as models: what their metadata and tensors mean, and what is refused.

#[path = "support/gguf_writer.rs"]
mod gguf_writer;

use gguf_writer::GgufWriter;
use lathe_engine::{EngineError, RawModel};

const F32: u32 = 0;
const HIDDEN: u64 = 8;
const INNER: u64 = 12;

/// Metadata of a one-layer model with two heads of width 4, one of them for keys and values.
fn metadata() -> GgufWriter {
    GgufWriter::default()
        .string("general.architecture", "llama")
        .unsigned("llama.block_count", 1)
        .unsigned("llama.context_length", 64)
        .unsigned("llama.embedding_length", HIDDEN as u32)
        .unsigned("llama.feed_forward_length", INNER as u32)
        .unsigned("llama.attention.head_count", 2)
        .unsigned("llama.attention.head_count_kv", 1)
        .float("llama.attention.layer_norm_rms_epsilon", 1e-5)
        .string("tokenizer.ggml.model", "gpt2")
        .string("tokenizer.ggml.pre", "gpt-2")
        .strings("tokenizer.ggml.tokens", ["a", "b", "ab", "<end>"])
        .signed("tokenizer.ggml.token_type", [1, 1, 1, 3])
        .strings("tokenizer.ggml.merges", ["a b"])
        .unsigned("tokenizer.ggml.eos_token_id", 3)
}

/// A matrix whose row `r` consists of the number `r`.
fn numbered(writer: GgufWriter, name: &str, rows: u64, cols: u64) -> GgufWriter {
    let values = (0..rows).flat_map(|row| (0..cols).map(move |_| row as f32));
    let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
    writer.tensor(name, &[rows, cols], F32, &bytes)
}

fn tensors(mut writer: GgufWriter) -> GgufWriter {
    let matrices = [
        ("token_embd", 4, HIDDEN),
        ("blk.0.attn_q", 8, HIDDEN),
        ("blk.0.attn_k", 4, HIDDEN),
        ("blk.0.attn_v", 4, HIDDEN),
        ("blk.0.attn_output", HIDDEN, 8),
        ("blk.0.ffn_gate", INNER, HIDDEN),
        ("blk.0.ffn_up", INNER, HIDDEN),
        ("blk.0.ffn_down", HIDDEN, INNER),
    ];
    for (name, rows, cols) in matrices {
        writer = numbered(writer, &format!("{name}.weight"), rows, cols);
    }
    for name in [
        "output_norm.weight",
        "blk.0.attn_norm.weight",
        "blk.0.ffn_norm.weight",
    ] {
        writer = writer.tensor(name, &[HIDDEN], F32, &[0; 4 * HIDDEN as usize]);
    }
    writer
}

fn open(writer: GgufWriter) -> Result<RawModel, EngineError> {
    RawModel::from_gguf(writer.finish())
}

fn refused(writer: GgufWriter, code: &str, reason: &str) {
    let error = open(writer).err().expect("is refused");
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(reason), "{error}");
}

/// The numbers of a matrix's rows, in the order they come.
fn rows(model: &RawModel, name: &str) -> Vec<f32> {
    let (shape, values) = model.tensor_f32(name).expect("is there");
    values.chunks(shape[1]).map(|row| row[0]).collect()
}

#[test]
fn rows_of_q_and_k_come_in_the_order_of_hugging_face() {
    let model = open(tensors(metadata())).expect("opens");
    let name = |part: &str| format!("model.layers.0.self_attn.{part}.weight");
    assert_eq!(
        rows(&model, &name("q_proj")),
        [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]
    );
    assert_eq!(rows(&model, &name("k_proj")), [0.0, 2.0, 1.0, 3.0]);
    assert_eq!(rows(&model, &name("v_proj")), [0.0, 1.0, 2.0, 3.0]);
}

/// The model of a folder as llama.cpp's converter writes it: rows as they are.
fn as_gguf(folder: &RawModel, family: &str) -> GgufWriter {
    let config = &folder.config;
    let key = |name: &str| format!("{family}.{name}");
    let tokens = (0..config.vocab as u32).map(|id| format!("token {id}"));
    let mut writer = GgufWriter::default().string("general.architecture", family);
    if let Some(window) = &config.window {
        writer = writer
            .unsigned(&key("attention.sliding_window"), window.positions as u32)
            .unsigned(&key("attention.sliding_window_pattern"), 2)
            .float(&key("rope.freq_base_swa"), window.rope_theta);
    }
    for (name, value) in [
        ("block_count", config.layers),
        ("context_length", config.context),
        ("embedding_length", config.hidden),
        ("feed_forward_length", config.intermediate),
        ("attention.head_count", config.heads),
        ("attention.head_count_kv", config.kv_heads),
        ("attention.key_length", config.head_dim),
        ("attention.value_length", config.head_dim),
    ] {
        writer = writer.unsigned(&key(name), value as u32);
    }
    writer = writer
        .float(&key("attention.layer_norm_rms_epsilon"), config.rms_eps)
        .float(&key("rope.freq_base"), config.rope_theta)
        .string("tokenizer.ggml.model", "gpt2")
        .string("tokenizer.ggml.pre", "qwen2")
        .strings(
            "tokenizer.ggml.tokens",
            tokens.collect::<Vec<_>>().iter().map(String::as_str),
        )
        .strings("tokenizer.ggml.merges", [])
        .unsigned("tokenizer.ggml.bos_token_id", config.bos.expect("is named"))
        .unsigned("tokenizer.ggml.eos_token_id", config.eos[0]);
    for name in folder.tensor_names() {
        let (shape, mut values) = folder.tensor_f32(name).expect("is there");
        if family == "gemma3" && name.contains("norm") {
            values.iter_mut().for_each(|value| *value += 1.0);
        }
        let shape: Vec<u64> = shape.iter().map(|&size| size as u64).collect();
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let name = if family == "gemma3" {
            name.replace("post_attention_layernorm", "post_attention_norm")
        } else {
            name.to_owned()
        };
        writer = writer.tensor(&gguf_name(&name), &shape, F32, &bytes);
    }
    writer
}

fn gguf_name(name: &str) -> String {
    [
        ("model.layers", "blk"),
        ("self_attn.o_proj", "attn_output"),
        ("self_attn.q_norm", "attn_q_norm"),
        ("self_attn.k_norm", "attn_k_norm"),
        ("self_attn.", "attn_"),
        ("mlp.", "ffn_"),
        ("_proj", ""),
        ("input_layernorm", "attn_norm"),
        ("pre_feedforward_layernorm", "ffn_norm"),
        ("post_feedforward_layernorm", "post_ffw_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
    ]
    .iter()
    .fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

fn fixture(name: &str) -> RawModel {
    let tests = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests");
    lathe_engine::open(&tests.join("fixtures").join(name)).expect("the folder opens")
}

fn qwen2_as_gguf() -> GgufWriter {
    as_gguf(&fixture("tiny-qwen2"), "qwen2")
}

#[test]
fn a_model_is_the_folder_it_was_made_from() {
    for (family, tensors, of_block) in [("qwen2", 3, 12), ("qwen3", 2, 11), ("gemma3", 2, 13)] {
        let mut folder = fixture(&format!("tiny-{family}"));
        // No GGUF file names a factor other than the usual one.
        folder.config.attention_scale = 1.0 / (folder.config.head_dim as f32).sqrt();
        let gguf = open(as_gguf(&folder, family)).expect("opens");
        assert_eq!(gguf.config, folder.config);
        let names: Vec<_> = folder.tensor_names().collect();
        assert_eq!(names, gguf.tensor_names().collect::<Vec<_>>());
        assert_eq!(names.len(), tensors + of_block * folder.config.layers);
        for name in names {
            let [(shape, found), (expected_shape, expected)] =
                [&gguf, &folder].map(|it| it.tensor_f32(name).expect("is there"));
            assert_eq!(shape, expected_shape, "{name}");
            // Adding one and taking it away again rounds.
            let error_max = if family == "gemma3" { 1e-7 } else { 0.0 };
            let pairs = found.iter().zip(&expected);
            let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max);
            assert!(worst <= error_max, "{name}: {worst}");
        }
    }
    let window = qwen2_as_gguf().unsigned("qwen2.attention.sliding_window", 256);
    refused(window, "engine-unsupported", "256 tokens of sliding window");
}

#[test]
fn rows_are_read_alone_as_they_are_together() {
    let models = [
        fixture("tiny-qwen2"),
        open(qwen2_as_gguf()).expect("opens"),
        open(tensors(metadata())).expect("opens"),
    ];
    for model in models {
        for name in ["model.embed_tokens", "model.layers.0.self_attn.q_proj"] {
            let name = format!("{name}.weight");
            let (shape, whole) = model.tensor_f32(&name).expect("is there");
            let mut parts = Vec::new();
            for row in (0..shape[0]).step_by(3) {
                let rows = row..shape[0].min(row + 3);
                parts.extend(model.rows_f32(&name, rows).expect("is there"));
            }
            assert_eq!(parts, whole, "{name}");
        }
    }
}

#[test]
fn what_is_left_out_has_its_usual_value() {
    let config = open(tensors(metadata())).expect("opens").config;
    assert_eq!((config.vocab, config.head_dim, config.kv_heads), (4, 4, 1));
    assert_eq!(config.rope_theta, 10_000.0);
    assert!(config.tied_embeddings && config.rope_divisors.is_empty());
    assert_eq!((config.bos, config.eos), (None, vec![3]));
}

#[test]
fn an_output_matrix_of_its_own_is_the_head() {
    let model = open(numbered(tensors(metadata()), "output.weight", 4, HIDDEN)).expect("opens");
    assert!(!model.config.tied_embeddings);
    assert_eq!(rows(&model, "lm_head.weight"), [0.0, 1.0, 2.0, 3.0]);
}

#[test]
fn stretched_contexts_divide_the_rotary_frequencies() {
    let divisors: Vec<u8> = [1.0f32, 8.0].iter().flat_map(|d| d.to_le_bytes()).collect();
    let tensor = tensors(metadata()).tensor("rope_freqs.weight", &[2], F32, &divisors);
    assert_eq!(
        open(tensor).expect("opens").config.rope_divisors,
        [1.0, 8.0]
    );
    let linear = metadata()
        .string("llama.rope.scaling.type", "linear")
        .float("llama.rope.scaling.factor", 4.0);
    assert_eq!(
        open(tensors(linear)).expect("opens").config.rope_divisors,
        [4.0, 4.0]
    );
    let older = metadata().float("llama.rope.scale_linear", 4.0);
    assert_eq!(
        open(tensors(older)).expect("opens").config.rope_divisors,
        [4.0, 4.0]
    );
    let zero = tensors(metadata()).tensor("rope_freqs.weight", &[2], F32, &[0; 8]);
    refused(zero, "engine-damaged", "divisor");
}

#[test]
fn variants_that_are_not_computed_are_refused_by_name() {
    let other = GgufWriter::default().string("general.architecture", "mamba");
    refused(other, "engine-unsupported", "\"mamba\"");
    let experts = metadata().unsigned("llama.expert_count", 8);
    refused(tensors(experts), "engine-unsupported", "8 experts");
    let yarn = metadata().string("llama.rope.scaling.type", "yarn");
    refused(tensors(yarn), "engine-unsupported", "\"yarn\"");
    let partial = metadata().unsigned("llama.rope.dimension_count", 2);
    refused(
        tensors(partial),
        "engine-unsupported",
        "llama.rope.dimension_count = 2",
    );
    let bias = tensors(metadata()).tensor("blk.0.attn_q.bias", &[8], F32, &[0; 32]);
    refused(bias, "engine-unsupported", "blk.0.attn_q.bias");
}

#[test]
fn metadata_and_tensors_must_fit_each_other() {
    refused(
        metadata(),
        "engine-missing-tensor",
        "model.embed_tokens.weight",
    );
    let more_rows = metadata().unsigned("llama.vocab_size", 5);
    refused(tensors(more_rows), "engine-shape", "[5, 8]");
    let fewer_rows = metadata().unsigned("llama.vocab_size", 3);
    refused(tensors(fewer_rows), "engine-damaged", "special token 3");
    let lacks = GgufWriter::default().string("general.architecture", "llama");
    refused(lacks, "engine-damaged", "llama.embedding_length");
    let wide = metadata().unsigned("llama.attention.key_length", 6);
    refused(tensors(wide), "engine-shape", "[12, 8]");
}
