//! What must not change a result: packing, prefix sharing, chunking, batch mates,
//! threads.

mod common;

use common::{Numbers, fixture, push_segment, random_adapter, tiny_model};
use lathe_engine::{
    Batch, Chunk, GenerateSpec, KvCache, Logits, Model, PackedAdapter, Scratch, Target, Trainer,
    forward, generate_greedy,
};
use lathe_kernel::{Pool, Precision};

const PRECISIONS: [Precision; 2] = [Precision::Bf16, Precision::F32];

fn wanted(logits: bool) -> Logits {
    if logits { Logits::All } else { Logits::None }
}

/// Every architecture in both precisions.
fn models() -> impl Iterator<Item = Model> {
    let of = |name| PRECISIONS.map(|precision| fixture(name, precision));
    let names = ["tiny-model", "tiny-qwen2", "tiny-qwen3", "tiny-gemma3"];
    names.into_iter().flat_map(of)
}

/// Logits after every token of `tokens`, fed in chunks of the given lengths.
fn logits_in_chunks(
    model: &Model,
    pool: &Pool,
    adapter: &PackedAdapter,
    tokens: &[u32],
    lengths: &[usize],
) -> Vec<f32> {
    let mut cache = KvCache::new(&model.config);
    let mut scratch = Scratch::default();
    let (mut rest, mut logits) = (tokens, Vec::new());
    for &length in lengths {
        let (tokens, after) = rest.split_at(length);
        rest = after;
        let cache = &mut cache;
        let chunk = Chunk {
            cache,
            tokens,
            logits: wanted(rest.is_empty()),
        };
        logits = forward(model, pool, Some(adapter), &mut [chunk], &mut scratch);
    }
    assert!(rest.is_empty());
    logits
}

#[test]
fn inference_is_the_same_bits_for_every_chunking_and_thread_count() {
    for model in models() {
        let adapter = PackedAdapter::new(&model, &random_adapter(&model, 4));
        let tokens = Numbers(5).tokens(70, model.config.vocab);
        let expected = logits_in_chunks(&model, &Pool::new(1), &adapter, &tokens, &[70]);
        assert_eq!(expected.len(), model.config.vocab);
        let one_by_one = [1; 70];
        let chunkings: [&[usize]; 5] =
            [&one_by_one, &[69, 1], &[33, 37], &[1, 16, 53], &[64, 5, 1]];
        for threads in [1, 2, 3, 8] {
            let pool = Pool::new(threads);
            for lengths in chunkings {
                let found = logits_in_chunks(&model, &pool, &adapter, &tokens, lengths);
                assert_eq!(found, expected, "{threads} threads, chunks {lengths:?}");
            }
        }
    }
}

#[test]
fn logits_after_each_token_are_those_of_chunks_that_end_there() {
    for model in models() {
        let pool = Pool::new(2);
        let adapter = PackedAdapter::new(&model, &random_adapter(&model, 4));
        let mut random = Numbers(7);
        let tokens = random.tokens(23, model.config.vocab);
        let company = random.tokens(9, model.config.vocab);
        let (mut cache, mut other) = (KvCache::new(&model.config), KvCache::new(&model.config));
        let chunk = |cache, tokens, logits| Chunk {
            cache,
            tokens,
            logits,
        };
        let mut chunks = [
            chunk(&mut other, &company[..], Logits::All),
            chunk(&mut cache, &tokens[..], Logits::Each),
        ];
        let mut scratch = Scratch::default();
        let found = forward(&model, &pool, Some(&adapter), &mut chunks, &mut scratch);
        let mut rows = found.chunks_exact(model.config.vocab);
        let alone = logits_in_chunks(&model, &pool, &adapter, &company, &[9]);
        assert_eq!(rows.next(), Some(&alone[..]));
        for end in 1..=tokens.len() {
            let before = logits_in_chunks(&model, &pool, &adapter, &tokens[..end], &[end]);
            assert_eq!(rows.next(), Some(&before[..]), "after {end} tokens");
        }
        assert_eq!(rows.next(), None);
    }
}

#[test]
fn inference_is_the_same_bits_whatever_is_in_the_batch() {
    for model in models() {
        let pool = Pool::new(2);
        let adapter = PackedAdapter::new(&model, &random_adapter(&model, 4));
        let mut random = Numbers(6);
        let lengths = [1, 40, 3, 17, 2, 66, 1];
        let sequences = lengths.map(|length| random.tokens(length, model.config.vocab));
        let mut caches = lengths.map(|_| KvCache::new(&model.config));
        let mut chunks: Vec<Chunk<'_>> = sequences
            .iter()
            .zip(&mut caches)
            .map(|(tokens, cache)| Chunk {
                cache,
                tokens,
                logits: wanted(tokens.len() != 17),
            })
            .collect();
        let together = forward(
            &model,
            &pool,
            Some(&adapter),
            &mut chunks,
            &mut Scratch::default(),
        );
        let mut rows = together.chunks_exact(model.config.vocab);
        for tokens in sequences.iter().filter(|tokens| tokens.len() != 17) {
            let alone = logits_in_chunks(&model, &pool, &adapter, tokens, &[tokens.len()]);
            assert_eq!(rows.next(), Some(&alone[..]), "{} tokens", tokens.len());
        }
        assert_eq!(rows.next(), None);
    }
}

#[test]
fn a_cache_cut_back_is_as_if_never_filled() {
    let (model, pool) = (tiny_model(Precision::Bf16), Pool::new(2));
    let mut random = Numbers(8);
    let tokens = random.tokens(45, model.config.vocab);
    let other = random.tokens(20, model.config.vocab);
    let mut scratch = Scratch::default();
    let mut run = |cache: &mut KvCache, tokens: &[u32]| {
        forward(
            &model,
            &pool,
            None,
            &mut [Chunk {
                cache,
                tokens,
                logits: Logits::All,
            }],
            &mut scratch,
        )
    };
    let mut cache = KvCache::new(&model.config);
    run(&mut cache, &tokens[..30]);
    let copy = cache.clone();
    run(&mut cache, &other);
    cache.truncate(30);
    assert_eq!(cache.len(), 30);
    let found = run(&mut cache, &tokens[30..]);
    assert_eq!(found, run(&mut copy.clone(), &tokens[30..]));
    assert_eq!(found, run(&mut KvCache::new(&model.config), &tokens));
}

#[test]
fn answers_do_not_depend_on_the_batch() {
    let (model, pool) = (tiny_model(Precision::Bf16), Pool::new(2));
    let mut random = Numbers(9);
    let head = random.tokens(6, model.config.vocab);
    let prompts: Vec<Vec<u32>> = [4, 30, 1, 9, 600, 12]
        .map(|length| [head.clone(), random.tokens(length, model.config.vocab)].concat())
        .to_vec();
    let answers = |prompts: &[Vec<u32>], batch_max: usize, stop: &[u32]| {
        let spec = GenerateSpec {
            tokens_max: 15,
            stop: stop.to_vec(),
            batch_max,
        };
        let mut done = 0;
        let answers = generate_greedy(&model, &pool, None, prompts, &spec, &mut |count| {
            done = count
        });
        assert_eq!(done, prompts.len());
        answers
    };
    let alone: Vec<Vec<u32>> = prompts
        .iter()
        .flat_map(|prompt| answers(std::slice::from_ref(prompt), 1, &[]))
        .collect();
    let lengths: Vec<usize> = alone.iter().map(Vec::len).collect();
    assert_eq!(
        lengths,
        [15, 15, 15, 15, 0, 15],
        "600 tokens exceed the context of 512"
    );
    for batch_max in [1, 2, 5, 64] {
        assert_eq!(
            answers(&prompts, batch_max, &[]),
            alone,
            "{batch_max} at a time"
        );
    }
    let stop = alone[0][4];
    let until_stop =
        |answer: &Vec<u32>| answer.iter().copied().take_while(|&t| t != stop).collect();
    let expected: Vec<Vec<u32>> = alone.iter().map(until_stop).collect();
    assert_eq!(answers(&prompts, 3, &[stop]), expected);
}

/// Three sequences, the last two with the same first 14 tokens, in one batch.
fn sequences(vocab: usize) -> [Vec<u32>; 3] {
    let mut random = Numbers(4);
    let prefix = random.tokens(14, vocab);
    [
        random.tokens(21, vocab),
        [prefix.clone(), random.tokens(10, vocab)].concat(),
        [prefix, random.tokens(33, vocab)].concat(),
    ]
}

#[test]
fn packed_losses_are_the_bits_of_separate_ones() {
    for model in models() {
        let pool = Pool::new(2);
        let adapter = random_adapter(&model, 4);
        let mut trainer = Trainer::new(&model, &pool);
        let (mut packed, mut separate) = (Batch::default(), Vec::new());
        for tokens in sequences(model.config.vocab) {
            push_segment(&mut packed, &tokens, None, 3);
            let mut alone = Batch::default();
            push_segment(&mut alone, &tokens, None, 3);
            separate.extend_from_slice(trainer.token_losses(Some(&adapter), &alone));
        }
        assert_eq!(trainer.token_losses(Some(&adapter), &packed), separate);
    }
}

#[test]
fn a_shared_prefix_is_a_repeated_prefix() {
    let tolerances = [(Precision::F32, 1e-5), (Precision::Bf16, 0.02)];
    // In the second, windows reach back into the prefix.
    for (name, (precision, error_max)) in ["tiny-model", "tiny-gemma3"]
        .into_iter()
        .flat_map(|name| tolerances.map(|it| (name, it)))
    {
        let (model, pool) = (fixture(name, precision), Pool::new(2));
        let adapter = random_adapter(&model, 4);
        let mut trainer = Trainer::new(&model, &pool);
        let [_, second, third] = sequences(model.config.vocab);
        let (mut repeated, mut shared) = (Batch::default(), Batch::default());
        push_segment(&mut repeated, &second, None, 14);
        push_segment(&mut repeated, &third, None, 14);
        push_segment(&mut shared, &second[..14], None, 13);
        push_segment(&mut shared, &second[14..], Some(0), 0);
        push_segment(&mut shared, &third[14..], Some(0), 0);
        let weigh = |target: &mut Target| target.weight = 1.0;
        repeated.targets.iter_mut().for_each(weigh);
        shared.targets.iter_mut().for_each(weigh);

        let mut gradients = [
            vec![0.0; adapter.values.len()],
            vec![0.0; adapter.values.len()],
        ];
        let sums = [&repeated, &shared].map(|batch| {
            let gradients = &mut gradients[usize::from(std::ptr::eq(batch, &shared))];
            trainer.loss_and_gradients(&adapter, batch, 1.0, gradients)
        });
        assert_eq!(sums[0].weight, sums[1].weight);
        assert!(
            (sums[0].loss / sums[1].loss - 1.0).abs() < f64::from(error_max),
            "{sums:?}"
        );
        for tensor in &adapter.tensors {
            let range = tensor.offset..tensor.offset + tensor.rows * tensor.cols;
            let error = common::relative_error(&gradients[1][range.clone()], &gradients[0][range]);
            assert!(error < error_max, "{}: {error}", tensor.name);
        }
    }
}

#[test]
fn gradients_are_the_same_bits_at_any_thread_count() {
    for model in models() {
        let adapter = random_adapter(&model, 4);
        let mut batch = Batch::default();
        let [first, second, third] = sequences(model.config.vocab);
        push_segment(&mut batch, &second[..14], None, 5);
        push_segment(&mut batch, &second[14..], Some(0), 0);
        push_segment(&mut batch, &third[14..], Some(0), 0);
        push_segment(&mut batch, &first, None, 2);
        let run = |threads: usize| {
            let pool = Pool::new(threads);
            let mut gradients = vec![0.0; adapter.values.len()];
            let mut trainer = Trainer::new(&model, &pool);
            let sum = trainer.loss_and_gradients(&adapter, &batch, 0.01, &mut gradients);
            (sum.loss, gradients)
        };
        let expected = run(1);
        for threads in [2, 3, 8] {
            assert_eq!(run(threads), expected, "{threads} threads");
        }
    }
}

#[test]
fn tuning_and_serving_see_the_same_numbers() {
    // The cache holds keys and values in bf16, training attention in f32.
    // The likelihoods of the last two lie further apart, and what rounding changes with them.
    let models = [
        ("tiny-model", 0.02),
        ("tiny-qwen3", 0.1),
        ("tiny-gemma3", 0.1),
    ];
    let cases = models.map(|it| PRECISIONS.map(|precision| (it, precision)));
    for ((name, error_max), precision) in cases.into_iter().flatten() {
        let (model, pool) = (fixture(name, precision), Pool::new(2));
        let adapter = random_adapter(&model, 4);
        let tokens = Numbers(12).tokens(50, model.config.vocab);
        let mut batch = Batch::default();
        push_segment(&mut batch, &tokens, None, 48);
        let mut trainer = Trainer::new(&model, &pool);
        let trained = trainer.token_losses(Some(&adapter), &batch)[0];
        let packed = PackedAdapter::new(&model, &adapter);
        let logits = logits_in_chunks(&model, &pool, &packed, &tokens[..49], &[49]);
        let sum: f32 = logits.iter().map(|logit| logit.exp()).sum();
        let served = sum.ln() - logits[tokens[49] as usize];
        assert!(
            (trained - served).abs() < error_max,
            "{trained} trained, {served} served"
        );
    }
}
