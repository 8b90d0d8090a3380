//! Tuned folders merged into their bases from the command line: what comes out is opened by others,
//! and answers as what was tuned.

use std::fs;
use std::path::{Path, PathBuf};

use lathe_engine::{
    Adapter, LoadOptions, Message, Model, PackedAdapter, Trace, safetensors::parse,
};
use lathe_kernel::{Pool, Precision};
use lathe_tests::{Home, fixture, text};
use serde_json::Value;

/// Tunes on a few conversations and returns the output folder.
fn tuned(home: &Home, base: &Path, name: &str, answer: &str) -> PathBuf {
    tuned_with(home, base, name, answer, "")
}

/// The same with more of a recipe.
fn tuned_with(home: &Home, base: &Path, name: &str, answer: &str, more: &str) -> PathBuf {
    let folder = home.path().join(name);
    fs::create_dir_all(&folder).expect("makes");
    let record = |at: usize| {
        let asked = ["the phone", "a cable", "my order"][at % 3];
        serde_json::json!({"instruction": format!("Where is {asked}, number {at}?"), "output": answer})
    };
    let records: Vec<Value> = (0..24).map(record).collect();
    let records = serde_json::to_string(&records).expect("JSON");
    fs::write(folder.join("mine.json"), records).expect("writes");
    let info = r#"{"mine": {"file_name": "mine.json"}}"#;
    fs::write(folder.join("dataset_info.json"), info).expect("writes");
    let at = folder.display();
    let yaml = format!(
        "model_name_or_path: {}\nstage: sft\nfinetuning_type: lora\ndataset: mine\ndataset_dir: {at}\n\
         output_dir: {at}/out\nlora_rank: 4\nper_device_train_batch_size: 4\nlearning_rate: 1e-2\n\
         num_train_epochs: 6\nseed: 3\n{more}",
        base.display()
    );
    let recipe = folder.join("recipe.yaml");
    fs::write(&recipe, yaml).expect("writes");
    let output = home.output(&["tune", recipe.to_str().expect("a plain name"), "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    folder.join("out")
}

fn merge(home: &Home, folder: &Path, out: &str, more: &[&str]) -> (PathBuf, Value) {
    let out = home.path().join(out);
    let paths = [folder, &out].map(|it| it.to_str().expect("a plain name"));
    let start = ["merge", paths[0], "--out", paths[1], "--json"];
    (out.clone(), home.json(&[&start[..], more].concat()))
}

/// A model in f32, and how it answers what the tune has not seen.
struct Asked {
    model: Model,
    prompts: Vec<Vec<u32>>,
}

impl Asked {
    fn open(path: &Path) -> Asked {
        let options = LoadOptions {
            precision: Precision::F32,
            ..LoadOptions::default()
        };
        let model = Model::load(path, options).expect("opens");
        let template = model.template.as_ref().expect("has a template");
        let prompt = |at: usize| {
            let turn = Message::new("user", format!("Where is the cable, number {at}?"));
            let prompt = template.render(&[turn], true).expect("renders");
            model.tokenizer.encode(&prompt)
        };
        Asked {
            prompts: (50..60).map(prompt).collect(),
            model,
        }
    }

    fn answers(&self, adapter: Option<&Path>) -> Vec<String> {
        let adapter = adapter.map(|folder| {
            let adapter = Adapter::load_peft(folder, &self.model.config).expect("fits");
            PackedAdapter::new(&self.model, &adapter)
        });
        let pool = Pool::new(2);
        let trace = Trace::of(
            &self.model,
            &pool,
            adapter.as_ref(),
            &self.prompts,
            16,
            None,
        );
        let text = |answer: &Vec<u32>| self.model.tokenizer.decode(answer, false);
        trace.answers.iter().map(text).collect()
    }
}

/// Field notes, pains 1 and 3: good in training, bad when merged; GGUF gibberish.
#[test]
fn pains_1_and_3_both_forms_answer_as_the_tune_did() {
    for base in ["tiny-model", "tiny-model.gguf", "tiny-qwen2"] {
        let home = Home::new();
        let base = fixture(base);
        let out = tuned(&home, &base, "job", "It is on its way.");
        let before = Asked::open(&base).answers(Some(&out));
        assert!(
            before.iter().all(|it| it == "It is on its way.<|im_end|>"),
            "{before:?}"
        );
        let (folder, said) = merge(&home, &out, "hf", &[]);
        assert_eq!(
            (said["type"].as_str(), &said["tensors_in_f16"]),
            (Some("BF16"), &0.into())
        );
        assert_eq!(
            Asked::open(&folder).answers(None),
            before,
            "{}",
            base.display()
        );
        let (folder, said) = merge(&home, &out, "gguf", &["--format", "gguf"]);
        assert_eq!(
            (said["type"].as_str(), &said["modelfile_template"]),
            (Some("Q8_0"), &true.into())
        );
        assert!(
            said["check"]["mean_kl"].as_f64().expect("a number") < 3e-2,
            "{said}"
        );
        assert_eq!(
            Asked::open(&folder).answers(None),
            before,
            "{}",
            base.display()
        );
        let modelfile = fs::read_to_string(folder.join("Modelfile")).expect("is there");
        assert!(
            modelfile.contains("PARAMETER stop \"<|im_end|>\""),
            "{modelfile}"
        );
    }
}

#[test]
fn rows_that_learnt_their_lengths_apart_are_merged() {
    let home = Home::new();
    let base = fixture("tiny-qwen2");
    let answer = "It is on its way.";
    let out = tuned_with(&home, &base, "job", answer, "use_dora: true\n");
    let before = Asked::open(&base).answers(Some(&out));
    assert_eq!(before[0], format!("{answer}<|im_end|>"));
    let bytes = fs::read(out.join("adapter_model.safetensors")).expect("is there");
    let entries = parse(&bytes).expect("safetensors");
    let magnitudes = entries
        .keys()
        .filter(|it| it.ends_with(".lora_magnitude_vector"));
    assert_eq!(magnitudes.count(), 14);
    for format in ["safetensors", "gguf"] {
        let (folder, _) = merge(&home, &out, format, &["--format", format]);
        assert_eq!(Asked::open(&folder).answers(None), before, "{format}");
    }
}

#[test]
fn a_folder_holds_what_transformers_wants() {
    let home = Home::new();
    let out = tuned(&home, &fixture("tiny-model.gguf"), "job", "Soon.");
    let (folder, _) = merge(&home, &out, "hf", &["--type", "f16"]);
    let json = |name: &str| -> Value {
        let bytes = fs::read(folder.join(name)).expect("is there");
        serde_json::from_slice(&bytes).expect("is JSON")
    };
    let config = json("config.json");
    assert_eq!(
        (&config["torch_dtype"], &config["model_type"]),
        (&"float16".into(), &"llama".into())
    );
    assert_eq!(
        json("generation_config.json")["eos_token_id"],
        serde_json::json!([2])
    );
    let described = json("tokenizer_config.json");
    assert_eq!(described["eos_token"], "<|im_end|>");
    assert!(
        described["chat_template"]
            .as_str()
            .expect("a text")
            .contains("<|im_start|>")
    );
    assert_eq!(json("tokenizer.json")["decoder"]["type"], "ByteLevel");
    let weights = fs::read(folder.join("model.safetensors")).expect("is there");
    let tensors = parse(&weights).expect("parses");
    assert!(tensors.contains_key("model.layers.1.mlp.down_proj.weight"));
    assert!(
        tensors
            .values()
            .all(|it| format!("{:?}", it.dtype) == "F16")
    );
}

#[test]
fn two_adapters_add_up_by_their_weights() {
    let home = Home::new();
    let base = fixture("tiny-model");
    let first = tuned(&home, &base, "one", "It is on its way.");
    let second = tuned(&home, &base, "two", "Ask the shop.");
    let answers = |out: &str, weight: &str, with: &str| {
        let with = format!("{}:{with}", second.display());
        let more = ["--weight", weight, "--with", &with, "--type", "f32"];
        let (folder, said) = merge(&home, &first, out, &more);
        assert_eq!(said["adapters"].as_array().map(Vec::len), Some(2));
        Asked::open(&folder).answers(None)
    };
    let alone = |folder: &Path| Asked::open(&base).answers(Some(folder));
    assert_eq!(answers("a", "1", "0"), alone(&first));
    assert_eq!(answers("b", "0", "1"), alone(&second));
}

#[test]
fn what_is_wrong_is_named_and_nothing_is_left() {
    let home = Home::new();
    let out = tuned(&home, &fixture("tiny-model"), "one", "Soon.");
    let other = tuned(&home, &fixture("tiny-qwen2"), "two", "Soon.");
    let with = format!("{}:1", other.display());
    for (more, code, wanted) in [
        (&["--with", &with][..], "merge-base", "tiny-qwen2"),
        (&["--type", "q8_0"], "engine-unsupported", "Q8_0"),
        (&["--base", "none"], "recipe-file", "none"),
        (&["--prompts", "none.txt"], "merge-file", "none.txt"),
        (
            &["--weight", "1e38", "--type", "f16"],
            "merge-differs",
            "more bits",
        ),
    ] {
        let (folder, made) = (out.to_str().expect("plain"), home.path().join("made"));
        let start = ["merge", folder, "--out", made.to_str().expect("plain")];
        let output = home.output(&[&start[..], more].concat());
        let stderr = text(&output.stderr).replace(['│', '\n'], " ");
        let flat = stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(output.status.code(), Some(1), "{more:?}: {flat}");
        assert!(
            flat.contains(code) && flat.contains(wanted),
            "{more:?}: {flat}"
        );
        assert!(
            !made.exists() && !home.path().join("made.part").exists(),
            "{more:?}"
        );
    }
}
