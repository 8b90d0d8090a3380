//! Every page, in both languages, without a socket: what it answers, what it says, what it carries
//! in its headers, and that text from elsewhere stays text.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use lathe_web::{Access, AppState, router};
use lathe_workshop::words;
use tower::ServiceExt as _;

use crate::sample::trace::{NUMBER, RECEIPT, leaf};
use crate::sample::{DATASET, DONE, FAILED, PAUSED, QUEUED, RUNNING, SampleDesk, models};

const BODY_BYTES_MAX: usize = 4 << 20;

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

pub fn app(desk: SampleDesk) -> Router {
    router(AppState::with_desk(
        Arc::new(desk),
        crate::sample::door(),
        Access::Loopback,
    ))
}

async fn send(
    app: &Router,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "127.0.0.1:7878");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request
        .body(Body::from(body.to_owned()))
        .expect("a request");
    let Ok(response) = app.clone().oneshot(request).await;
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, BODY_BYTES_MAX)
        .await
        .expect("a whole body");
    let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
    Answer {
        status: parts.status,
        headers: parts.headers,
        text,
    }
}

pub async fn get(app: &Router, path: &str, lang: &str) -> Answer {
    send(app, Method::GET, path, &[("accept-language", lang)], "").await
}

pub async fn post(app: &Router, path: &str, body: &str) -> Answer {
    let form = ("content-type", "application/x-www-form-urlencoded");
    send(
        app,
        Method::POST,
        path,
        &[form, ("origin", "http://127.0.0.1:7878")],
        body,
    )
    .await
}

/// Pages that show JSON, and so braces.
const WITH_JSON: [&str; 6] = [
    "try",
    "orders/",
    "models/",
    "receipts/",
    "records/",
    "ledger/",
];

fn pages() -> Vec<String> {
    let mut pages = vec![
        "/".to_owned(),
        "/try".to_owned(),
        "/models".to_owned(),
        format!("/models/{}", models::tuned().model.digest),
        format!("/models/{}", models::base().model.digest),
        "/data".to_owned(),
        format!("/data/{DATASET}"),
        format!("/data/{DATASET}/records"),
        "/receipts".to_owned(),
        format!("/receipts/{RECEIPT}"),
        "/tour".to_owned(),
        format!("/records/{}", leaf()),
        format!("/records/{}/withdraw", leaf()),
        "/deployments/customer-care".to_owned(),
        "/register".to_owned(),
        format!("/register/{NUMBER}"),
        format!("/register/{NUMBER}/filing"),
        format!(
            "/register/{NUMBER}/filing?public=yes&generative=yes&base-filed=no&opinion=no&recommends=no"
        ),
        "/ledger".to_owned(),
        "/ledger?kind=training".to_owned(),
        "/ledger/6".to_owned(),
        "/settings".to_owned(),
    ];
    for id in [DONE, RUNNING, FAILED, QUEUED, PAUSED] {
        pages.push(format!("/orders/{id}"));
        pages.push(format!("/orders/{id}/live"));
    }
    pages.push(format!("/orders/{DONE}/lesson"));
    pages.push(format!("/orders/{DONE}/clone"));
    pages.push(format!("/orders/compare?ids={DONE}&ids={PAUSED}"));
    pages
}

#[tokio::test]
async fn every_page_speaks_both_languages() {
    for desk in [SampleDesk::new(), SampleDesk::empty()] {
        let app = app(desk);
        for page in pages() {
            for (lang, html_lang) in [("zh-CN,zh", "zh-CN"), ("en-GB", "en")] {
                let answer = get(&app, &page, lang).await;
                assert!(
                    matches!(answer.status, StatusCode::OK | StatusCode::NOT_FOUND),
                    "{page}"
                );
                let is_part = page.ends_with("/live") && answer.status == StatusCode::OK;
                let declared = answer
                    .text
                    .contains(&format!("<html lang=\"{html_lang}\">"));
                assert!(is_part || declared, "{page} in {lang}");
                let unknown = answer
                    .text
                    .find("web.")
                    .map(|at| &answer.text[at..(at + 40).min(answer.text.len())]);
                assert_eq!(
                    unknown, None,
                    "{page} in {lang} shows a key instead of words"
                );
                assert!(
                    !answer.text.contains('{') || WITH_JSON.iter().any(|part| page.contains(part)),
                    "{page}: an unfilled place"
                );
            }
        }
    }
}

#[tokio::test]
async fn an_order_shows_its_steps_report_gate_and_deployment() {
    let app = app(SampleDesk::new());
    let zh = get(&app, &format!("/orders/{DONE}"), "zh").await.text;
    for words in [
        "评测报告",
        "基座模型",
        "最佳对照",
        "调优模型",
        "门禁",
        "部署",
        "0.871",
        "0.852 … 0.887",
        "curl -s http://127.0.0.1:7878/v1/chat/completions",
    ] {
        assert!(zh.contains(words), "{words}");
    }
    let running = get(&app, &format!("/orders/{RUNNING}"), "en").await.text;
    for words in [
        "154 / 371 steps",
        "6 min 42 s left",
        "<polyline",
        "data-events=\"/api/orders/",
        "Learning rate",
        "Held-out loss",
        "Speed (tokens/s)",
        "Memory (MiB)",
        "612.0 MiB of memory, at most 640.0 MiB",
        "class=\"held\" points=\"",
    ] {
        assert!(running.contains(words), "{words}");
    }
    assert!(!running.contains("Evaluation report"));
    assert!(zh.contains("内存峰值") && zh.contains("640.0 MiB") && zh.contains("留出集损失"));
    let failed = get(&app, &format!("/orders/{FAILED}"), "en").await.text;
    for words in ["data-digest", "Compare the digest", "A demonstration:"] {
        assert!(failed.contains(words), "{words}");
    }
}

#[tokio::test]
async fn what_an_order_learns_from_is_shown_token_by_token() {
    let app = app(SampleDesk::new());
    let order = get(&app, &format!("/orders/{DONE}"), "en").await.text;
    let href = format!("href=\"/orders/{DONE}/lesson\"");
    assert!(order.contains(&href), "the order leads to it");
    let page = get(&app, &format!("/orders/{DONE}/lesson"), "en")
        .await
        .text;
    let token = |class: &str| format!("<span class=\"{class}\" title=\"token ");
    for (class, text) in [
        ("shared special", "&#60;s&#62;"),
        ("", "camera "),
        ("learnt", "Feeling"),
        ("learnt soft-target", "-2"),
        ("learnt special end", "&#60;/s&#62;"),
    ] {
        let found = page.split(&token(class)).skip(1).any(|rest| {
            rest.split_once('>')
                .is_some_and(|(_, it)| it.starts_with(&format!("{text}</span>")))
        });
        assert!(found, "{text} is not shown as {class:?}");
    }
    assert!(
        page.contains("-2 0.62 · -1 0.21"),
        "the soft target is named"
    );
    assert!(page.contains("<sup>×0.5</sup>"));
    assert!(
        page.contains("more than 19 tokens"),
        "what is kept out is said"
    );
    let early = get(&app, &format!("/orders/{RUNNING}/lesson"), "zh").await;
    assert!(early.text.contains("数据尚未整备完成"), "{}", early.text);
    let missing = get(&app, "/orders/nothing/lesson", "en").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_empty_workshop_explains_itself() {
    let app = app(SampleDesk::empty());
    for page in ["/", "/try", "/models", "/data"] {
        for lang in ["zh", "en"] {
            assert!(
                get(&app, page, lang).await.text.contains("<code>lathe "),
                "{page} in {lang}"
            );
        }
    }
}

#[tokio::test]
async fn a_page_turned_too_far_is_empty_and_leads_back() {
    let answer = get(&app(SampleDesk::new()), "/?page=4294967295", "en").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.text.contains("Nothing on this page.") && answer.text.contains("rel=\"prev\""));
}

#[tokio::test]
async fn text_from_elsewhere_stays_text() {
    let hostile = r#"<script>alert(1)</script>"'><img src=x onerror=alert(2)>"#;
    let app = app(SampleDesk::written_over(hostile));
    for page in pages() {
        let answer = get(&app, &page, "en").await;
        assert_eq!(answer.status, StatusCode::OK, "{page}");
        assert!(
            !answer.text.contains("<script>alert"),
            "{page} holds a script"
        );
        assert!(
            !answer.text.contains("<img"),
            "{page} holds an element of the text"
        );
        if page != format!("/data/{DATASET}/live") && !page.ends_with(QUEUED) {
            assert!(
                answer.text.contains("&#60;script&#62;"),
                "{page} does not show the text"
            );
        }
    }
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let app = app(SampleDesk::new());
    for path in ["/", "/api/orders", "/nowhere", "/favicon.ico"] {
        let headers = get(&app, path, "en").await.headers;
        let policy = headers["content-security-policy"].to_str().expect("ASCII");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'"),
            "{path}"
        );
        assert!(!policy.contains("unsafe"), "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["x-frame-options"], "DENY", "{path}");
        assert_eq!(headers["referrer-policy"], "same-origin", "{path}");
    }
    let refused = send(&app, Method::GET, "/", &[("host", "evil.example")], "").await;
    assert!(refused.headers.contains_key("content-security-policy"));
}

#[tokio::test]
async fn pages_hold_nothing_that_the_policy_forbids() {
    for desk in [SampleDesk::new(), SampleDesk::empty()] {
        let app = app(desk);
        for page in pages() {
            let text = get(&app, &page, "en").await.text;
            for forbidden in [
                " style=",
                " onclick=",
                " onload=",
                "<style",
                "src=\"http",
                "href=\"http",
            ] {
                assert!(!text.contains(forbidden), "{page} has {forbidden}");
            }
            for script in text.split("<script").skip(1) {
                assert!(
                    script.starts_with(" src=\"/assets/lathe."),
                    "{page} has an inline script"
                );
            }
        }
    }
}

#[tokio::test]
async fn the_first_page_is_small_and_its_files_may_be_kept() {
    let app = app(SampleDesk::new());
    let page = get(&app, "/", "zh").await;
    let mut size = page.text.len();
    for name in ["style", "lathe", "mark"] {
        let start = page
            .text
            .find(&format!("/assets/{name}."))
            .expect("an address");
        let address = page.text[start..]
            .split('"')
            .next()
            .expect("the rest of the attribute");
        let file = get(&app, address, "zh").await;
        assert_eq!(file.status, StatusCode::OK, "{address}");
        assert!(
            file.headers["cache-control"]
                .to_str()
                .expect("ASCII")
                .contains("immutable")
        );
        size += file.text.len();
    }
    assert!(size < 100_000, "{size} bytes");
    assert_eq!(page.headers["cache-control"], "no-store");
    assert_eq!(page.headers["vary"], "Accept-Language, Cookie");
}

#[tokio::test]
async fn unknown_addresses_are_404_in_the_readers_language() {
    let app = app(SampleDesk::new());
    for path in [
        "/nowhere",
        "/orders/nobody",
        "/orders/nobody/live",
        "/data/nothing",
        "/orders/%3Cb%3E",
        "/orders/%FF%FE",
    ] {
        let answer = get(&app, path, "zh").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert!(answer.text.contains("页面不存在"), "{path}");
    }
}

#[tokio::test]
async fn a_chosen_language_is_remembered() {
    let app = app(SampleDesk::new());
    let chosen = get(&app, "/?lang=zh", "en").await;
    assert!(chosen.text.contains("调优任务"));
    let cookie = chosen.headers["set-cookie"]
        .to_str()
        .expect("ASCII")
        .to_owned();
    let cookie = cookie.split(';').next().expect("name and value");
    let next = send(
        &app,
        Method::GET,
        "/data",
        &[("cookie", cookie), ("accept-language", "en")],
        "",
    )
    .await;
    assert!(next.text.contains("数据集") && !next.headers.contains_key("set-cookie"));
}

#[tokio::test]
async fn an_order_is_placed_from_the_form() {
    let app = app(SampleDesk::new());
    let placed = post(&app, "/orders", "pack=packs%2Fcustomer-care&quick=true").await;
    assert_eq!(placed.status, StatusCode::SEE_OTHER);
    // The sample's order was there before: it says so.
    let known = format!("/orders/{RUNNING}?known=yes");
    assert_eq!(placed.headers["location"], known);
    assert!(get(&app, &known, "en").await.text.contains("placed before"));
    let refused = post(&app, "/orders", "pack=%3Cnowhere%3E").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(
        refused
            .text
            .contains("Name the folder that holds pack.yaml.")
    );
    assert!(
        refused.text.contains("value=\"&#60;nowhere&#62;\""),
        "the form forgot what was typed"
    );
}

#[tokio::test]
async fn an_order_is_paused_resumed_cancelled_and_cloned_by_forms() {
    let app = app(SampleDesk::new());
    for (id, offered) in [
        (RUNNING, &["pause", "cancel"][..]),
        (QUEUED, &["pause", "cancel"]),
        (PAUSED, &["resume", "cancel"]),
        (FAILED, &["resume"]),
        (DONE, &[]),
    ] {
        let page = get(&app, &format!("/orders/{id}"), "en").await.text;
        for action in ["pause", "resume", "cancel"] {
            let form = format!("action=\"/orders/{id}/{action}\"");
            let is_offered = offered.contains(&action);
            assert_eq!(page.contains(&form), is_offered, "{id} {action}");
        }
        assert!(
            page.contains(&format!("href=\"/orders/{id}/clone\"")),
            "{id}"
        );
    }
    let done = post(&app, &format!("/orders/{RUNNING}/pause"), "").await;
    assert_eq!(done.status, StatusCode::SEE_OTHER);
    assert_eq!(done.headers["location"], format!("/orders/{RUNNING}"));
    let done = post(&app, &format!("/orders/{PAUSED}/resume"), "").await;
    assert_eq!(done.status, StatusCode::SEE_OTHER);
    let done = post(&app, &format!("/orders/{QUEUED}/cancel"), "").await;
    assert_eq!(done.headers["location"], format!("/orders/{QUEUED}"));
    let refused = post(&app, &format!("/orders/{DONE}/pause"), "").await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.text.contains("cannot pause the order"));
    let missing = post(&app, "/orders/nobody/pause", "").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);

    let page = get(&app, &format!("/orders/{DONE}/clone"), "zh").await.text;
    assert!(page.contains("克隆并修改") && page.contains("gate.thresholds.0.at_least"));
    let path = format!("/orders/{DONE}/clone");
    let placed = post(&app, &path, "tune.sft.rank=4&more=ask.records%3D1%0D%0A").await;
    assert_eq!(placed.status, StatusCode::SEE_OTHER, "{}", placed.text);
    for (body, said) in [
        ("more=nonsense%3D1", "unknown key `nonsense` &#60;b&#62;"),
        ("more=nonsense", "it is not KEY=VALUE"),
    ] {
        let refused = post(&app, &path, body).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{body}");
        assert!(refused.text.contains(said), "{body}: {}", refused.text);
        assert!(refused.text.contains(">nonsense"), "what was typed is kept");
    }
}

#[tokio::test]
async fn ticked_orders_stand_side_by_side() {
    let app = app(SampleDesk::new());
    let list = get(&app, "/", "en").await.text;
    assert!(list.contains("queued, no. 2") && list.contains("paused · tune"));
    assert!(list.contains("<form id=\"compare\" method=\"get\" action=\"/orders/compare\""));
    let tick = format!("name=\"ids\" value=\"{DONE}\" form=\"compare\"");
    assert!(list.contains(&tick));
    let path = format!("/orders/compare?ids={DONE}&ids={PAUSED}&ids={QUEUED}");
    let page = get(&app, &path, "en").await.text;
    for words in [
        "−0.021 (−0.034 … −0.008)",
        "beyond chance",
        "tune.sft.learning_rate",
        "0.00025",
        "C is not held against A",
        "11 min 41 s",
        "cloned from",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let zh = get(&app, &path, "zh").await.text;
    assert!(zh.contains("任务对比") && zh.contains("差异显著"));
    let nobody = get(&app, &format!("/orders/compare?ids={DONE},nobody"), "en").await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
    let clone = get(&app, &format!("/orders/{PAUSED}"), "en").await.text;
    let both = format!("href=\"/orders/compare?ids={DONE}&#38;ids={PAUSED}\"");
    assert!(clone.contains(&both), "the clone leads to the comparison");
}

#[tokio::test]
async fn every_form_refuses_another_origin_and_a_large_body() {
    let app = app(SampleDesk::new());
    let form = ("content-type", "application/x-www-form-urlencoded");
    for path in [
        "/orders",
        "/try",
        "/try/answer",
        "/tour",
        "/tour/flip",
        &format!("/records/{}/withdraw", leaf()),
        &format!("/orders/{RUNNING}/pause"),
        &format!("/orders/{FAILED}/resume"),
        &format!("/orders/{DONE}/clone"),
        "/api/orders",
        "/api/operations",
        "/v1/chat/completions",
    ] {
        let answer = send(
            &app,
            Method::POST,
            path,
            &[form, ("origin", "http://evil.example")],
            "",
        )
        .await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
    }
    let large = format!("pack={}", "x".repeat(100_000));
    assert_eq!(
        post(&app, "/orders", &large).await.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
}

/// Groups of keys, named by their beginning; their members come from fixed lists or from packs.
const GROUPS: [&str; 58] = [
    "web.action",
    "web.answering",
    "web.audit.by",
    "web.audit.event",
    "web.audit.outcome",
    "web.audit.what",
    "web.breaker",
    "web.bring.answers",
    "web.bring.kind",
    "web.cause",
    "web.curve.drawn",
    "web.data.compare",
    "web.decision",
    "web.duty",
    "web.duty.text",
    "web.ended",
    "web.fault",
    "web.filing.kind",
    "web.filing.read",
    "web.keys.limit",
    "web.kind",
    "web.ledger.approval",
    "web.login.unmet",
    "web.model.export",
    "web.models.kind",
    "web.review.kind",
    "web.review.role",
    "web.review.state",
    "web.right",
    "web.role",
    "web.scope",
    "web.settings.is",
    "web.settings.name",
    "web.settings.section",
    "web.settings.unit",
    "web.nav",
    "web.note.withdrawn",
    "web.new.field",
    "web.new.group",
    "web.new.recipe.left",
    "web.new.takes",
    "web.office",
    "web.orders.sort",
    "web.people.kind",
    "web.problem.of",
    "web.projects.holds",
    "web.stage",
    "web.step",
    "web.slice",
    "web.metric",
    "web.field",
    "web.word",
    "web.dataset",
    "web.gate.rule",
    "web.gate.cure",
    "web.gate.gap",
    "web.gate.at_least",
    "web.gate.above",
];

/// Every key that the sources and templates name is in the catalogue, and every `web.` key of the
/// catalogue is named somewhere.
#[test]
fn the_catalogue_and_the_pages_agree() {
    let mut named = std::collections::BTreeSet::new();
    let mut texts = Vec::new();
    for folder in [
        "src",
        "src/pages",
        "src/pages/new_order",
        "src/api",
        "templates",
    ] {
        let folder = format!("{}/{folder}", env!("CARGO_MANIFEST_DIR"));
        for entry in std::fs::read_dir(folder).expect("a folder of this crate") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                texts.push(std::fs::read_to_string(path).expect("UTF-8"));
            }
        }
    }
    for text in &texts {
        // A key that is put together at run time belongs to one of the groups below.
        let whole =
            |part: &&str| part.starts_with("web.") && !part.ends_with('.') && !part.contains('{');
        named.extend(text.split('"').filter(whole).map(str::to_owned));
    }
    let groups: Vec<String> = GROUPS.iter().map(|group| format!("{group}.")).collect();
    assert!(named.len() > 80, "only {} keys found", named.len());
    for key in &named {
        let is_group = groups.contains(&format!("{key}."));
        assert!(is_group || words::has(key), "{key} is not in the catalogue");
    }
    for key in words::keys().filter(|key| key.starts_with("web.")) {
        let in_group = groups.iter().any(|group| key.starts_with(group.as_str()));
        assert!(in_group || named.contains(key), "{key} is named nowhere");
    }
}

#[tokio::test]
async fn four_clicks_lead_from_an_answer_to_a_training_sentence() {
    let app = app(SampleDesk::new());
    let asked = post(&app, "/try", "model=customer-care&user=hello&system=").await;
    let receipt = format!("href=\"/receipts/{RECEIPT}\"");
    assert!(
        asked.text.contains(&receipt),
        "the answer names its receipt"
    );
    let page = get(&app, &format!("/receipts/{RECEIPT}"), "en").await;
    let record = format!("href=\"/records/{}\"", leaf());
    assert!(page.text.contains(&record), "the receipt names the record");
    let marked = "and <mark>the battery lasts a whole weekend</mark> of taking pictures.";
    assert!(
        page.text.contains(marked),
        "the passage is marked in its sentence"
    );
    let page = get(&app, &format!("/records/{}", leaf()), "en").await;
    for said in [
        "of taking pictures.",
        "MIT",
        "C. J. Hutto",
        "lathe withdraw",
    ] {
        assert!(page.text.contains(said), "{said}");
    }
    assert!(page.text.contains("href=\"/deployments/customer-care\""));
}

#[tokio::test]
async fn a_registration_is_never_called_a_filing() {
    let app = app(SampleDesk::new());
    for (lang, none, filed) in [
        ("en", "no filing recorded", "filed"),
        ("zh", "无备案记录", "已备案"),
    ] {
        for page in ["/register".to_owned(), format!("/register/{NUMBER}")] {
            let answer = get(&app, &page, lang).await;
            assert!(answer.text.contains(none), "{page} in {lang}");
            assert!(!answer.text.contains(filed), "{page} in {lang}");
        }
        let dossier = get(&app, &format!("/register/{NUMBER}/dossier"), lang).await;
        assert!(dossier.text.contains(NUMBER), "{}", dossier.text);
    }
}

#[tokio::test]
async fn four_clicks_lead_from_an_order_to_a_withdrawn_sentence() {
    let app = app(SampleDesk::new());
    // 1: the order's page asks, and the answer's sentences stand there with their licence.
    let order = get(&app, &format!("/orders/{DONE}"), "en").await.text;
    assert!(
        order.contains("action=\"/tour\"")
            && order.contains("name=\"name\" value=\"customer-care\"")
    );
    let asked = post(&app, "/tour", "name=customer-care").await;
    assert_eq!(asked.status, StatusCode::OK);
    for said in [
        "The zoom is superb",
        "2.3",
        &format!("href=\"/receipts/{RECEIPT}\""),
        "<mark>the battery lasts a whole weekend</mark>",
        "MIT",
        "action=\"/tour/flip\"",
    ] {
        assert!(asked.text.contains(said), "{said}");
    }
    // 2: a copy is altered and refused by name.
    let form = format!("name=customer-care&receipt={RECEIPT}&question=q&answer=a");
    let flipped = post(&app, "/tour/flip", &form).await;
    assert_eq!(flipped.status, StatusCode::OK);
    for said in [
        "chain-altered",
        "not what it was &#60;b&#62;",
        "adapter_model.safetensors",
    ] {
        assert!(flipped.text.contains(said), "{said}");
    }
    // 3: the second look.
    let href = format!("/records/{}/withdraw", leaf());
    assert!(flipped.text.contains(&format!("href=\"{href}\"")));
    let look = get(&app, &href, "en").await.text;
    assert!(look.contains("customer-care") && look.contains("for good"));
    // 4: it is restricted, with the command that tunes again.
    let done = post(&app, &href, "reason=asked+by+its+author&sure=yes").await;
    assert_eq!(done.status, StatusCode::OK);
    for said in [
        "href=\"/deployments/customer-care\"",
        "restricted",
        "lathe order clone ",
    ] {
        assert!(done.text.contains(said), "{said}");
    }
}

#[tokio::test]
async fn nothing_is_withdrawn_without_reason_and_confirmation() {
    let app = app(SampleDesk::new());
    let href = format!("/records/{}/withdraw", leaf());
    let unsure = post(&app, &href, "reason=asked").await;
    assert_eq!(unsure.status, StatusCode::BAD_REQUEST);
    assert!(unsure.text.contains("tick the box") && unsure.text.contains("value=\"asked\""));
    let silent = post(&app, &href, "reason=+&sure=yes").await;
    assert_eq!(silent.status, StatusCode::BAD_REQUEST);
    assert!(silent.text.contains("a decision needs a reason"));
    let nothing = format!("/records/{}/withdraw", "0".repeat(64));
    assert_eq!(
        post(&app, &nothing, "reason=a&sure=yes").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        post(&app, "/tour", "name=nobody").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn what_waits_is_shown_with_the_command_that_decides() {
    let app = app(SampleDesk::new());
    let command = "lathe approve LR-2026-0002 --key KEY-FILE --reason";
    for page in [
        "/register".to_owned(),
        format!("/orders/{QUEUED}"),
        format!("/orders/{QUEUED}/live"),
    ] {
        let answer = get(&app, &page, "en").await;
        assert!(answer.text.contains(command), "{page}");
    }
    let other = get(&app, &format!("/orders/{DONE}"), "en").await;
    assert!(!other.text.contains("lathe approve"));
}

#[tokio::test]
async fn the_questionnaire_decides_when_nothing_is_open() {
    let app = app(SampleDesk::new());
    let href = format!("/register/{NUMBER}/filing");
    let open = get(&app, &href, "en").await.text;
    // The ledger answers one of the six itself: the model was tuned.
    assert!(open.contains("5 questions are open") && open.contains("yes, the ledger says so"));
    assert!(!open.contains("/filing/package"));
    let query = "public=yes&generative=yes&base-filed=no&opinion=no&recommends=no&tuned=no";
    let decided = get(&app, &format!("{href}?{query}"), "zh").await.text;
    assert!(decided.contains("生成式人工智能服务备案") && decided.contains("第十七条"));
    let package = format!("{href}/package?base-filed=no&#38;generative=yes");
    assert!(decided.contains(&package), "{decided}");
    let printed = get(
        &app,
        &format!("{href}/package?public=yes&tuned=maybe"),
        "zh",
    )
    .await;
    assert!(printed.text.contains("1 answers"), "{}", printed.text);
}

#[tokio::test]
async fn a_filing_is_shown_with_number_date_and_digest() {
    let app = app(SampleDesk::filed());
    let digest = lathe_evidence::Digest::of(b"document");
    for page in [
        format!("/register/{NUMBER}"),
        format!("/register/{NUMBER}/filing"),
    ] {
        let text = get(&app, &page, "en").await.text;
        for said in ["X-2026-17", "2026-11-25", &digest.to_string()] {
            assert!(text.contains(said), "{page}: {said}");
        }
    }
    let text = get(&app, "/register", "en").await.text;
    let said = format!("X-2026-17 · 2026-11-25 · {}", digest.short());
    assert!(text.contains(&said), "{said}");
}
