//! From an answer to its records and back: what the pages say of the lists that they show.

use axum::http::StatusCode;

use crate::pages::{app, get, post};
use crate::sample::SampleDesk;
use crate::sample::trace::{RECEIPT, leaf};

/// Where each of these stands in a text, in this order.
fn in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let at = rest.find(part);
        let at = at.unwrap_or_else(|| panic!("{part} is not there, or too early, in {text}"));
        rest = &rest[at + part.len()..];
    }
}

/// The sample's receipt names first what is only the answer's form.
#[tokio::test]
async fn what_the_question_shares_comes_first_and_the_form_of_the_answer_last() {
    let app = app(SampleDesk::new());
    let receipt = get(&app, &format!("/receipts/{RECEIPT}"), "en").await.text;
    let parts = [
        "<h3>The same as in the question</h3>",
        "<mark>the battery lasts a whole weekend</mark>",
        "<h3>The same as in the answer</h3>",
        "<mark>sentiment&#34;:2.3",
        "the form of the answer (JSON)",
    ];
    in_order(&receipt, &parts);
    assert_eq!(receipt.matches("the form of the answer (JSON)").count(), 1);
    let tour = post(&app, "/tour", "name=customer-care").await.text;
    in_order(
        &tour,
        &[
            "<h3>The same as in the question</h3>",
            "<mark>the battery lasts a whole weekend</mark>",
            "<h3>The same as in the answer</h3>",
            "the form of the answer (JSON)",
            "action=\"/tour/flip\"",
        ],
    );
    let chinese = get(&app, &format!("/receipts/{RECEIPT}"), "zh").await.text;
    in_order(&chinese, &["与问题一致", "与应答一致", "应答的 JSON 格式"]);
}

#[tokio::test]
async fn a_receipt_leads_to_the_proof_of_its_batch() {
    let app = app(SampleDesk::new());
    let page = get(&app, &format!("/receipts/{RECEIPT}"), "en").await.text;
    in_order(
        &page,
        &["href=\"/ledger/", ">The batch&#39;s entry in the ledger"],
    );
}

/// The sample's record has more of everything than is listed.
#[tokio::test]
async fn what_is_not_listed_of_a_record_is_counted() {
    let app = app(SampleDesk::new());
    let href = format!("/records/{}", leaf());
    let page = get(&app, &href, "en").await.text;
    assert!(page.contains("and 63 more"), "{page}");
    assert!(page.contains("These are the newest 1;"), "{page}");
    let look = get(&app, &format!("{href}/withdraw"), "en").await;
    assert_eq!(look.status, StatusCode::OK);
    assert!(look.text.contains("and 51 more"), "{}", look.text);
}
