//! `dataset_info.json` as LLaMA-Factory documents it.

use serde_json::json;

use super::*;

/// The dataset `d` of an info with that entry, beside a file `d.json` with those records.
fn source(entry: Value, records: Value) -> (TempDir, Result<SampleSource, DataError>) {
    let (folder, _) = file(
        "dataset_info.json",
        json!({"d": entry, "other": {}}).to_string(),
    );
    std::fs::write(folder.path().join("d.json"), records.to_string()).unwrap();
    let info = DatasetInfo::load(folder.path()).unwrap();
    assert_eq!(info.names().collect::<Vec<_>>(), ["d", "other"]);
    let source = info.source("d");
    (folder, source)
}

#[track_caller]
fn check(entry: Value, record: Value, expected: &str) {
    let (_folder, source) = source(entry, json!([record]));
    let samples = all(&source.unwrap());
    assert_eq!(tell(samples[0].as_ref().unwrap()), expected);
}

#[track_caller]
fn refuse(entry: Value, expected: &str) {
    let (_folder, source) = source(entry, json!([{"instruction": "a", "output": "b"}]));
    let error = source.unwrap_err();
    assert_eq!(error.code(), "data-info");
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn the_documented_alpaca_entries() {
    let record = json!({"instruction": "a", "input": "b", "output": "c", "system": "s", "history": [["d", "e"]]});
    check(
        json!({"file_name": "d.json", "columns": {
            "prompt": "instruction", "query": "input", "response": "output", "system": "system", "history": "history",
        }}),
        record.clone(),
        "S:s | U:d | A:e | U:a\nb | A:c",
    );
    // Without `columns` the defaults hold, which have neither system nor history.
    check(
        json!({"file_name": "d.json", "split": "train"}),
        record.clone(),
        "U:a\nb | A:c",
    );
    // With them, what they leave out is not read.
    check(
        json!({"file_name": "d.json", "columns": {"prompt": "instruction", "response": "output"}}),
        record,
        "U:a | A:c",
    );
    check(
        json!({"file_name": "d.json", "columns": {"prompt": "text"}}),
        json!({"text": "document"}),
        "text document",
    );
    check(
        json!({"file_name": "d.json", "ranking": true, "columns": {
            "prompt": "instruction", "query": "input", "chosen": "better", "rejected": "worse",
        }}),
        json!({"instruction": "a", "input": "b", "better": "c", "worse": "d"}),
        "U:a\nb > A:c < A:d",
    );
    check(
        json!({"file_name": "d.json", "columns": {"prompt": "q", "response": "r", "kto_tag": "good"}}),
        json!({"q": "a", "r": "b", "good": false}),
        "U:a > A:b is false",
    );
}

#[test]
fn the_documented_sharegpt_entries() {
    let said = |from: &str, value: &str| json!({"from": from, "value": value});
    check(
        json!({"file_name": "d.json", "formatting": "sharegpt", "columns": {
            "messages": "talk", "system": "system", "tools": "tools",
        }}),
        json!({"talk": [said("human", "a"), said("gpt", "b")], "system": "s", "tools": ""}),
        "S:s | U:a | A:b",
    );
    check(
        json!({"file_name": "d.json", "formatting": "sharegpt", "ranking": true, "columns": {
            "messages": "conversations", "chosen": "chosen", "rejected": "rejected",
        }}),
        json!({"conversations": [said("human", "a")], "chosen": said("gpt", "b"), "rejected": said("gpt", "c")}),
        "U:a > A:b < A:c",
    );
    check(
        json!({"file_name": "d.json", "formatting": "sharegpt", "columns": {
            "messages": "conversations", "kto_tag": "kto_tag",
        }}),
        json!({"conversations": [said("human", "a"), said("gpt", "b")], "kto_tag": true}),
        "U:a > A:b is true",
    );
    check(
        json!({"file_name": "d.json", "formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": {
            "role_tag": "who", "content_tag": "what", "user_tag": "Q", "assistant_tag": "A", "system_tag": "S",
        }}),
        json!({"messages": [{"who": "S", "what": "s"}, {"who": "Q", "what": "a"}, {"who": "A", "what": "b"}]}),
        "S:s | U:a | A:b",
    );
    check(
        json!({"file_name": "d.json", "formatting": "sharegpt", "columns": {
            "messages": "talk", "tools": "functions_of_it",
        }, "tags": {
            "role_tag": "who", "content_tag": "what", "user_tag": "Q", "assistant_tag": "A",
            "observation_tag": "R", "function_tag": "C", "system_tag": "S",
        }}),
        json!({"talk": [
            {"who": "S", "what": "s"}, {"who": "Q", "what": "a"},
            {"who": "C", "what": "{\"name\": \"f\", \"arguments\": {\"x\": 1}}"},
            {"who": "R", "what": "r"}, {"who": "A", "what": "b"},
        ], "functions_of_it": "[{\"name\": \"f\"}]"}),
        "S:s | U:a | A:[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":{\"x\":1}}}] \
         | T:r | A:b tools [{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]",
    );
    // What `columns` leaves out is not read, tools too.
    check(
        json!({"file_name": "d.json", "formatting": "sharegpt", "columns": {"messages": "conversations"}}),
        json!({"conversations": [said("human", "a"), said("gpt", "b")], "tools": "no JSON"}),
        "U:a | A:b",
    );
    check(
        json!({"file_name": "d.json", "formatting": "openai"}),
        json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}),
        "U:a | A:b",
    );
}

#[test]
fn samples_are_limited() {
    let records = json!([{"instruction": "a", "output": "b"}, {"instruction": "a", "output": "b"}]);
    let (_folder, source) = source(json!({"file_name": "d.json", "num_samples": 1}), records);
    assert_eq!(all(&source.unwrap()).len(), 1);
}

#[test]
fn what_cannot_be_used_is_refused() {
    refuse(
        json!({"hf_hub_url": "a/b"}),
        "write its name as `file_name`",
    );
    refuse(
        json!({"ms_hub_url": "a/b", "file_name": "d.json"}),
        "`ms_hub_url` is not fetched",
    );
    refuse(json!({"script_url": "a"}), "`script_url` is not fetched");
    refuse(json!({}), "it has no `file_name`");
    refuse(json!(3), "it is no object");
    refuse(
        json!({"file_nam": "d.json"}),
        "unknown key `file_nam`; the nearest is `file_name`",
    );
    refuse(
        json!({"file_name": "d.json", "subset": "x"}),
        "`subset` chooses",
    );
    refuse(
        json!({"file_name": "d.json", "split": "test"}),
        "`split` chooses",
    );
    refuse(
        json!({"file_name": "d.json", "formatting": "sharegp"}),
        "the nearest is `sharegpt`",
    );
    refuse(
        json!({"file_name": "d.json", "columns": {"promt": "x"}}),
        "`columns.promt`; the nearest is `prompt`",
    );
    refuse(
        json!({"file_name": "d.json", "columns": {"prompt": "a", "images": "x"}}),
        "`columns.images`",
    );
    refuse(
        json!({"file_name": "d.json", "formatting": "sharegpt", "tags": {"role": "x"}}),
        "`tags.role`",
    );
}

#[test]
fn columns_that_contradict_are_refused() {
    refuse(json!({"file_name": "d.json", "tags": {}}), "`tags` belong");
    refuse(
        json!({"file_name": "d.json", "columns": {"messages": "x"}}),
        "`columns.messages` belongs",
    );
    refuse(
        json!({"file_name": "d.json", "formatting": "sharegpt", "columns": {"query": "x"}}),
        "`columns.query` belongs",
    );
    refuse(
        json!({"file_name": "d.json", "columns": {"response": "x"}}),
        "name no `prompt`",
    );
    refuse(
        json!({"file_name": "d.json", "columns": {"prompt": "x", "query": "y"}}),
        "name no `response`",
    );
    refuse(
        json!({"file_name": "d.json", "columns": {"prompt": "x", "chosen": "y"}}),
        "add `\"ranking\": true`",
    );
    refuse(
        json!({"file_name": "d.json", "ranking": true, "columns": {"prompt": "x", "kto_tag": "y"}}),
        "ranked or judged",
    );
    refuse(
        json!({"file_name": "d.json", "ranking": "yes"}),
        "invalid type",
    );
    refuse(
        json!({"file_name": "d.json", "columns": {"prompt": "instrution", "response": "output"}}),
        "its `prompt` names the column `instrution`, which none of the first 100 records has; the nearest is `instruction`",
    );
}

#[test]
fn names_and_files_that_are_not_there() {
    let (folder, _) = file(
        "dataset_info.json",
        "{\"alpaca_zh\": {\"file_name\": \"x.json\"}}",
    );
    let info = DatasetInfo::load(folder.path()).unwrap();
    let error = info.source("alpaca_hz").unwrap_err();
    assert_eq!(error.code(), "data-missing");
    assert!(
        error.to_string().contains("the nearest is `alpaca_zh`"),
        "{error}"
    );
    let source = info.source("alpaca_zh").unwrap();
    assert_eq!(source.read().err().unwrap().code(), "data-file");
    let (folder, _) = file("dataset_info.json", "[1]");
    assert_eq!(
        DatasetInfo::load(folder.path()).unwrap_err().code(),
        "data-info"
    );
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(
        DatasetInfo::load(empty.path()).unwrap_err().code(),
        "data-file"
    );
}
