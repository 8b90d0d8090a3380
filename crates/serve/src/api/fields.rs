//! Typed, bounded reading of a JSON object's members.
//!
//! A member that is missing or null is absent; one of the wrong kind or out of
//! its range is a 400 that names it.

use serde_json::{Map, Value};

use super::error::ApiError;

/// Whether a member counts as not given.
pub(crate) fn is_absent(value: Option<&Value>) -> bool {
    value.is_none_or(Value::is_null)
}

/// The members of one object.
pub(crate) struct Fields<'a> {
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// Reads from `map`.
    pub(crate) fn new(map: &'a Map<String, Value>) -> Self {
        Fields { map }
    }

    fn present(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// A string that must be there.
    pub(crate) fn required_text(&self, name: &str) -> Result<String, ApiError> {
        match self.present(name) {
            None => {
                let message = format!("Missing required parameter: '{name}'.");
                Err(ApiError::invalid(Some(name), message))
            }
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => Err(ApiError::invalid(
                Some(name),
                format!("'{name}' must be a string."),
            )),
        }
    }

    /// True, false or absent.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.present(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(ApiError::invalid(
                Some(name),
                format!("'{name}' must be true or false."),
            )),
        }
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn number(&self, name: &str, low: f32, high: f32) -> Result<Option<f32>, ApiError> {
        let Some(value) = self.present(name) else {
            return Ok(None);
        };
        match value.as_f64() {
            Some(number) if (f64::from(low)..=f64::from(high)).contains(&number) => {
                Ok(Some(number as f32))
            }
            _ => {
                let message = format!("'{name}' must be a number from {low} to {high}.");
                Err(ApiError::invalid(Some(name), message))
            }
        }
    }

    /// An integer from `low` to `high`, both included.
    pub(crate) fn integer(&self, name: &str, low: i64, high: i64) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.present(name) else {
            return Ok(None);
        };
        match value.as_i64() {
            Some(number) if (low..=high).contains(&number) => Ok(Some(number)),
            _ => {
                let message = format!("'{name}' must be an integer from {low} to {high}.");
                Err(ApiError::invalid(Some(name), message))
            }
        }
    }

    /// OpenAI's `seed`: any 64-bit integer, signed or not.
    pub(crate) fn seed(&self) -> Result<Option<u64>, ApiError> {
        let Some(value) = self.present("seed") else {
            return Ok(None);
        };
        let seed = value
            .as_u64()
            .or_else(|| value.as_i64().map(i64::cast_unsigned));
        match seed {
            Some(seed) => Ok(Some(seed)),
            None => Err(ApiError::invalid(
                Some("seed"),
                "'seed' must be a 64-bit integer.",
            )),
        }
    }

    /// An object.
    pub(crate) fn object(&self, name: &str) -> Result<Option<&'a Map<String, Value>>, ApiError> {
        match self.present(name) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(_) => Err(ApiError::invalid(
                Some(name),
                format!("'{name}' must be an object."),
            )),
        }
    }
}
