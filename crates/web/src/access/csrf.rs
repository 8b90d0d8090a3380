//! The token in forms: a page of ours wrote it, so one of ours sent the form. It stands beside the check of
//! the origin, which a request without that header passes.
//!
//! Forms carry it in the field `csrf`, scripts in the header `X-CSRF-Token`; a form with a file, whose body
//! is not read here, in the query of its address.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use subtle::ConstantTimeEq as _;

use super::refusal::Refusal;
use crate::BODY_BYTES_MAX;

const FIELD: &str = "csrf";
const HEADER: &str = "x-csrf-token";

/// The request as it was, if it carries `token`.
pub(super) async fn checked(request: Request, token: &str) -> Result<Request, Refusal> {
    if let Some(given) = request.headers().get(HEADER) {
        return held(given.as_bytes(), token).map(|()| request);
    }
    if is(request.headers(), "multipart/form-data") {
        let query = request.uri().query().unwrap_or_default();
        return held(field(query.as_bytes()), token).map(|()| request);
    }
    if !is(request.headers(), "application/x-www-form-urlencoded") {
        return Err(Refusal::Csrf);
    }
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, BODY_BYTES_MAX)
        .await
        .map_err(|_| Refusal::TooLarge)?;
    held(field(&bytes), token)?;
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

fn held(given: &[u8], token: &str) -> Result<(), Refusal> {
    // Of other lengths it tells at once, and nothing but that.
    match bool::from(given.ct_eq(token.as_bytes())) {
        true => Ok(()),
        false => Err(Refusal::Csrf),
    }
}

fn is(headers: &HeaderMap, kind: &str) -> bool {
    let given = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    given.is_some_and(|given| {
        let given = given.split(';').next().unwrap_or_default().trim();
        given.eq_ignore_ascii_case(kind)
    })
}

/// The field in a form's text. A token is hexadecimal, so it has no escapes.
fn field(form: &[u8]) -> &[u8] {
    let pairs = form.split(|byte| *byte == b'&');
    let mut values = pairs.filter_map(|pair| {
        let rest = pair.strip_prefix(FIELD.as_bytes())?;
        rest.strip_prefix(b"=")
    });
    values.next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123abcd";

    async fn sent(kind: &str, uri: &str, body: &'static str) -> Result<Vec<u8>, Refusal> {
        let request = Request::post(uri).header(CONTENT_TYPE, kind);
        let request = request.body(Body::from(body)).expect("a request");
        let request = checked(request, TOKEN).await?;
        let bytes = to_bytes(request.into_body(), BODY_BYTES_MAX).await;
        Ok(bytes.expect("a body").to_vec())
    }

    #[tokio::test]
    async fn a_form_keeps_its_body() {
        let form = "application/x-www-form-urlencoded; charset=UTF-8";
        let body = "a=b&csrf=0123abcd&c=d";
        assert_eq!(sent(form, "/", body).await, Ok(body.as_bytes().to_vec()));
        for body in ["", "a=b", "csrf=", "csrf=0123abce", "xcsrf=0123abcd"] {
            assert_eq!(sent(form, "/", body).await, Err(Refusal::Csrf), "{body}");
        }
        // A body beyond the bound is not read to its end.
        let long: &'static str = Box::leak("x".repeat(BODY_BYTES_MAX + 1).into_boxed_str());
        assert_eq!(sent(form, "/", long).await, Err(Refusal::TooLarge));
    }

    #[tokio::test]
    async fn other_bodies_carry_it_beside() {
        let file = "multipart/form-data; boundary=x";
        assert!(sent(file, "/?csrf=0123abcd", "x").await.is_ok());
        assert_eq!(sent(file, "/", "csrf=0123abcd").await, Err(Refusal::Csrf));
        assert_eq!(
            sent("application/json", "/?csrf=0123abcd", "{}").await,
            Err(Refusal::Csrf)
        );
        assert_eq!(
            sent("text/plain", "/", "csrf=0123abcd").await,
            Err(Refusal::Csrf)
        );
    }
}
