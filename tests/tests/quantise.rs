//! Models in few bits from the command line, their blocks chosen by records, the loss shown.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use lathe_engine::gguf::Gguf;
use lathe_engine::gguf::blocks::BlockType;
use lathe_tests::{Home, fixture, text, wait_for, wait_for_end};
use serde_json::{Value, json};

/// A folder with conversations, texts and a recipe for each.
struct Job {
    home: Home,
    folder: PathBuf,
}

impl Job {
    fn new() -> Job {
        let home = Home::new();
        let folder = home.path().join("job");
        fs::create_dir_all(&folder).expect("makes");
        let asked = |at: usize| {
            let thing = ["the phone", "a cable", "my order", "this screen"][at % 4];
            format!("Where is {thing}, number {at}?")
        };
        let answer = |at: usize| format!("It is on its way, in box {}.", at * 7 % 40);
        let chat = |at: usize| {
            let turns = [
                json!({"role": "user", "content": asked(at)}),
                json!({"role": "assistant", "content": answer(at)}),
            ];
            json!({ "messages": turns })
        };
        let alpaca = |at: usize| json!({"instruction": asked(at), "output": answer(at)});
        let plain = |at: usize| json!({"text": format!("{} {}", asked(at), answer(at))});
        let write = |name: &str, line: &dyn Fn(usize) -> Value| {
            let lines: String = (0..60).map(|at| format!("{}\n", line(at))).collect();
            fs::write(folder.join(name), lines).expect("writes");
        };
        write("chat.jsonl", &chat);
        write("alpaca.jsonl", &alpaca);
        write("text.jsonl", &plain);
        Job { home, folder }
    }

    /// An adapter tuned on the conversations.
    fn tuned(&self) -> PathBuf {
        let (model, at) = (fixture("tiny-model"), self.folder.display());
        let yaml = format!(
            "model_name_or_path: {}\ndataset_dir: {at}\ntrain_file: chat.jsonl\noutput_dir: {at}/tuned\n\
             per_device_train_batch_size: 8\nlearning_rate: 1.0e-2\nnum_train_epochs: 4\nseed: 1\n",
            model.display()
        );
        fs::write(self.folder.join("sft.yaml"), yaml).expect("writes");
        let recipe = self.path("sft.yaml");
        let output = self.home.output(&["tune", &recipe, "--json"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        self.folder.join("tuned")
    }

    /// The stage by itself, over the base alone.
    fn recipe(&self, keys: &str) -> String {
        let at = self.folder.display();
        let yaml = format!(
            "model_name_or_path: {}\nstage: quantize\nexport_dir: {at}/out\n{keys}",
            fixture("tiny-model.gguf").display()
        );
        fs::write(self.folder.join("recipe.yaml"), yaml).expect("writes");
        self.path("recipe.yaml")
    }

    fn path(&self, name: &str) -> String {
        let path = self.folder.join(name);
        path.to_str().expect("a plain name").to_owned()
    }

    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.home.output(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?} is refused");
        let said = text(&output.stderr).replace(['│', '\n'], " ");
        said.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// The command that writes a tuned model in blocks that records choose.
fn calibrating<'a>(tuned: &'a str, out: &'a str, kind: &'a str, data: &'a str) -> [&'a str; 10] {
    [
        "merge",
        tuned,
        "--out",
        out,
        "--format",
        "gguf",
        "--type",
        kind,
        "--calibrate",
        data,
    ]
}

fn number(value: &Value, path: &str) -> f64 {
    let found = value.pointer(path).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("no number {path} in {value}"))
}

/// The table says that calibrating lost less than plain rounding, and stays in the folder.
fn check(folder: &Path, said: &Value) {
    let kl = |form: &str| number(said, &format!("/calibration/{form}/mean_kl"));
    assert_eq!(kl("unquantised"), 0.0);
    assert!(
        kl("calibrated") > 0.0 && kl("calibrated") < kl("plain"),
        "{said}"
    );
    for form in ["unquantised", "plain", "calibrated"] {
        let nll = number(said, &format!("/calibration/{form}/nll"));
        let perplexity = number(said, &format!("/calibration/{form}/perplexity"));
        assert!((nll.exp() - perplexity).abs() < 1e-6 * perplexity, "{said}");
    }
    assert_eq!(number(said, "/calibration/held_out_share"), 0.2);
    let kept = fs::read(folder.join("quantisation.json")).expect("is kept");
    let kept: Value = serde_json::from_slice(&kept).expect("is JSON");
    assert_eq!(kept["held_out"], said["calibration"]["held_out"]);
    assert_eq!(number(&kept, "/plain/mean_kl"), kl("plain"));
}

#[test]
fn a_tuned_model_is_calibrated_by_any_form_of_records() {
    let job = Job::new();
    let tuned = job.tuned();
    let tuned = tuned.to_str().expect("a plain name");
    for (name, kind, records) in [
        ("chat.jsonl", "q4_0", "40"),
        ("alpaca.jsonl", "q4_1", "24"),
        ("text.jsonl", "q4_0", "16"),
    ] {
        let (data, out) = (job.path(name), job.path(&format!("{name}.out")));
        let arguments = calibrating(tuned, &out, kind, &data);
        let more = ["--json", "--calibrate-records", records];
        let said = job.home.json(&[&arguments[..], &more].concat());
        check(Path::new(&out), &said);
        assert_eq!(said["calibration"]["records"].to_string(), records);
        let file = format!("model-{}.gguf", kind.to_uppercase());
        let bytes = fs::read(Path::new(&out).join(file)).expect("is written");
        let gguf = Gguf::parse(&bytes).expect("parses");
        let found = gguf.tensor("blk.1.ffn_down.weight").expect("is there");
        let wanted = [BlockType::Q4_0, BlockType::Q4_1][usize::from(kind == "q4_1")];
        assert_eq!(found.block_type, wanted);
    }
}

#[test]
fn the_stage_runs_alone_over_a_base() {
    let job = Job::new();
    let keys = format!(
        "export_quantization_bit: 4\nexport_quantization_dataset: {}\nexport_quantization_nsamples: 20\n\
         export_size: 5\n",
        job.path("chat.jsonl")
    );
    let recipe = job.recipe(&keys);
    let planned = job.home.json(&["tune", &recipe, "--json", "--dry-run"]);
    assert_eq!(planned["calibration"]["held_out"], 5);
    assert!(!job.folder.join("out").exists());
    let said = job.home.json(&["tune", &recipe, "--json"]);
    assert_eq!(
        (&said["type"], &said["adapters"]),
        (&"Q4_0".into(), &json!([]))
    );
    assert_eq!(said["calibration"]["records"], 20);
    check(&job.folder.join("out"), &said);
    assert!(job.folder.join("out/Modelfile").exists());
    let again = job.refused(&["tune", &recipe]);
    assert!(again.contains("merge-exists"), "{again}");
}

/// Pain 8: what a kill left half done was taken for the whole, or stood in the way.
#[test]
fn pain_8_a_killed_quantisation_leaves_nothing_and_is_done_again_with_the_same_bytes() {
    let job = Job::new();
    let keys = format!("train_file: {}\n", job.path("chat.jsonl"));
    let recipe = job.recipe(&keys);
    let (out, part) = (job.folder.join("out"), job.folder.join("out.part"));
    let file = out.join("model-Q4_0.gguf");
    job.home.json(&["tune", &recipe, "--json"]);
    let whole = fs::read(&file).expect("is written");
    fs::remove_dir_all(&out).expect("removes");
    let mut command = job.home.lathe(&["tune", &recipe]);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("lathe starts");
    wait_for("a file half written", || {
        (part.exists() || out.exists()).then_some(())
    });
    child.kill().expect("is killed");
    wait_for_end(&mut child);
    if out.exists() {
        // It was faster than the kill: what a slower one leaves.
        fs::rename(&out, &part).expect("moves");
    }
    fs::create_dir_all(&part).expect("makes");
    fs::write(part.join("left-over"), "half").expect("writes");
    job.home.json(&["tune", &recipe, "--json"]);
    assert!(
        fs::read(&file).expect("is written") == whole,
        "the same bytes"
    );
    assert!(!part.exists() && !out.join("left-over").exists());
}

#[test]
fn the_table_is_printed_for_people() {
    let job = Job::new();
    let keys = format!("train_file: {}\n", job.path("text.jsonl"));
    let output = job.home.output(&["tune", &job.recipe(&keys)]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    for wanted in [
        "mean NLL",
        "perplexity",
        "mean KL",
        "not rounded",
        "rounded plainly",
        "calibrated",
    ] {
        assert!(printed.contains(wanted), "no {wanted} in {printed}");
    }
}

#[test]
fn what_cannot_calibrate_is_refused_before_work_begins() {
    let job = Job::new();
    let tuned = job.tuned();
    let tuned = tuned.to_str().expect("a plain name");
    fs::write(job.folder.join("empty.jsonl"), "").expect("writes");
    fs::write(job.folder.join("one.jsonl"), "{\"text\": \"a b c\"}\n").expect("writes");
    let (long, content) = (job.path("long.jsonl"), "word ".repeat(3000));
    let turns =
        json!([{"role": "user", "content": content}, {"role": "assistant", "content": "x"}]);
    let lines = format!("{0}\n{0}\n", json!({ "messages": turns }));
    fs::write(&long, lines).expect("writes");
    let (chat, out) = (job.path("chat.jsonl"), job.path("made"));
    for (data, kind, code, wanted) in [
        (job.path("none.jsonl"), "q4_0", "recipe-file", "none.jsonl"),
        (job.path("empty.jsonl"), "q4_0", "data-", "empty.jsonl"),
        (
            job.path("one.jsonl"),
            "q4_0",
            "merge-calibration",
            "1 records",
        ),
        (long, "q4_0", "merge-calibration", "2 are over 512 tokens"),
        (chat, "f16", "merge-calibration", "not rounded in blocks"),
    ] {
        let said = job.refused(&calibrating(tuned, &out, kind, &data));
        assert!(
            said.contains(code) && said.contains(wanted),
            "{data}: {said}"
        );
        for left in [out.clone(), format!("{out}.part")] {
            assert!(!Path::new(&left).exists(), "{data} left {left}");
        }
    }
    let said = job.refused(&["tune", &job.recipe("train_file: none.jsonl\n")]);
    assert!(said.contains("none.jsonl"), "{said}");
    let said = job.refused(&[
        "tune",
        &job.recipe("train_file: a\nexport_quantization_bit: 2\n"),
    ]);
    assert!(said.contains("4 or 8"), "{said}");
}
