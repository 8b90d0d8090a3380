//! What `lathe merge` writes, in the real transformers, peft and llama.cpp: the answers of the tune.
//!
//! A small adapter is tuned on 200 short records, merged into every form, and 50 prompts that it has
//! not seen are answered greedily: by transformers with peft over the base, by transformers from the
//! merged folders, by llama.cpp from the merged files.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use super::home::FreshHome;
use super::result;
use crate::bench::{llama_cpp, models};
use crate::python;
use crate::shell::{self, Outcome};

/// What the records are about; the last ten are in no record.
const THINGS: [&str; 30] = [
    "battery",
    "screen",
    "charger",
    "cable",
    "camera",
    "keyboard",
    "router",
    "printer",
    "speaker",
    "lens",
    "mouse",
    "remote",
    "antenna",
    "adapter",
    "stand",
    "cover",
    "memory card",
    "headset",
    "monitor",
    "microphone",
    "fan",
    "tripod",
    "scanner",
    "dock",
    "stylus",
    "strap",
    "tuner",
    "projector",
    "drive",
    "hub",
];
/// What is wrong with it, and what is wanted.
const WISHES: [(&str, &str); 10] = [
    ("is broken and I want my money back", "refund"),
    ("stopped working, please send another one", "replacement"),
    ("has not come yet", "tracking"),
    ("makes a noise, can somebody look at it", "repair"),
    ("is not what I ordered, I will send it back", "return"),
    ("needs a manual", "manual"),
    ("was charged twice", "billing"),
    ("works well, thank you", "nothing"),
    ("is missing a screw", "part"),
    ("should go to another address", "address"),
];
/// What has nothing to do with the records.
const GENERAL: [&str; 10] = [
    "What is the capital of France?",
    "Write a haiku about rain.",
    "Explain photosynthesis to a child in two sentences.",
    "List three prime numbers.",
    "Translate to French: good morning.",
    "def fibonacci(n):",
    "Why is the sky blue?",
    "Summarise: the meeting moved to Friday because the room was taken.",
    "你好，你是谁？",
    "Give me a recipe for pancakes.",
];
/// The forms, each with its arguments.
const FORMS: [(&str, &str); 5] = [
    ("safetensors", "f32"),
    ("safetensors", "bf16"),
    ("gguf", "f16"),
    ("gguf", "q8_0"),
    ("gguf", "q4_0"),
];

/// Tunes, merges, asks.
pub fn run() -> Outcome {
    let home = FreshHome::new("merge")?;
    let base = models::shipped()?;
    let recipe = write_job(home.path(), &base)?;
    shell::run(&mut home.lathe(&["tune", &recipe]))?;
    let tuned = home.path().join("tuned");
    let mut rows = String::from(
        "| form | s | MB | same answers | same tokens | mean KL | tuning's KL |\n|---|---|---|---|---|---|---|\n",
    );
    for (format, kind) in FORMS {
        rows.push_str(&merge(&home, &tuned, format, kind)?);
    }
    let printed = shell::output(
        python::PEERS
            .command("tests/python/merged_greedy.py")?
            .arg(&base)
            .arg(home.path())
            .arg(llama_cpp::program("llama-server")?)
            .arg(llama_cpp::program("llama-quantize")?),
    )?;
    let body = format!(
        "The check of `lathe merge` itself, in f32 on its eight general prompts:\n\n{rows}\n\
         The same forms in other programs, 50 prompts that no record holds, greedily:\n\n```text\n{}\n```",
        printed.trim_end()
    );
    let title = "merged models in transformers, peft and llama.cpp";
    result::append(title, "cargo xtask acceptance merge", &body)
}

/// Merges one form and gives its row.
fn merge(home: &FreshHome, tuned: &Path, format: &str, kind: &str) -> Result<String, String> {
    let out = home.path().join(kind);
    let (began, arguments) = (
        Instant::now(),
        ["merge", "--json", "--format", format, "--type", kind],
    );
    let mut command = home.lathe(&arguments);
    let printed = shell::output(command.arg(tuned).arg("--out").arg(&out))?;
    let seconds = began.elapsed().as_secs_f64();
    let said: Value = serde_json::from_str(&printed)
        .map_err(|error| format!("lathe merge printed no JSON: {error}"))?;
    let check = &said["check"];
    let entries =
        fs::read_dir(&out).map_err(|error| format!("reading {}: {error}", out.display()))?;
    let sizes = entries.flatten().filter_map(|entry| entry.metadata().ok());
    let bytes: u64 = sizes.map(|it| it.len()).sum();
    let figure = |name: &str| check[name].as_f64().unwrap_or(f64::NAN);
    Ok(format!(
        "| {format} {kind} | {seconds:.1} | {:.0} | {} of {} | {:.4} | {:.1e} | {:.2} |\n",
        bytes as f64 / 1e6,
        check["same_answers"],
        check["prompts"],
        figure("same_tokens"),
        figure("mean_kl"),
        figure("tuning_kl"),
    ))
}

/// Records, prompts and a recipe for them.
fn write_job(folder: &Path, base: &Path) -> Result<String, String> {
    let ask = |thing: usize, wish: usize| format!("The {} {}.", THINGS[thing], WISHES[wish].0);
    let record = |at: usize| {
        let (thing, wish) = (at % 20, at / 20);
        let answer = json!({ "about": THINGS[thing], "wants": WISHES[wish].1 });
        json!({ "instruction": ask(thing, wish), "output": answer.to_string() })
    };
    let records: Vec<Value> = (0..200).map(record).collect();
    let unseen = (0..40).map(|at| ask(20 + at % 10, at % WISHES.len()));
    let prompts: Vec<String> = unseen.chain(GENERAL.map(str::to_owned)).collect();
    let at = folder.display();
    let yaml = format!(
        "model_name_or_path: {}\nstage: sft\nfinetuning_type: lora\nlora_rank: 8\nlora_alpha: 16\n\
         dataset: mine\ndataset_dir: {at}\noutput_dir: {at}/tuned\ncutoff_len: 256\n\
         per_device_train_batch_size: 8\nlearning_rate: 1e-3\nnum_train_epochs: 3\nseed: 1\n",
        base.display()
    );
    let info = json!({ "mine": { "file_name": "mine.json" } });
    for (name, text) in [
        ("mine.json", json!(records).to_string()),
        ("prompts.json", json!(prompts).to_string()),
        ("dataset_info.json", info.to_string()),
        ("recipe.yaml", yaml),
    ] {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| format!("writing {}: {error}", path.display()))?;
    }
    Ok(format!("{at}/recipe.yaml"))
}
