//! From the samples of a recipe to pairs and judged answers.

use lathe_data::samples::{Sample, SampleSource};
use lathe_engine::{Model, Tokenizer};

use super::hold_back::hold_back;
use super::{Settings, Stage};
use crate::TuneError;
use crate::chat::{self, plain};
use crate::dialogue::{Dialogues, Masking};
use crate::dpo::DpoPair;
use crate::kto::JudgedAnswer;
use crate::pack::Row;
use crate::rows::{RowWriter, Rows};
use crate::voice::Voice;

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
    let writer = Writer::new(model)?;
    split(settings, sources, eval, &|id, sample| {
        writer.pair(id, sample)
    })
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
    let writer = Writer::new(model)?;
    split(settings, sources, eval, &|id, sample| {
        writer.judged(id, sample)
    })
}

/// The first answers of a recipe of stage dpo or kto as rows, for people to look at: prompt and answer, of a
/// pair the preferred one first.
///
/// # Errors
/// What reading and rendering report, and a sample of another stage.
pub(super) fn rows<'a>(
    settings: &Settings,
    voice: impl Into<Voice<'a>>,
    sources: &[SampleSource],
    records_max: Option<usize>,
) -> Result<Rows, TuneError> {
    let writer = Writer::new(voice)?;
    let mut rows = RowWriter::new(Vec::new());
    let mut record = 0;
    each(settings, sources, &mut |id, sample| {
        if records_max.is_some_and(|most| record as usize >= most) {
            return Ok(false);
        }
        for row in writer.rows(settings.stage, id, sample)? {
            rows.push(&row, record).expect("memory takes all");
        }
        record += 1;
        Ok(true)
    })?;
    Ok(rows.into_rows(record))
}

/// How samples become tokens.
struct Writer<'a> {
    dialogues: Dialogues<'a>,
    tokenizer: &'a Tokenizer,
}

impl<'a> Writer<'a> {
    fn new(voice: impl Into<Voice<'a>>) -> Result<Self, TuneError> {
        let voice = voice.into();
        Ok(Writer {
            dialogues: Dialogues::new(voice, Masking::default())?,
            tokenizer: voice.tokenizer,
        })
    }

    fn pair(&self, id: &str, sample: &Sample) -> Result<DpoPair, TuneError> {
        match sample {
            Sample::Pair { .. } => chat::pair(&self.dialogues, self.tokenizer, id, sample),
            other => Err(other_stage(id, other)),
        }
    }

    fn judged(&self, id: &str, sample: &Sample) -> Result<JudgedAnswer, TuneError> {
        match sample {
            Sample::Judged {
                turns,
                answer,
                wanted,
            } => {
                let prompt = self.dialogues.prompt(id, turns)?;
                let answer = (plain(id, answer)?, *wanted);
                let end = self.dialogues.end();
                JudgedAnswer::encode(self.tokenizer, end, id, &prompt, answer)
            }
            other => Err(other_stage(id, other)),
        }
    }

    fn rows(&self, stage: Stage, id: &str, sample: &Sample) -> Result<Vec<Row>, TuneError> {
        let row = |leaf, prompt: &[u32], answer: Vec<u32>| {
            let tokens = [prompt, &answer].concat();
            Row::answering(id.to_owned(), leaf, tokens, prompt.len())
        };
        if stage == Stage::Kto {
            let it = self.judged(id, sample)?;
            return Ok(vec![row(it.leaf, &it.prompt, it.answer)]);
        }
        let it = self.pair(id, sample)?;
        let answers = [it.chosen, it.rejected];
        Ok(answers
            .map(|answer| row(it.leaf, &it.prompt, answer))
            .into())
    }
}

fn split<T>(
    settings: &Settings,
    sources: &[SampleSource],
    eval: Option<&SampleSource>,
    make: &dyn Fn(&str, &Sample) -> Result<T, TuneError>,
) -> Result<Split<T>, TuneError> {
    let mut learnt = Vec::new();
    each(settings, sources, &mut |id, sample| {
        learnt.push(make(id, sample)?);
        Ok(true)
    })?;
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

/// Reads the samples of all sources, with their ids, until `take` wants no more.
fn each(
    settings: &Settings,
    sources: &[SampleSource],
    take: &mut dyn FnMut(&str, &Sample) -> Result<bool, TuneError>,
) -> Result<(), TuneError> {
    let most = settings.max_samples.unwrap_or(usize::MAX);
    for (number, source) in sources.iter().enumerate() {
        for read in source.read()?.take(most) {
            let (record, sample) = read?;
            let id = match number {
                0 => record.to_string(),
                _ => format!("{}/{record}", number + 1),
            };
            if !take(&id, &sample)? {
                return Ok(());
            }
        }
    }
    Ok(())
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
    fn what_is_looked_at_is_the_prompt_with_each_answer() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = file(&folder, &(0..10).map(pair).collect::<String>());
        let source = SampleSource::detect(&path).expect("pairs");
        let (settings, model) = (settings("stage: dpo\n"), testing::model());
        let sources = std::slice::from_ref(&source);
        let looked = rows(&settings, &model, sources, Some(2)).expect("rows");
        let learnt = pairs(&settings, &model, sources, None)
            .expect("pairs")
            .learnt;
        assert_eq!((looked.len(), looked.records()), (4, 2));
        for (at, pair) in learnt.iter().take(2).enumerate() {
            for (place, answer) in [&pair.chosen, &pair.rejected].into_iter().enumerate() {
                let row = looked.get(2 * at + place);
                assert_eq!(row.tokens, [&pair.prompt[..], answer].concat());
                let supervised = row.weights.iter().filter(|weight| **weight > 0.0);
                assert_eq!(supervised.count(), answer.len());
                assert_eq!(row.answer_start(), pair.prompt.len());
            }
        }
        let settings = super::tests::settings("stage: kto\n");
        let error =
            rows(&settings, &model, sources, None).expect_err("pairs are no judged answers");
        assert!(error.to_string().contains("use stage: dpo"), "{error}");
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
