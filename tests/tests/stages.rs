//! Every stage that a recipe may name, from the command line: it learns, and goes on after a kill with the same
//! weights. What is refused before anything is tuned stands in `bad_input.rs`.

use std::fs;
use std::process::Stdio;

use lathe_tests::job::{ADAPTER, Job, instructions, judged, one_line, pairs, texts};
use lathe_tests::{text, wait_for, wait_for_end};
use serde_json::{Value, json};

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

/// Pain 8: what was tuned in another way than plainly was forgotten over a stop.
#[test]
fn pain_8_every_way_of_tuning_goes_on_with_the_same_bits() {
    let whole = "model.safetensors";
    for (keys, weights) in [
        (
            "finetuning_type: freeze\nfreeze_trainable_layers: 1\n",
            whole,
        ),
        ("quantization_bit: 8\n", ADAPTER),
        ("quantization_bit: 4\n", ADAPTER),
        ("use_dora: true\n", ADAPTER),
        ("use_rslora: true\n", ADAPTER),
        (
            "val_size: 4\neval_strategy: steps\neval_steps: 1\nload_best_model_at_end: true\n",
            ADAPTER,
        ),
    ] {
        eprintln!("{keys}");
        Job::new(&instructions(16), keys).goes_on_with_the_same(weights, 4);
    }
    let job = Job::new(&texts(12), "stage: pt\nfinetuning_type: full\n");
    job.goes_on_with_the_same(whole, 4);
}

/// Pain 8: a run that is killed in earnest, wherever that was, ends as one that was not.
#[test]
fn pain_8_a_killed_run_ends_with_the_same_bytes() {
    for (records, keys) in [
        (instructions(24), ""),
        (pairs(24), "stage: dpo\n"),
        (judged(24), "stage: kto\n"),
    ] {
        let more = &["num_train_epochs=16"];
        let (whole, killed) = (Job::new(&records, keys), Job::new(&records, keys));
        whole.tuned(more);
        let mut command = killed.command(more);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("lathe starts");
        wait_for("a checkpoint", || {
            killed.out("checkpoint-4").exists().then_some(())
        });
        child.kill().expect("is killed");
        wait_for_end(&mut child);
        killed.tuned(more);
        let weights = [&whole, &killed].map(|job| fs::read(job.out(ADAPTER)).expect("reads"));
        assert!(weights[0] == weights[1], "{keys}");
    }
}

/// A checkpoint that the recipe names is the one that is gone on from, or the reason is said.
#[test]
fn a_named_checkpoint_is_gone_on_from_or_refused() {
    let job = Job::new(&instructions(16), "");
    job.tuned(&[]);
    let whole = fs::read(job.out(ADAPTER)).expect("reads");
    let named = |step: u64| {
        let path = job.out(&format!("checkpoint-{step}"));
        format!("resume_from_checkpoint={}", path.display())
    };
    let said = |more: &[&str]| one_line(&job.tune(more).stderr);
    let kept = job.checkpoints();
    assert!(said(&[&named(4)]).contains("which is checkpoint-8"));
    assert!(said(&["resume_from_checkpoint=false"]).contains("holds checkpoint-8"));
    job.go_back(ADAPTER, 4);
    let other = said(&[&named(4), "learning_rate=1e-3"]);
    assert!(other.contains("checkpoint-4 is of another run"), "{other}");
    assert_eq!(job.checkpoints(), kept[..2], "they are left alone");
    let again = job.tuned(&[&named(4)]);
    assert_eq!(again["resumed_from"], 4);
    assert!(fs::read(job.out(ADAPTER)).expect("reads") == whole);
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

/// Pain 14: what was learnt before is forgotten (LLaMA-Factory 2611), unless records of it are mixed in.
#[test]
fn pain_14_general_records_that_are_mixed_in_are_not_forgotten() {
    let job = Job::new(&instructions(24), "");
    job.tuned(&[]);
    let first = job.folder.join("first");
    fs::rename(job.out(""), &first).expect("moves");
    let own =
        |at: usize| json!({"instruction": format!("Number {at}, again?"), "output": "Never more!"});
    let lines: String = (0..24).map(|at| format!("{}\n", own(at))).collect();
    fs::write(job.folder.join("own.jsonl"), lines).expect("writes");
    let info = json!({"own": {"file_name": "own.jsonl"}, "general": {"file_name": "train.jsonl"}});
    fs::write(job.folder.join("dataset_info.json"), info.to_string()).expect("writes");
    let start = format!("adapter_name_or_path={}", first.display());
    let forgotten = |keys: &[&str]| {
        job.tuned(&[&["train_file=null", &start], keys].concat());
        let [out, recipe, data] = ["out", "recipe.yaml", "train.jsonl"]
            .map(|name| job.folder.join(name).display().to_string());
        let eval = ["eval", &out, "--recipe", &recipe, "--data", &data, "--json"];
        let loss = job.home.json(&eval)["eval_loss"].as_f64();
        fs::remove_dir_all(job.out("")).expect("removes");
        loss.expect("a loss")
    };
    let alone = forgotten(&["dataset=own"]);
    let shares = "interleave_probs=0.5,0.5";
    let mixed = forgotten(&[
        "dataset=own,general",
        "mix_strategy=interleave_over",
        shares,
    ]);
    assert!(mixed < 0.5 * alone, "{mixed} with, {alone} without them");
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
    let second = Job::new(&pairs(24), "stage: dpo\n");
    let said = second.tuned(&[&adapter]);
    assert!(said["final_loss"].as_f64() < Some(0.69), "{said}");
    let refused = second.tune(&[&adapter, "lora_rank=4"]);
    assert!(text(&refused.stderr).contains("lora_rank"));
}
