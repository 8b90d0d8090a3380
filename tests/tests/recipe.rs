//! Recipes from the command line: a table is tuned on, killed, gone on with, and scored.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use lathe_tests::job::one_line;
use lathe_tests::{Home, fixture, root, text};
use serde_json::Value;

/// Forty sentences that a word tells apart, and a recipe for them.
fn recipe(home: &Home, extra: &str) -> PathBuf {
    let folder = home.path().join("job");
    fs::create_dir_all(&folder).expect("makes");
    let line = |at: usize| {
        let (word, label) = [("good", "praise"), ("broken", "complaint")][at % 2];
        format!("the {word} thing number {at},{label}\n")
    };
    let table = "text,label\n".to_owned() + &(0..40).map(line).collect::<String>();
    fs::write(folder.join("train.csv"), &table).expect("writes");
    let path = folder.join("recipe.yaml");
    let model = fixture("tiny-model");
    let (model, folder) = (model.display(), folder.display());
    let yaml = format!(
        "model_name_or_path: {model}\ndataset_dir: {folder}\ntrain_file: train.csv\n\
         input: text\noutput: label\nanswer: {{kind: choice}}\noutput_dir: {folder}/out\n\
         per_device_train_batch_size: 8\nlearning_rate: 1.0e-2\nnum_train_epochs: 4\n\
         save_steps: 2\nval_size: 8\nbf16: true\nseed: 1\n{extra}"
    );
    fs::write(&path, yaml).expect("writes");
    path
}

fn tune(home: &Home, recipe: &Path, more: &[&str]) -> Output {
    let recipe = recipe.to_str().expect("a plain name");
    let mut command = home.lathe(&[&["tune", recipe][..], more].concat());
    // One thread: tests run beside one another, and a tiny model has nothing to share out.
    let output = command.env("LATHE_THREADS", "1").output();
    output.expect("lathe starts")
}

fn last_line(output: &Output) -> Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    let last = stdout.trim_end().lines().last().expect("a line").to_owned();
    serde_json::from_str(&last).unwrap_or_else(|_| panic!("{stdout} does not end in JSON"))
}

#[test]
fn a_table_is_tuned_on_and_a_further_file_scored() {
    let home = Home::new();
    let recipe = recipe(&home, "");
    let tuned = tune(&home, &recipe, &[]);
    assert!(tuned.status.success(), "{}", text(&tuned.stderr));
    let said = text(&tuned.stderr);
    assert_eq!(said.matches("bf16").count(), 1, "named once: {said}");
    let out = home.path().join("job/out");
    for name in [
        "adapter_config.json",
        "adapter_model.safetensors",
        "chat_template.jinja",
        "choices.json",
        "trainer_log.jsonl",
        "training.json",
        "checkpoint-16",
    ] {
        assert!(out.join(name).exists(), "{name}");
    }
    let data = home.path().join("job/train.csv");
    let (out, recipe) = (
        out.to_str().expect("plain"),
        recipe.to_str().expect("plain"),
    );
    let scored = [
        "eval",
        out,
        "--recipe",
        recipe,
        "--data",
        data.to_str().expect("plain"),
        "--json",
    ];
    let metrics = last_line(&home.output(&scored));
    assert_eq!(metrics["records"], 40);
    let accuracy = metrics["accuracy"].as_f64().expect("a number");
    assert!(accuracy > 0.9, "two words tell them apart: {metrics}");
    assert!(metrics["macro_f1"].is_number());
}

#[test]
fn numbers_and_several_labels_are_tuned_on_and_scored_too() {
    for (answer, good, broken, metric) in [
        (
            "{kind: number, min: -4, max: 4, step: 0.5, spread: 0.5}",
            "2.5",
            "-1.5",
            "pearson_r",
        ),
        (
            "{kind: choice, multiple: true, separator: ;}",
            "praise;thanks",
            "complaint",
            "macro_f1",
        ),
    ] {
        let home = Home::new();
        let recipe = recipe(&home, "");
        let folder = home.path().join("job");
        let line = |at: usize| {
            let (word, value) = [("good", good), ("broken", broken)][at % 2];
            format!("the {word} thing number {at},{value}\n")
        };
        let table = "text,label\n".to_owned() + &(0..40).map(line).collect::<String>();
        fs::write(folder.join("train.csv"), table).expect("writes");
        let answer = format!("answer={answer}");
        let tuned = tune(&home, &recipe, &[&answer]);
        assert!(tuned.status.success(), "{}", text(&tuned.stderr));
        let path = |name: &str| folder.join(name).display().to_string();
        let (out, data, recipe) = (path("out"), path("train.csv"), path("recipe.yaml"));
        let scored = [
            "eval", &out, "--recipe", &recipe, "--data", &data, "--json", &answer,
        ];
        let metrics = last_line(&home.output(&scored));
        assert_eq!(metrics["records"], 40);
        assert!(metrics[metric].as_f64() > Some(0.9), "{metric}: {metrics}");
    }
}

#[test]
fn a_dataset_of_llama_factorys_is_tuned_on() {
    let home = Home::new();
    let folder = home.path().join("theirs");
    fs::create_dir_all(&folder).expect("makes");
    let info =
        r#"{"mine": {"file_name": "mine.json", "columns": {"prompt": "ask", "response": "say"}}}"#;
    fs::write(folder.join("dataset_info.json"), info).expect("writes");
    let record = |at: usize| serde_json::json!({"ask": format!("Number {at}?"), "say": "Yes."});
    let records: Vec<Value> = (0..24).map(record).collect();
    let all = serde_json::to_string(&records).expect("JSON");
    fs::write(folder.join("mine.json"), all).expect("writes");
    let (model, at) = (fixture("tiny-model"), folder.display());
    let yaml = format!(
        "model_name_or_path: {}\nstage: sft\ndo_train: true\nfinetuning_type: lora\ndataset: mine\n\
         dataset_dir: {at}\noutput_dir: {at}/out\nval_size: 4\nlearning_rate: 1e-2\n\
         num_train_epochs: 4\nplot_loss: true\nresume_from_checkpoint: null\n",
        model.display()
    );
    let recipe = folder.join("recipe.yaml");
    fs::write(&recipe, yaml).expect("writes");
    let tuned = tune(&home, &recipe, &["--json"]);
    assert!(tuned.status.success(), "{}", text(&tuned.stderr));
    let said: Value = serde_json::from_slice(&tuned.stdout).expect("JSON");
    assert_eq!(said["records"], 20);
    let loss = said["held_back"]["eval_loss"].as_f64().expect("a loss");
    assert!(loss < 2.0, "one answer to all is soon learnt: {said}");
    assert!(folder.join("out/training_loss.svg").exists());
}

#[test]
fn a_dry_run_says_what_it_would_take_and_what_was_taken_is_told_beside_it() {
    let home = Home::new();
    let recipe = recipe(&home, "");
    let plan = tune(&home, &recipe, &["--dry-run", "--json"]);
    assert!(plan.status.success(), "{}", text(&plan.stderr));
    let plan: Value = serde_json::from_str(&text(&plan.stdout)).expect("JSON");
    assert_eq!(
        (&plan["records"], &plan["held_back"]),
        (&32.into(), &8.into())
    );
    assert_eq!(plan["steps"], 16);
    assert!(plan["seconds"].is_number());
    let out = home.path().join("job/out");
    assert!(!out.exists());
    // What then happens is told beside what was foreseen of this recipe, and of no other.
    for (more, foreseen) in [
        (vec!["--json"], &plan),
        (vec!["--json", "seed=2"], &Value::Null),
    ] {
        let tuned = tune(&home, &recipe, &more);
        assert!(tuned.status.success(), "{}", text(&tuned.stderr));
        let said: Value = serde_json::from_slice(&tuned.stdout).expect("JSON");
        assert_eq!(&said["foreseen"], foreseen);
        let run = fs::read_to_string(out.join("run.json")).expect("an account");
        let run: Value = serde_json::from_str(&run).expect("JSON");
        assert_eq!(
            (&run["foreseen"], &run["took"]["steps"]),
            (foreseen, &16.into())
        );
        assert!(run["took"]["seconds"].is_number() && run["took"]["peak_mib"].is_number());
    }
}

#[test]
fn the_same_command_goes_on_from_a_checkpoint() {
    let home = Home::new();
    let recipe = recipe(&home, "");
    let whole = tune(&home, &recipe, &[]);
    assert!(whole.status.success(), "{}", text(&whole.stderr));
    let out = home.path().join("job/out");
    let weights = fs::read(out.join("adapter_model.safetensors")).expect("reads");
    // As a kill after the tenth step leaves it.
    for step in [12, 14, 16] {
        fs::remove_dir_all(out.join(format!("checkpoint-{step}"))).expect("removes");
    }
    fs::remove_file(out.join("adapter_model.safetensors")).expect("removes");
    let rest = tune(&home, &recipe, &["--json"]);
    assert!(rest.status.success(), "{}", text(&rest.stderr));
    let said: Value = serde_json::from_str(&text(&rest.stdout)).expect("JSON");
    assert_eq!(said["resumed_from"], 10);
    let again = fs::read(out.join("adapter_model.safetensors")).expect("reads");
    assert!(weights == again, "resumed or not, the same weights");
}

#[test]
fn what_is_wrong_is_named_before_anything_is_tuned() {
    let home = Home::new();
    let recipe = recipe(&home, "");
    for (extra, code, wanted) in [
        ("learning_rat=1", "tune-recipe", "`learning_rate`"),
        ("output=colour", "tune-recipe", "text, label"),
        ("train_file=none.csv", "recipe-file", "none.csv"),
        ("finetuning_type=oft", "tune-recipe", "lora is the nearest"),
        ("cutoff_len=3", "tune-nothing-to-learn", "3 tokens"),
    ] {
        let output = tune(&home, &recipe, &[extra]);
        let stderr = text(&output.stderr).replace(['│', '\n'], " ");
        let flat = stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(output.status.code(), Some(1), "{extra}: {flat}");
        assert!(
            flat.contains(code) && flat.contains(wanted),
            "{extra}: {flat}"
        );
        assert!(!home.path().join("job/out").exists(), "{extra}");
    }
}

#[test]
fn every_recipe_of_the_repository_names_only_keys_there_are() {
    let mut count = 0;
    for entry in fs::read_dir(root().join("recipes")).expect("recipes") {
        let path = entry.expect("an entry").path();
        let head = fs::read_to_string(&path).expect("reads");
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name");
        assert!(
            head.starts_with(&format!("# lathe tune recipes/{name}")),
            "{name} begins with its command"
        );
        lathe_tune::recipe::Recipe::load(&path, &[])
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        count += 1;
    }
    assert!(count >= 3);
}

#[test]
fn an_order_takes_a_recipes_learning_and_names_all_that_it_cannot_take() {
    let home = Home::new();
    let recipe = recipe(&home, "");
    let recipe = recipe.to_str().expect("a plain name");
    let pack = fixture("tiny-pack").display().to_string();
    let run = ["run", &pack, "--recipe", recipe, "--dry-run", "--json"];
    let output = home.output(&[&run[..], &["--set", "tune.sft.seed=7"]].concat());
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    for key in ["model_name_or_path", "val_size", "bf16"] {
        assert_eq!(said.matches(key).count(), 1, "{key}: {said}");
    }
    let plan: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let command = plan["command"].as_str().expect("a command");
    for set in [
        "tune.sft.epochs=4.0",
        "tune.sft.checkpoint_steps=2",
        "tune.sft.seed=7",
    ] {
        assert!(command.contains(set), "{set}: {command}");
    }
    // The pack learns from eight records a step itself.
    assert!(!command.contains("batch_records"), "{command}");

    let wrong = "stage: dpo\nlora_rnk: 8\nmax_steps: 9\n";
    let wrong_path = home.path().join("wrong.yaml");
    fs::write(&wrong_path, wrong).expect("writes");
    let none = home.path().join("none.yaml");
    let long = home.path().join("long.yaml");
    fs::write(&long, "# ".repeat(40 << 10)).expect("writes");
    for (path, said) in [
        (&wrong_path, &["stage", "`lora_rank`", "max_steps"][..]),
        (&none, &["none.yaml"][..]),
        (&long, &["65536"][..]),
    ] {
        let path = path.to_str().expect("a plain name");
        for more in [&["--dry-run"][..], &["--exit"]] {
            let output = home.output(&[&["run", &pack, "--recipe", path][..], more].concat());
            let flat = one_line(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{flat}");
            assert!(flat.contains("order-recipe"), "{flat}");
            assert!(said.iter().all(|it| flat.contains(it)), "{flat}");
        }
    }
}
