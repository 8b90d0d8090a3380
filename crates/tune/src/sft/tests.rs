//! Whole runs on the tiny model.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use lathe_data::task::Example;
use lathe_engine::LoadOptions;
use lathe_engine::gguf::blocks::BlockType;

use super::*;
use crate::pack::pack;
use crate::soft_number::SoftNumber;
use crate::testing::{self, Whole};
use crate::trainer_log::TRAINER_LOG;

/// A model, examples and folders to run in.
struct Bench {
    model: Model,
    pool: Pool,
    examples: Vec<Example>,
    spec: SftSpec,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(spec: SftSpec) -> Self {
        Self {
            model: testing::model(),
            pool: Pool::new(2),
            examples: testing::examples(21),
            spec,
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn packed(&self, prefix_sharing: bool) -> Packed {
        let spec = SftSpec {
            prefix_sharing,
            ..self.spec.clone()
        };
        pack(&self.model, &self.examples, &spec).expect("packs")
    }

    /// Runs in the work folder and the out folder of that name.
    fn run(&self, name: &str, on: &mut dyn FnMut(&TuneEvent)) -> Result<Outcome, TuneError> {
        let (work_dir, out_dir) = (self.path(&format!("{name}-work")), self.path(name));
        let packed = pack(&self.model, &self.examples, &self.spec)?;
        let job = SftJob {
            model: &self.model,
            pool: &self.pool,
            packed: &packed,
            start: None,
            spec: &self.spec,
            base_name: "tiny",
            work_dir: &work_dir,
            out_dir: &out_dir,
        };
        super::run(&job, on)
    }

    /// Name → bytes of everything in the out folder of that name.
    fn result(&self, name: &str) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.path(name)).expect("an out folder");
        let file = |entry: std::io::Result<fs::DirEntry>| {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("a name");
            (name, fs::read(entry.path()).expect("reads"))
        };
        entries.map(file).collect()
    }
}

fn spec() -> SftSpec {
    SftSpec {
        rank: 4,
        alpha: 8.0,
        learning_rate: 1e-2,
        epochs: 2.0,
        batch_records: 4,
        checkpoint_steps: 3,
        ..SftSpec::default()
    }
}

#[test]
fn the_loss_falls() {
    let bench = Bench::new(SftSpec {
        epochs: 6.0,
        ..spec()
    });
    let mut losses = Vec::new();
    let outcome = bench
        .run("a", &mut |event| losses.push(event.loss))
        .expect("runs");
    assert_eq!((losses.len() as u64, outcome.steps), (36, 36));
    assert!(
        outcome.final_loss < 0.5 * losses[0],
        "{} to {}",
        losses[0],
        outcome.final_loss
    );
    assert!(outcome.prefix_tokens > 0 && outcome.resumed_from.is_none());
}

#[test]
fn a_softened_number_is_learnt_too() {
    let soft = SoftNumber {
        pointer: "/feeling".into(),
        spread: 0.5,
        min: -4.0,
        max: 4.0,
        step: 0.1,
    };
    let bench = Bench::new(SftSpec {
        epochs: 6.0,
        soft_number: Some(soft),
        ..spec()
    });
    assert!(
        bench
            .packed(true)
            .rows
            .iter()
            .all(|row| !row.soft.is_empty())
    );
    let mut losses = Vec::new();
    let outcome = bench
        .run("a", &mut |event| losses.push(event.loss))
        .expect("runs");
    assert!(
        outcome.final_loss < 0.6 * losses[0],
        "{} to {}",
        losses[0],
        outcome.final_loss
    );
}

/// Pain 8: a resumed run's loss was higher, or its data began again (LLaMA-Factory 512, 5354, 7085, 6146).
#[test]
fn pain_8_stopped_after_any_step_it_ends_with_the_same_bytes() {
    let bench = Bench::new(spec());
    let whole = bench.run("whole", &mut |_| {}).expect("runs");
    let expected = bench.result("whole");
    assert_eq!(
        expected.keys().collect::<Vec<_>>(),
        [
            "adapter_config.json",
            "adapter_model.safetensors",
            "training.json"
        ]
    );
    for stop in 1..=whole.steps {
        let name = format!("stopped-{stop}");
        let stopped = catch_unwind(AssertUnwindSafe(|| {
            bench.run(&name, &mut |event| {
                assert!(event.step < stop, "stopped on purpose")
            })
        }));
        assert!(stopped.is_err(), "step {stop} was reached");
        let again = bench.run(&name, &mut |event| assert!(event.resumed == (stop >= 3)));
        let again = again.expect("resumes");
        let checkpoint = if stop == whole.steps {
            stop
        } else {
            stop / 3 * 3
        };
        assert_eq!(again.resumed_from, (checkpoint > 0).then_some(checkpoint));
        assert_eq!(bench.result(&name), expected, "stopped after step {stop}");
        let log = fs::read_to_string(bench.path(&format!("{name}-work")).join(TRAINER_LOG));
        assert_eq!(log.expect("a log").lines().count() as u64, whole.steps);
    }
}

/// The tiny model kept in blocks of few bits, or as it is.
fn kept_in(path: &Path, quantise: Option<BlockType>) -> Model {
    let options = LoadOptions {
        trainable: true,
        as_stored: quantise.is_some(),
        quantise,
        ..LoadOptions::default()
    };
    Model::load(path, options).expect("loads")
}

/// Pain 8 where the lengths of rows are learnt apart, and over a base in few bits.
#[test]
fn pain_8_dora_and_adapters_over_few_bits_end_with_the_same_bits_too() {
    for (dora, quantise) in [
        (true, None),
        (false, Some(BlockType::Q8_0)),
        (false, Some(BlockType::Q4_0)),
    ] {
        let model = kept_in(&testing::model_path(), quantise);
        let (pool, spec) = (
            Pool::new(2),
            SftSpec {
                dora,
                epochs: 1.0,
                ..spec()
            },
        );
        let packed = pack(&model, &testing::examples(17), &spec).expect("packs");
        Whole::stopped_anywhere(&spec, &mut || {
            let adapter = Adapter::on(&model, &pool, &spec.lora(), spec.seed);
            let adapter = adapter.expect("an adapter");
            AdapterRows::new("sft", (&model, adapter), &pool, &packed, &spec)
        });
    }
}

/// Pain 8: what another run left was gone on from, here one over other weights, or over the same ones in
/// another form.
#[test]
fn pain_8_a_checkpoint_over_another_base_is_not_taken_up() {
    let mut bench = Bench::new(spec());
    let other = bench.path("other");
    fs::create_dir_all(&other).expect("makes");
    for entry in fs::read_dir(testing::model_path()).expect("the fixture") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, other.join(path.file_name().expect("a name"))).expect("copies");
    }
    let weights = other.join("model.safetensors");
    let mut bytes = fs::read(&weights).expect("reads");
    // The sign of the last number.
    *bytes.last_mut().expect("bytes") ^= 0x80;
    fs::write(&weights, bytes).expect("writes");
    bench.run("a", &mut |_| {}).expect("runs");
    let here = testing::model_path();
    for (path, quantise) in [
        (&here, Some(BlockType::Q8_0)),
        (&here, Some(BlockType::Q4_0)),
        (&here, None),
        (&other, None),
    ] {
        bench.model = kept_in(path, quantise);
        let afresh = bench.run("a", &mut |_| {}).expect("runs");
        assert_eq!(afresh.resumed_from, None, "{} {quantise:?}", path.display());
    }
    let same = bench.run("a", &mut |_| {}).expect("runs");
    assert_eq!(same.resumed_from, Some(same.steps));
}

#[test]
fn another_spec_starts_afresh() {
    let mut bench = Bench::new(spec());
    bench.run("a", &mut |_| {}).expect("runs");
    bench.spec.learning_rate = 5e-3;
    let other = bench.run("a", &mut |_| {}).expect("runs");
    assert_eq!(other.resumed_from, None);
}

#[test]
fn the_cut_into_micro_batches_changes_rounding_only() {
    let bench = Bench::new(SftSpec {
        batch_records: 8,
        epochs: 1.0,
        ..spec()
    });
    let gradients = |rows_max: usize| {
        let packed = bench.packed(true);
        let spec = SftSpec {
            rows_max,
            ..bench.spec.clone()
        };
        let mut learner = warm(&bench, &packed, &spec);
        let mut gradients = vec![0.0; learner.values().len()];
        let (sum, _) = learner.sum(&[0, 1, 2, 3, 4, 5, 6, 7], &mut gradients);
        (sum.mean(), gradients)
    };
    let (whole_loss, whole) = gradients(10_000);
    let (parts_loss, parts) = gradients(1);
    assert!(
        (whole_loss - parts_loss).abs() < 1e-3 * whole_loss,
        "{whole_loss} {parts_loss}"
    );
    assert!(relative_distance(&whole, &parts) < 0.02);
}

/// Pain 7: packed samples leaked into one another (trl 1230, 3067, axolotl 3796).
#[test]
fn pain_7_a_packed_row_does_not_see_its_neighbours() {
    let bench = Bench::new(spec());
    for sharing in [true, false] {
        let packed = bench.packed(sharing);
        let mut trainer = Trainer::new(&bench.model, &bench.pool);
        let mut losses = |indices: &[usize]| {
            let batches = crate::batching::micro_batches(&packed, indices, 10_000);
            assert_eq!(batches.len(), 1);
            trainer.token_losses(None, &batches[0]).to_vec()
        };
        let alone = losses(&[5]);
        let first = losses(&[5, 2, 9]);
        let between = losses(&[3, 5, 8]);
        let skip = losses(&[3]).len();
        assert_eq!(alone, first[..alone.len()], "prefix sharing {sharing}");
        assert_eq!(
            alone,
            between[skip..skip + alone.len()],
            "prefix sharing {sharing}"
        );
    }
}

#[test]
fn sharing_the_prefix_changes_rounding_only() {
    let bench = Bench::new(spec());
    let gradients = |sharing: bool| {
        let packed = bench.packed(sharing);
        let mut learner = warm(&bench, &packed, &bench.spec);
        let mut gradients = vec![0.0; learner.values().len()];
        let (sum, tokens) = learner.sum(&[0, 1, 2, 3], &mut gradients);
        (sum.mean(), tokens, gradients)
    };
    let (shared_loss, shared_tokens, shared) = gradients(true);
    let (apart_loss, apart_tokens, apart) = gradients(false);
    assert!(shared_tokens < apart_tokens);
    assert!(
        (shared_loss - apart_loss).abs() < 1e-3 * apart_loss,
        "{shared_loss} {apart_loss}"
    );
    assert!(relative_distance(&shared, &apart) < 0.02);
}

#[test]
fn a_loss_that_explodes_is_an_error() {
    let bench = Bench::new(SftSpec {
        learning_rate: 1e30,
        max_grad_norm: 1e30,
        ..spec()
    });
    let error = bench.run("a", &mut |_| {}).expect_err("diverges");
    assert_eq!(error.code(), "tune-diverged", "{error}");
}

/// A learner whose B is not zero, so that A has gradients too.
fn warm<'a>(bench: &'a Bench, packed: &'a Packed, spec: &SftSpec) -> AdapterRows<'a> {
    let mut adapter = Adapter::new(&bench.model.config, &bench.spec.lora(), 3).expect("an adapter");
    for (index, value) in adapter.values.iter_mut().enumerate() {
        *value += (index % 13) as f32 * 1e-3 - 6e-3;
    }
    AdapterRows::new("sft", (&bench.model, adapter), &bench.pool, packed, spec)
}

/// |a − b| / |a|
fn relative_distance(a: &[f32], b: &[f32]) -> f64 {
    let square = |value: f32| f64::from(value) * f64::from(value);
    let apart: f64 = a.iter().zip(b).map(|(a, b)| square(a - b)).sum();
    let whole: f64 = a.iter().copied().map(square).sum();
    assert!(whole > 0.0, "there is a gradient");
    (apart / whole).sqrt()
}
