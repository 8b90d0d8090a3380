//! Conversations with tools from the command line: seen, learnt from, scored, or refused by the
//! record before anything is learnt.

use std::fs;
use std::path::{Path, PathBuf};

use lathe_tests::{Home, fixture, root, text};
use serde_json::{Value, json};

/// A folder of LLaMA-Factory's datasets with a recipe over a model whose template knows tools.
struct Bench {
    home: Home,
    folder: PathBuf,
}

impl Bench {
    fn new(record: impl Fn(usize) -> Value) -> Bench {
        let home = Home::new();
        let folder = home.path().join("job");
        let model = folder.join("model");
        fs::create_dir_all(&model).expect("makes");
        for entry in fs::read_dir(fixture("tiny-model")).expect("the fixture") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name");
            fs::copy(&path, model.join(name)).expect("copies");
        }
        let vectors = root().join("tests/reference/tool-vectors.json");
        let vectors = fs::read_to_string(vectors).expect("the vectors");
        let vectors: Value = serde_json::from_str(&vectors).expect("JSON");
        let template = vectors["templates"]["hermes"]["source"].as_str();
        let template = template.expect("a template");
        fs::write(model.join("chat_template.jinja"), template).expect("writes");
        let info = json!({"talks": {
            "file_name": "talks.json", "formatting": "sharegpt",
            "columns": {"messages": "conversations", "tools": "tools"},
        }});
        fs::write(folder.join("dataset_info.json"), info.to_string()).expect("writes");
        let records: Vec<Value> = (0..8).map(record).collect();
        fs::write(folder.join("talks.json"), json!(records).to_string()).expect("writes");
        let yaml =
            "dataset: talks\nval_size: 2\nmax_steps: 3\nlearning_rate: 1.0e-2\ncutoff_len: 500\n";
        fs::write(folder.join("recipe.yaml"), yaml).expect("writes");
        Bench { home, folder }
    }

    /// A command over the recipe, whether it succeeded, its output and its errors.
    fn lathe(&self, command: &[&str], more: &[&str]) -> (bool, String, String) {
        let of = |key: &str, path: &Path| format!("{key}={}", path.display());
        let keys = [
            of("model_name_or_path", &self.folder.join("model")),
            of("dataset_dir", &self.folder),
            of("output_dir", &self.folder.join("out")),
        ];
        let recipe = self.folder.join("recipe.yaml").display().to_string();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let named = match command {
            ["eval", ..] => vec!["--recipe", recipe.as_str()],
            _ => vec![recipe.as_str()],
        };
        let args = [command, &named[..], &keys[..], more].concat();
        let mut command = self.home.lathe(&args);
        let output = command.env("LATHE_THREADS", "1").output().expect("starts");
        let said = |bytes: &[u8]| text(bytes).to_string();
        let (out, err) = (said(&output.stdout), said(&output.stderr));
        (output.status.success(), out, err)
    }
}

fn talk(at: usize) -> Value {
    json!({
        "conversations": [
            {"from": "human", "value": format!("What time is it, number {at}?")},
            {"from": "function_call", "value": "{\"name\": \"now\", \"arguments\": {\"zone\": 1}}"},
            {"from": "observation", "value": "12:30"},
            {"from": "gpt", "value": "Half past twelve."},
        ],
        "tools": "[{\"name\": \"now\", \"description\": \"Tells the time.\"}]",
    })
}

/// The runs of a row's tokens that are learnt.
fn learnt(row: &Value) -> Vec<String> {
    let list = |key: &str| row[key].as_array().expect("a list").iter();
    let mut runs: Vec<String> = Vec::new();
    let mut open = false;
    for (token, weight) in list("tokens").zip(list("weights")) {
        let counts = weight.as_f64() > Some(0.0);
        if counts && !open {
            runs.push(String::new());
        }
        open = counts;
        if let Some(run) = runs.last_mut().filter(|_| counts) {
            run.push_str(token.as_str().expect("a text"));
        }
    }
    runs
}

/// Pain 4: masks that nobody could see, here around calls of tools.
#[test]
fn pain_4_tools_and_calls_are_seen_then_learnt_and_scored() {
    let bench = Bench::new(talk);
    let (done, shown, said) = bench.lathe(&["data", "preview"], &["--json", "--records", "1"]);
    assert!(done, "{said}");
    let row: Value = serde_json::from_str(shown.trim()).expect("one row");
    let call =
        "<tool_call>\n{\"name\": \"now\", \"arguments\": {\"zone\": 1}}\n</tool_call><|im_end|>";
    assert_eq!(learnt(&row), [call, "Half past twelve.<|im_end|>"]);
    let whole = row["text"].as_str().expect("a text");
    let tools = "{\"type\": \"function\", \"function\": {\"name\": \"now\", \"description\": \"Tells the time.\"}}";
    assert!(whole.contains(tools), "{whole}");
    assert!(
        whole.contains("<tool_response>\n12:30\n</tool_response>"),
        "{whole}"
    );
    let (done, shown, said) = bench.lathe(&["data", "preview"], &["--width", "20000"]);
    assert!(done, "{said}");
    assert!(shown.replace('|', "").contains("[[<tool_call>⏎"), "{shown}");

    let (done, _, said) = bench.lathe(&["tune"], &[]);
    assert!(done, "{said}");
    assert!(bench.folder.join("out/adapter_model.safetensors").exists());
    let out = bench.folder.join("out").display().to_string();
    let data = bench.folder.join("further.jsonl");
    let further: String = (20..24).map(|at| format!("{}\n", talk(at))).collect();
    fs::write(&data, further).expect("writes");
    let data = data.display().to_string();
    let (done, metrics, said) = bench.lathe(&["eval", &out], &["--data", &data, "--json"]);
    assert!(done, "{said}");
    let last = metrics.trim_end().lines().last().expect("a line");
    let metrics: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(metrics["records"], 4);
    assert!(metrics["eval_loss"].as_f64() > Some(0.0), "{metrics}");
}

#[test]
fn records_that_cannot_be_learnt_from_are_refused_by_their_number() {
    let check = |break_it: fn(&mut Value), expected: &str| {
        let bench = Bench::new(|at| {
            let mut record = talk(at);
            if at == 4 {
                break_it(&mut record);
            }
            record
        });
        let (done, _, said) = bench.lathe(&["tune"], &[]);
        assert!(!done, "{said}");
        // Lines may be broken between words.
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            said.contains("record 5 of") && said.contains(expected),
            "{said}"
        );
        assert!(!bench.folder.join("out/adapter_model.safetensors").exists());
    };
    check(
        |record| record["tools"] = json!("[{\"name\": "),
        "its `tools` is not JSON",
    );
    check(
        |record| record["conversations"][1]["value"] = json!("now()"),
        "calls a tool in what is not JSON",
    );
    check(
        |record| {
            record["conversations"][1] = json!({"from": "gpt", "value": "Let me look."});
        },
        "turn 3 is what a tool gave back, and no call of a tool stands before it",
    );
    check(
        |record| record["conversations"][2]["from"] = json!("gpt"),
        "message 3 is by the assistant, where a question",
    );
}

#[test]
fn a_model_that_knows_no_tools_is_not_taught_to_guess_them() {
    let bench = Bench::new(talk);
    let plain = format!("model_name_or_path={}", fixture("tiny-model").display());
    for command in [&["data", "preview"][..], &["tune"][..]] {
        let (done, _, said) = bench.lathe(command, &[&plain]);
        assert!(!done, "{said}");
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("record 1: it names tools"), "{said}");
        assert!(said.contains("chat_template.jinja"), "{said}");
    }
}
