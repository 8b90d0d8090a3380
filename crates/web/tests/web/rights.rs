//! No page offers what whoever reads it may not do: every link leads somewhere, and no form is refused for
//! want of a right.

use std::collections::BTreeSet;
use std::path::Path;

use axum::http::StatusCode;
use lathe_workshop::people::PersonRole;
use lathe_workshop::{DatasetRequest, OrderRequest};

use crate::people::{Reader, Shop};

/// Where people begin, and what stands in a workshop with an order and two versions of a dataset.
async fn pages(shop: &Shop) -> Vec<String> {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny-pack");
    let place = |quick| OrderRequest {
        pack: tiny.clone(),
        quick,
        offline: true,
        project: None,
        set: Default::default(),
    };
    let mut orders = Vec::new();
    for quick in [false, true] {
        let placed = shop.workshop.submit(place(quick)).await;
        orders.push(placed.expect("an order"));
    }
    let file = shop.folder.path().join("table.csv");
    for rows in [20, 21] {
        let row = |row: usize| format!("a sentence about the number {row},{}\n", row % 2);
        let text = "text,label\n".to_owned() + &(0..rows).map(row).collect::<String>();
        std::fs::write(&file, text).expect("a file");
        let request = DatasetRequest {
            name: "numbers".to_owned(),
            file: file.clone(),
            licence: "MIT".to_owned(),
            owner: "us".to_owned(),
            group: None,
            dedupe: None,
            project: None,
        };
        shop.workshop.add_dataset(request).await.expect("a dataset");
    }
    let datasets = shop.workshop.datasets(9, 0).await.expect("datasets");
    let begins = [
        "/",
        "/orders",
        "/orders/new",
        "/orders/compare",
        "/data",
        "/data/bring",
        "/models",
        "/try",
        "/tour",
        "/receipts",
        "/review",
        "/register",
        "/ledger",
        "/projects",
        "/keys",
        "/people",
        "/audit",
        "/settings",
        "/account",
    ];
    let mut pages: Vec<String> = begins.map(str::to_owned).into();
    pages.extend(orders.iter().map(|id| format!("/orders/{id}")));
    pages.push(format!("/orders/compare?ids={},{}", orders[0], orders[1]));
    pages.extend(datasets.iter().map(|it| format!("/data/{}", it.digest)));
    pages
}

/// The values of an attribute, those that lead to pages of this workshop.
fn values(text: &str, attribute: &str) -> BTreeSet<String> {
    let begins = format!("{attribute}=\"");
    let values = text.split(&begins).skip(1);
    let values = values.filter_map(|rest| rest.split('"').next());
    let values = values.map(|it| it.replace("&#38;", "&").replace("&amp;", "&"));
    values
        .filter(|it| it.starts_with('/') && !it.starts_with("/assets/"))
        .collect()
}

/// Where the forms of a page lead that change something; those that end the reader's own session are left
/// out.
fn forms(text: &str) -> BTreeSet<String> {
    let forms = text.split("<form ").skip(1);
    let forms = forms.filter_map(|form| form.split('>').next());
    let forms = forms.filter(|form| form.contains("method=\"post\""));
    forms
        .flat_map(|form| values(form, "action"))
        .filter(|it| !it.starts_with("/logout") && !it.starts_with("/account"))
        .collect()
}

/// What of a page is refused to its reader.
async fn refused(reader: &Reader<'_>, page: &str) -> Vec<String> {
    let answer = reader.get(page).await;
    if answer.status != StatusCode::OK {
        return Vec::new();
    }
    let mut refused = Vec::new();
    for href in values(&answer.text, "href") {
        if reader.get(&href).await.status == StatusCode::FORBIDDEN {
            refused.push(format!("{page}: the link {href}"));
        }
    }
    for action in forms(&answer.text) {
        if reader.post(&action, "by=a+test").await.status == StatusCode::FORBIDDEN {
            refused.push(format!("{page}: the form {action}"));
        }
    }
    refused
}

#[tokio::test]
async fn nothing_is_offered_that_is_refused_for_want_of_a_right() {
    let shop = Shop::with_people().await;
    let pages = pages(&shop).await;
    for role in PersonRole::ALL {
        let reader = shop.log_in(role.name()).await;
        let mut found = Vec::new();
        for page in &pages {
            found.extend(refused(&reader, page).await);
        }
        assert!(found.is_empty(), "{role:?}: {found:#?}");
        // Whoever may is offered it.
        let list = reader.get("/").await.text;
        let tunes = role == PersonRole::Tuner;
        assert_eq!(list.contains("href=\"/orders/new\""), tunes, "{role:?}");
        let data = reader.get("/data").await.text;
        let brings = role == PersonRole::DataOwner;
        assert_eq!(data.contains("href=\"/data/bring\""), brings, "{role:?}");
    }
}

#[tokio::test]
async fn whoever_brings_data_and_does_not_tune_is_led_to_the_dataset() {
    let shop = Shop::with_people().await;
    let owner = shop.log_in("data-owner").await;
    let row = |row: usize| {
        format!(
            "a sentence about the number {row},{}\n",
            ["a", "b"][row % 2]
        )
    };
    let text = "text,label\n".to_owned() + &(0..40).map(row).collect::<String>();
    let begin = serde_json::json!({
        "do": "bring-begin", "name": "numbers.csv", "bytes": text.len(),
        "sha256": lathe_evidence::Digest::of(text.as_bytes()),
    });
    let begun = owner.operate(begin).await;
    let begun: serde_json::Value = serde_json::from_str(&begun.text).expect("JSON");
    let id = begun["id"].as_str().expect("an id");
    let put = shop.workshop.bring_piece(id, 0, text.into_bytes()).await;
    put.expect("it comes");
    let path = format!("/data/bring/{id}");
    let page = owner.get(&path).await.text;
    assert!(page.contains(">Make it</button>"), "{page}");
    let form = "do=make&kind=label&question=text&answer=label&name=numbers&licence=MIT&owner=us";
    let made = owner.post(&path, form).await;
    assert_eq!(made.status, StatusCode::SEE_OTHER, "{}", made.text);
    let to = made.header("location");
    assert!(to.starts_with("/data/"), "{to}");
    assert_eq!(owner.get(to).await.status, StatusCode::OK);
}
