//! `lathe data preview`: what is shown is what is learnt from, and what is wrong is said.

use std::fs;
use std::path::PathBuf;

use lathe_tests::{Home, fixture, text};
use serde_json::{Value, json};

fn file(home: &Home, name: &str, records: &[Value]) -> PathBuf {
    let path = home.path().join(name);
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    fs::create_dir_all(home.path()).expect("makes");
    fs::write(&path, lines).expect("writes");
    path
}

fn rounds(at: usize) -> Value {
    json!({"messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": format!("Is it number {at}?")},
        {"role": "assistant", "content": "Perhaps.", "weight": 0},
        {"role": "user", "content": "\u{1b}[31mWell?"},
        {"role": "assistant", "content": "Yes."},
    ]})
}

fn preview(home: &Home, more: &[&str]) -> (String, String) {
    let output = home.output(&[&["data", "preview"][..], more].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    (
        text(&output.stdout).to_string(),
        text(&output.stderr).to_string(),
    )
}

/// Pain 4: masks that nobody could see.
#[test]
fn pain_4_the_mask_is_seen_before_anything_is_tuned() {
    let home = Home::new();
    let path = file(
        &home,
        "chats.jsonl",
        &(0..6).map(rounds).collect::<Vec<_>>(),
    );
    let (path, model) = (
        path.display().to_string(),
        fixture("tiny-model").display().to_string(),
    );
    let (shown, said) = preview(&home, &[&path, "--model", &model, "--records", "2"]);
    assert!(
        !shown.contains('\u{1b}'),
        "no colours outside a terminal: {shown}"
    );
    let learnt: Vec<String> = shown
        .split("[[")
        .skip(1)
        .filter_map(|part| part.split_once("]]"))
        .map(|(inside, _)| inside.replace('|', ""))
        .collect();
    // The last one is the legend's.
    assert_eq!(learnt, ["Yes.^<im_end>$", "Yes.^<im_end>$", "…"]);
    assert!(shown.contains("\\u{1b}"), "escaped: {shown}");
    assert!(said.contains("--all"), "{said}");
    let (shown, said) = preview(&home, &[&path, "--model", &model, "--all"]);
    assert!(shown.contains("6 records, 6 rows"), "{shown}");
    assert!(!said.contains("--all"), "{said}");
    assert!(
        home.path().join("cache/tokens").is_dir(),
        "what tuning reads is there"
    );
}

#[test]
fn json_has_one_object_a_row_and_rows_that_are_kept_out_are_named() {
    let home = Home::new();
    let mut records: Vec<Value> = (0..3)
        .map(|at| json!({"instruction": format!("Number {at}?"), "output": "Yes."}))
        .collect();
    records[1]["output"] = json!("Yes. ".repeat(40));
    let path = file(&home, "alpaca.jsonl", &records);
    let yaml = format!(
        "model_name_or_path: {}\noutput_dir: {}/out\ntrain_file: {}\n",
        fixture("tiny-model").display(),
        home.path().display(),
        path.display()
    );
    let recipe = home.path().join("recipe.yaml");
    fs::write(&recipe, yaml).expect("writes");
    let recipe = recipe.display().to_string();
    let (shown, said) = preview(&home, &[&recipe, "cutoff_len=60", "--json"]);
    let rows: Vec<Value> = shown
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(rows.len(), 3);
    for row in &rows {
        let len = |key: &str| row[key].as_array().expect("a list").len();
        assert_eq!((len("ids"), len("weights")), (len("tokens"), len("tokens")));
        let pieces = row["tokens"].as_array().expect("a list").iter();
        let pieces: String = pieces.filter_map(Value::as_str).collect();
        assert_eq!(row["text"], pieces);
        let weights = row["weights"].as_array().expect("a list").iter();
        let supervised = weights.filter(|weight| weight.as_f64() > Some(0.0)).count();
        assert_eq!(row["supervised"], supervised);
    }
    let kept_out: Vec<bool> = rows.iter().map(|row| row["over_cutoff"] == true).collect();
    assert_eq!(kept_out, [false, true, false]);
    assert!(
        said.contains("cutoff_len 60") && said.contains("records 2)"),
        "{said}"
    );
    let plan = home.output(&["tune", &recipe, "cutoff_len=60", "--dry-run", "--json"]);
    assert!(plan.status.success(), "{}", text(&plan.stderr));
    let plan: Value = serde_json::from_slice(&plan.stdout).expect("JSON");
    assert_eq!(
        (&plan["records"], &plan["left_out"]),
        (&json!(2), &json!(1))
    );
    let tokens = |at: usize| rows[at]["ids"].as_array().expect("a list").len();
    assert_eq!(plan["tokens"], tokens(0) + tokens(2));
}

#[test]
fn a_file_of_another_stage_and_a_model_that_is_not_there_are_refused() {
    let home = Home::new();
    let pair = json!({"prompt": "q", "chosen": "a", "rejected": "b"});
    let path = file(&home, "pairs.jsonl", &[pair]).display().to_string();
    let refused = |model: &str| {
        let output = home.output(&["data", "preview", &path, "--model", model]);
        assert!(!output.status.success());
        text(&output.stderr)
    };
    let model = fixture("tiny-model").display().to_string();
    assert!(refused(&model).contains("dpo"));
    assert!(refused("nowhere").contains("nowhere"));
}
