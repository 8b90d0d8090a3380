//! The fields of a form whose names may stand in it more than once, as boxes that are ticked do.

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, FromRequest, Request};
use lathe_workshop::WorkshopError;
use serde::de::DeserializeOwned;

/// The fields of a form, in their order. As the argument of a handler they are read from the request; what is no form
/// is refused as axum's own `Form` refuses it.
#[derive(Debug)]
pub(super) struct Fields(pub(super) Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = FormRejection;

    async fn from_request(request: Request, state: &S) -> Result<Fields, FormRejection> {
        let Form(pairs) = Form::<Vec<(String, String)>>::from_request(request, state).await?;
        Ok(Fields(pairs))
    }
}

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
    use axum::http::StatusCode;
    use axum::http::header::CONTENT_TYPE;
    use axum::response::IntoResponse;
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

    async fn read(kind: &str, body: &'static str) -> Result<Fields, FormRejection> {
        let request = Request::post("/").header(CONTENT_TYPE, kind);
        let request = request.body(body.into()).expect("a request");
        Fields::from_request(request, &()).await
    }

    #[tokio::test]
    async fn they_are_read_in_their_order_and_what_is_no_form_is_refused() {
        let kind = "application/x-www-form-urlencoded";
        let fields = read(kind, "roles=tuner&name=%E7%8E%8B&roles=auditor").await;
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            fields.expect("a form").0,
            [
                pair("roles", "tuner"),
                pair("name", "王"),
                pair("roles", "auditor")
            ]
        );
        let refused = read("application/json", "{}").await.expect_err("no form");
        assert_eq!(
            refused.into_response().status(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE
        );
    }
}
