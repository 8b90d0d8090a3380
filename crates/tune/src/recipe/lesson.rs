//! From a recipe and its files to rows that are learnt from and questions that are held back.

use std::path::Path;

use lathe_data::samples::{DatasetInfo, Layout, SampleSource, TableColumns};
use lathe_engine::{Adapter, Choices, LossSum, Model, Trainer};
use lathe_kernel::Pool;

use super::answer::{AnswerSpec, Reading};
use super::hold_back::{self, hold_back};
use super::mixing::mixture;
use super::table::{Asker, Question, Table, labelled_lines, labels, questions};
use super::{Recipe, Settings, Stage, preference};
use crate::TuneError;
use crate::batching::micro_batches;
use crate::dialogue::{Dialogues, Masking};
use crate::pack::Packed;
use crate::rows::Rows;
use crate::spec::SftSpec;
use crate::token_cache::{TokenCache, rows_of};
use crate::token_stream::Tokenised;
use crate::voice::Voice;

/// What a run learns from and is measured on.
pub struct Lesson {
    /// How.
    pub spec: SftSpec,
    /// The rows.
    pub packed: Packed,
    /// What is measured on afterwards.
    pub held: Held,
}

/// What is not learnt from.
pub enum Held {
    /// Questions whose answer is a choice, and how it is read; thresholds are not set yet.
    Questions(Reading, Vec<Question>),
    /// Conversations or texts, where there are any.
    Rows(Option<Packed>),
}

impl Held {
    /// How many records.
    pub fn len(&self) -> usize {
        match self {
            Held::Questions(_, questions) => questions.len(),
            Held::Rows(rows) => rows.as_ref().map_or(0, |packed| packed.rows.len()),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Where rows of conversations and texts are kept, and who hears how tokenising goes on.
pub struct Tokenising<'a> {
    /// Where.
    pub cache: TokenCache<'a>,
    /// Hears the file and how far it is.
    pub on: &'a mut dyn FnMut(&Path, Tokenised),
}

/// Reads the table of a recipe and packs it for `model`, whose template is in place.
///
/// # Errors
/// What reading, labelling and packing report.
pub fn choices<'a>(
    recipe: &Recipe,
    model: impl Into<Voice<'a>>,
    train: &Table<'_>,
    eval: Option<&Path>,
) -> Result<Lesson, TuneError> {
    let (settings, voice) = (&recipe.settings, model.into());
    let spec = settings.sft()?;
    let (reading, mut learnt) = asked(settings, voice, train)?;
    let held = match eval {
        Some(path) => questions(settings, &reading, path)?,
        None => hold_back(settings, &mut learnt)?,
    };
    Ok(Lesson {
        packed: Packed::of(choice_rows(voice, &reading, &learnt)?, &spec)?,
        spec,
        held: Held::Questions(reading, held),
    })
}

/// The questions of a table, `max_samples` at most, and how they are read.
fn asked(
    settings: &Settings,
    voice: Voice<'_>,
    table: &Table<'_>,
) -> Result<(Reading, Vec<Question>), TuneError> {
    let reading = Reading {
        answer: settings.answer.clone(),
        choices: Choices::new(voice.tokenizer, labels(settings, table)?)?,
        thresholds: None,
        assured: None,
        system: settings.system.clone(),
        template: settings.template.clone(),
    };
    let mut asked = match table {
        Table::File(file) => questions(settings, &reading, file)?,
        Table::Lines(files) => labelled_lines(files)?,
    };
    asked.truncate(settings.max_samples.unwrap_or(usize::MAX));
    Ok((reading, asked))
}

fn choice_rows(
    voice: Voice<'_>,
    reading: &Reading,
    questions: &[Question],
) -> Result<Rows, TuneError> {
    let asker = Asker::new(voice, reading)?;
    questions.iter().map(|it| asker.row(it, reading)).collect()
}

/// The rows of a recipe's first `records_max` records, or of all, before any is kept out, held back
/// or drawn; `table` is its file, if it names one. Only those of all come from the cache.
///
/// # Errors
/// What reading, labelling and rendering report.
pub fn rows<'a>(
    recipe: &Recipe,
    model: impl Into<Voice<'a>>,
    table: Option<&Table<'_>>,
    records_max: Option<usize>,
    tokenising: &mut Tokenising<'_>,
) -> Result<Rows, TuneError> {
    let (settings, voice) = (&recipe.settings, model.into());
    let file = match (&settings.answer, table) {
        (AnswerSpec::Choice(_) | AnswerSpec::Number(_), Some(table)) => {
            let (reading, mut asked) = asked(settings, voice, table)?;
            asked.truncate(records_max.unwrap_or(usize::MAX));
            return choice_rows(voice, &reading, &asked);
        }
        (_, Some(Table::File(file))) => Some(*file),
        _ => None,
    };
    let sources = sources(recipe, file)?;
    if matches!(settings.stage, Stage::Dpo | Stage::Kto) {
        return preference::rows(settings, voice, &sources, records_max);
    }
    let dialogues = Dialogues::new(voice, masking(settings))?;
    let Some(most) = records_max else {
        return tokenising.rows(settings, &sources, &dialogues);
    };
    let mut rows = Rows::default();
    for source in sources {
        let left = (most as u64).saturating_sub(rows.records());
        if left > 0 {
            let first = at_most(&at_most(&source, settings.max_samples), Some(left as usize));
            rows.join(rows_of(&first, &dialogues, tokenising.cache.pool)?);
        }
    }
    Ok(rows)
}

impl Tokenising<'_> {
    /// The rows of these sources, `max_samples` of each at most.
    fn rows(
        &mut self,
        settings: &Settings,
        sources: &[SampleSource],
        dialogues: &Dialogues<'_>,
    ) -> Result<Rows, TuneError> {
        let mut rows = Rows::default();
        for source in sources {
            let source = at_most(source, settings.max_samples);
            let mut on = |told| (self.on)(&source.path, told);
            rows.join(self.cache.rows(&source, dialogues, &mut on)?);
        }
        Ok(rows)
    }
}

/// No more than `most` records of a source.
fn at_most(source: &SampleSource, most: Option<usize>) -> SampleSource {
    let most = most.map(|most| most as u64);
    let both = source.records_max.into_iter().chain(most);
    SampleSource {
        records_max: both.min(),
        ..source.clone()
    }
}

fn masking(settings: &Settings) -> Masking {
    Masking {
        train_on_prompt: settings.train_on_prompt,
        mask_history: settings.mask_history,
        // A text is no answer: it may be taken in pieces.
        piece_tokens: matches!(settings.stage, Stage::Pt | Stage::Quantize)
            .then_some(settings.cutoff_len),
        texts_only: settings.stage == Stage::Pt,
    }
}

/// Where the samples of a recipe are: the datasets it names, or its file; `train` is that file.
///
/// # Errors
/// A dataset_info.json that cannot be used, a file of no known form.
pub fn sources(recipe: &Recipe, train: Option<&Path>) -> Result<Vec<SampleSource>, TuneError> {
    let settings = &recipe.settings;
    if let Some(train) = train {
        return Ok(vec![source(settings, train)?]);
    }
    let info = DatasetInfo::load(&settings.dataset_dir)?;
    let names = settings.dataset.iter().flat_map(|names| names.split(','));
    let source = |name: &str| Ok(info.source(name.trim())?);
    names.map(source).collect()
}

/// Where the samples are that are measured on: the file, or the dataset that the recipe names.
///
/// # Errors
/// As [`sources`].
pub fn eval_source(
    recipe: &Recipe,
    file: Option<&Path>,
) -> Result<Option<SampleSource>, TuneError> {
    let settings = &recipe.settings;
    match (file, &settings.eval_dataset) {
        (Some(file), _) => source(settings, file).map(Some),
        (None, Some(name)) => {
            let info = DatasetInfo::load(&settings.dataset_dir)?;
            Ok(Some(info.source(name.trim())?))
        }
        (None, None) => Ok(None),
    }
}

/// A file as the recipe says it is laid out, else as it looks.
fn source(settings: &Settings, path: &Path) -> Result<SampleSource, TuneError> {
    let (Some(input), Some(output)) = (&settings.input, &settings.output) else {
        return Ok(SampleSource::detect(path)?);
    };
    let reader = settings.reader.clone().unwrap_or_default();
    let columns = TableColumns {
        names: reader.columns,
        input: vec![input.clone()],
        output: output.clone(),
        prompt: None,
        system: settings.system.clone(),
    };
    Ok(SampleSource::new(path, Layout::Columns(columns)))
}

/// Reads conversations and texts and packs them for `model`, whose template is in place.
///
/// # Errors
/// What reading, rendering and packing report; the first record that cannot be used ends it.
pub fn dialogues<'a>(
    recipe: &Recipe,
    model: impl Into<Voice<'a>>,
    sources: &[SampleSource],
    eval: Option<&SampleSource>,
    tokenising: &mut Tokenising<'_>,
) -> Result<Lesson, TuneError> {
    let settings = &recipe.settings;
    let spec = settings.sft()?;
    let dialogues = Dialogues::new(model, masking(settings))?;
    let all = tokenising.rows(settings, sources, &dialogues)?;
    let (learnt, held) = match eval {
        Some(source) => {
            let on = &mut |told| (tokenising.on)(&source.path, told);
            let held = tokenising.cache.rows(source, &dialogues, on)?;
            (all, held)
        }
        None => {
            let out = hold_back::places(settings, all.records() as usize)?;
            let is_held = |at: usize| out[all.record(at) as usize];
            (all.filter(|at| !is_held(at)), all.filter(is_held))
        }
    };
    let held = (!held.is_empty()).then(|| Packed::of(held, &spec));
    Ok(Lesson {
        packed: Packed::of(mixed(settings, learnt)?, &spec)?,
        held: Held::Rows(held.transpose()?),
        spec,
    })
}

/// The rows drawn as the recipe mixes its datasets.
fn mixed(settings: &Settings, rows: Rows) -> Result<Rows, TuneError> {
    let records = rows.by_record();
    let sizes: Vec<usize> = records.iter().map(Vec::len).collect();
    let Some(drawn) = mixture(settings, &sizes)? else {
        return Ok(rows);
    };
    let records: Vec<_> = records.into_iter().flatten().collect();
    let places = drawn.into_iter().flat_map(|at| records[at].clone());
    Ok(rows.pick(places))
}

/// Mean loss per supervised token of rows that were not learnt from.
pub fn loss(
    model: &Model,
    pool: &Pool,
    adapter: Option<&Adapter>,
    packed: &Packed,
    rows_max: usize,
) -> f64 {
    let all: Vec<usize> = (0..packed.rows.len()).collect();
    let mut trainer = Trainer::new(model, pool);
    let mut sum = LossSum::default();
    for batch in micro_batches(packed, &all, rows_max) {
        sum += trainer.loss(adapter, &batch);
    }
    sum.mean()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn lesson(extra: &[&str], table: &str) -> Result<Lesson, TuneError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.csv");
        std::fs::write(&path, table).expect("written");
        let text = "model_name_or_path: m\noutput_dir: o\ntrain_file: t.csv\ninput: text\n\
                    output: label\nanswer: {kind: choice}\n";
        let extra: Vec<String> = extra.iter().map(|&text| text.to_owned()).collect();
        let recipe = Recipe::parse(text, &extra, folder.path())?;
        choices(&recipe, &testing::model(), &Table::File(&path), None)
    }

    fn table(rows: usize) -> String {
        let row = |at: usize| format!("thing number {at},{}\n", ["red", "blue"][at % 2]);
        "text,label\n".to_owned() + &(0..rows).map(row).collect::<String>()
    }

    #[test]
    fn what_is_held_back_is_not_learnt_and_the_seed_says_which() {
        let all = lesson(&[], &table(20)).expect("a lesson");
        assert_eq!((all.packed.rows.len(), all.held.len()), (20, 0));
        let held = |extra: &[&str]| {
            let lesson = lesson(extra, &table(20)).expect("a lesson");
            let learnt: Vec<String> = lesson
                .packed
                .rows
                .iter()
                .map(|row| row.id.clone())
                .collect();
            let Held::Questions(_, held) = lesson.held else {
                panic!("a table has questions")
            };
            let held: Vec<u64> = held.iter().map(|it| it.line).collect();
            assert_eq!(learnt.len() + held.len(), 20);
            assert!(held.iter().all(|line| !learnt.contains(&line.to_string())));
            held
        };
        assert_eq!(held(&["val_size=0.2"]).len(), 4);
        assert_eq!(held(&["val_size=5"]).len(), 5);
        assert_eq!(held(&["val_size=5"]), held(&["val_size=5"]));
        assert_ne!(held(&["val_size=5"]), held(&["val_size=5", "seed=1"]));
        assert!(lesson(&["val_size=20"], &table(20)).is_err());
    }

    #[test]
    fn a_table_of_one_label_teaches_nothing() {
        let error = lesson(&[], "text,label\na,red\nb,red\n")
            .err()
            .expect("one label");
        assert!(error.to_string().contains("1 labels"), "{error}");
    }
}
