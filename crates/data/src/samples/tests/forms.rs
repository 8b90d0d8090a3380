//! Each form that teaches answers or text.

use serde_json::json;

use super::*;

#[test]
fn alpaca_joins_instruction_and_input_by_a_line_end() {
    // As LLaMA-Factory's data/README.md has it: "the human prompt would be `instruction\ninput`",
    // and the history's answers are learnt from.
    let record = json!({
        "instruction": "Translate", "input": "好", "output": "good", "system": "Be brief",
        "history": [["Hi", "Hello"]],
    });
    assert_eq!(
        one(&record),
        "S:Be brief | U:Hi | A:Hello | U:Translate\n好 | A:good"
    );
    let record = json!({"instruction": "Hi", "input": "", "output": "Hello", "history": null});
    assert_eq!(one(&record), "U:Hi | A:Hello");
    let dolly = json!({"instruction": "Sum", "context": "1 2", "response": "3", "category": "x"});
    assert_eq!(one(&dolly), "U:Sum\n1 2 | A:3");
}

#[test]
fn alpaca_in_a_table() {
    let csv = "\u{feff}instruction,input,output\r\n\"Say \"\"hi\"\", twice\",,\"hi\r\nhi\"\r\nAdd,1 2,3\r\n";
    assert_eq!(
        told("a.csv", csv),
        ["U:Say \"hi\", twice | A:hi\r\nhi", "U:Add\n1 2 | A:3"]
    );
    assert_eq!(
        told("a.tsv", "instruction\toutput\nAdd\t3"),
        ["U:Add | A:3"]
    );
}

#[test]
fn sharegpt_with_calls_and_tools() {
    let record = json!({
        "conversations": [
            {"from": "system", "value": "Be brief"},
            {"from": "human", "value": "Weather?"},
            {"from": "function_call", "value": "{\"name\": \"look\", \"arguments\": {\"at\": \"Rome\"}}"},
            {"from": "observation", "value": "sun"},
            {"from": "gpt", "value": "Sunny."},
        ],
        "system": "not used, the messages have their own",
        "tools": "[{\"name\": \"look\"}]",
    });
    assert_eq!(
        one(&record),
        "S:Be brief | U:Weather? \
         | A:[{\"type\":\"function\",\"function\":{\"name\":\"look\",\"arguments\":{\"at\":\"Rome\"}}}] \
         | T:sun | A:Sunny. tools [{\"type\":\"function\",\"function\":{\"name\":\"look\"}}]"
    );
    let record = json!({
        "conversations": [
            {"from": "user", "value": "Hi"},
            {"from": "function_call", "value": "<think>\nhm\n</think>[{\"name\": \"f\", \"arguments\": {}}]"},
            {"from": "tool", "value": "1"},
            {"from": "assistant", "value": "Yo"},
        ],
        "system": "Nice",
    });
    assert!(
        one(&record).starts_with("S:Nice | U:Hi | A:(hm)[{"),
        "{}",
        one(&record)
    );
}

#[test]
fn messages_with_parts_weights_reasoning_and_calls() {
    let record = json!({"messages": [
        {"role": "developer", "content": "Be brief"},
        {"role": "user", "content": [{"type": "text", "text": "Say "}, {"type": "text", "text": "hi"}]},
        {"role": "assistant", "content": "hey", "weight": 0},
        {"role": "user", "content": "Politely", "weight": null},
        {"role": "assistant", "content": "Hello", "reasoning_content": "polite", "weight": 1},
    ]});
    assert_eq!(
        one(&record),
        "S:Be brief | U:Say hi | A0:hey | U:Politely | A:(polite)Hello"
    );
    let record = json!({
        "messages": [
            {"role": "user", "content": "Two cities"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}},
                {"id": "2", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            ]},
            {"role": "tool", "tool_call_id": "1", "content": "x"},
            {"role": "tool", "tool_call_id": "2", "content": "y"},
            {"role": "assistant", "content": "x and y"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "parallel_tool_calls": true,
    });
    let told = one(&record);
    assert!(told.contains("\"arguments\":{\"a\":1}"), "{told}");
    assert!(told.contains("| T:x | T:y | A:x and y tools [{"), "{told}");
    let old = json!({"messages": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
        {"role": "assistant", "content": "One"},
    ], "functions": [{"name": "f"}]});
    assert!(
        one(&old).ends_with(
            "| T:1 | A:One tools [{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"
        )
    );
}

#[test]
fn messages_in_a_cell_and_under_another_name() {
    let csv = "messages\n\"[{\"\"role\"\":\"\"user\"\",\"\"content\"\":\"\"Hi\"\"},{\"\"role\"\":\"\"assistant\"\",\"\"content\"\":\"\"Yo\"\"}]\"\n";
    assert_eq!(told("a.csv", csv), ["U:Hi | A:Yo"]);
    let record = json!({"conversations": [
        {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"},
    ]});
    assert_eq!(one(&record), "U:Hi | A:Yo");
}

#[test]
fn prompt_and_completion_as_texts_and_as_messages() {
    assert_eq!(
        one(&json!({"prompt": "The sky is", "completion": " blue."})),
        "U:The sky is | A: blue."
    );
    let record = json!({
        "prompt": [
            {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"},
            {"role": "user", "content": "Sky?"},
        ],
        "completion": [{"role": "assistant", "content": "Blue"}],
    });
    assert_eq!(one(&record), "U:Hi | A0:Yo | U:Sky? | A:Blue");
    assert_eq!(
        one(&json!({"question": "1+1", "answer": "2"})),
        "U:1+1 | A:2"
    );
}

#[test]
fn text_is_text() {
    assert_eq!(
        one(&json!({"text": "Once\n", "meta": {"url": "x"}})),
        "text Once\n"
    );
    assert_eq!(told("a.csv", "text\n\"a,b\"\n"), ["text a,b"]);
}

fn table(names: &[&str], input: &[&str], output: &str, prompt: Option<&str>) -> Layout {
    Layout::Columns(TableColumns {
        names: names.iter().map(|&name| name.to_owned()).collect(),
        input: input.iter().map(|&name| name.to_owned()).collect(),
        output: output.to_owned(),
        prompt: prompt.map(str::to_owned),
        system: None,
    })
}

#[test]
fn tables_by_name_by_place_and_by_template() {
    let check = |name: &str, content: &str, layout: Layout, expected: &[&str]| {
        let (_folder, path) = file(name, content);
        let samples = all(&SampleSource::new(path, layout));
        let told: Vec<_> = samples
            .iter()
            .map(|sample| tell(sample.as_ref().unwrap()))
            .collect();
        assert_eq!(told, expected);
    };
    let banking = "text,category\n\"I, too, lost my card\",lost_card\n";
    check(
        "a.csv",
        banking,
        table(&[], &["text"], "category", None),
        &["U:I, too, lost my card | A:lost_card"],
    );
    check(
        "a.csv",
        banking,
        table(&[], &[], "category", Some("Intent of: {{ text }}")),
        &["U:Intent of: I, too, lost my card | A:lost_card"],
    );
    // GoEmotions' files have no header: text, ids of emotions, id of the comment.
    let emotions = "Great!\t2,27\teew5j0j\nOh no\t25\teemcysk\n";
    check(
        "a.tsv",
        emotions,
        table(&["text", "emotions"], &["text"], "emotions", None),
        &["U:Great! | A:2,27", "U:Oh no | A:25"],
    );
    let lines = "{\"a\": \"x\", \"b\": 1, \"c\": true}\n";
    check(
        "a.jsonl",
        lines,
        table(&[], &["a", "b"], "c", None),
        &["U:x\n1 | A:true"],
    );
}

#[test]
fn tables_that_cannot_work_are_refused_at_once() {
    let (_folder, path) = file("a.csv", "a,b\n1,2\n");
    let refused = |layout| {
        SampleSource::new(&path, layout)
            .read()
            .err()
            .unwrap()
            .to_string()
    };
    assert!(refused(table(&[], &[], "b", None)).contains("`input` cannot work"));
    assert!(refused(table(&[], &["a"], "", None)).contains("`output` cannot work"));
    assert!(refused(table(&[], &[], "b", Some("{{ a"))).contains("`prompt` cannot work"));
    let errors = all(&SampleSource::new(&path, table(&[], &["a"], "bb", None)));
    let error = errors[0].as_ref().unwrap_err();
    assert!(
        error.starts_with("record 1 of ") && error.contains("no `bb`"),
        "{error}"
    );
    let errors = all(&SampleSource::new(
        &path,
        table(&[], &[], "b", Some("{{ c }}")),
    ));
    assert!(
        errors[0]
            .as_ref()
            .unwrap_err()
            .contains("cannot be rendered")
    );
}
