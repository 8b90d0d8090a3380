//! The fields of a form whose names may stand in it more than once, as boxes that are ticked do.

use axum::extract::Form;
use axum::extract::rejection::FormRejection;
use lathe_workshop::WorkshopError;
use serde::de::DeserializeOwned;

/// A form as it is read, or why it is none.
pub(super) type Written = Result<Form<Vec<(String, String)>>, FormRejection>;

/// The fields of a form, in their order.
#[derive(Debug)]
pub(super) struct Fields(pub(super) Vec<(String, String)>);

impl Fields {
    /// The value of the one field of this name; empty where there is none.
    pub(super) fn one(&self, name: &str) -> &str {
        let mut values = self.0.iter().filter(|(key, _)| key == name);
        values.next().map_or("", |(_, value)| value.as_str())
    }

    /// The values of all fields of this name, as what their words name.
    ///
    /// # Errors
    /// `person-request` for a word that names nothing.
    pub(super) fn all<T: DeserializeOwned>(&self, name: &str) -> Result<Vec<T>, WorkshopError> {
        let values = self.0.iter().filter(|(key, _)| key == name);
        let word = |text: &str| {
            let word = serde_json::Value::String(text.to_owned());
            serde_json::from_value(word).map_err(|_| not_one(name))
        };
        values.map(|(_, value)| word(value)).collect()
    }

    /// The number in a field; none where it is empty.
    ///
    /// # Errors
    /// `token-request` for what is no number.
    pub(super) fn number<T: std::str::FromStr>(
        &self,
        name: &str,
    ) -> Result<Option<T>, WorkshopError> {
        let text = self.one(name).trim();
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| {
            WorkshopError::new(
                "token-request",
                format!("the field {name} is no number, or too large"),
                "give digits alone, or leave it empty",
            )
        })
    }
}

fn not_one(name: &str) -> WorkshopError {
    WorkshopError::new(
        "person-request",
        format!("the field {name} names nothing there is"),
        "tick the boxes of the page",
    )
}

#[cfg(test)]
mod tests {
    use lathe_workshop::people::PersonRole;

    use super::*;

    #[test]
    fn boxes_stand_there_once_for_each_tick() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let fields = Fields(vec![
            pair("roles", "tuner"),
            pair("roles", "data-owner"),
            pair("days", " 7 "),
            pair("rights", "everything"),
        ]);
        assert_eq!(
            fields.all::<PersonRole>("roles").expect("roles"),
            [PersonRole::Tuner, PersonRole::DataOwner]
        );
        assert!(fields.all::<PersonRole>("rights").is_err());
        assert_eq!(fields.number::<u32>("days").expect("a number"), Some(7));
        assert_eq!(fields.number::<u32>("none").expect("nothing"), None);
        assert!(fields.number::<u32>("rights").is_err());
        assert_eq!(fields.one("none"), "");
    }
}
