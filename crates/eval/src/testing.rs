//! What the tests of this crate share: a task, records, predictions and the tiny model.

use std::path::Path;

use lathe_data::prepare::Sealed;
use lathe_data::reader::Record;
use lathe_data::task::Task;
use lathe_engine::Model;
use lathe_engine::model::LoadOptions;
use lathe_evidence::Digest;
use lathe_evidence::report::Role;
use serde_json::{Value, json};

use crate::predictions::{Predictions, score};

/// The 2-layer random model of the repository's fixtures.
pub fn model() -> Model {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny-model");
    Model::load(&path, LoadOptions::default()).expect("the fixture loads")
}

/// A feeling from −4 to 4 and its class.
pub fn task() -> Task {
    let bins = json!([{"below": -0.5, "name": "negative"}, {"to": 0.5, "name": "neutral"},
                      {"name": "positive"}]);
    let spec = json!({
        "system": "Say how the customer feels.",
        "prompt": "{{ text }}",
        "input": "text",
        "answer": {
            "feeling": {"from": "rating", "step": 0.5},
            "class": {"of": "feeling", "bins": bins},
        },
        "schema": {
            "type": "object",
            "properties": {
                "feeling": {"type": "number", "minimum": -4, "maximum": 4},
                "class": {"enum": ["negative", "neutral", "positive"]},
            },
            "required": ["feeling", "class"],
            "additionalProperties": false,
        },
        "targets": {
            "number": {"pointer": "/feeling", "truth": "rating", "invalid": 0},
            "class": {"pointer": "/class", "truth": "rating", "invalid": "neutral"},
        },
    });
    let spec = serde_json::from_value(spec).expect("a task");
    Task::new(spec).expect("a task that compiles")
}

/// The rating of the record with this index, −4 to 4.
pub fn rating(index: usize) -> f64 {
    (index * 7 % 17) as f64 * 0.5 - 4.0
}

/// `count` records, four to a group.
pub fn records(count: usize) -> Vec<Sealed> {
    let sealed = |index: usize| {
        let id = format!("{}_{index}", index / 4);
        let product = ["camera", "phone"][index / 4 % 2];
        let length = ["up to 9", "over 19", "10 to 19"][index % 3];
        let fields = json!({
            "text": format!("sentence {index} about the {product}"),
            "rating": rating(index), "product": product, "length": length,
        });
        let Value::Object(fields) = fields else {
            unreachable!("an object")
        };
        Sealed {
            leaf: Digest::of(id.as_bytes()),
            salt: [0; 16],
            risk: Vec::new(),
            record: Record {
                id,
                group: (index / 4).to_string(),
                line: index as u64 + 1,
                fields,
            },
        }
    };
    (0..count).map(sealed).collect()
}

/// The answer that says `feeling`.
pub fn answer(feeling: f64) -> String {
    let class = match feeling {
        feeling if feeling < -0.5 => "negative",
        feeling if feeling <= 0.5 => "neutral",
        _ => "positive",
    };
    format!(r#"{{"feeling":{feeling:.1},"class":"{class}"}}"#)
}

/// Answers that are off by `noise` times a fixed pattern.
pub fn predictions(role: Role, name: &str, records: &[Sealed], noise: f64) -> Predictions {
    let output = |(index, sealed): (usize, &Sealed)| {
        let truth = sealed.record.fields["rating"].as_f64().expect("a rating");
        let off = ((index * 13 % 11) as f64 - 5.0) * noise;
        answer((truth + off).clamp(-4.0, 4.0))
    };
    let outputs: Vec<String> = records.iter().enumerate().map(output).collect();
    score(&task(), records, &outputs, role, name, "a test")
}
