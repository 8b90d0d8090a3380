//! What every answer says of itself: its receipt, the breaker's state, and that a machine made it.
//!
//! The header `x-lathe-receipt` and the member `lathe` beside OpenAI's. `lathe.aigc` is the implicit
//! label of GB 45438-2025, whose ProduceID is the receipt's id and whose first reserved field holds
//! what keeps the content whole: the digest of the answer. The notice that readers see is for the
//! page that shows the answer.

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use lathe_evidence::receipt::Receipt;
use lathe_evidence::statement::BreakerState;
use lathe_workshop::Opened;
use serde_json::{Value, json};

/// Names the receipt.
pub(crate) const RECEIPT_HEADER: HeaderName = HeaderName::from_static("x-lathe-receipt");

/// Says so where the deployment is restricted.
const BREAKER_HEADER: HeaderName = HeaderName::from_static("x-lathe-breaker");

/// A caller sends it, with the value 1, who takes answers of a restricted deployment.
pub(super) const ACCEPT_RESTRICTED_HEADER: HeaderName =
    HeaderName::from_static("x-lathe-accept-restricted");

/// What every answer of another server says of the weights behind it.
pub(crate) use lathe_workshop::upstream::WEIGHTS_NOT_VERIFIED;

/// Puts the headers on an answer that is about to begin.
pub(crate) fn set_headers(response: &mut Response, opened: &Opened) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&opened.id) {
        headers.insert(RECEIPT_HEADER, id);
    }
    if opened.breaker == BreakerState::Restricted {
        headers.insert(BREAKER_HEADER, HeaderValue::from_static("restricted"));
    }
}

/// Takes off an upstream's answer, or a chunk of one, what only this server says of an answer.
pub(crate) fn take_off(answer: &mut Value) {
    for list in ["choices", "data"] {
        let entries = answer.get_mut(list).and_then(Value::as_array_mut);
        for entry in entries.into_iter().flatten() {
            if let Some(members) = entry.as_object_mut() {
                members.remove("lathe");
            }
        }
    }
    if let Some(members) = answer.as_object_mut() {
        members.remove("lathe");
    }
}

/// The member `lathe` of what is sent first of a stream.
pub(crate) fn at_begin(opened: &Opened) -> Value {
    let mut member = json!({"receipt": opened.id, "breaker": opened.breaker});
    if !opened.reason.is_empty() {
        member["reason"] = json!(opened.reason);
    }
    member
}

/// The member `lathe` of a whole answer, or of the end of a stream.
pub(crate) fn at_end(opened: &Opened, receipt: &Receipt, producer: &str) -> Value {
    let mut member = at_begin(opened);
    member["deployment"] = json!(receipt.deployment);
    if let Some(relayed) = &receipt.upstream {
        member["weights"] = json!(WEIGHTS_NOT_VERIFIED);
        member["upstream"] = json!({
            "name": receipt.name,
            "model": relayed.model,
            "counted": relayed.counted,
        });
    }
    member["aigc"] = json!({
        "Label": "1",
        "ContentProducer": producer,
        "ProduceID": receipt.id,
        "ReservedCode1": format!("sha256:{}", receipt.answer),
        "ContentPropagator": "",
        "PropagateID": "",
        "ReservedCode2": "",
    });
    member
}
