//! The body that asks for a job, read strictly.

use lathe_workshop::tuning::{Asked, Hyperparameters, Method, SUFFIX_CHARS_MAX};
use serde_json::{Map, Value};

use crate::api::error::ApiError;
use crate::api::fields::{Fields, is_absent};

/// Members that are known.
const KNOWN: [&str; 9] = [
    "model",
    "training_file",
    "validation_file",
    "hyperparameters",
    "method",
    "suffix",
    "seed",
    "metadata",
    "integrations",
];
/// The most pairs of `metadata`, and the longest key and value, as OpenAI has them.
const METADATA_MAX: usize = 16;
const METADATA_KEY_CHARS_MAX: usize = 64;
const METADATA_VALUE_CHARS_MAX: usize = 512;
const EPOCHS_MAX: i64 = 50;
const BATCH_MAX: i64 = 256;
const BETA_MAX: f64 = 2.0;
const MULTIPLIER_MAX: f64 = 100.0;
/// What a hyperparameter says that is left to the server.
const AUTO: &str = "auto";

/// The job that a body asks for; `owner` is the name of the key it came with.
///
/// # Errors
/// 400 that names the member.
pub(super) fn read(map: &Map<String, Value>, owner: &str) -> Result<Asked, ApiError> {
    if let Some(unknown) = map.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        let shown: String = unknown.chars().take(60).collect();
        let message = format!("Unrecognized request argument supplied: {shown}.");
        return Err(ApiError::invalid(Some(&shown), message));
    }
    let fields = Fields::new(map);
    if map.get("integrations").is_some_and(|it| !is_empty(it)) {
        return Err(ApiError::unsupported(
            "integrations",
            "nothing leaves this server",
        ));
    }
    let (method, hyperparameters) = method(&fields, map)?;
    Ok(Asked {
        model: fields.required_text("model")?,
        training_file: fields.required_text("training_file")?,
        validation_file: text(&fields, map, "validation_file")?,
        method,
        hyperparameters,
        suffix: suffix(&fields, map)?,
        seed: fields.seed()?.map_or(0, |seed| seed & u64::from(u32::MAX)),
        metadata: metadata(&fields)?,
        owner: owner.to_owned(),
    })
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

fn text(
    fields: &Fields<'_>,
    map: &Map<String, Value>,
    name: &str,
) -> Result<Option<String>, ApiError> {
    match is_absent(map.get(name)) {
        true => Ok(None),
        false => fields.required_text(name).map(Some),
    }
}

fn suffix(fields: &Fields<'_>, map: &Map<String, Value>) -> Result<Option<String>, ApiError> {
    let suffix = text(fields, map, "suffix")?;
    let chars = suffix.as_ref().map_or(1, |suffix| suffix.chars().count());
    if !(1..=SUFFIX_CHARS_MAX).contains(&chars) {
        let message = format!("'suffix' must have 1 to {SUFFIX_CHARS_MAX} characters.");
        return Err(ApiError::invalid(Some("suffix"), message));
    }
    Ok(suffix)
}

fn metadata(fields: &Fields<'_>) -> Result<Map<String, Value>, ApiError> {
    let given = fields.object("metadata")?.cloned().unwrap_or_default();
    let fits = |(key, value): (&String, &Value)| {
        let value = value.as_str().map(|value| value.chars().count());
        key.chars().count() <= METADATA_KEY_CHARS_MAX
            && value.is_some_and(|chars| chars <= METADATA_VALUE_CHARS_MAX)
    };
    if given.len() > METADATA_MAX || !given.iter().all(fits) {
        let message = format!(
            "'metadata' must have at most {METADATA_MAX} pairs of strings, keys of at most \
             {METADATA_KEY_CHARS_MAX} and values of at most {METADATA_VALUE_CHARS_MAX} characters."
        );
        return Err(ApiError::invalid(Some("metadata"), message));
    }
    Ok(given)
}

fn method(
    fields: &Fields<'_>,
    map: &Map<String, Value>,
) -> Result<(Method, Hyperparameters), ApiError> {
    let Some(object) = fields.object("method")? else {
        // How it was said before there were methods.
        let given = hyperparameters(fields, "hyperparameters", Method::Supervised)?;
        return Ok((Method::Supervised, given));
    };
    if !is_absent(map.get("hyperparameters")) {
        let message = "'hyperparameters' and 'method' are both given: say it in 'method' alone.";
        return Err(ApiError::invalid(Some("hyperparameters"), message));
    }
    let inner = Fields::new(object);
    let (method, name) = match inner.required_text("type")?.as_str() {
        "supervised" => (Method::Supervised, "supervised"),
        "dpo" => (Method::Dpo, "dpo"),
        _ => {
            let message = "'method.type' must be 'supervised' or 'dpo'.";
            return Err(ApiError::invalid(Some("method"), message));
        }
    };
    let given = match inner.object(name)? {
        Some(section) => hyperparameters(&Fields::new(section), "hyperparameters", method)?,
        None => Hyperparameters::default(),
    };
    Ok((method, given))
}

fn hyperparameters(
    fields: &Fields<'_>,
    name: &str,
    method: Method,
) -> Result<Hyperparameters, ApiError> {
    let Some(object) = fields.object(name)? else {
        return Ok(Hyperparameters::default());
    };
    // What is left to the server is as good as absent.
    let mut given = object.clone();
    given.retain(|_, value| value != AUTO);
    let known = ["n_epochs", "batch_size", "learning_rate_multiplier", "beta"];
    let known = match method {
        Method::Supervised => &known[..3],
        Method::Dpo => &known[..],
    };
    if let Some(unknown) = given.keys().find(|key| !known.contains(&key.as_str())) {
        let shown: String = unknown.chars().take(60).collect();
        let message = format!(
            "'{shown}' is no hyperparameter of this method: {}.",
            known.join(", ")
        );
        return Err(ApiError::invalid(Some("hyperparameters"), message));
    }
    let fields = Fields::new(&given);
    let count = |name: &str, most: i64| -> Result<Option<u32>, ApiError> {
        let count = fields.integer(name, 1, most)?;
        Ok(count.and_then(|count| u32::try_from(count).ok()))
    };
    let above_zero = |name: &str, most: f64| -> Result<Option<f64>, ApiError> {
        let Some(value) = given.get(name).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        // As it was written: the fields' own numbers are of half the digits.
        let number = value.as_f64().filter(|it| *it > 0.0 && *it <= most);
        number.map(Some).ok_or_else(|| {
            let message = format!("'{name}' must be a number above 0, at most {most}.");
            ApiError::invalid(Some(name), message)
        })
    };
    Ok(Hyperparameters {
        n_epochs: count("n_epochs", EPOCHS_MAX)?,
        batch_size: count("batch_size", BATCH_MAX)?,
        learning_rate_multiplier: above_zero("learning_rate_multiplier", MULTIPLIER_MAX)?,
        beta: above_zero("beta", BETA_MAX)?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(more: Value) -> Result<Asked, String> {
        let mut body = json!({"model": "m", "training_file": "file-1"});
        let members = body.as_object_mut().expect("an object");
        members.extend(more.as_object().expect("an object").clone());
        read(members, "the shop").map_err(|error| error.body()["error"]["message"].to_string())
    }

    #[test]
    fn auto_and_absent_are_left_to_the_server() {
        let auto = json!({"method": {"type": "dpo", "dpo": {"hyperparameters":
            {"beta": "auto", "n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"}}}});
        let found = asked(auto).expect("a job");
        assert_eq!(
            (found.method, found.hyperparameters),
            (Method::Dpo, Hyperparameters::default())
        );
        assert_eq!(asked(json!({})).expect("a job").method, Method::Supervised);
        let old = asked(json!({"hyperparameters": {"n_epochs": 4}})).expect("a job");
        assert_eq!(old.hyperparameters.n_epochs, Some(4));
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        let cases = [
            (json!({"model": 3}), "model"),
            (json!({"colour": "red"}), "colour"),
            (json!({"method": {"type": "reinforcement"}}), "method.type"),
            (json!({"hyperparameters": {"n_epochs": 0}}), "n_epochs"),
            (json!({"hyperparameters": {"beta": 0.1}}), "beta"),
            (
                json!({"method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0}}}}),
                "beta",
            ),
            (
                json!({"method": {"type": "dpo"}, "hyperparameters": {}}),
                "both given",
            ),
            (json!({"suffix": "x".repeat(65)}), "suffix"),
            (json!({"suffix": ""}), "suffix"),
            (json!({"metadata": {"a": 1}}), "metadata"),
            (json!({"integrations": [{"type": "wandb"}]}), "integrations"),
        ];
        for (more, named) in cases {
            let message = asked(more).expect_err(named);
            assert!(message.contains(named), "{message}");
        }
    }
}
