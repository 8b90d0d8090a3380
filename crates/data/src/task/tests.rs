//! Two packs' tasks: a number with its class, and plain classes.

use serde_json::json;

use super::*;
use crate::{DataSpec, fixture};

const FEELING: &str = r#"
system: "Read the sentence."
prompt: "Sentence: {{ text }}"
input: text
answer:
  feeling: {from: mean, step: 0.1}
  class: {of: feeling, bins: [{below: -0.5, name: negative}, {to: 0.5, name: neutral}, {name: positive}]}
schema:
  type: object
  additionalProperties: false
  required: [feeling, class]
  properties:
    feeling: {type: number, minimum: -4, maximum: 4}
    class: {enum: [negative, neutral, positive]}
targets:
  number: {pointer: /feeling, truth: mean, invalid: 0}
  class: {pointer: /class, truth: mean, invalid: neutral}
"#;

const TICKET: &str = r#"
prompt: "Classify: {{ text }}"
input: text
answer:
  category: {from: category}
  note: {template: "{{ category|upper }}!"}
schema:
  type: object
  required: [category, note]
  properties: {category: {enum: [billing, delivery, other]}}
targets:
  class: {pointer: /category, truth: category, invalid: other}
"#;

fn spec(yaml: &str) -> TaskSpec {
    serde_saphyr::from_str(yaml).unwrap()
}

fn task(yaml: &str) -> Task {
    Task::new(spec(yaml)).unwrap_or_else(|error| panic!("{error}"))
}

fn sealed(fields: Value) -> Sealed {
    fixture::sealed("1_2", "1", fields)
}

#[test]
fn a_number_and_its_class_are_rendered_so_that_they_agree() {
    let task = task(FEELING);
    let check = |mean: f64, answer: &str, class: &str| {
        let sealed = sealed(json!({"mean": mean, "text": "it \"works\" & <more>"}));
        let example = task.render(&sealed).unwrap();
        assert_eq!(example.answer, answer);
        assert_eq!(example.prompt, "Sentence: it \"works\" & <more>");
        assert_eq!(example.system.as_deref(), Some("Read the sentence."));
        assert_eq!((example.id.as_str(), example.group.as_str()), ("1_2", "1"));
        let truth = task.truth(&sealed.record).unwrap();
        assert_eq!(
            truth,
            Answer {
                number: Some(mean),
                class: Some(class.to_owned())
            }
        );
        assert!(task.read_answer(&example.answer).is_some());
    };
    check(-0.9, r#"{"feeling":-0.9,"class":"negative"}"#, "negative");
    check(-0.54, r#"{"feeling":-0.5,"class":"neutral"}"#, "negative");
    check(0.0, r#"{"feeling":0.0,"class":"neutral"}"#, "neutral");
    check(3.95, r#"{"feeling":4.0,"class":"positive"}"#, "positive");
}

#[test]
fn an_answer_counts_only_if_it_is_whole_in_the_schema_and_agrees() {
    let task = task(FEELING);
    let read = |output| task.read_answer(output);
    let good = Answer {
        number: Some(1.2),
        class: Some("positive".to_owned()),
    };
    assert_eq!(
        read(r#"{"feeling":1.2,"class":"positive"}"#),
        Some(good.clone())
    );
    assert_eq!(
        read("\n{ \"class\": \"positive\", \"feeling\": 1.2 } "),
        Some(good)
    );
    for output in [
        "",
        "positive",
        r#"{"feeling":1.2,"class":"positive""#,
        r#"{"feeling":1.2,"class":"positive"} and more"#,
        r#"{"feeling":1.2}"#,
        r#"{"feeling":"1.2","class":"positive"}"#,
        r#"{"feeling":4.1,"class":"positive"}"#,
        r#"{"feeling":1.2,"class":"glad"}"#,
        r#"{"feeling":1.2,"class":"negative"}"#,
        r#"{"feeling":-0.5,"class":"negative"}"#,
        r#"{"feeling":1.2,"class":"positive","x":1}"#,
    ] {
        assert_eq!(read(output), None, "{output}");
    }
    let invalid = Answer {
        number: Some(0.0),
        class: Some("neutral".to_owned()),
    };
    assert_eq!(task.invalid_answer(), invalid);
    assert_eq!(task.classes(), ["negative", "neutral", "positive"]);
}

#[test]
fn classes_alone_are_a_task_too() {
    let task = task(TICKET);
    let sealed = sealed(json!({"text": "Where is it?", "category": "delivery"}));
    let example = task.render(&sealed).unwrap();
    assert_eq!(
        example.answer,
        r#"{"category":"delivery","note":"DELIVERY!"}"#
    );
    assert_eq!(example.system, None);
    let answer = task.read_answer(&example.answer).unwrap();
    assert_eq!(answer, task.truth(&sealed.record).unwrap());
    assert_eq!(
        answer,
        Answer {
            number: None,
            class: Some("delivery".to_owned())
        }
    );
    assert_eq!(task.classes(), ["billing", "delivery", "other"]);
}

#[test]
fn a_free_sentence_fills_the_prompt() {
    let prompt = task(FEELING).prompt_for("{{ 1 + 1 }} 很好").unwrap();
    assert_eq!(prompt.prompt, "Sentence: {{ 1 + 1 }} 很好");
    let more = FEELING.replace("{{ text }}", "{{ text }} about {{ product }}");
    let error = task(&more).prompt_for("x").unwrap_err().to_string();
    assert!(
        error.contains("cannot be filled from `text` alone"),
        "{error}"
    );
}

#[test]
fn what_a_record_lacks_is_said() {
    let check = |fields: Value, expected: &str| {
        let error = task(FEELING)
            .render(&sealed(fields))
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(json!({"mean": 1}), "undefined value");
    check(
        json!({"text": "x", "maen": 1}),
        "no field `mean`; the nearest is `maen`",
    );
    check(json!({"text": "x", "mean": "1"}), "types: {mean: number}");
    check(json!({"text": "x", "mean": null}), "`mean` is empty");
    check(
        json!({"text": "x", "mean": 9}),
        "the schema refuses the right answer",
    );
}

#[test]
fn what_cannot_work_is_refused_with_the_key() {
    let check = |from: &str, to: &str, expected: &str| {
        let changed = FEELING.replace(from, to);
        assert_ne!(changed, FEELING);
        let error = Task::new(spec(&changed)).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check("{{ text }}", "{{ text", "`task.prompt`");
    check("type: object", "type: objekt", "no JSON Schema");
    check("step: 0.1", "step: -0.1", "no positive number");
    check("of: feeling", "of: feelng", "the nearest is `feeling`");
    check(
        "from: mean, step: 0.1",
        "step: 0.1",
        "`task.answer.feeling`",
    );
    check(
        "pointer: /feeling",
        "pointer: feeling",
        "points at no field",
    );
    check(
        "pointer: /class",
        "pointer: /clas",
        "the nearest is `class`",
    );
    check(
        "invalid: neutral",
        "invalid: neutrl",
        "the nearest is `neutral`",
    );
    let nothing = FEELING.split("targets:").next().unwrap().to_owned() + "targets: {}";
    let error = Task::new(spec(&nothing)).err().unwrap().to_string();
    assert!(error.contains("nothing is scored"), "{error}");
}

#[test]
fn an_endless_template_is_stopped() {
    let looping = FEELING.replace(
        "{{ text }}",
        "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
    );
    let sealed = sealed(json!({"text": "x", "mean": 1}));
    assert!(task(&looping).render(&sealed).is_err());
}

/// The published packs' own sections keep working: both parts of the interface in one file.
#[test]
fn whole_sections_parse() {
    let yaml = format!(
        "name: n\nsource: 'pypi:a==1#b/c.zip#d.txt'\nsha256: {}\nlicence: MIT\nowner: o\nreader: {{format: tsv}}",
        Digest::of(b"")
    );
    let data: DataSpec = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(data.source.inner, ["b/c.zip", "d.txt"]);
    let json = serde_json::to_string(&spec(FEELING)).unwrap();
    assert_eq!(
        serde_json::from_str::<TaskSpec>(&json).unwrap(),
        spec(FEELING)
    );
}
