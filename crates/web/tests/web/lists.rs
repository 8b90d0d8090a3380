//! Lists that are longer than a page: narrowed, sorted, turned, all without JavaScript.

use axum::http::StatusCode;

use crate::pages::{app, get};
use crate::sample::{DONE, FAILED, SampleDesk};

/// How often a part stands in a text.
fn times(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

#[tokio::test]
async fn orders_are_narrowed_sorted_and_turned() {
    let app = app(SampleDesk::many());
    let whole = get(&app, "/", "en").await.text;
    assert_eq!(times(&whole, "<td class=\"tick\">"), 50);
    assert!(whole.contains("href=\"/?page=1\" rel=\"next\""), "{whole}");
    let path = "/?q=after&state=done&pack=after-sales&sort=longest";
    let narrowed = get(&app, path, "en").await.text;
    let rows = times(&narrowed, "<td class=\"tick\">");
    assert!(
        rows > 0 && rows == times(&narrowed, "class=\"state done\""),
        "{narrowed}"
    );
    for kept in [
        "name=\"q\" value=\"after\"",
        "<option value=\"done\" selected>",
        "<option value=\"after-sales\" selected>",
        "<option value=\"longest\" selected>",
    ] {
        assert!(narrowed.contains(kept), "{kept}");
    }
    let second = get(&app, "/?pack=customer-care&page=1", "en").await.text;
    let back = "href=\"/?pack=customer-care&#38;page=0\" rel=\"prev\"";
    assert!(
        second.contains(back),
        "what it is narrowed to is kept: {second}"
    );
    let none = get(&app, "/?q=%3Cb%3E", "zh").await.text;
    assert!(none.contains("没有符合条件的任务") && none.contains("value=\"&#60;b&#62;\""));
    let odd = get(&app, "/?state=nonsense&sort=nonsense", "en").await.text;
    assert_eq!(
        times(&odd, "<td class=\"tick\">"),
        50,
        "unknown words ask for nothing"
    );
}

#[tokio::test]
async fn a_rejected_order_is_called_so_and_found_by_it() {
    let app = app(SampleDesk::rejected());
    for (lang, rejected, failed) in [
        ("en", "</svg>rejected<", "</svg>failed"),
        ("zh", "</svg>已驳回<", "</svg>失败"),
    ] {
        let all = get(&app, "/", lang).await.text;
        assert!(all.contains(rejected) && !all.contains(failed), "{all}");
        let found = get(&app, "/?state=rejected", lang).await.text;
        assert_eq!(times(&found, "<td class=\"tick\">"), 1, "{found}");
        assert!(found.contains(rejected), "{found}");
        let chosen = "<option value=\"rejected\" selected>";
        assert!(found.contains(chosen), "{found}");
        let none = get(&app, "/?state=failed", lang).await.text;
        assert_eq!(times(&none, "<td class=\"tick\">"), 0, "{none}");
    }
    // In the API it is a failed order still, and said so beside.
    for (query, rows) in [
        ("state=failed", 1),
        ("state=failed&ending=error", 0),
        ("ending=rejected", 1),
    ] {
        let text = get(&app, &format!("/api/orders?{query}"), "en").await.text;
        assert_eq!(
            times(&text, "\"state\":\"failed\""),
            rows,
            "{query}: {text}"
        );
        assert_eq!(
            times(&text, "\"ending\":\"rejected\""),
            rows,
            "{query}: {text}"
        );
    }
    let ids = format!("/orders/compare?ids={FAILED}&ids={DONE}");
    let page = get(&app, &ids, "en").await.text;
    assert!(page.contains("rejected"), "{page}");
    let page = get(&app, &format!("/orders/compare?ids={FAILED}"), "zh")
        .await
        .text;
    assert!(page.contains("已驳回"), "{page}");
}

#[tokio::test]
async fn receipts_are_turned_by_their_ids() {
    let app = app(SampleDesk::new());
    let link = |page: &str, rel: &str| {
        let end = page.find(&format!("\" rel=\"{rel}\""))?;
        let from = page[..end].rfind("href=\"")? + 6;
        Some(page[from..end].replace("&#38;", "&"))
    };
    let first = get(&app, "/receipts", "en").await.text;
    assert_eq!(link(&first, "prev"), None);
    let mut page = first.clone();
    let mut seen = times(&page, "row-link");
    let mut turned = 0;
    while let Some(next) = link(&page, "next") {
        page = get(&app, &next, "en").await.text;
        seen += times(&page, "row-link");
        turned += 1;
    }
    assert_eq!((seen, turned), (120, 2));
    while let Some(earlier) = link(&page, "prev") {
        page = get(&app, &earlier, "en").await.text;
        assert_eq!(times(&page, "row-link"), 50);
        turned -= 1;
    }
    assert_eq!(turned, 0);
    let rows = |page: &str| page.split("<tbody>").nth(1).map(str::to_owned);
    assert_eq!(rows(&page), rows(&first), "the way back ends at the newest");
}

#[tokio::test]
async fn the_lists_of_the_api_are_narrowed_and_turned() {
    let many = app(SampleDesk::many());
    let text = get(
        &many,
        "/api/orders?state=done&pack=after-sales&limit=3",
        "en",
    )
    .await
    .text;
    assert_eq!(times(&text, "\"state\":\"done\""), 3, "{text}");
    assert_eq!(times(&text, "\"pack\":\"after-sales\""), 3, "{text}");
    let refused = get(&many, "/api/orders?sort=nonsense", "en").await;
    assert_eq!(refused.status, axum::http::StatusCode::BAD_REQUEST);
    let far = get(&many, "/api/receipts?offset=100001", "en").await;
    assert_eq!(far.status, axum::http::StatusCode::BAD_REQUEST);
    assert!(far.text.contains("`before`"), "{}", far.text);
    let whole: serde_json::Value =
        serde_json::from_str(&get(&many, "/api/receipts", "en").await.text).expect("JSON");
    let last = whole["receipts"][49]["id"].as_str().expect("an id");
    let next = get(
        &many,
        &format!("/api/receipts?before={last}&limit=500"),
        "en",
    )
    .await;
    let next: serde_json::Value = serde_json::from_str(&next.text).expect("JSON");
    assert_eq!(next["receipts"].as_array().map(Vec::len), Some(70));
}

#[tokio::test]
async fn a_first_order_offers_the_packs_that_are_there_alone() {
    let with = app(SampleDesk::empty());
    let start = get(&with, "/", "en").await.text;
    let quick = "lathe run packs/customer-care --quick";
    assert!(start.contains(quick), "{start}");
    let page = get(&with, "/orders/new", "en").await;
    assert_eq!(page.status, StatusCode::OK);
    let field = "name=\"pack\" value=\"packs/customer-care\"";
    assert!(page.text.contains(field), "{}", page.text);
}

#[tokio::test]
async fn a_cancelled_order_says_by_whom_and_is_no_failed_one() {
    let app = app(SampleDesk::cancelled());
    for (lang, cancelled, by) in [
        (
            "en",
            "</svg>cancelled<",
            "Cancelled by &#60;b&#62;wang&#60;/b&#62; before it was done.",
        ),
        (
            "zh",
            "</svg>已取消<",
            "任务在完成前由 &#60;b&#62;wang&#60;/b&#62; 取消。",
        ),
    ] {
        let page = get(&app, &format!("/orders/{FAILED}"), lang).await.text;
        assert!(page.contains(cancelled) && page.contains(by), "{page}");
        assert!(!page.contains("the order was cancelled"), "{page}");
        let found = get(&app, "/?state=cancelled", lang).await.text;
        assert_eq!(times(&found, "<td class=\"tick\">"), 1, "{found}");
        assert!(found.contains(cancelled), "{found}");
        let none = get(&app, "/?state=failed", lang).await.text;
        assert_eq!(times(&none, "<td class=\"tick\">"), 0, "{none}");
    }
}

/// What a browser refuses to send it explains by the field's title alone.
#[tokio::test]
async fn a_field_with_a_pattern_says_what_may_stand_in_it() {
    let app = app(SampleDesk::new());
    for path in ["/people", "/keys"] {
        let page = get(&app, path, "zh").await.text;
        let inputs = page.split("<input ").filter_map(|it| it.split('>').next());
        let inputs: Vec<&str> = inputs.filter(|it| it.contains(" pattern=")).collect();
        assert!(!inputs.is_empty(), "{path}: {page}");
        for input in inputs {
            assert!(input.contains(" title=\""), "{path}: {input}");
        }
    }
}
