//! From the samples of a recipe to pairs and judged answers.

use lathe_data::samples::{Sample, SampleSource};
use lathe_engine::Model;

use super::Settings;
use super::hold_back::hold_back;
use crate::TuneError;
use crate::chat::{self, plain};
use crate::dialogue::{Dialogues, Masking};
use crate::dpo::DpoPair;
use crate::kto::JudgedAnswer;

/// Records that are learnt from, and those that are held back.
pub struct Split<T> {
    /// Learnt from.
    pub learnt: Vec<T>,
    /// Held back.
    pub held: Vec<T>,
}

/// The pairs of a recipe's sources, as `model` writes them; those of `eval` are held back, else
/// what the recipe says.
///
/// # Errors
/// What reading and rendering report, and a sample that is no pair.
pub fn pairs(
    settings: &Settings,
    model: &Model,
    sources: &[SampleSource],
    eval: Option<&SampleSource>,
) -> Result<Split<DpoPair>, TuneError> {
    let dialogues = Dialogues::new(model, Masking::default())?;
    let pair = |id: &str, sample: &Sample| match sample {
        Sample::Pair { .. } => chat::pair(&dialogues, &model.tokenizer, id, sample),
        other => Err(other_stage(id, other)),
    };
    split(settings, sources, eval, &pair)
}

/// The judged answers of a recipe's sources, likewise.
///
/// # Errors
/// What reading and rendering report, and a sample that is no judged answer.
pub fn judged(
    settings: &Settings,
    model: &Model,
    sources: &[SampleSource],
    eval: Option<&SampleSource>,
) -> Result<Split<JudgedAnswer>, TuneError> {
    let dialogues = Dialogues::new(model, Masking::default())?;
    let answer = |id: &str, sample: &Sample| match sample {
        Sample::Judged {
            turns,
            answer,
            wanted,
        } => {
            let prompt = dialogues.prompt(id, turns)?;
            let answer = (plain(id, answer)?, *wanted);
            let (tokenizer, end) = (&model.tokenizer, dialogues.end());
            JudgedAnswer::encode(tokenizer, end, id, &prompt, answer)
        }
        other => Err(other_stage(id, other)),
    };
    split(settings, sources, eval, &answer)
}

fn split<T>(
    settings: &Settings,
    sources: &[SampleSource],
    eval: Option<&SampleSource>,
    make: &dyn Fn(&str, &Sample) -> Result<T, TuneError>,
) -> Result<Split<T>, TuneError> {
    let most = settings.max_samples.unwrap_or(usize::MAX);
    let mut learnt = Vec::new();
    for (number, source) in sources.iter().enumerate() {
        for read in source.read()?.take(most) {
            let (record, sample) = read?;
            let id = match number {
                0 => record.to_string(),
                _ => format!("{}/{record}", number + 1),
            };
            learnt.push(make(&id, &sample)?);
        }
    }
    let held = match eval {
        None => hold_back(settings, &mut learnt)?,
        Some(eval) => {
            let read = eval.read()?.map(|read| {
                let (record, sample) = read?;
                make(&record.to_string(), &sample)
            });
            read.collect::<Result<_, _>>()?
        }
    };
    Ok(Split { learnt, held })
}

fn other_stage(id: &str, sample: &Sample) -> TuneError {
    let reason = match sample {
        Sample::Pair { .. } => "it is a pair of answers: use stage: dpo",
        Sample::Judged { .. } => "it is a judged answer: use stage: kto",
        Sample::Chat { .. } => "it is a conversation with one answer: use stage: sft",
        Sample::Text(_) => "it is a plain text: use stage: pt",
    };
    TuneError::Sample {
        id: id.to_owned(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;
    use crate::testing;
    use std::path::{Path, PathBuf};

    fn settings(extra: &str) -> Settings {
        let text = format!("model_name_or_path: m\noutput_dir: o\ntrain_file: t.jsonl\n{extra}");
        let recipe = Recipe::parse(&text, &[], Path::new("")).expect("a recipe");
        recipe.settings
    }

    fn file(folder: &tempfile::TempDir, lines: &str) -> PathBuf {
        let path = folder.path().join("t.jsonl");
        std::fs::write(&path, lines).expect("writes");
        path
    }

    fn pair(at: usize) -> String {
        format!(
            "{{\"instruction\": \"Question {at}?\", \"chosen\": \"Yes.\", \"rejected\": \"No!\"}}\n"
        )
    }

    #[test]
    fn pairs_are_read_and_some_held_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = file(&folder, &(0..10).map(pair).collect::<String>());
        let source = SampleSource::detect(&path).expect("pairs");
        let settings = settings("stage: dpo\nval_size: 0.2\n");
        let model = testing::model();
        let split = pairs(&settings, &model, std::slice::from_ref(&source), None).expect("pairs");
        assert_eq!((split.learnt.len(), split.held.len()), (8, 2));
        let one = &split.learnt[0];
        let text = |tokens: &[u32]| model.tokenizer.decode(tokens, false);
        assert!(text(&one.prompt).contains("Question"));
        assert!(text(&one.chosen).starts_with("Yes."));
        assert!(text(&one.rejected).starts_with("No!"));
        let end = one.chosen.last().expect("tokens");
        assert!(model.config.eos.contains(end), "it ends");
    }

    #[test]
    fn samples_of_another_stage_are_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = file(&folder, &pair(1));
        let source = SampleSource::detect(&path).expect("pairs");
        let (settings, model) = (settings("stage: kto\n"), testing::model());
        let error = judged(&settings, &model, std::slice::from_ref(&source), None);
        let error = error.err().expect("a pair is no judged answer").to_string();
        assert!(error.contains("use stage: dpo"), "{error}");
    }
}
