//! What the tests of this crate share: the tiny model and a few examples.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use lathe_data::task::Example;
use lathe_engine::Model;
use lathe_engine::model::LoadOptions;
use lathe_evidence::Digest;

use crate::learn::{self, Job, TuneEvent};
use crate::learner::Learner;
use crate::spec::SftSpec;

/// The system message of [`examples`].
pub const SYSTEM: &str = "Say how the customer feels about the product, from -4 to 4.";

/// A file of the repository.
pub fn repository_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(name)
}

/// Where the 2-layer random model of the repository's fixtures lies.
pub fn model_path() -> PathBuf {
    repository_file("tests/fixtures/tiny-model")
}

/// That model, ready for tuning.
pub fn model() -> Model {
    let options = LoadOptions {
        trainable: true,
        ..LoadOptions::default()
    };
    Model::load(&model_path(), options).expect("the fixture loads")
}

/// `count` different examples with one system message.
pub fn examples(count: usize) -> Vec<Example> {
    let things = [
        "camera", "player", "phone", "router", "battery", "screen", "menu",
    ];
    let example = |index: usize| {
        let (score, class) = [("2.5", "positive"), ("-1.5", "negative")][index % 2];
        let verdict = ["is great", "broke after a week"][index % 2];
        let id = format!("{}_{index}", index / 3);
        Example {
            leaf: Digest::of(id.as_bytes()),
            group: (index / 3).to_string(),
            id,
            system: Some(SYSTEM.to_owned()),
            prompt: format!(
                "The {} {verdict}, number {index}.",
                things[index % things.len()]
            ),
            answer: format!(r#"{{"feeling":{score},"class":"{class}"}}"#),
        }
    };
    (0..count).map(example).collect()
}

/// A whole run of a learner.
#[derive(Debug, PartialEq)]
pub struct Whole {
    /// The loss of every step.
    pub losses: Vec<f64>,
    /// The numbers at the end.
    pub values: Vec<f32>,
}

impl Whole {
    /// Runs it in a folder of its own.
    pub fn of(learner: &mut dyn Learner, spec: &SftSpec) -> Whole {
        let folder = tempfile::tempdir().expect("a folder");
        Self::within(folder.path(), learner, spec, &mut |_| {})
    }

    fn within(
        folder: &Path,
        learner: &mut dyn Learner,
        spec: &SftSpec,
        on: &mut dyn FnMut(&TuneEvent),
    ) -> Whole {
        let mut losses = Vec::new();
        let mut job = Job {
            spec,
            base_name: "tiny",
            work_dir: &folder.join("work"),
            out_dir: &folder.join("out"),
            watch: None,
            place: None,
        };
        let mut hear = |event: &TuneEvent| {
            losses.push(event.loss);
            on(event);
        };
        learn::run(&mut job, learner, &mut hear).expect("it runs");
        Whole {
            losses,
            values: learner.values().to_vec(),
        }
    }

    /// Runs learners that `make` makes, stopped after each step in turn and gone on with.
    pub fn stopped_anywhere<L: Learner>(spec: &SftSpec, make: &mut dyn FnMut() -> L) {
        let whole = Self::of(&mut make(), spec);
        for stop in 1..=whole.losses.len() as u64 {
            let folder = tempfile::tempdir().expect("a folder");
            let stopped = catch_unwind(AssertUnwindSafe(|| {
                let mut on = |event: &TuneEvent| assert!(event.step < stop, "on purpose");
                Self::within(folder.path(), &mut make(), spec, &mut on)
            }));
            assert!(stopped.is_err(), "step {stop} was reached");
            let again = Self::within(folder.path(), &mut make(), spec, &mut |_| {});
            assert_eq!(again.values, whole.values, "stopped after step {stop}");
            assert!(whole.losses.ends_with(&again.losses));
        }
    }
}
