//! Weights kept in the blocks they are stored in: close to the dequantised ones, and as indifferent
//! to batch, chunks and threads as those.

mod common;
#[path = "support/gguf_writer.rs"]
mod gguf_writer;

use common::{Numbers, random_adapter};
use gguf_writer::GgufWriter;
use lathe_engine::gguf::blocks::BlockType;
use lathe_engine::{
    Adapter, AdapterRun, Batch, Chunk, KvCache, LoadOptions, Logits, LoraSpec, Model,
    PackedAdapter, Part, Scratch, Trainer, forward, forward_mixed,
};
use lathe_kernel::{Pool, Precision};

const HIDDEN: usize = 64;
const INNER: usize = 96;
const TOKENS: usize = 40;

const ARCHITECTURES: [&str; 2] = ["llama", "qwen2"];

/// Two heads of width 32, one of them for keys and values.
fn metadata(architecture: &str) -> GgufWriter {
    let tokens: Vec<String> = (0..TOKENS).map(|token| format!("t{token}")).collect();
    let key = |key: &str| format!("{architecture}.{key}");
    GgufWriter::default()
        .string("general.architecture", architecture)
        .unsigned(&key("block_count"), 2)
        .unsigned(&key("context_length"), 128)
        .unsigned(&key("embedding_length"), HIDDEN as u32)
        .unsigned(&key("feed_forward_length"), INNER as u32)
        .unsigned(&key("attention.head_count"), 2)
        .unsigned(&key("attention.head_count_kv"), 1)
        .float(&key("attention.layer_norm_rms_epsilon"), 1e-5)
        .string("tokenizer.ggml.model", "gpt2")
        .string("tokenizer.ggml.pre", "gpt-2")
        .strings("tokenizer.ggml.tokens", tokens.iter().map(String::as_str))
        .signed("tokenizer.ggml.token_type", [1; TOKENS])
        .strings("tokenizer.ggml.merges", [])
        .unsigned("tokenizer.ggml.eos_token_id", 3)
}

/// GGUF's number of a type.
fn id(block_type: BlockType) -> u32 {
    (0..40)
        .find(|&id| BlockType::from_id(id, "").is_ok_and(|known| known == block_type))
        .expect("every type has a number")
}

/// Blocks of random codes with scales of about 2⁻⁷; offsets put the middle at about zero.
fn random_blocks(random: &mut Numbers, block_type: BlockType, values: usize) -> Vec<u8> {
    let blocks = values / block_type.block_values();
    let mut bytes = Vec::new();
    for _ in 0..blocks {
        // In half precision: 2⁻⁸ to 2⁻⁷, and −8 times that.
        let scale = 0x1c00 + (random.uniform() * 1023.0) as u16;
        bytes.extend(scale.to_le_bytes());
        let mut rest = block_type.block_bytes() - 2;
        if block_type == BlockType::Q4_1 {
            bytes.extend(((scale + 0x0c00) | 0x8000).to_le_bytes());
            rest -= 2;
        }
        bytes.extend((0..rest).map(|_| (random.uniform() * 256.0) as u8));
    }
    bytes
}

fn quantised_model(architecture: &str) -> tempfile::TempDir {
    let mut random = Numbers(3);
    let mut writer = metadata(architecture);
    let kinds = [
        BlockType::Q4_1,
        BlockType::Q4_0,
        BlockType::Q8_0,
        BlockType::Q5_0,
    ];
    let mut matrices = vec![("token_embd".to_owned(), TOKENS, HIDDEN)];
    for block in 0..2 {
        for (name, rows, cols) in [
            ("attn_q", HIDDEN, HIDDEN),
            ("attn_k", HIDDEN / 2, HIDDEN),
            ("attn_v", HIDDEN / 2, HIDDEN),
            ("attn_output", HIDDEN, HIDDEN),
            ("ffn_gate", INNER, HIDDEN),
            ("ffn_up", INNER, HIDDEN),
            ("ffn_down", HIDDEN, INNER),
        ] {
            matrices.push((format!("blk.{block}.{name}"), rows, cols));
        }
        for name in ["attn_norm", "ffn_norm"] {
            writer = norm(writer, &format!("blk.{block}.{name}.weight"));
        }
        if architecture == "qwen2" {
            writer = biases(writer, &mut random, block);
        }
    }
    writer = norm(writer, "output_norm.weight");
    for (at, (name, rows, cols)) in matrices.iter().enumerate() {
        // The embeddings by 8 bits, as files have them; the others in turn.
        let kind = if at == 0 {
            BlockType::Q8_0
        } else {
            kinds[at % kinds.len()]
        };
        let bytes = random_blocks(&mut random, kind, rows * cols);
        let shape = [*rows as u64, *cols as u64];
        writer = writer.tensor(&format!("{name}.weight"), &shape, id(kind), &bytes);
    }
    let folder = tempfile::tempdir().expect("a folder for the test");
    std::fs::write(folder.path().join("model.gguf"), writer.finish()).expect("the folder is ours");
    folder
}

fn norm(writer: GgufWriter, name: &str) -> GgufWriter {
    let ones: Vec<u8> = [1.0f32; HIDDEN]
        .into_iter()
        .flat_map(f32::to_le_bytes)
        .collect();
    writer.tensor(name, &[HIDDEN as u64], id(BlockType::F32), &ones)
}

fn biases(mut writer: GgufWriter, random: &mut Numbers, block: usize) -> GgufWriter {
    for (part, width) in [("q", HIDDEN), ("k", HIDDEN / 2), ("v", HIDDEN / 2)] {
        let values = (0..width).flat_map(|_| (0.5 * random.normal()).to_le_bytes());
        let (bytes, shape) = (values.collect::<Vec<u8>>(), [width as u64]);
        let name = format!("blk.{block}.attn_{part}.bias");
        writer = writer.tensor(&name, &shape, id(BlockType::F32), &bytes);
    }
    writer
}

fn load(folder: &tempfile::TempDir, precision: Precision, as_stored: bool) -> Model {
    let options = LoadOptions {
        precision,
        as_stored,
        ..LoadOptions::default()
    };
    Model::load(folder.path(), options).expect("the model loads")
}

/// Logits after the last of `tokens`, fed in pieces.
fn logits(
    model: &Model,
    pool: &Pool,
    adapter: Option<&PackedAdapter>,
    pieces: &[&[u32]],
) -> Vec<f32> {
    let (mut cache, mut scratch) = (KvCache::new(&model.config), Scratch::default());
    let mut last = Vec::new();
    for tokens in pieces {
        let chunk = Chunk {
            cache: &mut cache,
            tokens,
            logits: Logits::All,
        };
        last = forward(model, pool, adapter, &mut [chunk], &mut scratch);
    }
    last
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn logits_are_close_to_those_of_dequantised_weights() {
    ARCHITECTURES.into_iter().for_each(close_to_dequantised);
}

fn close_to_dequantised(architecture: &str) {
    let folder = quantised_model(architecture);
    let exact = load(&folder, Precision::F32, false);
    let stored = load(&folder, Precision::Bf16, true);
    assert_eq!(exact.arithmetic(), "f32");
    assert!(
        stored.arithmetic().ends_with(" by 8 bits"),
        "{}",
        stored.arithmetic()
    );
    let pool = Pool::new(2);
    let adapter = random_adapter(&exact, 4);
    let adapters = [&exact, &stored].map(|model| PackedAdapter::new(model, &adapter));
    for seed in 1..20 {
        let tokens = Numbers(seed).tokens(30, TOKENS);
        let found = logits(&stored, &pool, Some(&adapters[1]), &[&tokens]);
        let expected = logits(&exact, &pool, Some(&adapters[0]), &[&tokens]);
        let cosine = cosine(&found, &expected);
        assert!(
            cosine > 0.999,
            "{architecture}, seed {seed}: cosine {cosine}"
        );
        assert_ne!(found, expected, "another arithmetic was asked for");
    }
}

#[test]
fn chunks_batch_and_threads_do_not_change_a_bit() {
    ARCHITECTURES.into_iter().for_each(same_bits);
}

fn same_bits(architecture: &str) {
    let folder = quantised_model(architecture);
    let model = load(&folder, Precision::Bf16, true);
    let adapter = PackedAdapter::new(&model, &random_adapter(&model, 4));
    let tokens = Numbers(5).tokens(70, TOKENS);
    let expected = logits(&model, &Pool::new(1), Some(&adapter), &[&tokens]);
    let one_by_one: Vec<&[u32]> = tokens.chunks(1).collect();
    for threads in [1, 2, 3, 8] {
        let pool = Pool::new(threads);
        for pieces in [&one_by_one[..], &[&tokens[..33], &tokens[33..]]] {
            let found = logits(&model, &pool, Some(&adapter), pieces);
            assert_eq!(
                found,
                expected,
                "{threads} threads, {} pieces",
                pieces.len()
            );
        }
        let others = Numbers(6).tokens(50, TOKENS);
        let mut caches = [KvCache::new(&model.config), KvCache::new(&model.config)];
        let [first, second] = &mut caches;
        let mut chunks = [(first, &others), (second, &tokens)].map(|(cache, tokens)| Chunk {
            cache,
            tokens,
            logits: Logits::All,
        });
        let mut scratch = Scratch::default();
        let both = forward(&model, &pool, Some(&adapter), &mut chunks, &mut scratch);
        assert_eq!(
            both[TOKENS..],
            expected[..],
            "{threads} threads, with another sequence"
        );
    }
}

#[test]
fn rows_of_other_adapters_do_not_change_a_bit() {
    ARCHITECTURES.into_iter().for_each(same_bits_mixed);
}

fn same_bits_mixed(architecture: &str) {
    let folder = quantised_model(architecture);
    let model = load(&folder, Precision::Bf16, true);
    let dora = |adapter: Adapter| {
        let spec = LoraSpec {
            dora: true,
            ..adapter.spec
        };
        // Magnitudes are as long as the rows are; what the tensors hold is the other's.
        let mut scaled = Adapter::on(&model, &Pool::new(1), &spec, 1).expect("the spec is sound");
        let scaled_tensors = scaled
            .tensors
            .iter()
            .filter(|it| it.part != Part::Magnitude);
        for (to, from) in scaled_tensors.zip(&adapter.tensors) {
            let values = &adapter.values[from.offset..][..from.rows * from.cols];
            scaled.values[to.offset..][..values.len()].copy_from_slice(values);
        }
        scaled
    };
    let random = [4, 3].map(|rank| random_adapter(&model, rank));
    let [lora, other] = random;
    let adapters = [lora, dora(other)].map(|it| PackedAdapter::new(&model, &it));
    let through = [None, Some(&adapters[0]), Some(&adapters[1])];
    let lengths = [9, 31, 5];
    let tokens = lengths.map(|length| Numbers(length as u64).tokens(length, TOKENS));
    let alone = std::array::from_fn::<_, 3, _>(|at| {
        logits(&model, &Pool::new(1), through[at], &[&tokens[at]])
    });
    for threads in [1, 2, 3, 8] {
        let pool = Pool::new(threads);
        let mut caches = lengths.map(|_| KvCache::new(&model.config));
        let chunks = caches.iter_mut().zip(&tokens).map(|(cache, tokens)| Chunk {
            cache,
            tokens,
            logits: Logits::All,
        });
        let runs = through.map(|adapter| AdapterRun { adapter, chunks: 1 });
        let mut chunks: Vec<Chunk<'_>> = chunks.collect();
        let mut scratch = Scratch::default();
        let mixed = forward_mixed(&model, &pool, &runs, &mut chunks, &mut scratch);
        assert_eq!(mixed, alone.concat(), "{architecture}, {threads} threads");
    }
    assert!(alone[0] != alone[1]);
}

#[test]
fn a_base_rounded_as_it_is_loaded_learns_by_the_gradients_of_its_rounded_values() {
    let folder = common::repository_file("fixtures/tiny-model");
    let pool = Pool::new(2);
    for (block_type, near) in [(BlockType::Q8_0, 0.03), (BlockType::Q4_0, 0.6)] {
        let options = |quantise| LoadOptions {
            trainable: true,
            quantise,
            ..LoadOptions::default()
        };
        let load = |quantise| Model::load(&folder, options(quantise)).expect("it loads");
        let (plain, rounded) = (load(None), load(Some(block_type)));
        assert!(
            rounded.arithmetic().ends_with("by 8 bits"),
            "{}",
            rounded.arithmetic()
        );
        let adapter = random_adapter(&plain, 4);
        let gradients = |model: &Model| {
            let mut gradients = vec![0.0; adapter.values.len()];
            let mut batch = Batch::default();
            let tokens = Numbers(3).tokens(40, model.config.vocab);
            common::push_segment(&mut batch, &tokens, None, 0);
            let mut trainer = Trainer::new(model, &pool);
            let sum = trainer.loss_and_gradients(&adapter, &batch, 1.0, &mut gradients);
            (sum.mean(), gradients)
        };
        let ((loss, of_plain), (other, of_rounded)) = (gradients(&plain), gradients(&rounded));
        let cosine = cosine(&of_plain, &of_rounded);
        assert!(cosine > 1.0 - near, "{block_type}: {cosine}");
        assert!(
            loss != other && (loss / other - 1.0).abs() < near,
            "{loss} {other}"
        );
    }
}
