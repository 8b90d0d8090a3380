//! Rows of several adapters over one base in one pass: each has the bits that it has among rows of its
//! own adapter alone.

mod common;

use common::{Numbers, fixture};
use lathe_engine::adapter::TARGETS;
use lathe_engine::{
    Adapter, AdapterRun, Chunk, KvCache, Logits, LoraSpec, Model, PackedAdapter, Part, Scratch,
    forward, forward_mixed,
};
use lathe_kernel::{Pool, Precision};

/// Every architecture in both precisions.
fn models() -> impl Iterator<Item = Model> {
    let of = |name| [Precision::Bf16, Precision::F32].map(|it| fixture(name, it));
    let names = ["tiny-model", "tiny-qwen2", "tiny-qwen3", "tiny-gemma3"];
    names.into_iter().flat_map(of)
}

/// An adapter that changes every answer.
fn adapter(model: &Model, seed: u64, rank: usize, targets: &[&str], dora: bool) -> PackedAdapter {
    let spec = LoraSpec {
        rank,
        alpha: 2.0 * rank as f32,
        targets: targets.iter().map(|it| (*it).to_owned()).collect(),
        dora,
    };
    let mut adapter = Adapter::on(model, &Pool::new(1), &spec, seed).expect("the spec is sound");
    let mut random = Numbers(seed);
    for tensor in &adapter.tensors {
        let magnitude = tensor.part == Part::Magnitude;
        for value in &mut adapter.values[tensor.offset..][..tensor.rows * tensor.cols] {
            let drawn = 0.1 * random.normal();
            *value = if magnitude {
                *value * (1.0 + drawn)
            } else {
                drawn
            };
        }
    }
    PackedAdapter::new(model, &adapter)
}

/// LoRA and DoRA on all layers, LoRA and DoRA on some.
fn adapters(model: &Model) -> [PackedAdapter; 4] {
    [
        adapter(model, 1, 4, &TARGETS, false),
        adapter(model, 2, 3, &TARGETS, true),
        adapter(model, 3, 17, &["q_proj", "down_proj"], false),
        adapter(model, 4, 1, &["k_proj", "o_proj", "up_proj"], true),
    ]
}

/// Which adapter each run of sequences goes through, and how long each of them is.
const RUNS: [(Option<usize>, &[usize]); 6] = [
    (None, &[1, 7]),
    (Some(0), &[1, 1, 33]),
    (Some(1), &[5]),
    (Some(2), &[101]),
    (None, &[3]),
    (Some(3), &[1, 2, 1]),
];

/// A sequence, the adapter it goes through, and its logits when that alone is computed.
struct Sequence {
    adapter: Option<usize>,
    tokens: Vec<u32>,
    next: u32,
    /// After each of the tokens.
    each: Vec<f32>,
    after_next: Vec<f32>,
}

fn sequences(model: &Model, adapters: &[PackedAdapter]) -> Vec<Sequence> {
    let mut random = Numbers(17);
    let all = RUNS.iter().flat_map(|(adapter, lengths)| {
        let lengths = lengths.iter();
        lengths.map(move |length| (*adapter, *length))
    });
    let alone = |(at, length): (Option<usize>, usize)| {
        let mut tokens = random.tokens(length + 1, model.config.vocab);
        let next = tokens.pop().expect("at least one");
        let (mut cache, mut scratch) = (KvCache::new(&model.config), Scratch::default());
        let adapter = at.map(|at| &adapters[at]);
        let mut logits = |tokens: &[u32]| {
            let chunk = Chunk {
                cache: &mut cache,
                tokens,
                logits: Logits::Each,
            };
            forward(model, &Pool::new(1), adapter, &mut [chunk], &mut scratch)
        };
        Sequence {
            adapter: at,
            each: logits(&tokens),
            after_next: logits(&[next]),
            tokens,
            next,
        }
    };
    all.map(alone).collect()
}

/// Logits of one pass over all sequences: their tokens, or the next one of each.
fn pass(
    (model, pool): (&Model, &Pool),
    adapters: &[PackedAdapter],
    caches: &mut [KvCache],
    tokens: impl Fn(usize) -> Vec<u32>,
    wanted: impl Fn(usize) -> Logits,
) -> Vec<f32> {
    let tokens: Vec<Vec<u32>> = (0..caches.len()).map(tokens).collect();
    let chunks = caches.iter_mut().zip(&tokens).enumerate();
    let chunks = chunks.map(|(at, (cache, tokens))| Chunk {
        cache,
        tokens,
        logits: wanted(at),
    });
    let runs = RUNS.map(|(adapter, lengths)| AdapterRun {
        adapter: adapter.map(|at| &adapters[at]),
        chunks: lengths.len(),
    });
    let mut chunks: Vec<Chunk<'_>> = chunks.collect();
    forward_mixed(model, pool, &runs, &mut chunks, &mut Scratch::default())
}

#[test]
fn a_row_has_the_same_bits_among_rows_of_other_adapters_at_any_thread_count() {
    for model in models() {
        let adapters = adapters(&model);
        let sequences = sequences(&model, &adapters);
        let vocab = model.config.vocab;
        for threads in [1, 2, 3, 8] {
            let pool = Pool::new(threads);
            let mut caches = vec![KvCache::new(&model.config); sequences.len()];
            let tokens = |at: usize| sequences[at].tokens.clone();
            // One run of which nothing is wanted, and in others only some.
            let unwanted = |at: usize| sequences[at].adapter == Some(1) || at.is_multiple_of(5);
            let last = |at| match unwanted(at) {
                true => Logits::None,
                false => Logits::All,
            };
            let found = pass((&model, &pool), &adapters, &mut caches, tokens, last);
            let mut rows = found.chunks_exact(vocab);
            for (at, sequence) in sequences.iter().enumerate() {
                if !unwanted(at) {
                    let expected = &sequence.each[sequence.each.len() - vocab..];
                    assert_eq!(rows.next(), Some(expected), "{threads} threads, {at}");
                }
            }
            assert_eq!(rows.next(), None);

            let next = |at: usize| vec![sequences[at].next];
            let found = pass((&model, &pool), &adapters, &mut caches, next, |_| {
                Logits::All
            });
            let expected: Vec<f32> = sequences
                .iter()
                .flat_map(|it| it.after_next.clone())
                .collect();
            assert!(found == expected, "{threads} threads, the next tokens");
        }
    }
}

#[test]
fn logits_after_each_token_are_those_of_the_adapter_alone() {
    for model in models() {
        let adapters = adapters(&model);
        let sequences = sequences(&model, &adapters);
        let mut caches = vec![KvCache::new(&model.config); sequences.len()];
        let tokens = |at: usize| sequences[at].tokens.clone();
        let pool = Pool::new(2);
        let found = pass((&model, &pool), &adapters, &mut caches, tokens, |_| {
            Logits::Each
        });
        let expected: Vec<f32> = sequences.iter().flat_map(|it| it.each.clone()).collect();
        assert!(found == expected);
    }
}

#[test]
fn every_adapter_computes_something_else() {
    let model = fixture("tiny-model", Precision::Bf16);
    let adapters = adapters(&model);
    let alone = |adapter: Option<&PackedAdapter>| {
        let mut cache = KvCache::new(&model.config);
        let chunk = Chunk {
            cache: &mut cache,
            tokens: &[5, 6, 7],
            logits: Logits::All,
        };
        let mut scratch = Scratch::default();
        forward(&model, &Pool::new(1), adapter, &mut [chunk], &mut scratch)
    };
    let mut all = vec![alone(None)];
    all.extend(adapters.iter().map(|it| alone(Some(it))));
    for (at, logits) in all.iter().enumerate() {
        assert!(!all[..at].contains(logits), "{at}");
    }
}

#[test]
#[should_panic(expected = "a chunk goes through no run")]
fn a_chunk_of_no_run_is_refused() {
    let model = fixture("tiny-model", Precision::Bf16);
    let mut cache = KvCache::new(&model.config);
    let chunk = Chunk {
        cache: &mut cache,
        tokens: &[1],
        logits: Logits::All,
    };
    let mut scratch = Scratch::default();
    forward_mixed(&model, &Pool::new(1), &[], &mut [chunk], &mut scratch);
}
