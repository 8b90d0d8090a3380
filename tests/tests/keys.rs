//! The keys that users of LLaMA-Factory know, one by one: what a key does is seen in a run, or it is refused by
//! name with a way, or it is named as one without effect and has none. A key that is none of it fails.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::process::Output;

use lathe_tests::job::{ADAPTER, judged, one_line, pairs, texts};
use lathe_tests::{Home, copy_folder, fixture, text};
use serde_json::{Value, json};

/// The keys that are expected in recipes.
const KEYS: &str = "model_name_or_path adapter_name_or_path stage finetuning_type lora_rank lora_alpha \
    lora_target dataset dataset_dir template cutoff_len max_samples val_size packing mix_strategy \
    interleave_probs train_on_prompt mask_history pref_beta pref_loss output_dir logging_steps save_steps \
    save_total_limit per_device_train_batch_size gradient_accumulation_steps learning_rate \
    num_train_epochs lr_scheduler_type warmup_ratio resume_from_checkpoint plot_loss quantization_bit \
    quantization_method";
/// Those without meaning on one processor, as examples set them.
const MEANINGLESS: [&str; 11] = [
    "do_train=true",
    "bf16=true",
    "overwrite_output_dir=true",
    "overwrite_cache=true",
    "preprocessing_num_workers=16",
    "dataloader_num_workers=4",
    "save_only_model=false",
    "report_to=none",
    "ddp_timeout=180000000",
    "trust_remote_code=true",
    "packing=true",
];

/// Datasets, and a recipe of three steps over one of them.
struct Bench {
    home: Home,
    folder: PathBuf,
    /// The keys that were looked at.
    covered: BTreeSet<&'static str>,
}

/// What a run left.
struct Ran {
    said: Value,
    stderr: String,
    out: PathBuf,
}

/// What of a run a key decides, in words.
type Look = fn(&Ran) -> String;

impl Bench {
    fn new() -> Bench {
        let home = Home::new();
        let folder = home.path().join("job");
        fs::create_dir_all(folder.join("elsewhere")).expect("makes");
        let write = |name: &str, records: &[Value]| {
            fs::write(folder.join(name), json!(records).to_string()).expect("writes");
        };
        let mut one: Vec<Value> = (0..24)
            .map(|at| json!({"instruction": format!("Number {at}?"), "output": format!("It is {}.", at % 7)}))
            .collect();
        one[5]["output"] = json!("Yes. ".repeat(40));
        let round = |at: usize| {
            let turn = |role: &str, said: String| json!({"role": role, "content": said});
            json!({"messages": [
                turn("user", format!("Is it {at}?")), turn("assistant", "Perhaps.".to_owned()),
                turn("user", "Well?".to_owned()), turn("assistant", format!("Yes, {at}.")),
            ]})
        };
        write("one.json", &one);
        write("other.json", &one[..6]);
        write("elsewhere/one.json", &one[..8]);
        write("rounds.json", &(0..24).map(round).collect::<Vec<_>>());
        write("pairs.json", &pairs(24));
        write("judged.json", &judged(24));
        write("texts.json", &texts(24));
        let tags = json!({"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"});
        let info = json!({
            "one": {"file_name": "one.json"},
            "other": {"file_name": "other.json"},
            "rounds": {"file_name": "rounds.json", "formatting": "sharegpt",
                       "columns": {"messages": "messages"}, "tags": tags},
            "pairs": {"file_name": "pairs.json", "ranking": true,
                      "columns": {"prompt": "instruction", "chosen": "chosen", "rejected": "rejected"}},
            "judged": {"file_name": "judged.json",
                       "columns": {"prompt": "prompt", "response": "completion", "kto_tag": "label"}},
        });
        for place in ["", "elsewhere/"] {
            let path = folder.join(format!("{place}dataset_info.json"));
            fs::write(path, info.to_string()).expect("writes");
        }
        let (model, at) = (fixture("tiny-model"), folder.display());
        let yaml = format!(
            "model_name_or_path: {}\nstage: sft\nfinetuning_type: lora\nlora_rank: 8\nlora_target: all\n\
             dataset: one\ndataset_dir: {at}\ntemplate: chatml\ncutoff_len: 400\noutput_dir: {at}/out\n\
             logging_steps: 1\nsave_steps: 100\nper_device_train_batch_size: 8\nlearning_rate: 1e-2\n\
             num_train_epochs: 1.0\nseed: 1\n",
            model.display()
        );
        fs::write(folder.join("recipe.yaml"), yaml).expect("writes");
        Bench {
            home,
            folder,
            covered: BTreeSet::new(),
        }
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn tune(&self, keys: &[&str]) -> Output {
        let recipe = self.path("recipe.yaml");
        let args = [&["tune", &recipe, "--json"][..], keys].concat();
        let mut command = self.home.lathe(&args);
        command.env("LATHE_THREADS", "1").output().expect("starts")
    }

    /// Runs the recipe with these keys in a fresh output folder.
    fn ran(&self, keys: &[&str]) -> Ran {
        let out = self.folder.join("out");
        if out.exists() {
            fs::remove_dir_all(&out).expect("removes");
        }
        let output = self.tune(keys);
        let stderr = text(&output.stderr);
        assert!(output.status.success(), "{keys:?}: {stderr}");
        let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let out = said["output_dir"].as_str().expect("a path").into();
        Ran { said, stderr, out }
    }

    /// A value of a key shows as `wanted`.
    fn shows(&mut self, key: &'static str, beside: &[&str], value: &str, look: Look, wanted: &str) {
        self.covered.insert(key);
        let found = look(&self.ran(&with(beside, &format!("{key}={value}"))));
        assert_eq!(found, wanted, "{key}={value} beside {beside:?}");
    }

    /// Two values of a key show differently.
    fn differs(&mut self, key: &'static str, beside: &[&str], values: [&str; 2], look: Look) {
        self.covered.insert(key);
        let found = values.map(|value| look(&self.ran(&with(beside, &format!("{key}={value}")))));
        assert_ne!(found[0], found[1], "{key}: {values:?} beside {beside:?}");
    }

    /// A value of a key is refused by name with a way, before anything is tuned.
    fn refuses(&mut self, key: &'static str, beside: &[&str], value: &str, way: &str) {
        self.covered.insert(key);
        let out = self.folder.join("out");
        if out.exists() {
            fs::remove_dir_all(&out).expect("removes");
        }
        let set = format!("{key}={value}");
        let output = self.tune(&with(beside, &set));
        let said = one_line(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{set} is refused: {said}");
        assert!(said.contains(key) && said.contains(way), "{set}: {said}");
        assert!(!out.exists(), "{set}: before anything is tuned");
    }
}

/// Keys and one more.
fn with<'a>(beside: &[&'a str], set: &'a str) -> Vec<&'a str> {
    [beside, &[set]].concat()
}

impl Ran {
    fn json(&self, name: &str) -> Value {
        let bytes = fs::read(self.out.join(name)).expect("is there");
        serde_json::from_slice(&bytes).expect("JSON")
    }
}

/// The weights that came of it, as a number.
fn weights(ran: &Ran) -> String {
    let adapter = ran.out.join(ADAPTER);
    let path = if adapter.exists() {
        adapter
    } else {
        ran.out.join("model.safetensors")
    };
    let mut hasher = DefaultHasher::new();
    fs::read(path).expect("weights").hash(&mut hasher);
    hasher.finish().to_string()
}

/// What kind of folder it is.
fn kind(ran: &Ran) -> String {
    let adapter = ran.out.join(ADAPTER).exists();
    let whole = ran.out.join("model.safetensors").exists();
    format!("adapter {adapter}, whole {whole}")
}

fn records(ran: &Ran) -> String {
    ran.said["records"].to_string()
}

fn steps(ran: &Ran) -> String {
    ran.said["steps"].to_string()
}

fn stage(ran: &Ran) -> String {
    ran.json("training.json")["stage"].to_string()
}

fn first_loss(ran: &Ran) -> String {
    ran.json("training.json")["losses"][0].to_string()
}

fn over_long(ran: &Ran) -> String {
    let training = ran.json("training.json");
    training["over_long"]
        .as_array()
        .expect("a list")
        .len()
        .to_string()
}

fn rates(ran: &Ran) -> String {
    let log = fs::read_to_string(ran.out.join("trainer_log.jsonl")).expect("a log");
    let rate = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["lr"].to_string();
    log.lines().map(rate).collect::<Vec<_>>().join(" ")
}

/// How often it said the loss.
fn lines_told(ran: &Ran) -> String {
    let told = ran.stderr.lines().filter(|line| line.contains("  loss "));
    told.count().to_string()
}

fn checkpoints(ran: &Ran) -> String {
    let entries = fs::read_dir(&ran.out).expect("a folder");
    let names = entries.map(|it| it.expect("an entry").file_name().display().to_string());
    let mut names: Vec<String> = names
        .filter(|name| name.starts_with("checkpoint-"))
        .collect();
    names.sort();
    names.join(" ")
}

fn adapter(ran: &Ran) -> String {
    let config = ran.json("adapter_config.json");
    let mut targets: Vec<_> = config["target_modules"].as_array().expect("a list").clone();
    targets.sort_by_key(Value::to_string);
    format!(
        "{} {} {}",
        config["r"],
        config["lora_alpha"].as_f64().expect("a number"),
        json!(targets)
    )
}

fn model(bench: &mut Bench) {
    let qwen = fixture("tiny-qwen2").display().to_string();
    let tiny = fixture("tiny-model").display().to_string();
    bench.differs("model_name_or_path", &[], [&tiny, &qwen], weights);
    let earlier = bench.path("earlier");
    bench.ran(&[&format!("output_dir={earlier}")]);
    bench.differs("adapter_name_or_path", &[], ["null", &earlier], first_loss);
    bench.refuses(
        "adapter_name_or_path",
        &["finetuning_type=full"],
        &earlier,
        "merge it first",
    );

    let bare = bench.folder.join("bare");
    copy_folder(&fixture("tiny-model"), &bare);
    let described = bare.join("tokenizer_config.json");
    fs::write(described, r#"{"eos_token": "<|im_end|>"}"#).expect("writes");
    let bare = format!("model_name_or_path={}", bare.display());
    let written: Look = |ran| {
        let template = fs::read_to_string(ran.out.join("chat_template.jinja")).expect("a template");
        template.contains("<|im_start|>").to_string()
    };
    bench.shows("template", &[&bare], "qwen", written, "true");
    bench.refuses("template", &[&bare], "null", "no chat template");
    bench.refuses("template", &[&bare], "vicuna", "chatml");

    bench.differs("quantization_bit", &[], ["null", "8"], weights);
    bench.differs("quantization_bit", &[], ["8", "4"], weights);
    bench.refuses("quantization_bit", &[], "2", "4 or 8");
    let four = weights(&bench.ran(&["quantization_bit=4"]));
    bench.shows(
        "quantization_method",
        &["quantization_bit=4"],
        "bnb",
        weights,
        &four,
    );
    for method in ["gptq", "awq", "aqlm"] {
        bench.refuses(
            "quantization_method",
            &["quantization_bit=4"],
            method,
            "as bnb, hqq and eetq",
        );
    }
}

fn method(bench: &mut Bench) {
    for (name, dataset) in [("sft", "one"), ("dpo", "pairs"), ("kto", "judged")] {
        let dataset = format!("dataset={dataset}");
        bench.shows("stage", &[&dataset], name, stage, &format!("\"{name}\""));
    }
    let texts = bench.path("texts.json");
    let file = format!("train_file={texts}");
    let beside = ["dataset=null", file.as_str()];
    bench.shows("stage", &beside, "pt", stage, "\"pt\"");
    for name in ["rm", "ppo"] {
        bench.refuses("stage", &[], name, "use dpo or kto");
    }
    bench.shows(
        "finetuning_type",
        &[],
        "lora",
        kind,
        "adapter true, whole false",
    );
    for way in ["full", "freeze"] {
        let slowly = ["learning_rate=1e-3"];
        bench.shows(
            "finetuning_type",
            &slowly,
            way,
            kind,
            "adapter false, whole true",
        );
    }
    bench.refuses("finetuning_type", &[], "oft", "lora is the nearest");
    let two = r#"["q_proj","v_proj"]"#;
    let target = "lora_target=q_proj,v_proj";
    bench.shows("lora_rank", &[target], "4", adapter, &format!("4 8 {two}"));
    bench.shows(
        "lora_alpha",
        &[target],
        "12",
        adapter,
        &format!("8 12 {two}"),
    );
    bench.shows(
        "lora_target",
        &[],
        "q_proj,v_proj",
        adapter,
        &format!("8 16 {two}"),
    );
    bench.refuses("lora_target", &[], "none_proj", "none_proj");

    let dpo = ["stage=dpo", "dataset=pairs"];
    bench.differs("pref_beta", &dpo, ["0.1", "2"], weights);
    let plain = weights(&bench.ran(&dpo));
    bench.shows("pref_loss", &dpo, "sigmoid", weights, &plain);
    for loss in ["ipo", "orpo", "simpo", "hinge"] {
        bench.refuses("pref_loss", &dpo, loss, "only sigmoid");
    }
}

fn data(bench: &mut Bench) {
    let both = "dataset=one,other";
    bench.shows("dataset", &[], "one,other", records, "30");
    let elsewhere = bench.path("elsewhere");
    bench.shows("dataset_dir", &[], &elsewhere, records, "8");
    bench.shows("cutoff_len", &[], "400", over_long, "0");
    bench.shows("cutoff_len", &[], "60", over_long, "1");
    bench.shows("max_samples", &[], "8", records, "8");
    bench.shows("val_size", &[], "4", records, "20");
    bench.shows("val_size", &[], "0.25", records, "18");
    bench.differs(
        "mix_strategy",
        &[both],
        ["concat", "interleave_under"],
        records,
    );
    bench.refuses(
        "mix_strategy",
        &[both],
        "alternate",
        "until one or all run out",
    );
    let over = [both, "mix_strategy=interleave_over"];
    bench.differs("interleave_probs", &over, ["0.9,0.1", "0.1,0.9"], records);
    bench.refuses("interleave_probs", &over, "1", "each of the 2");
    bench.differs("train_on_prompt", &[], ["false", "true"], weights);
    bench.differs(
        "mask_history",
        &["dataset=rounds"],
        ["false", "true"],
        weights,
    );
}

fn learning(bench: &mut Bench) {
    bench.shows("per_device_train_batch_size", &[], "4", steps, "6");
    bench.shows("gradient_accumulation_steps", &[], "3", steps, "1");
    bench.shows("num_train_epochs", &[], "2", steps, "6");
    bench.differs("learning_rate", &[], ["1e-2", "1e-3"], rates);
    bench.shows(
        "lr_scheduler_type",
        &[],
        "constant",
        rates,
        "0.01 0.01 0.01",
    );
    bench.differs("lr_scheduler_type", &[], ["linear", "cosine"], rates);
    bench.refuses("lr_scheduler_type", &[], "polynomial", "none of linear");
    bench.differs("warmup_ratio", &[], ["0", "0.9"], rates);
    // Not among the expected ones, and honoured all the same.
    for (key, values) in [
        ("seed", ["1", "2"]),
        ("use_dora", ["false", "true"]),
        ("use_rslora", ["false", "true"]),
        ("weight_decay", ["0", "0.9"]),
        ("adam_beta1", ["0.9", "0.5"]),
        ("adam_beta2", ["0.999", "0.9"]),
        ("adam_epsilon", ["1e-8", "1e-2"]),
        ("max_grad_norm", ["1", "1e-6"]),
    ] {
        bench.differs(key, &[], values, weights);
    }
    let kto = ["stage=kto", "dataset=judged"];
    bench.differs("kto_chosen_weight", &kto, ["1", "3"], weights);
    bench.differs("kto_rejected_weight", &kto, ["1", "3"], weights);
    bench.differs(
        "pref_ftx",
        &["stage=dpo", "dataset=pairs"],
        ["0", "1"],
        weights,
    );
    let freeze = ["finetuning_type=freeze", "learning_rate=1e-3"];
    bench.differs("freeze_trainable_layers", &freeze, ["1", "2"], weights);
    bench.differs("freeze_trainable_modules", &freeze, ["all", "mlp"], weights);
}

fn output(bench: &mut Bench) {
    let moved = bench.path("moved");
    bench.shows("output_dir", &[], &moved, kind, "adapter true, whole false");
    assert!(bench.folder.join("moved").join(ADAPTER).exists());
    bench.shows("logging_steps", &[], "1", lines_told, "3");
    bench.shows("logging_steps", &[], "3", lines_told, "1");
    bench.shows(
        "save_steps",
        &[],
        "2",
        checkpoints,
        "checkpoint-2 checkpoint-3",
    );
    let every = ["save_steps=1"];
    bench.shows("save_total_limit", &every, "1", checkpoints, "checkpoint-3");
    bench.shows(
        "save_total_limit",
        &every,
        "2",
        checkpoints,
        "checkpoint-2 checkpoint-3",
    );
    let pictured: Look = |ran| ran.out.join("training_loss.svg").exists().to_string();
    bench.shows("plot_loss", &[], "true", pictured, "true");
    bench.shows("plot_loss", &[], "false", pictured, "false");

    let key = "resume_from_checkpoint";
    bench.refuses(key, &[], "true", "there is no checkpoint");
    let ran = bench.ran(&["save_steps=1"]);
    let newest = format!("{key}={}", ran.out.join("checkpoint-3").display());
    for again in [newest.as_str(), "resume_from_checkpoint=true"] {
        let said = bench.tune(&["save_steps=1", again]).stdout;
        let said: Value = serde_json::from_slice(&said).expect("JSON");
        assert_eq!(said["resumed_from"], 3, "{again}");
    }
}

fn meaningless(bench: &mut Bench) {
    let (plain, set) = (bench.ran(&[]), bench.ran(&MEANINGLESS));
    assert_eq!(weights(&plain), weights(&set), "they change nothing");
    for pair in MEANINGLESS {
        let key = pair.split('=').next().expect("a key");
        bench.covered.insert(key);
        assert_eq!(set.stderr.matches(key).count(), 1, "{key}: {}", set.stderr);
        assert!(!plain.stderr.contains(key), "{key}: {}", plain.stderr);
    }
}

#[test]
fn every_key_does_what_it_says_or_is_refused_by_name() {
    let mut bench = Bench::new();
    for check in [model, method, data, learning, output, meaningless] {
        check(&mut bench);
    }
    for key in KEYS.split_whitespace() {
        assert!(bench.covered.contains(key), "nothing shows what {key} does");
    }
}
