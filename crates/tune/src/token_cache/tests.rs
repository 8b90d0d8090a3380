//! Rows through the cache: the same, once, and damaged files done again.

use super::*;
use crate::dialogue::Masking;
use crate::testing;

struct Case {
    folder: tempfile::TempDir,
    model: lathe_engine::Model,
    pool: Pool,
}

impl Case {
    fn new() -> Case {
        let case = Case {
            folder: tempfile::tempdir().expect("a folder"),
            model: testing::model(),
            pool: Pool::new(2),
        };
        case.write("It is");
        case
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("lines.jsonl")
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("tokens")
    }

    fn write(&self, says: &str) {
        let line = |at: usize| {
            format!("{{\"instruction\":\"Number {at}?\",\"output\":\"{says} {at}.\"}}\n")
        };
        let lines: String = (0..300).map(line).collect();
        fs::write(self.data(), lines).expect("written");
    }

    /// The rows, and whether something was tokenised for them.
    fn rows(&self, masking: Masking) -> (Rows, bool) {
        let dialogues = Dialogues::new(&self.model, masking).expect("a way to write");
        let source = SampleSource::detect(&self.data()).expect("alpaca");
        let cache = TokenCache {
            folder: &self.cache(),
            pool: &self.pool,
        };
        let mut made = false;
        let rows = cache.rows(&source, &dialogues, &mut |_| made = true);
        (rows.expect("rows"), made)
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.cache()).expect("the cache");
        entries
            .map(|entry| entry.expect("an entry").path())
            .collect()
    }
}

#[test]
fn rows_are_made_once_and_are_those_of_memory() {
    let case = Case::new();
    let (first, made) = case.rows(Masking::default());
    assert!(made);
    let (second, made) = case.rows(Masking::default());
    assert!(!made, "they were there");
    assert_eq!(first, second);
    let dialogues = Dialogues::new(&case.model, Masking::default()).expect("a way to write");
    let source = SampleSource::detect(&case.data()).expect("alpaca");
    let samples = source
        .read()
        .expect("opens")
        .map(|it| it.expect("a sample"));
    let expected: Vec<_> = samples
        .flat_map(|(number, sample)| dialogues.rows(number, &sample).expect("rows"))
        .collect();
    assert_eq!(first, Rows::from(expected));
    assert_eq!(
        (first.len(), first.records(), first.record(299)),
        (300, 300, 299)
    );
}

#[test]
fn other_data_mask_or_template_is_another_file() {
    let mut case = Case::new();
    let (plain, _) = case.rows(Masking::default());
    let all = Masking {
        train_on_prompt: true,
        ..Masking::default()
    };
    let (whole, made) = case.rows(all);
    assert!(made);
    assert_ne!(plain, whole);
    case.write("Surely it is");
    assert!(case.rows(Masking::default()).1, "the data changed");
    let special = Default::default();
    let source = case
        .model
        .template
        .as_ref()
        .expect("one")
        .source()
        .to_owned();
    let other = lathe_engine::ChatTemplate::new(&(source + "\n"), special);
    case.model.template = Some(other.expect("compiles"));
    assert!(case.rows(Masking::default()).1, "the template changed");
    assert_eq!(case.files().len(), 4, "and nothing half made is left");
}

#[test]
fn a_damaged_file_is_made_anew() {
    let case = Case::new();
    let (whole, _) = case.rows(Masking::default());
    let path = case.files().remove(0);
    let bytes = fs::read(&path).expect("reads");
    let mut damages: Vec<Vec<u8>> = [0, 40, bytes.len() / 2, bytes.len() - 40, bytes.len() - 1]
        .into_iter()
        .map(|at| {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            bytes
        })
        .collect();
    damages.extend([0, 1, 100, bytes.len() - 1].map(|len| bytes[..len].to_vec()));
    for (case_number, damaged) in damages.into_iter().enumerate() {
        // By a new file, as another process would: the old one may still be mapped.
        fs::remove_file(&path).expect("removed");
        fs::write(&path, damaged).expect("written");
        let (rows, made) = case.rows(Masking::default());
        assert!(made, "damage {case_number} is seen");
        assert_eq!(rows, whole);
    }
}

#[test]
fn rows_that_this_program_would_not_make_are_made_anew() {
    let case = Case::new();
    let (whole, _) = case.rows(Masking::default());
    let path = case.files().remove(0);
    let name: Digest = path
        .file_stem()
        .and_then(|it| it.to_str())
        .expect("a name")
        .parse()
        .expect("a digest");
    // A sound file of another program: it supervises one token less in the third record.
    let mut writer = RowWriter::new(Vec::new());
    for (at, mut row) in whole.iter().enumerate() {
        if at == 2 {
            let last = row.weights.len() - 1;
            row.weights[last] = 0.0;
        }
        writer.push(&row, at as u32).expect("memory takes all");
    }
    let (mut bytes, index_at) = writer.finish().expect("memory takes all");
    bytes.extend([&MAGIC[..], &VERSION.to_le_bytes(), &name.0].concat());
    for number in [300, 300, index_at] {
        bytes.extend(u64::to_le_bytes(number));
    }
    bytes.extend(Digest::of(&bytes).0);
    fs::remove_file(&path).expect("removed");
    fs::write(&path, bytes).expect("written");
    let vocabulary = case.model.tokenizer.id_max() as usize + 1;
    assert!(open(&path, &name, vocabulary).is_some(), "it is whole");
    assert!(
        open(&path, &name, 40).is_none(),
        "unless tokens are unknown"
    );
    let (rows, made) = case.rows(Masking::default());
    assert!(made);
    assert_eq!(rows, whole);
}

#[test]
fn the_files_used_longest_ago_go() {
    let case = Case::new();
    fs::create_dir_all(case.cache()).expect("made");
    let file = |name: &str, age_s: u64| {
        let path = case.cache().join(name);
        let file = File::create(&path).expect("created");
        let then = SystemTime::now() - Duration::from_secs(age_s);
        file.set_modified(then).expect("aged");
        path
    };
    let old: Vec<PathBuf> = (0..FILES_KEPT_MAX as u64)
        .map(|at| file(&format!("{at}.rows"), 1000 - at))
        .collect();
    let (killed, running) = (file("a.1.part", 200_000), file("b.2.part", 100));
    let alien = file("notes.txt", 300_000);
    case.rows(Masking::default());
    assert!(!old[0].exists() && old[1].exists());
    assert!(!killed.exists() && running.exists() && alien.exists());
    assert_eq!(case.files().len(), FILES_KEPT_MAX + 2);
}
