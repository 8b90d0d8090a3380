//! Tools, calls and reasoning: what is read and what is learnt, against what transformers renders
//! and marks (`tests/reference/make_tool_vectors.py`).

use std::collections::BTreeMap;
use std::path::Path;

use lathe_data::samples::SampleSource;
use lathe_engine::template::SpecialTokens;
use serde::Deserialize;
use serde_json::json;

use super::*;

#[derive(Deserialize)]
struct Vectors {
    special: SpecialTokens,
    dialogues: BTreeMap<String, Stored>,
    templates: BTreeMap<String, Template>,
}

#[derive(Deserialize)]
struct Stored {
    record: Value,
}

#[derive(Deserialize)]
struct Template {
    source: String,
    learnt: BTreeMap<String, Option<Learnt>>,
}

#[derive(Deserialize)]
struct Learnt {
    one_row: bool,
    turns: Vec<LearntTurn>,
}

/// A turn that is learnt, with all that is read before it.
#[derive(Deserialize)]
struct LearntTurn {
    text: String,
    learnt: String,
}

fn vectors() -> Vectors {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/tool-vectors.json");
    let bytes = std::fs::read(path).expect("the vectors are there");
    serde_json::from_slice(&bytes).expect("the vectors are sound")
}

/// The tiny model with a template of the vectors.
fn model(vectors: &Vectors, template: &str) -> Model {
    let mut model = testing::model();
    let source = &vectors.templates[template].source;
    let template = ChatTemplate::new(source, vectors.special.clone());
    model.template = Some(template.expect("compiles"));
    model
}

/// The sample of a record in a file of its own.
fn sample(record: &Value) -> Sample {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("one.jsonl");
    std::fs::write(&path, format!("{record}\n")).expect("written");
    let source = SampleSource::detect(&path).expect("a known form");
    let mut samples = source.read().expect("a file");
    samples.next().expect("a record").expect("a sample").1
}

fn refusal(model: &Model, record: &Value) -> String {
    let dialogues = Dialogues::new(model, Masking::default()).expect("a way to write");
    let refused = dialogues.rows(7, &sample(record));
    refused.expect_err("is refused").to_string()
}

/// Dialogues that a template cannot write whole, and why.
const REFUSED: [(&str, &str, &str); 5] = [
    ("header", "two calls", "One call at a time."),
    (
        "header",
        "two calls, the first answer not learnt",
        "One call at a time.",
    ),
    (
        "copied",
        "two calls",
        "leaves out the call of `get_weather` in turn 2",
    ),
    (
        "copied",
        "two calls, the first answer not learnt",
        "leaves out the call of `get_weather` in turn 2",
    ),
    (
        "copied",
        "no reasoning",
        "leaves out the call of `now` in turn 2",
    ),
];

/// Pain 4: masks that begin or end elsewhere than the answer, here where the answer is a call.
#[test]
fn pain_4_what_is_learnt_of_calls_is_what_transformers_marks() {
    let vectors = vectors();
    let mut checked = 0;
    for (name, template) in &vectors.templates {
        let model = model(&vectors, name);
        let apart = model.template.as_ref().expect("one").skills().reasoning;
        for (title, stored) in &vectors.dialogues {
            let cannot = REFUSED.iter().find(|it| it.0 == name && it.1 == title);
            if let Some((.., reason)) = cannot {
                let found = refusal(&model, &stored.record);
                assert!(found.starts_with("record 7: "), "{found}");
                assert!(found.contains(reason), "{name}: {title}: {found}");
                continue;
            }
            // Reasoning that transformers drops here is learnt from: see the next test.
            if title == "reasoning" && !apart {
                continue;
            }
            let expected = template.learnt[title].as_ref().expect("it is written");
            let found = rows(&model, Masking::default(), &sample(&stored.record));
            check(&model, &found, expected, &format!("{name}: {title}"));
            checked += 1;
        }
    }
    assert_eq!(checked, 4 * 8 - REFUSED.len() - 2);
}

fn check(model: &Model, rows: &[Row], expected: &Learnt, of: &str) {
    let turns = &expected.turns;
    let learnt: Vec<&String> = turns.iter().map(|turn| &turn.learnt).collect();
    let said: Vec<Vec<String>> = rows.iter().map(|row| supervised(model, row)).collect();
    assert_eq!(said.iter().flatten().collect::<Vec<_>>(), learnt, "{of}");
    assert_eq!(
        rows.len(),
        if expected.one_row { 1 } else { turns.len() },
        "{of}"
    );
    let last = turns.len() - rows.len();
    for (row, turn) in rows.iter().zip(&turns[last..]) {
        assert_eq!(
            model.tokenizer.decode(&row.tokens, false),
            turn.text,
            "{of}"
        );
    }
}

#[test]
fn reasoning_without_a_place_of_its_own_is_learnt_in_the_text() {
    let vectors = vectors();
    let record = &vectors.dialogues["reasoning"].record;
    let hermes = model(&vectors, "hermes");
    let found = rows(&hermes, Masking::default(), &sample(record));
    let said = supervised(&hermes, &found[0]);
    assert_eq!(
        said,
        [
            "<think>\nI have a clock.\n</think>\n\n\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call><|im_end|>",
            "<think>\nThe clock says so.\n</think>\n\n12:30.<|im_end|>",
            "<think>\nIt was just now.\n</think>\n\nYes.<|im_end|>",
        ]
    );
    let left_out = refusal(&model(&vectors, "header"), record);
    let expected = "leaves out what is said or thought in turn 2";
    assert!(left_out.contains(expected), "{left_out}");
}

#[test]
fn what_a_template_has_no_place_for_is_refused_by_the_record() {
    let plain = testing::model();
    let check = |record: Value, expected: &str| {
        let found = refusal(&plain, &record);
        let next = "chat_template.jinja";
        assert!(
            found.starts_with("record 7: ") && found.contains(next),
            "{found}"
        );
        assert!(found.contains(expected), "{found}");
    };
    let user = json!({"role": "user", "content": "What time is it?"});
    let answer = json!({"role": "assistant", "content": "12:30."});
    let call = json!({"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "now"}}]});
    check(
        json!({"messages": [user, answer], "tools": [{"name": "now"}]}),
        "it names tools, which the model's chat template does not write",
    );
    check(
        json!({"messages": [user, call]}),
        "turn 2 calls a tool, which",
    );
    let mut silent = testing::model();
    let source = "{% for m in messages %}{% if m.role != 'tool' %}{{ m.role }}:{{ m.content }}{{ m.tool_calls | tojson }}<|im_end|>{% endif %}{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}";
    silent.template = Some(ChatTemplate::new(source, Default::default()).expect("compiles"));
    let result = json!({"role": "tool", "content": "12:30"});
    let record = json!({"messages": [user, call, result, answer]});
    let found = refusal(&silent, &record);
    assert!(
        found.contains("turn 3 is what a tool gave back, which"),
        "{found}"
    );
}

/// A tool's answer after a call that the text itself writes needs no place for calls.
#[test]
fn calls_inside_the_text_are_learnt_as_the_text() {
    let model = testing::model();
    let record = json!({"messages": [
        {"role": "user", "content": "What time is it?"},
        {"role": "assistant", "content": "<tool_call>now</tool_call>"},
        {"role": "tool", "content": "12:30"},
        {"role": "assistant", "content": "12:30."},
    ]});
    let found = rows(&model, Masking::default(), &sample(&record));
    assert_eq!(
        supervised(&model, &found[0]),
        ["<tool_call>now</tool_call><|im_end|>", "12:30.<|im_end|>"]
    );
}
