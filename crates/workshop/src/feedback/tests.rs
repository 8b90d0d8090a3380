//! A correction as the tests of this folder have it.

use lathe_evidence::Digest;

use super::*;

/// An accepted one.
pub(super) fn row() -> FeedbackRow {
    FeedbackRow {
        id: "fb-1".to_owned(),
        receipt: "r-1".to_owned(),
        name: "tiny".to_owned(),
        deployment: Digest::of(b"deployment"),
        kind: FeedbackKind::Correction,
        state: FeedbackState::Accepted,
        digest: Digest::of(b"given").to_string(),
        token: String::new(),
        owner: "local".to_owned(),
        from: None,
        reason: None,
        prompt: Some(r#"[{"content":"Two?","role":"user"}]"#.to_owned()),
        correction: Some("2".to_owned()),
        created_ms: 1,
        decision: Some(Decided {
            at_ms: 2,
            by: "Li Lei".to_owned(),
            reason: None,
        }),
    }
}

#[test]
fn what_its_giver_sees_names_nobody_else() {
    let told = row().told();
    assert_eq!(told["state"], "accepted");
    assert_eq!(told["object"], "feedback");
    assert!(!told.to_string().contains("Li Lei"), "{told}");
}
