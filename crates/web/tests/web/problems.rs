//! Errors as pages tell them: in the language of whoever reads, by their code, with what they said themselves below.

use axum::http::StatusCode;
use lathe_workshop::words::{self, Lang};

use crate::pages::{app, get, post};
use crate::sample::{DONE, SampleDesk};

#[test]
fn every_code_of_an_error_has_words_in_both_languages() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors");
    let mut known = 0;
    for page in std::fs::read_dir(folder).expect("the pages of the errors") {
        let path = page.expect("a page").path();
        let code = path.file_stem().and_then(|it| it.to_str()).expect("a name");
        if code == "README" {
            continue;
        }
        known += 1;
        let [of_problem, of_step] = ["web.problem.of", "web.fault"].map(|group| {
            let key = format!("{group}.{code}");
            words::has(&key)
        });
        assert!(of_problem != of_step, "{code} has no words, or two texts");
        let english = words::problem(Lang::En, code).expect("its English");
        let chinese = words::problem(Lang::Zh, code).expect("its Chinese");
        assert!(english.ends_with('.'), "{english}");
        assert!(chinese.ends_with('。'), "{code}: {chinese}");
        if let Some(next) = words::problem_next(Lang::Zh, code) {
            assert!(next.ends_with('。'), "{code}: {next}");
        }
    }
    assert!(known > 200, "only {known} codes found");
    // Nothing is said of a code that no error has.
    for key in words::keys().filter_map(|key| key.strip_prefix("web.problem.of.")) {
        let code = key.strip_suffix(".next").unwrap_or(key);
        let page = format!("{folder}/{code}.md");
        assert!(std::path::Path::new(&page).exists(), "{code} is no error");
    }
}

#[tokio::test]
async fn a_problem_is_told_in_the_language_of_the_page_with_the_original_below() {
    let app = app(SampleDesk::new());
    let path = format!("/orders/{DONE}/pause");
    let english = post(&app, &path, "").await;
    assert_eq!(english.status, StatusCode::CONFLICT, "{}", english.text);
    assert_eq!(english.text.matches("cannot pause the order").count(), 1);
    assert!(!english.text.contains("Details:"), "{}", english.text);
    let chinese = post(&app, &format!("{path}?lang=zh"), "").await;
    assert_eq!(chinese.status, StatusCode::CONFLICT);
    for told in [
        "<h1>无法完成此操作</h1><p>任务当前状态不允许此操作。</p><p>请在任务页面查看其当前状态。</p>",
        "<p class=\"small soft\">详细信息（英文）： <span lang=\"en\">cannot pause the order",
        "<code>order-state</code>",
    ] {
        assert!(chinese.text.contains(told), "{told}: {}", chinese.text);
    }
    assert_eq!(chinese.text.matches("cannot pause the order").count(), 1);
    // What is the page's own has no original.
    let missing = get(&app, "/nowhere", "zh").await;
    assert!(missing.text.contains("此地址没有对应内容") && !missing.text.contains("详细信息"));
}

#[tokio::test]
async fn an_alert_above_a_form_is_told_in_the_language_of_the_page() {
    let app = app(SampleDesk::new());
    let form = "pack=%3Cb%3Enowhere%3C%2Fb%3E";
    let english = post(&app, "/orders", form).await;
    let said = "cannot read the pack &#60;b&#62;nowhere&#60;/b&#62;: no pack.yaml there";
    let told = format!("<b>{said}</b><span>Name the folder that holds pack.yaml.</span></div>");
    assert!(english.text.contains(&told), "{}", english.text);
    let chinese = post(&app, "/orders?lang=zh", form).await;
    assert_eq!(chinese.status, StatusCode::BAD_REQUEST);
    let told = "<b>此路径下没有场景包。</b><span>请指定包含 pack.yaml 的文件夹";
    let original = format!(
        "<span lang=\"en\">{said}; Name the folder that holds pack.yaml.</span></span></div>"
    );
    for told in [told, &original] {
        assert!(chinese.text.contains(told), "{told}: {}", chinese.text);
    }
    // Wherever it came from, it is text.
    assert!(!chinese.text.contains("<b>nowhere"), "{}", chinese.text);
}
