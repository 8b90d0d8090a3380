//! The loop on one number that is pulled to 5, which is quick and wholly foreseeable.

use std::panic::{AssertUnwindSafe, catch_unwind};

use lathe_engine::{Adapter, Model};
use lathe_kernel::Pool;

use super::*;
use crate::learner::Account;
use crate::schedule::Shape;

/// One number; its loss is (number − 5)², or no number where it is above `bound`.
struct One {
    pool: Pool,
    values: Vec<f32>,
    bound: f32,
}

impl Learner for One {
    fn stage(&self) -> &'static str {
        "one"
    }

    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn model(&self) -> &Model {
        unreachable!("the loop computes with the learner alone")
    }

    fn records(&self) -> usize {
        4
    }

    fn leaf(&self, record: usize) -> Digest {
        Digest::of(&[record as u8])
    }

    fn identify(&self, _: &mut Hasher) {}

    fn values(&self) -> &[f32] {
        &self.values
    }

    fn change(&mut self, change: &mut dyn FnMut(&Pool, &mut [f32])) {
        change(&self.pool, &mut self.values);
    }

    fn gradients(&mut self, records: &[usize], gradients: &mut [f32]) -> Measured {
        let off = self.values[0] - 5.0;
        gradients[0] = 2.0 * off;
        let loss = if self.values[0] > self.bound {
            f64::NAN
        } else {
            f64::from(off * off)
        };
        Measured {
            loss,
            tokens: records.len() as u64,
            preferred: None,
        }
    }

    fn adapter(&self) -> Option<&Adapter> {
        None
    }

    fn save(&self, folder: &Path, _: &str) -> Result<(), TuneError> {
        write_durably(&folder.join("one"), &self.values[0].to_le_bytes())
    }

    fn account(&self) -> Account {
        Account::default()
    }
}

fn one(bound: f32) -> One {
    One {
        pool: Pool::new(1),
        values: vec![0.0],
        bound,
    }
}

fn spec(learning_rate: f64) -> SftSpec {
    SftSpec {
        learning_rate,
        schedule: Shape::Constant,
        warmup_ratio: 0.0,
        epochs: 3.0,
        batch_records: 2,
        checkpoint_steps: 2,
        ..SftSpec::default()
    }
}

struct Ran {
    outcome: Result<Outcome, TuneError>,
    events: Vec<TuneEvent>,
    /// Everything in the out folder.
    files: Vec<(String, Vec<u8>)>,
}

fn run(
    folder: &Path,
    learner: &mut One,
    spec: &SftSpec,
    measure: Option<Measure<'_>>,
    on: &mut dyn FnMut(&TuneEvent),
) -> Ran {
    let (work_dir, out_dir) = (folder.join("work"), folder.join("out"));
    let watch = |measure| Watch {
        every: 1,
        patience: Some(2),
        keep_best: true,
        higher: true,
        only_told: false,
        measure,
    };
    let mut job = Job {
        spec,
        base_name: "base",
        work_dir: &work_dir,
        out_dir: &out_dir,
        watch: measure.map(watch),
        place: None,
    };
    let mut events = Vec::new();
    let outcome = super::run(&mut job, learner, &mut |event| {
        events.push(*event);
        on(event);
    });
    let mut files: Vec<_> = fs::read_dir(&out_dir)
        .expect("an out folder")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            (name, fs::read(path).expect("reads"))
        })
        .collect();
    files.sort();
    Ran {
        outcome,
        events,
        files,
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Pain 9: NaN gradients or zero loss (LLaMA-Factory 8088, 2916, 9462).
#[test]
fn pain_9_a_loss_that_is_no_number_goes_back_slower_and_is_said() {
    let folder = folder();
    let ran = run(folder.path(), &mut one(9.0), &spec(20.0), None, &mut |_| {});
    let outcome = ran.outcome.expect("the third rate is low enough");
    let back: Vec<_> = ran.events.iter().filter_map(|it| it.set_back_to).collect();
    assert_eq!(back, [0, 0], "no checkpoint yet: to the beginning");
    let rates: Vec<f64> = ran.events.iter().map(|it| it.learning_rate).collect();
    assert_eq!(rates[..5], [20.0, 0.0, 10.0, 0.0, 5.0]);
    assert_eq!(outcome.course.setbacks.len(), 2);
    assert_eq!((outcome.steps, outcome.course.setbacks[0].step), (6, 2));
    let account = ran.files.iter().find(|(name, _)| name == TRAINING);
    let account = String::from_utf8_lossy(&account.expect("it is written").1).into_owned();
    assert!(account.contains("\"setbacks\"") && account.contains("NaN"));
}

#[test]
fn what_goes_wrong_at_any_rate_ends_the_run() {
    let folder = folder();
    let ran = run(folder.path(), &mut one(-1.0), &spec(1.0), None, &mut |_| {});
    let error = ran.outcome.expect_err("it never goes right");
    assert_eq!(error.code(), "tune-diverged", "{error}");
    assert_eq!(ran.events.len(), 3);
}

#[test]
fn killed_among_setbacks_it_ends_with_the_same_bytes() {
    let whole = run(
        folder().path(),
        &mut one(9.0),
        &spec(20.0),
        None,
        &mut |_| {},
    );
    for stop in 1..=whole.events.len() {
        let folder = folder();
        let mut heard = 0;
        let stopped = catch_unwind(AssertUnwindSafe(|| {
            run(folder.path(), &mut one(9.0), &spec(20.0), None, &mut |_| {
                heard += 1;
                assert!(heard < stop, "on purpose");
            })
        }));
        assert!(stopped.is_err(), "event {stop} was reached");
        let again = run(folder.path(), &mut one(9.0), &spec(20.0), None, &mut |_| {});
        assert_eq!(again.outcome.expect("it ends").step_kept, 6);
        // How many tokens were computed in vain is part of the account.
        let one = |ran: &[(String, Vec<u8>)]| ran.iter().find(|(name, _)| name == "one").cloned();
        assert_eq!(one(&again.files), one(&whole.files), "event {stop}");
    }
}

/// The metric is best after the second step.
fn measure(learner: &mut dyn Learner) -> Result<f64, TuneError> {
    Ok(-f64::from((learner.values()[0] - 2.0).abs()))
}

#[test]
fn the_best_is_kept_and_the_run_stops_after_its_patience() {
    let folder = folder();
    let watched = Some(Box::new(measure) as Measure<'_>);
    let ran = run(
        folder.path(),
        &mut one(99.0),
        &spec(1.0),
        watched,
        &mut |_| {},
    );
    let outcome = ran.outcome.expect("runs");
    assert_eq!((outcome.steps, outcome.step_kept), (4, 2));
    let evals: Vec<_> = ran.events.iter().map(|it| it.eval.expect("each")).collect();
    assert!(evals[1] > evals[0] && evals[1] > evals[2]);
    assert_eq!(ran.files[0].0, "one");
    let kept = f32::from_le_bytes(ran.files[0].1[..].try_into().expect("four bytes"));
    assert!((kept - 2.0).abs() < 0.1, "{kept}");
}

#[test]
fn what_is_only_told_leaves_no_trace_in_the_result() {
    let out = |only_told: bool| {
        let folder = folder();
        let (work_dir, out_dir) = (folder.path().join("work"), folder.path().join("out"));
        let watch = || Watch {
            every: 2,
            patience: None,
            keep_best: false,
            higher: false,
            only_told,
            measure: Box::new(measure),
        };
        let looks = |watched: bool, events: &mut Vec<TuneEvent>| {
            let mut job = Job {
                spec: &spec(1.0),
                base_name: "base",
                work_dir: &work_dir,
                out_dir: &out_dir,
                watch: watched.then(watch),
                place: None,
            };
            super::run(&mut job, &mut one(99.0), &mut |event| events.push(*event))
                .expect("it ends");
            fs::read(out_dir.join(TRAINING)).expect("an account")
        };
        let (mut seen, mut unseen) = (Vec::new(), Vec::new());
        let watched = looks(true, &mut seen);
        let told: Vec<bool> = seen.iter().map(|it| it.eval.is_some()).collect();
        assert_eq!(told, [false, true, false, true, false, true]);
        let log = fs::read_to_string(work_dir.join(crate::trainer_log::TRAINER_LOG));
        assert_eq!(log.expect("a log").matches("eval_loss").count(), 3);
        // The same work folder: its checkpoint is taken up only by the same run.
        let plain = looks(false, &mut unseen);
        (watched == plain, unseen.len())
    };
    assert_eq!(out(true), (true, 0));
    assert_eq!(out(false), (false, 6));
}

/// Asked to break off it leaves a checkpoint of that very step, whether one was due or not.
#[test]
fn broken_off_it_goes_on_from_there_and_ends_with_the_same_bytes() {
    let whole = run(
        folder().path(),
        &mut one(99.0),
        &spec(1.0),
        None,
        &mut |_| {},
    );
    for stop in 1..6 {
        let folder = folder();
        let spec = spec(1.0);
        let mut job = Job {
            spec: &spec,
            base_name: "base",
            work_dir: &folder.path().join("work"),
            out_dir: &folder.path().join("out"),
            watch: None,
            place: None,
        };
        let broken_off = super::run_while(&mut job, &mut one(99.0), &mut |event| match event.step
            == stop
        {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        });
        assert_eq!(broken_off.expect("a checkpoint"), None);
        let again = run(folder.path(), &mut one(99.0), &spec, None, &mut |_| {});
        let outcome = again.outcome.expect("it ends");
        assert_eq!(outcome.resumed_from, Some(stop));
        assert_eq!(again.files, whole.files, "broken off at {stop}");
    }
}

#[test]
fn stopped_early_and_killed_anywhere_it_ends_with_the_same_bytes() {
    let whole = run(
        folder().path(),
        &mut one(99.0),
        &spec(1.0),
        Some(Box::new(measure)),
        &mut |_| {},
    );
    for stop in 1..=4 {
        let folder = folder();
        let stopped = catch_unwind(AssertUnwindSafe(|| {
            let mut on = |event: &TuneEvent| assert!(event.step < stop, "on purpose");
            run(
                folder.path(),
                &mut one(99.0),
                &spec(1.0),
                Some(Box::new(measure)),
                &mut on,
            )
        }));
        assert!(stopped.is_err(), "step {stop} was reached");
        let again = run(
            folder.path(),
            &mut one(99.0),
            &spec(1.0),
            Some(Box::new(measure)),
            &mut |_| {},
        );
        assert_eq!(again.files, whole.files, "step {stop}");
    }
}

/// What was best of steps that a setback discards does not take the place of what was best before them.
#[test]
fn after_a_setback_the_best_is_that_of_the_steps_that_count() {
    let mut values = [0.1, 0.5, 0.9, 0.2, 0.3].into_iter();
    let scripted = move |_: &mut dyn Learner| Ok(values.next().expect("five measurements"));
    let folder = folder();
    let ran = run(
        folder.path(),
        &mut one(2.7),
        &spec(1.0),
        Some(Box::new(scripted)),
        &mut |_| {},
    );
    let outcome = ran.outcome.expect("what was best at step 2 is there");
    assert_eq!((outcome.steps, outcome.step_kept), (4, 2));
    let back: Vec<_> = outcome.course.setbacks.iter().map(|it| it.step).collect();
    assert_eq!(back, [4]);
    let kept = f32::from_le_bytes(ran.files[0].1[..].try_into().expect("four bytes"));
    assert!((kept - 2.0).abs() < 0.1, "{kept}");
}
