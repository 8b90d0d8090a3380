//! From an answer to its records and back: what the pages say of the lists that they show.

use axum::http::StatusCode;
use lathe_evidence::statement::BreakerState;

use crate::pages::{app, get, post};
use crate::people::Shop;
use crate::sample::trace::{RECEIPT, leaf, withdrawn};
use crate::sample::{DATASET, DONE, SampleDesk};

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

/// What holds now stands beside what held when it answered.
#[tokio::test]
async fn a_receipt_says_what_held_then_and_what_holds_now() {
    let path = format!("/receipts/{RECEIPT}");
    let whole = get(&app(SampleDesk::new()), &path, "en").await.text;
    in_order(&whole, &["badge good\">breaker closed then<"]);
    assert!(!whole.contains("withdrawn since"), "{whole}");
    let app = app(SampleDesk::without_record());
    let page = get(&app, &path, "en").await.text;
    let parts = [
        "<span class=\"badge \">breaker closed then</span>",
        "<span class=\"badge demo\">now: restricted</span>",
        "<li class=\"failed\">",
        "product-reviews",
        "withdrawn since",
    ];
    in_order(&page, &parts);
    let chinese = get(&app, &path, "zh").await.text;
    in_order(&chinese, &["应答时未熔断", "当前：受限运行", "其后已撤回"]);
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

#[tokio::test]
async fn a_record_leads_to_what_the_ledger_says_of_it() {
    let href = format!("/records/{}", leaf());
    let page = get(&app(SampleDesk::new()), &href, "en").await.text;
    in_order(
        &page,
        &["<dt>Brought by</dt>", "<a href=\"/ledger/0\">entry 0</a>"],
    );
    assert!(!page.contains("<dt>Withdrawn by</dt>"), "{page}");
    let app = app(SampleDesk::without_record());
    let page = get(&app, &href, "en").await.text;
    let parts = [
        "the patient asked",
        "href=\"/ledger/31\"",
        "<dt>Brought by</dt>",
        "href=\"/ledger/0\"",
        "<dt>Withdrawn by</dt>",
        "href=\"/ledger/31\"",
    ];
    in_order(&page, &parts);
    let page = get(&app, &href, "zh").await.text;
    in_order(&page, &["<dt>入库存证</dt>", "第 0 条存证"]);
    in_order(&page, &["<dt>撤回存证</dt>", "第 31 条存证"]);
}

/// The sample's record was tuned on by two stages of one order, and deployed twice under one name.
#[tokio::test]
async fn what_depends_on_a_record_stands_there_once_and_says_what_it_is() {
    let app = app(SampleDesk::without_record());
    let page = get(&app, &format!("/records/{}", leaf()), "en").await.text;
    let (_, uses) = page.split_once("<h2>What depends on it</h2>").expect(&page);
    let (uses, _) = uses.split_once("</section>").expect("its end");
    let lines: Vec<&str> = uses.split("<li>").skip(1).collect();
    assert_eq!(lines.len(), 3, "{uses}");
    let all: std::collections::BTreeSet<&&str> = lines.iter().collect();
    assert_eq!(all.len(), lines.len(), "{uses}");
    in_order(lines[0], &["customer-care", "restricted", "entry 9"]);
    // How the name stands is not told of what no longer answers under it.
    in_order(lines[1], &["customer-care", "earlier", "entry 6"]);
    assert!(!lines[1].contains("was withdrawn"), "{}", lines[1]);
    let order = format!("href=\"/orders/{DONE}\"");
    let stages = ["Continued pretraining", "Supervised fine-tuning"];
    in_order(
        lines[2],
        &[&order[..], stages[0], "entry 1", stages[1], "entry 2"],
    );
}

#[tokio::test]
async fn a_dataset_accounts_for_its_withdrawn_records() {
    let app = app(SampleDesk::without_record());
    let (version, lesson) = (format!("/data/{DATASET}"), format!("/orders/{DONE}/lesson"));
    let record = format!("href=\"/records/{}\"", leaf());
    for (lang, of_them, mark) in [
        ("en", "1 of them withdrawn", ">Withdrawn</span>"),
        ("zh", "其中 1 条已撤回", ">已撤回</span>"),
    ] {
        let list = get(&app, "/data", lang).await.text;
        in_order(&list, &["3,708", of_them]);
        let page = get(&app, &version, lang).await.text;
        in_order(&page, &["<b>3,708</b>", of_them]);
        in_order(
            &page,
            &[mark, &record, "the patient asked", "href=\"/ledger/31\""],
        );
        let page = get(&app, &lesson, lang).await.text;
        assert_eq!(page.matches(mark).count(), 1, "{page}");
    }
    let whole = get(&crate::pages::app(SampleDesk::new()), &version, "en")
        .await
        .text;
    assert!(!whole.contains("withdrawn"), "{whole}");
}

#[tokio::test]
async fn the_records_of_a_dataset_are_listed_and_lead_to_their_pages() {
    let receipt = format!("/receipts/{RECEIPT}");
    let list = format!("/data/{DATASET}/records");
    let record = format!("href=\"/records/{}\"", leaf());
    for (desk, mark) in [
        (SampleDesk::new(), false),
        (SampleDesk::without_record(), true),
    ] {
        let app = app(desk);
        for path in [&receipt, &format!("/data/{DATASET}")] {
            let page = get(&app, path, "en").await.text;
            assert!(page.contains(&format!("href=\"{list}\"")), "{path}: {page}");
        }
        let page = get(&app, &list, "en").await.text;
        in_order(&page, &[&record[..], "of taking pictures.", "tuned on"]);
        assert_eq!(page.contains(">Withdrawn</span>"), mark, "{page}");
        let behind = get(&app, &format!("{list}?page=1"), "zh").await.text;
        assert!(!behind.contains(&record), "{behind}");
        in_order(&behind, &["本页没有内容", &list[..]]);
    }
    let none = get(&app(SampleDesk::new()), "/data/nothing/records", "en").await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
}

/// The button is where somebody may tune; the command stands beside it.
#[tokio::test]
async fn withdrawn_data_offers_to_tune_again_without_it() {
    let shop = Shop::before(SampleDesk::without_record()).await;
    let path = format!("/records/{}", leaf());
    let form = format!("<form method=\"post\" action=\"/orders/{DONE}/clone\">");
    let command = format!("<code>lathe order clone {DONE}</code>");
    for (role, may) in [("tuner", true), ("approver", false), ("data-owner", false)] {
        let page = shop.log_in(role).await.get(&path).await.text;
        assert_eq!(page.contains(&form), may, "{role}: {page}");
        assert_eq!(page.contains("A tuner of its project"), !may, "{role}");
        assert!(page.contains(&command), "{role}: {page}");
    }
    let app = app(SampleDesk::new());
    let standing = get(&app, &path, "en").await.text;
    assert!(!standing.contains("Tune again without it"), "{standing}");
    let done = post(&app, &format!("{path}/withdraw"), "reason=asked&sure=yes").await;
    in_order(
        &done.text,
        &[&form[..], "Tune again without it</button>", &command],
    );
    let placed = post(&app, &format!("/orders/{DONE}/clone"), "").await;
    assert_eq!(placed.status, StatusCode::SEE_OTHER);
}

/// A restricted deployment names what was taken back as a link, and offers the way out.
#[tokio::test]
async fn a_restricted_deployment_leads_to_the_record_and_tunes_again_without_it() {
    let mut desk = SampleDesk::without_record();
    for view in &mut desk.registrations {
        let chain = view.chain.iter_mut();
        chain.for_each(|it| it.withdrawn = vec![withdrawn()]);
    }
    for deployment in &mut desk.deployments {
        deployment.breaker = BreakerState::Restricted;
    }
    let shop = Shop::before(desk).await;
    let evidence = "<a href=\"/deployments/customer-care\">Tune again without it</a>";
    let record = format!("<a href=\"/records/{}\">Record ", leaf());
    let form = format!("<form method=\"post\" action=\"/orders/{DONE}/clone\">");
    for (role, may) in [("tuner", true), ("approver", false)] {
        let visitor = shop.log_in(role).await;
        let page = visitor.get("/deployments/customer-care").await.text;
        assert_eq!(page.contains(&form), may, "{role}: {page}");
        assert!(page.contains(&record), "{role}: {page}");
        // So does the page that asks it.
        let page = visitor.get("/try").await.text;
        in_order(&page, &[&record, evidence]);
    }
    // Where nothing was taken back, nothing is offered.
    let app = app(SampleDesk::new());
    let whole = get(&app, "/deployments/customer-care", "en").await.text;
    assert!(!whole.contains("Tune again without it"), "{whole}");
}

/// Signs are those of the language: an entry stands in full-width brackets, after a full-width comma.
#[tokio::test]
async fn a_chinese_record_has_chinese_signs() {
    let desk = SampleDesk::without_record();
    let path = format!("/records/{}", leaf());
    let page = get(&app(desk), &path, "zh").await.text;
    assert!(page.contains("账本中的撤回声明（第 31 条存证）"), "{page}");
    assert!(!page.contains(", <a href=\"/ledger/"), "{page}");
    assert!(page.contains("，<a href=\"/ledger/"), "{page}");
}
