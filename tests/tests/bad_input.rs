//! Bad input, refused with the reason before anything is tuned: one test for each kind of it.

use std::fs;
use std::path::Path;

use lathe_tests::job::{Job, instructions, judged, one_line, pairs, texts};
use serde_json::{Value, json};

/// Writes a dataset_info.json that names the job's file, laid out as `columns` says.
fn describe(job: &Job, dataset: Value) {
    let info = json!({ "mine": dataset });
    fs::write(job.folder.join("dataset_info.json"), info.to_string()).expect("writes");
}

fn model(path: &Path) -> String {
    format!("model_name_or_path={}", path.display())
}

#[test]
fn an_empty_set() {
    let job = Job::new(&[], "");
    for stage in ["sft", "pt", "dpo", "kto"] {
        let said = job.refusal(&[&format!("stage={stage}")]);
        assert!(said.contains("it holds no records"), "{stage}: {said}");
    }
    // The same where the form is said and need not be recognised.
    for (stage, dataset) in [
        ("sft", json!({"file_name": "train.jsonl"})),
        (
            "dpo",
            json!({"file_name": "train.jsonl", "ranking": true,
                       "columns": {"prompt": "q", "chosen": "a", "rejected": "b"}}),
        ),
        (
            "kto",
            json!({"file_name": "train.jsonl", "columns": {"prompt": "q", "response": "a", "kto_tag": "label"}}),
        ),
    ] {
        describe(&job, dataset);
        let stage = format!("stage={stage}");
        let said = job.refusal(&["train_file=null", "dataset=mine", &stage]);
        assert!(said.contains("it holds no records"), "{stage}: {said}");
        assert!(said.contains("train.jsonl"), "{stage}: {said}");
    }
}

/// Pain 9: a loss of zero, because no token was supervised (LLaMA-Factory 2916).
#[test]
fn pain_9_an_all_masked_set_is_refused_and_not_learnt_at_zero_loss() {
    let masked = [json!({"messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "weight": 0},
    ]})];
    let said = Job::new(&masked, "").refusal(&[]);
    assert!(said.contains("every `weight` is 0"), "{said}");
}

#[test]
fn a_mask_that_trains_nothing() {
    let job = Job::new(&instructions(8), "");
    let check = |more: &[&str], code: &str, wanted: &str| {
        let said = job.refusal(more);
        assert!(said.contains(code), "{more:?}: {said}");
        assert!(said.contains(wanted), "{more:?}: {said}");
    };
    check(
        &["cutoff_len=3"],
        "tune-nothing-to-learn",
        "8 are over 3 tokens",
    );
    check(&["lora_target=none_proj"], "tune-recipe", "none_proj");
    let freeze = "finetuning_type=freeze";
    check(
        &[freeze, "freeze_trainable_modules=lm_head"],
        "tune-spec",
        "nothing would learn",
    );
    check(
        &[freeze, "freeze_trainable_layers=9"],
        "tune-spec",
        "1 to 2",
    );
    check(&["val_size=8"], "tune-recipe", "leaves none to learn from");
    let single: Vec<Value> = (0..4).map(|_| json!({"text": "a"})).collect();
    let said = Job::new(&single, "stage: pt\n").refusal(&[]);
    assert!(
        said.contains("tune-nothing-to-learn"),
        "a text of one token: {said}"
    );
    let dpo = Job::new(&pairs(4), "stage: dpo\n").refusal(&["cutoff_len=3"]);
    assert!(dpo.contains("all 4 pairs are over 3 tokens"), "{dpo}");
}

/// Pain 5: a model that never stops, because its template ends no answer or nothing is named that would.
#[test]
fn pain_5_a_template_or_a_model_without_an_end() {
    let table = [
        json!({"text": "good", "label": "a"}),
        json!({"text": "bad", "label": "b"}),
    ];
    let choice = "input: text\noutput: label\nanswer: {kind: choice}\n";
    for (records, keys) in [
        (instructions(4), ""),
        (pairs(4), "stage: dpo\n"),
        (judged(4), "stage: kto\n"),
        (table.to_vec(), choice),
    ] {
        let job = Job::new(&records, keys);
        let own = job.own_model();
        job.change(&own.join("tokenizer_config.json"), |it| {
            let source = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}{% if \
                          add_generation_prompt %}assistant:{% endif %}";
            it["chat_template"] = json!(source);
        });
        let said = job.refusal(&[&model(&own)]);
        assert!(said.contains("tune-no-end-token"), "{keys}: {said}");
        assert!(
            said.contains("writes nothing that ends an answer"),
            "{keys}: {said}"
        );
        job.change(&own.join("tokenizer_config.json"), |it| {
            it["chat_template"] =
                json!("{% for m in messages %}{{ m['content'] }}<|im_end|>{% endfor %}");
            it["eos_token"] = Value::Null;
        });
        job.change(&own.join("config.json"), |it| {
            it["eos_token_id"] = Value::Null
        });
        let said = job.refusal(&[&model(&own)]);
        assert!(
            said.contains("names no end-of-turn token"),
            "{keys}: {said}"
        );
    }
    // A text is no turn: how those end does not matter.
    let job = Job::new(&texts(4), "stage: pt\n");
    let own = job.own_model();
    job.change(&own.join("tokenizer_config.json"), |it| {
        it["chat_template"] = json!("{% for m in messages %}{{ m['content'] }}{% endfor %}");
    });
    job.tuned(&[&model(&own), "--dry-run"]);
}

#[test]
fn a_model_without_a_template() {
    let job = Job::new(&instructions(4), "");
    let own = job.own_model();
    job.change(&own.join("tokenizer_config.json"), |it| {
        it["chat_template"] = Value::Null
    });
    let said = job.refusal(&[&model(&own)]);
    assert!(said.contains("has no chat template"), "{said}");
    job.tuned(&[&model(&own), "template=chatml", "--dry-run"]);
}

#[test]
fn a_tokenizer_that_disagrees_with_the_embedding() {
    let job = Job::new(&instructions(4), "");
    let own = job.own_model();
    job.change(&own.join("tokenizer.json"), |it| {
        let added = it["added_tokens"].as_array_mut().expect("a list");
        let mut one = added[0].clone();
        (one["id"], one["content"]) = (json!(416), json!("<|extra|>"));
        added.push(one);
    });
    let said = job.refusal(&[&model(&own)]);
    assert!(said.contains("engine-tokenizer"), "{said}");
    assert!(
        said.contains("token id 416, but the model has only 416 rows"),
        "{said}"
    );
    let own = job.own_model();
    job.change(&own.join("config.json"), |it| it["vocab_size"] = json!(400));
    let said = job.refusal(&[&model(&own)]);
    assert!(said.contains("400"), "{said}");
}

#[test]
fn mixed_preference_formats() {
    let mixed = |first: Vec<Value>, then: Vec<Value>| [first, then].concat();
    let said = Job::new(&mixed(pairs(2), judged(2)), "stage: dpo\n").refusal(&[]);
    assert!(said.contains("record 3 of"), "{said}");
    let said = Job::new(&mixed(judged(2), pairs(2)), "stage: kto\n").refusal(&[]);
    assert!(said.contains("record 3 of"), "{said}");
    let said = Job::new(&mixed(pairs(2), instructions(2)), "stage: dpo\n").refusal(&[]);
    assert!(said.contains("record 3 of"), "{said}");
}

#[test]
fn records_of_another_stage_and_judgements_of_one_side() {
    for (records, stage, wanted) in [
        (pairs(4), "kto", "stage: dpo"),
        (judged(4), "dpo", "stage: kto"),
        (instructions(4), "dpo", "stage: sft"),
        (texts(4), "kto", "stage: pt"),
        (pairs(4), "sft", "stage: dpo"),
        (instructions(4), "pt", "stage: sft"),
    ] {
        let said = Job::new(&records, &format!("stage: {stage}\n")).refusal(&[]);
        assert!(said.contains(wanted), "{stage}: {said}");
    }
    let wanted: Vec<Value> = judged(8).into_iter().step_by(2).collect();
    let said = Job::new(&wanted, "stage: kto\n").refusal(&[]);
    assert!(said.contains("all 4 answers are judged wanted"), "{said}");
}

#[test]
fn a_four_bit_base_asked_for_full_tuning() {
    let job = Job::new(&instructions(40), "");
    let few = job.folder.join("few");
    let made = job.tuned(&["stage=quantize", &format!("output_dir={}", few.display())]);
    assert_eq!(made["type"], "Q4_0");
    for way in ["full", "freeze"] {
        let way = format!("finetuning_type={way}");
        let said = job.refusal(&[&model(&few), &way]);
        assert!(said.contains("rounded to so few bits"), "{way}: {said}");
        assert!(said.contains("finetuning_type: lora"), "{way}: {said}");
        let said = job.refusal(&[&way, "quantization_bit=4"]);
        assert!(said.contains("not kept in 4 or 8 bits"), "{way}: {said}");
    }
    let adapter = job.tune(&[&model(&few), "quantization_bit=4", "max_steps=1"]);
    assert!(adapter.status.success(), "{}", one_line(&adapter.stderr));
}
