//! Calibration on the tiny models: what is taken, what is refused, and that files lose less by it.

use std::path::PathBuf;

use lathe_engine::{LoraSpec, weights};
use lathe_kernel::Precision;

use super::*;
use crate::merge::{self, MergeJob, Outcome, PROMPTS};
use crate::pack::{self, Row};
use crate::recipe::lesson;
use crate::testing;

fn rows(count: usize) -> Rows {
    let model = testing::model();
    pack::rows(&model, &testing::examples(count), &SftSpec::default()).expect("rows")
}

fn config() -> Config {
    let raw = weights::open(&testing::model_path()).expect("opens");
    raw.config
}

fn set(rows: Rows, records: usize) -> Result<CalibrationSet, TuneError> {
    let spec = CalibrationSpec {
        records,
        ..CalibrationSpec::default()
    };
    CalibrationSet::of(rows, spec, &config())
}

fn ids(packed: &Packed) -> BTreeSet<String> {
    packed.rows.iter().map(|row| row.id).collect()
}

#[test]
fn what_is_held_out_was_not_among_what_calibrates() {
    let found = set(rows(60), 16).expect("there are enough");
    let (taken, held) = (ids(&found.taken), ids(&found.held));
    assert_eq!((taken.len(), held.len()), (16, 4));
    assert!(taken.is_disjoint(&held), "{taken:?} {held:?}");
    let Counts {
        records,
        held_out,
        held_out_share,
        tokens,
        held_out_tokens,
        left_out,
    } = found.counts;
    assert_eq!(
        (records, held_out, held_out_share, left_out),
        (16, 4, 0.2, 0)
    );
    assert!(tokens > 16 * 10 && held_out_tokens > 4 * 5);
    let again = set(rows(60), 16).expect("there are enough");
    assert_eq!((ids(&again.taken), ids(&again.held)), (taken, held));
    let few = set(rows(7), 128).expect("are enough");
    assert_eq!((few.counts.records, few.counts.held_out), (6, 1));
}

/// Whoever held out what calibrates would see too small a loss.
#[test]
fn records_that_say_the_same_are_one() {
    let mut twice = rows(10);
    twice.join(rows(10));
    let found = set(twice, 128).expect("are enough");
    assert_eq!((found.counts.records, found.counts.held_out), (8, 2));
    assert!(ids(&found.taken).is_disjoint(&ids(&found.held)));
}

#[test]
fn what_cannot_calibrate_is_refused_with_the_reason() {
    let long = CalibrationSpec {
        tokens_max: 4,
        ..CalibrationSpec::default()
    };
    let mut same = rows(1);
    same.join(rows(1));
    let unanswered = |row: Row| Row {
        weights: vec![0.0; row.tokens.len()],
        ..row
    };
    let unanswered: Rows = rows(5).iter().map(unanswered).collect();
    let usual = CalibrationSpec::default();
    for (rows, spec, wanted) in [
        (Rows::default(), usual, "no record"),
        (rows(5), long, "5 are over 4 tokens"),
        (unanswered, usual, "have no answer"),
        (rows(1), usual, "1 records"),
        (same, usual, "1 records"),
    ] {
        let error = CalibrationSet::of(rows, spec, &config());
        let error = error.err().expect(wanted);
        assert_eq!(error.code(), "merge-calibration");
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

#[test]
fn what_is_not_rounded_in_blocks_is_not_calibrated() {
    for (form, format) in [
        (Form::Gguf, BlockType::F16),
        (Form::Safetensors, BlockType::BF16),
        (Form::Safetensors, BlockType::Q4_0),
    ] {
        let error = check(form, format).expect_err("is refused").to_string();
        assert!(
            error.contains(format.name()) && error.contains("q4_0"),
            "{error}"
        );
    }
    for format in BlockType::WEIGHTED {
        check(Form::Gguf, format).expect("is");
    }
}

/// A tuned model, with a place for what is written of it.
struct Bench {
    folder: tempfile::TempDir,
    base: PathBuf,
    adapters: Vec<(PathBuf, f32)>,
    pool: Pool,
}

impl Bench {
    fn new(base: &str) -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        let base = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../tests/fixtures")
            .join(base);
        let raw = weights::open(&base).expect("opens");
        let spec = LoraSpec {
            rank: 2,
            alpha: 4.0,
            targets: vec!["q_proj".to_owned(), "down_proj".to_owned()],
            dora: false,
        };
        let mut adapter = Adapter::new(&raw.config, &spec, 1).expect("is made");
        for (at, value) in adapter.values.iter_mut().enumerate() {
            *value = 0.2 * ((at * 7919 % 101) as f32 / 50.0 - 1.0);
        }
        let tuned = folder.path().join("tuned");
        adapter.save_peft(&tuned, "base").expect("writes");
        Bench {
            adapters: vec![(tuned, 1.0)],
            folder,
            base,
            pool: Pool::new(2),
        }
    }

    fn set(&self) -> CalibrationSet {
        let raw = weights::open(&self.base).expect("opens");
        let rows = pack::rows(&raw, &testing::examples(60), &SftSpec::default());
        let spec = CalibrationSpec::default();
        CalibrationSet::of(rows.expect("rows"), spec, &raw.config).expect("are enough")
    }

    fn write(
        &self,
        name: &str,
        format: BlockType,
        calibration: Option<&CalibrationSet>,
    ) -> Result<Outcome, TuneError> {
        merge::run(&MergeJob {
            base: &self.base,
            adapters: &self.adapters,
            template: None,
            out: &self.folder.path().join(name),
            form: Form::Gguf,
            format,
            prompts: &PROMPTS.map(str::to_owned),
            system: None,
            calibration,
            pool: &self.pool,
        })
    }

    fn open(&self, path: &Path) -> Model {
        let options = LoadOptions {
            precision: Precision::F32,
            ..LoadOptions::default()
        };
        Model::load(path, options).expect("opens")
    }
}

#[test]
fn a_calibrated_file_loses_less_and_the_figures_are_those_of_the_files() {
    for base in ["tiny-model", "tiny-qwen2"] {
        let bench = Bench::new(base);
        let set = bench.set();
        let out = bench.write("calibrated", BlockType::Q4_0, Some(&set));
        let loss = out.expect("is written").calibration.expect("is measured");
        assert!(
            loss.calibrated.mean_kl < 0.95 * loss.plain.mean_kl,
            "{base}: {loss:?}"
        );
        let path = bench.folder.path().join("calibrated").join(REPORT);
        let kept: RoundingLoss =
            serde_json::from_slice(&std::fs::read(path).expect("is kept")).expect("reads");
        assert_eq!(kept.counts, loss.counts);
        bench
            .write("plain", BlockType::Q4_0, None)
            .expect("is written");
        assert!(!bench.folder.path().join("plain").join(REPORT).exists());

        let model = bench.open(&bench.base);
        let adapter = Adapter::load_peft(&bench.adapters[0].0, &model.config).expect("fits");
        let first = set.likelihoods(&model, &adapter, &bench.pool);
        for (name, found) in [("plain", loss.plain), ("calibrated", loss.calibrated)] {
            let model = bench.open(&bench.folder.path().join(name));
            let again = first.of_other(&model, &bench.pool);
            assert_eq!(Measured::from(again), found, "{base} {name}");
        }
        let nll = lesson::loss(&model, &bench.pool, Some(&adapter), &set.held, 256);
        assert!(
            (loss.unquantised.nll - nll).abs() < 1e-4 * nll,
            "{loss:?} {nll}"
        );
        assert!((loss.unquantised.perplexity.ln() - nll).abs() < 1e-4 * nll);
        assert_eq!(
            (loss.unquantised.mean_kl, loss.unquantised.same_tokens),
            (0.0, 1.0)
        );
    }
}

#[test]
fn a_base_alone_is_calibrated_too_in_every_type_there_is() {
    let mut bench = Bench::new("tiny-model.gguf");
    bench.adapters.clear();
    let set = bench.set();
    let mut losses = Vec::new();
    for format in BlockType::WEIGHTED {
        let out = bench
            .write(format.name(), format, Some(&set))
            .expect("is written");
        let loss = out.calibration.expect("is measured");
        assert!(
            loss.calibrated.mean_kl <= loss.plain.mean_kl,
            "{format}: {loss:?}"
        );
        assert!(out.check.mean_kl.is_finite() && out.check.tuning_kl == 0.0);
        losses.push(loss.calibrated.mean_kl);
    }
    let [eight, four, with_offset] = losses[..] else {
        panic!("three types: {losses:?}")
    };
    assert!(eight < with_offset && with_offset < four, "{losses:?}");
}

#[test]
fn a_type_that_cannot_be_calibrated_is_refused_and_nothing_is_left() {
    let bench = Bench::new("tiny-model");
    let error = bench.write("out", BlockType::F16, Some(&bench.set()));
    assert_eq!(error.expect_err("is refused").code(), "merge-calibration");
    assert!(!bench.folder.path().join("out").exists());
    assert!(!bench.folder.path().join("out.part").exists());
}
