//! A recipe over a file of records in a folder of its own, for tests of `lathe tune`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::{Home, fixture, text};

/// Name of an adapter's weights in an output folder.
pub const ADAPTER: &str = "adapter_model.safetensors";

/// A folder with a file of records and a recipe for it.
pub struct Job {
    /// The home that commands run in.
    pub home: Home,
    /// The folder: `train.jsonl`, `recipe.yaml`, and what comes of it in `out`.
    pub folder: PathBuf,
}

impl Job {
    /// A recipe with these keys beside the common ones: batches of 8, 4 epochs, a checkpoint every 2 steps.
    pub fn new(records: &[Value], keys: &str) -> Job {
        let home = Home::new();
        let folder = home.path().join("job");
        fs::create_dir_all(&folder).expect("makes");
        let lines: String = records.iter().map(|it| format!("{it}\n")).collect();
        fs::write(folder.join("train.jsonl"), lines).expect("writes");
        let (model, at) = (fixture("tiny-model"), folder.display());
        let yaml = format!(
            "model_name_or_path: {}\ndataset_dir: {at}\ntrain_file: train.jsonl\noutput_dir: {at}/out\n\
             per_device_train_batch_size: 8\nlearning_rate: 1.0e-2\nnum_train_epochs: 4\nsave_steps: 2\n\
             seed: 1\n{keys}",
            model.display()
        );
        fs::write(folder.join("recipe.yaml"), yaml).expect("writes");
        Job { home, folder }
    }

    /// `lathe tune` with more keys, not yet started.
    pub fn command(&self, more: &[&str]) -> Command {
        let recipe = self.folder.join("recipe.yaml");
        let recipe = recipe.to_str().expect("a plain name");
        let args = [&["tune", recipe, "--json"][..], more].concat();
        self.home.lathe(&args)
    }

    /// Runs it to its end, whatever that is.
    pub fn tune(&self, more: &[&str]) -> Output {
        self.command(more).output().expect("lathe starts")
    }

    /// Runs it to a good end and returns what it said.
    pub fn tuned(&self, more: &[&str]) -> Value {
        let output = self.tune(more);
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// What it says where it refuses, which is before anything is tuned; in one line.
    pub fn refusal(&self, more: &[&str]) -> String {
        let output = self.tune(more);
        assert_eq!(output.status.code(), Some(1), "{more:?} is refused");
        assert!(!self.out("").exists(), "{more:?}: before anything is tuned");
        one_line(&output.stderr)
    }

    /// A file of the output folder.
    pub fn out(&self, name: &str) -> PathBuf {
        self.folder.join("out").join(name)
    }

    /// A copy of the tiny model in the folder, to be changed.
    pub fn own_model(&self) -> PathBuf {
        let model = self.folder.join("model");
        crate::copy_folder(&fixture("tiny-model"), &model);
        model
    }

    /// Changes a JSON file.
    pub fn change(&self, file: &Path, change: impl FnOnce(&mut Value)) {
        let mut value: Value =
            serde_json::from_slice(&fs::read(file).expect("reads")).expect("JSON");
        change(&mut value);
        fs::write(file, value.to_string()).expect("writes");
    }

    /// The steps of the checkpoints in the output folder, in order.
    pub fn checkpoints(&self) -> Vec<u64> {
        let entries = fs::read_dir(self.out("")).expect("an output folder");
        let step = |name: &str| name.strip_prefix("checkpoint-")?.parse().ok();
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let mut steps: Vec<u64> = names
            .filter_map(|it| step(it.to_str().unwrap_or_default()))
            .collect();
        steps.sort_unstable();
        steps
    }

    /// Takes a run back to a checkpoint, as a kill after that step leaves it.
    pub fn go_back(&self, weights: &str, keep: u64) {
        for step in self.checkpoints().into_iter().filter(|step| *step > keep) {
            let path = self.out(&format!("checkpoint-{step}"));
            fs::remove_dir_all(path).expect("removes");
        }
        fs::remove_file(self.out(weights)).expect("removes");
    }

    /// Tunes, takes the run back to a checkpoint, and goes on: with the same weights.
    pub fn goes_on_with_the_same(&self, weights: &str, keep: u64) {
        self.tuned(&[]);
        let whole = fs::read(self.out(weights)).expect("reads");
        self.go_back(weights, keep);
        let again = self.tuned(&[]);
        assert_eq!(again["resumed_from"], keep);
        assert!(fs::read(self.out(weights)).expect("reads") == whole);
    }
}

/// What a program said for people, without the lines that it was broken into.
pub fn one_line(said: &[u8]) -> String {
    let said = text(said).replace(['│', '\n'], " ");
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Pairs of answers.
pub fn pairs(count: usize) -> Vec<Value> {
    let pair =
        |at| json!({"instruction": format!("Question {at}?"), "chosen": "Yes.", "rejected": "No!"});
    (0..count).map(pair).collect()
}

/// Judged answers, every other one wanted.
pub fn judged(count: usize) -> Vec<Value> {
    let one = |at: usize| {
        let (answer, label) = [("Yes.", true), ("No!", false)][at % 2];
        json!({"prompt": format!("Question {at}?"), "completion": answer, "label": label})
    };
    (0..count).map(one).collect()
}

/// Plain texts.
pub fn texts(count: usize) -> Vec<Value> {
    let text =
        |at| json!({"text": format!("The thing number {at} is a good thing to have. ").repeat(6)});
    (0..count).map(text).collect()
}

/// Questions with one answer to all.
pub fn instructions(count: usize) -> Vec<Value> {
    let one = |at| json!({"instruction": format!("Number {at}?"), "output": "Yes."});
    (0..count).map(one).collect()
}
