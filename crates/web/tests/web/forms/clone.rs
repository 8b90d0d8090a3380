//! The form of a clone, which checks and says what a new order's does.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{field, shop, tiny};

#[tokio::test]
async fn a_mistake_of_a_clone_is_marked_at_its_field() {
    let (shop, pack) = (shop().await, tiny());
    let form = [("pack", &pack[..]), ("do", "place")];
    let order = shop.post("/orders/new", &form).await.location;
    let path = format!("{order}/clone");
    let page = shop.get(&path, "en").await.text;
    assert_eq!(field(&page, "tune.sft.epochs"), "30");
    let form = [("tune.sft.rank", "0"), ("tune.sft.epochs", "30")];
    let refused = shop.post(&path, &form).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.text);
    assert!(refused.text.contains("id=\"m-tune.sft.rank\""));
    assert!(!refused.text.contains("id=\"m-tune.sft.epochs\""));
    let form = [("tune.sft.rank", "4"), ("more", "ask.records=1\r\n")];
    let placed = shop.post(&path, &form).await;
    assert_eq!(placed.status, StatusCode::SEE_OTHER, "{}", placed.text);
    let page = shop.get(&placed.location, "en").await.text;
    for change in ["tune.sft.rank", "8 → 4", "ask.records"] {
        assert!(page.contains(change), "{change}: {page}");
    }
    // Checked, it says what it would take, and places nothing.
    let form = [("do", "check"), ("tune.sft.epochs", "2")];
    let checked = shop.post(&path, &form).await;
    assert_eq!(checked.status, StatusCode::OK, "{}", checked.text);
    for words in [
        "<dt>Training records</dt>",
        "<dt>Memory for tuning</dt>",
        "--set tune.sft.epochs=2",
        "this order has 30",
    ] {
        assert!(checked.text.contains(words), "{words}: {}", checked.text);
    }
    let form = [("do", "check"), ("data.source", "file:gone.tsv")];
    let gone = shop.post(&path, &form).await;
    assert_eq!(gone.status, StatusCode::BAD_REQUEST);
    assert!(gone.text.contains("id=\"m-data.source\""), "{}", gone.text);
    // Without a field it is the same order again, as a comparison asks for.
    let again = shop.post(&path, &[]).await;
    assert_eq!(again.status, StatusCode::SEE_OTHER, "{}", again.text);
    let page = shop.get(&again.location, "en").await.text;
    assert!(
        page.contains("Placed again with the settings as they were"),
        "{page}"
    );
}

/// A new order and a clone say the same of a value of another kind, and not in the words of a parser.
#[tokio::test]
async fn a_value_of_another_kind_is_told_in_the_language_of_the_page() {
    let (shop, pack) = (shop().await, tiny());
    let form = [("pack", &pack[..]), ("do", "place")];
    let order = shop.post("/orders/new", &form).await.location;
    let body = "do=check&tune.sft.rank=many&tune.sft.learning_rate=%E5%BF%AB&model.owner=2024";
    for (path, pack) in [
        ("/orders/new".to_owned(), format!("&pack={pack}")),
        (format!("{order}/clone"), String::new()),
    ] {
        for (lang, words) in [
            (
                "en",
                ["This has to be a whole number.", "This has to be a number."],
            ),
            ("zh", ["此处应填整数。", "此处应填数字。"]),
        ] {
            let kind = "application/x-www-form-urlencoded";
            let body = format!("{body}{pack}").into_bytes();
            let told = shop.send(Method::POST, &path, kind, lang, body).await;
            assert_eq!(told.status, StatusCode::BAD_REQUEST, "{path}");
            for word in words {
                assert!(told.text.contains(word), "{path} {word}: {}", told.text);
            }
            for word in ["invalid type", "usize", "f64", "id=\"m-model.owner\""] {
                assert!(!told.text.contains(word), "{path} {word}: {}", told.text);
            }
            assert_eq!(field(&told.text, "tune.sft.rank"), "many");
        }
    }
    let plan = json!({
        "do": "order-clone-plan", "order": order.rsplit('/').next(), "set": {"tune.sft.rank": "many"},
    });
    let (status, plan) = shop.operate(plan).await;
    assert_eq!(status, StatusCode::OK, "{plan}");
    assert_eq!(plan["mistakes"][0]["expected"], "whole", "{plan}");
    assert_eq!(plan["yaml"], Value::Null);
}

/// What a setting itself says of a value stands below words of the page's language.
#[tokio::test]
async fn a_mistake_at_a_field_is_told_in_the_language_of_the_page() {
    let (shop, pack) = (shop().await, tiny());
    let body = format!("do=check&model.source=nowhere&pack={pack}").into_bytes();
    let kind = "application/x-www-form-urlencoded";
    let told = shop.send(Method::POST, "/orders/new", kind, "zh", body);
    let told = told.await;
    assert_eq!(told.status, StatusCode::BAD_REQUEST, "{}", told.text);
    let (_, at) = told
        .text
        .split_once("id=\"m-model.source\"")
        .expect("a mistake at its field");
    let at = at.split("</div>").next().expect("its end");
    assert!(at.starts_with("><b>此项不可用"), "{at}");
    let (_, said) = at.split_once("<span lang=\"en\">").expect("the original");
    assert!(said.contains("cannot be so"), "{said}");
    assert_eq!(at.matches("cannot be so").count(), 1, "{at}");
    assert!(!at.contains("docs/"), "{at}");
}

/// What stands in the alert at a field.
fn at<'a>(page: &'a str, key: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("id=\"m-{key}\"")).expect(key);
    rest.split("</div>").next().expect("its end")
}

/// A value beyond its ends is marked at its own field, with the ends and an example of the field, in both languages
/// and without a word of the command line; nothing that would be refused is offered as a command.
#[tokio::test]
async fn a_value_beyond_its_ends_is_told_them_at_its_field() {
    let (shop, pack) = (shop().await, tiny());
    let form = [("pack", &pack[..]), ("do", "place")];
    let order = shop.post("/orders/new", &form).await.location;
    let kind = "application/x-www-form-urlencoded";
    for share in ["1.5", "0"] {
        let body = format!(
            "do=check&tune.sft.rank=0&tune.sft.learning_rate=-1&tune.sft.epochs=0&tune.sft.tokens_max=1&\
             data.split.test_share={share}"
        );
        for (path, pack) in [
            ("/orders/new".to_owned(), format!("&pack={pack}")),
            (format!("{order}/clone"), String::new()),
        ] {
            for (lang, told) in [("en", TOLD_EN), ("zh", TOLD_ZH)] {
                let body = format!("{body}{pack}").into_bytes();
                let page = shop.send(Method::POST, &path, kind, lang, body).await;
                assert_eq!(page.status, StatusCode::BAD_REQUEST, "{path}");
                for (key, words) in told {
                    let at = at(&page.text, key);
                    assert!(at.contains(words), "{path} {key}: {at}");
                    assert!(!at.contains("command") && !at.contains("docs/"), "{at}");
                }
                assert!(at(&page.text, "data.split.test_share").contains("0.2"));
                assert!(!page.text.contains("id=\"m-data.source\""), "{path}");
                assert!(!page.text.contains("command-title"), "{path}");
            }
        }
    }
    let form = [("do", "check"), ("records", "many")];
    let page = shop.post(&format!("{order}/clone"), &form).await.text;
    assert!(at(&page, "records").contains("1000"), "{page}");
    assert!(!page.contains("command-title"), "{page}");
}

const TOLD_EN: [(&str, &str); 5] = [
    ("tune.sft.rank", "This must be between 1 and 1024."),
    ("tune.sft.learning_rate", "This must be above 0."),
    ("tune.sft.epochs", "This must be above 0 and at most 1000."),
    ("tune.sft.tokens_max", "This must be at least 2."),
    ("data.split.test_share", "This must be above 0 and below 1."),
];
const TOLD_ZH: [(&str, &str); 5] = [
    ("tune.sft.rank", "此处须在 1 到 1024 之间。"),
    ("tune.sft.learning_rate", "此处须大于 0。"),
    ("tune.sft.epochs", "此处须大于 0 且不超过 1000。"),
    ("tune.sft.tokens_max", "此处须不小于 2。"),
    ("data.split.test_share", "此处须大于 0 且小于 1。"),
];
