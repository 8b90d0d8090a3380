//! From a recipe and its files to rows that are learnt from and questions that are held back.

use std::path::Path;

use lathe_data::samples::{DatasetInfo, Layout, Sample, SampleSource, TableColumns};
use lathe_engine::random::Random;
use lathe_engine::{Adapter, Choices, LossSum, Model, Trainer};
use lathe_kernel::Pool;

use super::answer::Reading;
use super::table::{Asker, Question, Table, labelled_lines, labels, questions};
use super::{Recipe, Settings};
use crate::TuneError;
use crate::batching::micro_batches;
use crate::dialogue::{Dialogues, Masking};
use crate::pack::Packed;
use crate::spec::SftSpec;

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

/// Reads the table of a recipe and packs it for `model`, whose template is in place.
///
/// # Errors
/// What reading, labelling and packing report.
pub fn choices(
    recipe: &Recipe,
    model: &Model,
    train: &Table<'_>,
    eval: Option<&Path>,
) -> Result<Lesson, TuneError> {
    let settings = &recipe.settings;
    let spec = settings.sft()?;
    let reading = Reading {
        answer: settings.answer.clone(),
        choices: Choices::new(&model.tokenizer, labels(settings, train)?)?,
        thresholds: None,
        assured: None,
        system: settings.system.clone(),
        template: settings.template.clone(),
    };
    let mut learnt = match train {
        Table::File(train) => questions(settings, &reading, train)?,
        Table::Lines(files) => labelled_lines(files)?,
    };
    if let Some(max) = settings.max_samples {
        learnt.truncate(max);
    }
    let held = match eval {
        Some(path) => questions(settings, &reading, path)?,
        None => hold_back(settings, &mut learnt)?,
    };
    let asker = Asker::new(model, &reading)?;
    let rows: Result<Vec<_>, _> = learnt.iter().map(|it| asker.row(it, &reading)).collect();
    Ok(Lesson {
        packed: Packed::of(rows?, &spec)?,
        spec,
        held: Held::Questions(reading, held),
    })
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
pub fn dialogues(
    recipe: &Recipe,
    model: &Model,
    sources: &[SampleSource],
    eval: Option<&Path>,
) -> Result<Lesson, TuneError> {
    let settings = &recipe.settings;
    let spec = settings.sft()?;
    let mut learnt = Vec::new();
    for source in sources {
        let most = settings.max_samples.unwrap_or(usize::MAX);
        for sample in source.read()?.take(most) {
            learnt.push(sample?);
        }
    }
    let held: Vec<(u64, Sample)> = match eval {
        Some(path) => source(settings, path)?.read()?.collect::<Result<_, _>>()?,
        None => hold_back(settings, &mut learnt)?,
    };
    let masking = Masking {
        train_on_prompt: settings.train_on_prompt,
        mask_history: settings.mask_history,
    };
    let dialogues = Dialogues::new(model, masking)?;
    let rows = |samples: &[(u64, Sample)]| -> Result<Packed, TuneError> {
        let mut rows = Vec::with_capacity(samples.len());
        for (number, sample) in samples {
            rows.extend(dialogues.rows(*number, sample)?);
        }
        Packed::of(rows, &spec)
    };
    let held = (!held.is_empty()).then(|| rows(&held)).transpose()?;
    Ok(Lesson {
        packed: rows(&learnt)?,
        spec,
        held: Held::Rows(held),
    })
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

/// Takes `val_size` of the records out, a share below 1 or else a number; which, the seed says.
fn hold_back<T>(settings: &Settings, all: &mut Vec<T>) -> Result<Vec<T>, TuneError> {
    let size = settings.val_size;
    let count = if size < 1.0 {
        size * all.len() as f64
    } else {
        size
    };
    let count = count.round() as usize;
    if size < 0.0 || !size.is_finite() || count >= all.len() {
        return Err(TuneError::Recipe {
            key: "val_size".to_owned(),
            reason: format!("{size} of {} records leaves none to learn from", all.len()),
        });
    }
    let order = Random::new(settings.seed).order(all.len());
    let mut out = vec![false; all.len()];
    order[..count].iter().for_each(|&at| out[at] = true);
    let mut places = out.iter();
    let held = all.extract_if(.., |_| places.next() == Some(&true));
    Ok(held.collect())
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
