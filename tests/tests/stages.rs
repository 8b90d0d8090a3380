//! Every stage that a recipe may name, from the command line: it learns, goes on after a kill with
//! the same weights, and refuses bad input with the reason before anything is tuned.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use lathe_tests::{Home, fixture, text};
use serde_json::{Value, json};

/// A folder with a file of records and a recipe for it.
struct Job {
    home: Home,
    folder: PathBuf,
}

impl Job {
    fn new(records: &[Value], keys: &str) -> Job {
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

    fn tune(&self, more: &[&str]) -> Output {
        let recipe = self.folder.join("recipe.yaml");
        let recipe = recipe.to_str().expect("a plain name");
        self.home
            .output(&[&["tune", recipe, "--json"][..], more].concat())
    }

    fn tuned(&self, more: &[&str]) -> Value {
        let output = self.tune(more);
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    fn refusal(&self, more: &[&str]) -> String {
        let output = self.tune(more);
        assert_eq!(output.status.code(), Some(1), "{more:?} is refused");
        assert!(!self.out("").exists(), "{more:?}: before anything is tuned");
        let said = text(&output.stderr).replace(['│', '\n'], " ");
        said.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn out(&self, name: &str) -> PathBuf {
        self.folder.join("out").join(name)
    }

    /// Tunes, takes the run back to a checkpoint as a kill leaves it, and goes on.
    fn goes_on_with_the_same(&self, weights: &str, keep: u64) {
        self.tuned(&[]);
        let whole = fs::read(self.out(weights)).expect("reads");
        let step = |path: &Path| -> Option<u64> {
            let name = path.file_name()?.to_str()?;
            name.strip_prefix("checkpoint-")?.parse().ok()
        };
        for entry in fs::read_dir(self.out("")).expect("reads") {
            let path = entry.expect("an entry").path();
            if step(&path).is_some_and(|step| step > keep) {
                fs::remove_dir_all(path).expect("removes");
            }
        }
        fs::remove_file(self.out(weights)).expect("removes");
        let again = self.tuned(&[]);
        assert_eq!(again["resumed_from"], keep);
        assert!(fs::read(self.out(weights)).expect("reads") == whole);
    }
}

const ADAPTER: &str = "adapter_model.safetensors";

fn pairs(count: usize) -> Vec<Value> {
    let pair =
        |at| json!({"instruction": format!("Question {at}?"), "chosen": "Yes.", "rejected": "No!"});
    (0..count).map(pair).collect()
}

fn judged(count: usize) -> Vec<Value> {
    let one = |at: usize| {
        let (answer, label) = [("Yes.", true), ("No!", false)][at % 2];
        json!({"prompt": format!("Question {at}?"), "completion": answer, "label": label})
    };
    (0..count).map(one).collect()
}

fn texts(count: usize) -> Vec<Value> {
    let text =
        |at| json!({"text": format!("The thing number {at} is a good thing to have. ").repeat(6)});
    (0..count).map(text).collect()
}

fn instructions(count: usize) -> Vec<Value> {
    let one = |at| json!({"instruction": format!("Number {at}?"), "output": "Yes."});
    (0..count).map(one).collect()
}

#[test]
fn pairs_are_learnt_from_and_held_back_ones_told_apart() {
    let job = Job::new(&pairs(40), "stage: dpo\nval_size: 8\npref_beta: 0.2\n");
    let said = job.tuned(&[]);
    assert_eq!((&said["records"], &said["steps"]), (&32.into(), &16.into()));
    assert_eq!(said["held_back"]["preferred"], 1.0, "{said}");
    let log = fs::read_to_string(job.out("trainer_log.jsonl")).expect("a log");
    assert_eq!(log.lines().count(), 16);
}

#[test]
fn dpo_goes_on_with_the_same_weights() {
    Job::new(&pairs(24), "stage: dpo\n").goes_on_with_the_same(ADAPTER, 6);
}

#[test]
fn judged_answers_are_learnt_from() {
    let job = Job::new(&judged(40), "stage: kto\nval_size: 8\n");
    let said = job.tuned(&[]);
    assert_eq!(said["held_back"]["judged_rightly"], 1.0, "{said}");
}

#[test]
fn kto_goes_on_with_the_same_weights() {
    Job::new(&judged(24), "stage: kto\n").goes_on_with_the_same(ADAPTER, 6);
}

#[test]
fn texts_are_learnt_from_whole_and_cut_where_they_are_long() {
    let job = Job::new(&texts(12), "stage: pt\ncutoff_len: 40\nval_size: 2\n");
    let said = job.tuned(&[]);
    let records = said["records"].as_u64().expect("a number");
    assert!(records > 20, "ten texts in several pieces each: {said}");
    assert!(said["held_back"]["eval_loss"].as_f64().expect("a loss") < 4.0);
}

#[test]
fn pretraining_goes_on_with_the_same_weights() {
    Job::new(&texts(12), "stage: pt\n").goes_on_with_the_same(ADAPTER, 4);
}

#[test]
fn the_best_measurement_is_kept_and_the_run_stops_early() {
    let keys = "val_size: 8\neval_strategy: steps\neval_steps: 1\nload_best_model_at_end: true\n\
                early_stopping_steps: 2\nlr_scheduler_type: constant\n";
    let records: Vec<Value> = (0..40)
        .map(|at| json!({"instruction": format!("Number {at}?"), "output": format!("{}.", at * 7 % 10)}))
        .collect();
    let job = Job::new(&records, keys);
    let said = job.tuned(&["num_train_epochs=30", "learning_rate=0.2"]);
    let (steps, kept) = (said["steps"].as_u64(), said["step_kept"].as_u64());
    assert!(steps < Some(120), "{said}");
    assert_eq!(kept.map(|kept| kept + 2), steps, "{said}");
    let log = fs::read_to_string(job.out("trainer_log.jsonl")).expect("a log");
    let losses: Vec<f64> = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["eval_loss"].clone())
        .map(|loss| loss.as_f64().expect("measured after every step"))
        .collect();
    let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let last = said["held_back"]["eval_loss"].as_f64().expect("a loss");
    assert!(
        (last - least).abs() < 1e-6,
        "{least} was best, {last} is kept"
    );
}

#[test]
fn a_whole_model_is_tuned_written_and_scored() {
    for way in [
        "finetuning_type: full\n",
        "finetuning_type: freeze\nfreeze_trainable_layers: 1\n",
    ] {
        let keys = format!("val_size: 4\n{way}");
        let job = Job::new(&instructions(24), &keys);
        let said = job.tuned(&["learning_rate=3e-3"]);
        let tuned = said["held_back"]["eval_loss"].as_f64().expect("a loss");
        assert!(tuned < 2.0, "{way}: {said}");
        for name in ["config.json", "tokenizer.json", "model.safetensors"] {
            assert!(job.out(name).exists(), "{name}");
        }
        let [out, recipe, data] = ["out", "recipe.yaml", "train.jsonl"]
            .map(|name| job.folder.join(name).display().to_string());
        let scored = job
            .home
            .output(&["eval", &out, "--recipe", &recipe, "--data", &data, "--json"]);
        assert!(scored.status.success(), "{}", text(&scored.stderr));
        let metrics: Value = serde_json::from_slice(&scored.stdout).expect("JSON");
        let loss = metrics["eval_loss"].as_f64().expect("a loss");
        assert_eq!(metrics["records"], 24);
        assert!(
            (loss - tuned).abs() < 0.3,
            "what is written is what was tuned: {metrics}, {said}"
        );
    }
}

#[test]
fn weights_go_on_with_the_same_bits() {
    let job = Job::new(&instructions(16), "finetuning_type: full\n");
    job.goes_on_with_the_same("model.safetensors", 4);
}

/// Pain 6: a loss scaled by the micro-batch instead of the step (transformers 34191, axolotl 2262). Eight
/// records of different lengths in one batch are what one record in each of eight batches is.
#[test]
fn pain_6_eight_times_one_is_one_times_eight() {
    let records: Vec<Value> = (1..25)
        .map(|at| json!({"instruction": format!("Number {at}?"), "output": "Yes. ".repeat(at % 5 + 1)}))
        .collect();
    let job = Job::new(&records, "");
    let weights = ["8", "1"].map(|batch| {
        let accumulated = if batch == "8" { "1" } else { "8" };
        let batch = format!("per_device_train_batch_size={batch}");
        let accumulated = format!("gradient_accumulation_steps={accumulated}");
        job.tuned(&[&batch, &accumulated]);
        let weights = fs::read(job.out(ADAPTER)).expect("reads");
        fs::remove_dir_all(job.out("")).expect("removes");
        weights
    });
    assert!(weights[0] == weights[1], "the same bytes");
}

#[test]
fn an_adapter_is_tuned_over_a_base_of_eight_bits_and_of_four() {
    for bits in [8, 4] {
        let keys = format!("quantization_bit: {bits}\nquantization_method: bnb\nval_size: 4\n");
        let said = Job::new(&instructions(24), &keys).tuned(&[]);
        let loss = said["held_back"]["eval_loss"].as_f64().expect("a loss");
        assert!(loss < 2.0, "{bits} bits: {said}");
    }
}

#[test]
fn datasets_are_drawn_by_their_shares() {
    let job = Job::new(&instructions(24), "");
    let info = json!({
        "one": {"file_name": "train.jsonl"},
        "other": {"file_name": "other.jsonl"},
    });
    fs::write(job.folder.join("dataset_info.json"), info.to_string()).expect("writes");
    let lines: String = instructions(6).iter().map(|it| format!("{it}\n")).collect();
    fs::write(job.folder.join("other.jsonl"), lines).expect("writes");
    let shares = "interleave_probs=0.5,0.5";
    let both = [
        "train_file=null",
        "dataset=one,other",
        "mix_strategy=interleave_over",
        shares,
    ];
    let said = job.tuned(&both);
    let records = said["records"].as_u64().expect("a number");
    assert!(
        (36..90).contains(&records),
        "24 of the larger, as many of the other: {said}"
    );
}

#[test]
fn a_search_keeps_a_table_and_runs_the_winner_to_its_end() {
    let keys = "val_size: 8\nsearch:\n  over: {learning_rate: [1.0e-6, 1.0e-2, 3.0e-2], lora_rank: [4, 8]}\n  \
                rungs: 2\n";
    let job = Job::new(&instructions(40), keys);
    let said = job.tuned(&[]);
    let table = fs::read_to_string(job.out("search.json")).expect("a table");
    let table: Value = serde_json::from_str(&table).expect("JSON");
    let trials = table["trials"].as_array().expect("trials");
    assert_eq!((trials.len(), &table["metric"]), (6, &"eval_loss".into()));
    let rungs = |trial: &Value| trial["metrics"].as_array().expect("metrics").len();
    let went_on = trials.iter().filter(|trial| rungs(trial) == 2).count();
    assert!((2..=4).contains(&went_on), "{table}");
    let winner = &trials[table["winner"].as_u64().expect("one") as usize - 1];
    assert!(
        winner["values"]["learning_rate"].as_f64() > Some(1e-3),
        "{table}"
    );
    let loss = said["held_back"]["eval_loss"].as_f64();
    let measured = winner["metrics"][1].as_f64();
    assert_eq!(loss, measured, "the winner's own end");
    assert!(job.out(ADAPTER).exists());
}

#[test]
fn an_adapter_is_tuned_on_by_another_stage() {
    let first = Job::new(&instructions(24), "");
    first.tuned(&[]);
    let adapter = format!("adapter_name_or_path={}", first.out("").display());
    let second = Job::new(
        &pairs(24),
        "stage: dpo\nlearning_rate_: 1\n"
            .replace("learning_rate_: 1\n", "")
            .as_str(),
    );
    let said = second.tuned(&[&adapter]);
    assert!(said["final_loss"].as_f64() < Some(0.69), "{said}");
    assert!(second.refusal_of_rank(&adapter).contains("lora_rank"));
}

impl Job {
    fn refusal_of_rank(&self, adapter: &str) -> String {
        text(&self.tune(&[adapter, "lora_rank=4"]).stderr)
    }
}

/// Bad input that is refused with its reason before anything is tuned.
#[test]
fn what_cannot_be_learnt_from_is_refused_with_the_reason() {
    let empty = Job::new(&[], "");
    assert!(empty.refusal(&[]).contains("record"), "an empty set");
    let masked = [json!({"messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "weight": 0},
    ]})];
    let said = Job::new(&masked, "").refusal(&[]);
    assert!(said.contains("every `weight` is 0"), "all masked: {said}");
    let said = Job::new(&pairs(4), "stage: kto\n").refusal(&[]);
    assert!(
        said.contains("stage: dpo"),
        "another stage's records: {said}"
    );
    let mixed: Vec<Value> = pairs(2).into_iter().chain(judged(2)).collect();
    let said = Job::new(&mixed, "stage: dpo\n").refusal(&[]);
    assert!(
        said.contains("record 3"),
        "mixed preference formats: {said}"
    );
    let wanted: Vec<Value> = judged(8).into_iter().step_by(2).collect();
    let said = Job::new(&wanted, "stage: kto\n").refusal(&[]);
    assert!(
        said.contains("all 4 answers"),
        "one-sided judgements: {said}"
    );
    let said = Job::new(&instructions(4), "")
        .refusal(&["finetuning_type=freeze", "freeze_trainable_layers=9"]);
    assert!(
        said.contains("1 to 2"),
        "more layers than there are: {said}"
    );
}
