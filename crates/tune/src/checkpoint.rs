//! Checkpoints: all that a run needs to go on as if it had never stopped.
//!
//! ```text
//! <work folder>/checkpoint-50/checkpoint.json      version, job, step, tokens, course, SHA-256 of the state
//!                             state.safetensors    what learns, both moments, the loss of every step
//!               best-40/      the same of the best measurement, with what learns alone
//! ```
//!
//! A checkpoint is written beside its place and renamed, so that one with its final name is whole;
//! its digest is checked on reading all the same. The step stands for the data cursor and for the
//! random state too (see [`crate::plan`]). A checkpoint of another job (other examples, spec, model
//! or machine kind) is never taken up. Numbers are stored as bits, never as decimal text.
//! A run may go back to any checkpoint that is kept, so what was best by then is kept as well.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use lathe_evidence::Digest;
use lathe_evidence::digest::Hasher;
use safetensors::tensor::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::TuneError;
use crate::files::{remove_folder, rename_durably, write_durably};
use crate::learn::Course;

const VERSION: u32 = 2;
const PREFIX: &str = "checkpoint-";
const CARD: &str = "checkpoint.json";
const STATE: &str = "state.safetensors";
const BEST: &str = "best-";
/// Numbers turned into bytes at once.
const PIECE: usize = 64 * 1024;
/// Unfinished checkpoints; the leading dot keeps them out of [`numbered`].
const UNFINISHED: &str = ".checkpoint-unfinished";

/// The state of a run between two steps.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Steps done.
    pub step: u64,
    /// Tokens that went through the model so far.
    pub tokens: u64,
    /// What learns.
    pub values: Vec<f32>,
    /// The optimizer's first moments.
    pub first: Vec<f32>,
    /// The optimizer's second moments.
    pub second: Vec<f32>,
    /// The loss of every step done.
    pub losses: Vec<f64>,
    /// What was measured and what went wrong.
    pub course: Course,
}

/// A [`State`] that is only looked at: weights in full precision are not copied to be written.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "these are State's")]
pub struct Moment<'a> {
    pub step: u64,
    pub tokens: u64,
    pub values: &'a [f32],
    pub first: &'a [f32],
    pub second: &'a [f32],
    pub losses: &'a [f64],
    pub course: &'a Course,
}

/// What was found in a work folder.
#[derive(Debug, Default)]
pub struct Found {
    /// The newest sound state of this job.
    pub state: Option<State>,
    /// Checkpoints passed over because their bytes are not those that were written.
    pub damaged: Vec<PathBuf>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Card {
    version: u32,
    job: Digest,
    step: u64,
    tokens: u64,
    course: Course,
    sha256: Digest,
}

/// Writes `state` as the checkpoint of its step, then removes all but `keep`: first those above it, which a
/// run that goes on from its newest sound one has passed over as damaged, then the oldest.
///
/// # Errors
/// When the folder cannot be written; older checkpoints are then untouched.
pub fn save(
    work_dir: &Path,
    job: &Digest,
    state: &Moment<'_>,
    keep: usize,
) -> Result<(), TuneError> {
    let finished = folder(work_dir, state.step);
    write(work_dir, &finished, job, state)?;
    let all = numbered(work_dir, PREFIX)?;
    let surplus = all.len().saturating_sub(keep.max(1));
    let above = all.iter().filter(|(step, _)| *step > state.step);
    let below = all.iter().filter(|(step, _)| *step < state.step);
    above
        .chain(below)
        .take(surplus)
        .try_for_each(|(_, path)| remove_folder(path))
}

/// Writes what learns as the best of the run so far; an earlier best stays.
///
/// # Errors
/// When the folder cannot be written.
pub fn save_best(
    work_dir: &Path,
    job: &Digest,
    step: u64,
    values: &[f32],
) -> Result<(), TuneError> {
    let alone = Moment {
        step,
        tokens: 0,
        values,
        first: &[],
        second: &[],
        losses: &[],
        course: &Course::default(),
    };
    write(work_dir, &best_folder(work_dir, step), job, &alone)
}

/// Removes every best but that of `now` and those that a checkpoint that is kept counts as its best.
///
/// # Errors
/// When the folder cannot be read or written.
pub fn prune_bests(work_dir: &Path, higher: bool, now: Option<u64>) -> Result<(), TuneError> {
    let mut wanted: BTreeSet<u64> = now.into_iter().collect();
    for (_, path) in numbered(work_dir, PREFIX)? {
        match card(&path) {
            Ok(card) => wanted.extend(card.course.best(higher).map(|best| best.step)),
            // Nothing goes back to it.
            Err(TuneError::Damaged { .. }) => {}
            Err(other) => return Err(other),
        }
    }
    let bests = numbered(work_dir, BEST)?.into_iter();
    bests
        .filter(|(step, _)| !wanted.contains(step))
        .try_for_each(|(_, path)| remove_folder(&path))
}

/// Reads the best of the run, which is of `step`.
///
/// # Errors
/// [`TuneError::Damaged`] when it is not that.
pub fn best(work_dir: &Path, job: &Digest, step: u64) -> Result<Vec<f32>, TuneError> {
    let path = best_folder(work_dir, step);
    let (of, state) = read(&path)?;
    if of != *job || state.step != step {
        return Err(TuneError::Damaged {
            path,
            reason: format!("it is not that of step {step} of this run"),
        });
    }
    Ok(state.values)
}

/// Writes a folder beside its place and gives it its name.
fn write(
    work_dir: &Path,
    finished: &Path,
    job: &Digest,
    state: &Moment<'_>,
) -> Result<(), TuneError> {
    let unfinished = work_dir.join(UNFINISHED);
    remove_folder(&unfinished)?;
    fs::create_dir_all(&unfinished).map_err(TuneError::file("create", &unfinished))?;
    let card = Card {
        version: VERSION,
        job: *job,
        step: state.step,
        tokens: state.tokens,
        course: state.course.clone(),
        sha256: write_state(&unfinished.join(STATE), state)?,
    };
    let card = serde_json::to_vec_pretty(&card).expect("a card is plain JSON");
    write_durably(&unfinished.join(CARD), &card)?;
    remove_folder(finished)?;
    rename_durably(&unfinished, finished)
}

/// Finds the newest sound checkpoint of `job`, and removes those of other jobs.
///
/// # Errors
/// When the work folder cannot be read.
pub fn latest(work_dir: &Path, job: &Digest) -> Result<Found, TuneError> {
    let mut found = Found::default();
    remove_folder(&work_dir.join(UNFINISHED))?;
    for (_, path) in numbered(work_dir, PREFIX)?.into_iter().rev() {
        // The states of other jobs', and of those older than the one taken up, are not read.
        let of = card(&path).and_then(|card| {
            if card.job == *job && found.state.is_none() {
                let (_, state) = read(&path)?;
                found.state = Some(state);
            }
            Ok(card.job)
        });
        match of {
            Ok(of) if of != *job => remove_folder(&path)?,
            Ok(_) => {}
            Err(TuneError::Damaged { .. }) => found.damaged.push(path),
            Err(other) => return Err(other),
        }
    }
    Ok(found)
}

/// The steps of the checkpoints in a work folder, oldest first; none where there is no such folder.
///
/// # Errors
/// When the folder cannot be read.
pub fn steps(work_dir: &Path) -> Result<Vec<u64>, TuneError> {
    if !work_dir.exists() {
        return Ok(Vec::new());
    }
    let all = numbered(work_dir, PREFIX)?;
    Ok(all.into_iter().map(|(step, _)| step).collect())
}

/// The folder of a step's checkpoint.
pub fn folder(work_dir: &Path, step: u64) -> PathBuf {
    work_dir.join(format!("{PREFIX}{step}"))
}

fn best_folder(work_dir: &Path, step: u64) -> PathBuf {
    work_dir.join(format!("{BEST}{step}"))
}

/// Whether the checkpoint of `step` is one of `job`'s.
///
/// # Errors
/// [`TuneError::Damaged`], or when it cannot be read.
pub fn is_of(work_dir: &Path, step: u64, job: &Digest) -> Result<bool, TuneError> {
    let (of, _) = read(&folder(work_dir, step))?;
    Ok(of == *job)
}

/// The folders called `prefix` and a step, oldest first.
fn numbered(work_dir: &Path, prefix: &str) -> Result<Vec<(u64, PathBuf)>, TuneError> {
    let mut all = Vec::new();
    let entries = fs::read_dir(work_dir).map_err(TuneError::file("read", work_dir))?;
    for entry in entries {
        let path = entry.map_err(TuneError::file("read", work_dir))?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if let Some(step) = name.strip_prefix(prefix).and_then(|step| step.parse().ok()) {
            all.push((step, path));
        }
    }
    all.sort();
    Ok(all)
}

fn read(path: &Path) -> Result<(Digest, State), TuneError> {
    let card = card(path)?;
    let bytes = read_file(path, STATE)?;
    if Digest::of(&bytes) != card.sha256 {
        return Err(damaged(path, "the state's SHA-256 is not the one written"));
    }
    let state = decode(&card, &bytes).ok_or_else(|| damaged(path, "the state lacks a tensor"))?;
    Ok((card.job, state))
}

/// What a checkpoint says of itself, its state unread.
fn card(path: &Path) -> Result<Card, TuneError> {
    let card: Card = serde_json::from_slice(&read_file(path, CARD)?)
        .map_err(|_| damaged(path, "checkpoint.json does not parse"))?;
    if card.version != VERSION {
        return Err(damaged(path, "it was written by another version"));
    }
    Ok(card)
}

fn read_file(path: &Path, name: &str) -> Result<Vec<u8>, TuneError> {
    let file = path.join(name);
    fs::read(&file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => damaged(path, "a file is missing"),
        _ => TuneError::file("read", &file)(error),
    })
}

fn damaged(path: &Path, reason: &str) -> TuneError {
    TuneError::Damaged {
        path: path.into(),
        reason: reason.into(),
    }
}

/// Writes the numbers as safetensors, a piece at a time; gives the file's digest.
fn write_state(path: &Path, state: &Moment<'_>) -> Result<Digest, TuneError> {
    let mut file = File::create(path).map_err(TuneError::file("create", path))?;
    let mut hasher = Hasher::new();
    let mut put = |bytes: &[u8]| {
        hasher.update(bytes);
        file.write_all(bytes)
            .map_err(TuneError::file("write", path))
    };
    let floats = [
        ("values", state.values),
        ("first", state.first),
        ("second", state.second),
    ];
    let mut header = serde_json::Map::new();
    let mut end = 0;
    let mut place = |name: &str, dtype: &str, count: usize, bytes: usize| {
        let start = end;
        end += count * bytes;
        let place = json!({"dtype": dtype, "shape": [count], "data_offsets": [start, end]});
        header.insert(name.to_owned(), place);
    };
    for (name, values) in floats {
        place(name, "F32", values.len(), 4);
    }
    place("losses", "F64", state.losses.len(), 8);
    let mut header = serde_json::Value::Object(header).to_string();
    // Tensors begin at multiples of eight bytes.
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    put(&(header.len() as u64).to_le_bytes())?;
    put(header.as_bytes())?;
    let mut bytes = Vec::new();
    for (_, values) in floats {
        for piece in values.chunks(PIECE) {
            bytes.clear();
            bytes.extend(piece.iter().flat_map(|value| value.to_le_bytes()));
            put(&bytes)?;
        }
    }
    let losses = state.losses.iter();
    bytes.clear();
    bytes.extend(losses.flat_map(|loss| loss.to_le_bytes()));
    put(&bytes)?;
    let digest = hasher.finish();
    file.sync_all().map_err(TuneError::file("write", path))?;
    Ok(digest)
}

fn decode(card: &Card, bytes: &[u8]) -> Option<State> {
    let tensors = SafeTensors::deserialize(bytes).ok()?;
    let floats = |name: &str| -> Option<Vec<f32>> {
        let view = tensors
            .tensor(name)
            .ok()
            .filter(|view| view.dtype() == Dtype::F32)?;
        let chunks = view.data().as_chunks::<4>().0;
        Some(
            chunks
                .iter()
                .map(|chunk| f32::from_le_bytes(*chunk))
                .collect(),
        )
    };
    let losses = tensors
        .tensor("losses")
        .ok()
        .filter(|view| view.dtype() == Dtype::F64)?;
    let losses: Vec<f64> = losses
        .data()
        .as_chunks::<8>()
        .0
        .iter()
        .map(|chunk| f64::from_le_bytes(*chunk))
        .collect();
    let state = State {
        step: card.step,
        tokens: card.tokens,
        values: floats("values")?,
        first: floats("first")?,
        second: floats("second")?,
        losses,
        course: card.course.clone(),
    };
    let moments = state.first.len();
    let whole = moments == state.values.len() && state.losses.len() as u64 == state.step;
    let alone = moments == 0 && state.losses.is_empty();
    (moments == state.second.len() && (whole || alone)).then_some(state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::Eval;

    fn state(step: u64) -> State {
        State {
            step,
            tokens: step * 100,
            values: vec![0.1, -0.2, f32::MIN_POSITIVE],
            first: vec![1e-30, 0.0, -0.0],
            second: vec![3.0, 1.0 / 3.0, 0.0],
            losses: (0..step).map(|step| 1.0 / (step as f64 + 3.0)).collect(),
            course: Course {
                evals: vec![Eval {
                    step,
                    value: 0.1 + 0.2,
                }],
                setbacks: Vec::new(),
            },
        }
    }

    fn save(folder: &Path, job: &Digest, state: &State, keep: usize) -> Result<(), TuneError> {
        let State {
            step,
            tokens,
            values,
            first,
            second,
            losses,
            course,
        } = state;
        let moment = Moment {
            step: *step,
            tokens: *tokens,
            values,
            first,
            second,
            losses,
            course,
        };
        super::save(folder, job, &moment, keep)
    }

    fn job() -> Digest {
        Digest::of(b"job")
    }

    fn names(folder: &Path) -> Vec<String> {
        numbered(folder, PREFIX)
            .expect("reads")
            .into_iter()
            .map(|(step, _)| step.to_string())
            .collect()
    }

    #[test]
    fn the_newest_comes_back_bit_for_bit() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(
            latest(folder.path(), &job())
                .expect("reads")
                .state
                .is_none()
        );
        for step in [5, 10, 15] {
            save(folder.path(), &job(), &state(step), 2).expect("saves");
        }
        assert_eq!(names(folder.path()), ["10", "15"]);
        assert_eq!(
            latest(folder.path(), &job()).expect("reads").state,
            Some(state(15))
        );
    }

    #[test]
    fn what_is_older_than_the_one_taken_up_is_not_read() {
        let folder = tempfile::tempdir().expect("a folder");
        for step in [5, 10] {
            save(folder.path(), &job(), &state(step), 2).expect("saves");
        }
        fs::remove_file(folder.path().join("checkpoint-5").join(STATE)).expect("removes");
        let found = latest(folder.path(), &job()).expect("reads");
        assert_eq!((found.state, found.damaged), (Some(state(10)), Vec::new()));
    }

    #[test]
    fn an_unfinished_one_is_swept_away() {
        let folder = tempfile::tempdir().expect("a folder");
        save(folder.path(), &job(), &state(5), 2).expect("saves");
        let unfinished = folder.path().join(UNFINISHED);
        fs::create_dir(&unfinished).expect("creates");
        fs::write(unfinished.join(STATE), b"half").expect("writes");
        assert_eq!(
            latest(folder.path(), &job()).expect("reads").state,
            Some(state(5))
        );
        assert!(!unfinished.exists());
    }

    #[test]
    fn a_damaged_one_is_passed_over_and_named() {
        let folder = tempfile::tempdir().expect("a folder");
        save(folder.path(), &job(), &state(5), 3).expect("saves");
        save(folder.path(), &job(), &state(10), 3).expect("saves");
        let newest = folder.path().join("checkpoint-10");
        let file = newest.join(STATE);
        let mut bytes = fs::read(&file).expect("reads");
        *bytes.last_mut().expect("bytes") ^= 1;
        fs::write(&file, bytes).expect("writes");
        let found = latest(folder.path(), &job()).expect("reads");
        assert_eq!(found.state, Some(state(5)));
        assert_eq!(found.damaged, [newest]);
    }

    #[test]
    fn what_was_just_written_is_not_pruned_for_damaged_ones() {
        let folder = tempfile::tempdir().expect("a folder");
        for step in [90, 100] {
            save(folder.path(), &job(), &state(step), 2).expect("saves");
            let file = folder.path().join(format!("checkpoint-{step}/{STATE}"));
            fs::write(file, b"damaged").expect("writes");
        }
        let found = latest(folder.path(), &job()).expect("reads");
        assert_eq!((found.state, found.damaged.len()), (None, 2));
        save(folder.path(), &job(), &state(10), 2).expect("saves");
        assert_eq!(names(folder.path()), ["10", "100"]);
        save(folder.path(), &job(), &state(20), 2).expect("saves");
        assert_eq!(names(folder.path()), ["10", "20"]);
        let found = latest(folder.path(), &job()).expect("reads");
        assert_eq!(found.state, Some(state(20)));
    }

    #[test]
    fn the_best_is_kept_apart_and_asked_for_by_its_step() {
        let folder = tempfile::tempdir().expect("a folder");
        save_best(folder.path(), &job(), 5, &[1.0, 2.0]).expect("saves");
        save_best(folder.path(), &job(), 10, &[3.0, 4.0]).expect("saves");
        assert_eq!(best(folder.path(), &job(), 10).expect("reads"), [3.0, 4.0]);
        assert_eq!(best(folder.path(), &job(), 5).expect("reads"), [1.0, 2.0]);
        assert!(best(folder.path(), &job(), 7).is_err(), "no best");
        assert!(best(folder.path(), &Digest::of(b"another"), 10).is_err());
        assert!(
            latest(folder.path(), &job())
                .expect("reads")
                .state
                .is_none()
        );
    }

    #[test]
    fn a_best_is_kept_as_long_as_a_checkpoint_counts_on_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let bests = || -> Vec<u64> {
            let all = numbered(folder.path(), BEST).expect("reads");
            all.into_iter().map(|(step, _)| step).collect()
        };
        for step in [4, 5, 12] {
            save_best(folder.path(), &job(), step, &[step as f32]).expect("saves");
        }
        // Its best measurement is of its own step.
        save(folder.path(), &job(), &state(5), 2).expect("saves");
        prune_bests(folder.path(), true, Some(12)).expect("prunes");
        assert_eq!(bests(), [5, 12]);
        prune_bests(folder.path(), true, None).expect("prunes");
        assert_eq!(bests(), [5]);
    }

    #[test]
    fn another_jobs_checkpoint_is_not_taken_up() {
        let folder = tempfile::tempdir().expect("a folder");
        save(folder.path(), &Digest::of(b"another"), &state(5), 2).expect("saves");
        assert!(
            latest(folder.path(), &job())
                .expect("reads")
                .state
                .is_none()
        );
        assert!(names(folder.path()).is_empty(), "removed");
    }
}
