//! Which order answers now: what lists, orders, comparisons and forms say of it.

use axum::http::StatusCode;
use lathe_evidence::statement::{BreakerState, Cause};
use lathe_workshop::{AnsweringNow, OrderId, OrderState, OrderView};

use crate::pages::{app, get, post};
use crate::sample::{DONE, PAUSED, PLACED_MS, QUEUED, RUNNING, SampleDesk, orders};

/// An order whose model answered before that of the one that is done.
const REPLACED: &str = "019a4a0e-2f31-7b60-8c44-9d0e6a51b3c8";
const DAY_MS: i64 = 24 * 3_600_000;

/// An order that was placed a day before it began, and whose name was given to the other one since.
fn replaced() -> OrderView {
    let mut order = orders::done();
    order.id = OrderId(REPLACED.to_owned());
    order.created_ms = PLACED_MS - DAY_MS;
    order.answering = Some(orders::stands(AnsweringNow::Replaced, DONE));
    order
}

fn two() -> SampleDesk {
    let mut desk = SampleDesk::new();
    desk.orders.push(replaced());
    desk
}

/// The sample, in which the order that is done stands so to its name.
fn standing(now: AnsweringNow) -> SampleDesk {
    let mut desk = SampleDesk::new();
    let done = desk.orders.iter_mut().find(|it| it.id.0 == DONE);
    done.expect("the sample has it").answering = Some(orders::stands(now, DONE));
    for deployment in &mut desk.deployments {
        deployment.breaker = match now {
            AnsweringNow::Answers => BreakerState::Closed,
            AnsweringNow::Restricted => BreakerState::Restricted,
            AnsweringNow::Silent | AnsweringNow::Replaced => BreakerState::Open,
        };
        deployment.breaker_reason = "a record was withdrawn <b>".to_owned();
    }
    desk
}

#[tokio::test]
async fn a_comparison_says_who_answers_and_offers_the_others_alone() {
    let app = app(two());
    let path = format!("/orders/compare?ids={DONE}&ids={REPLACED}&ids={PAUSED}");
    let page = get(&app, &path, "en").await.text;
    let badges = |text: &str| page.matches(text).count();
    assert_eq!(badges("<span class=\"badge good\">answers now</span>"), 1);
    assert_eq!(badges("<span class=\"badge \">no longer answers</span>"), 1);
    let offered =
        |order: &str| page.contains(&format!("method=\"post\" action=\"/orders/{order}/clone\""));
    assert!(offered(REPLACED) && !offered(DONE) && !offered(PAUSED));
    assert!(page.contains("id=\"deploy-text\""));
    // Where none is offered, nothing is said of it.
    let path = format!("/orders/compare?ids={DONE}&ids={PAUSED}");
    let none = get(&app, &path, "en").await.text;
    assert!(!none.contains("deploy-text"), "{none}");
}

#[tokio::test]
async fn the_list_says_who_answers() {
    let app = app(two());
    for (lang, words) in [("en", "answers now"), ("zh", "正在应答")] {
        let page = get(&app, "/", lang).await.text;
        assert_eq!(page.matches(words).count(), 1, "{page}");
    }
}

#[tokio::test]
async fn an_order_whose_model_was_replaced_does_not_say_that_it_answers() {
    let app = app(two());
    let page = get(&app, &format!("/orders/{REPLACED}"), "en").await.text;
    for words in [
        "no longer answers",
        "passed its gate, was deployed as customer-care",
        &format!("href=\"/orders/{DONE}\""),
        &format!("/orders/compare?ids={DONE}&#38;ids={REPLACED}"),
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    for words in [
        "curl -s",
        "answers as customer-care",
        "action=\"/tour\"",
        "answers now",
        "href=\"/try?model",
    ] {
        assert!(!page.contains(words), "{words}: {page}");
    }
    let answers = get(&app, &format!("/orders/{DONE}"), "en").await.text;
    assert!(answers.contains("curl -s") && answers.contains("answers as customer-care"));
}

#[tokio::test]
async fn an_order_whose_data_was_withdrawn_says_how_it_answers_still() {
    let path = format!("/orders/{DONE}");
    let page = get(&app(standing(AnsweringNow::Restricted)), &path, "en").await;
    for words in [
        "x-lathe-accept-restricted: 1",
        "a record was withdrawn &#60;b&#62;",
        "is restricted now",
    ] {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
    assert!(!page.text.contains("answers now"));
    let page = get(&app(standing(AnsweringNow::Silent)), &path, "zh").await;
    assert!(page.text.contains("停止应答"), "{}", page.text);
    assert!(page.text.contains("href=\"/deployments/customer-care\""));
    assert!(!page.text.contains("curl -s"), "{}", page.text);
}

/// Whatever was restricted before it is not its own: the history alone tells of it.
#[tokio::test]
async fn the_order_that_has_taken_over_is_not_warned_about_the_one_before() {
    let mut desk = standing(AnsweringNow::Answers);
    let reason = "another deployment took the name";
    for deployment in &mut desk.deployments {
        deployment.breaker_cause = Some(Cause::Renewed);
        deployment.breaker_reason = reason.to_owned();
    }
    let now = desk.breaker.now.as_mut().expect("the sample's moved");
    (now.state, now.cause) = (BreakerState::Closed, Cause::Renewed);
    now.reason = reason.to_owned();
    let moved = &mut desk.breaker.moves[0].said;
    (moved.from, moved.to) = (BreakerState::Restricted, BreakerState::Closed);
    (moved.cause, moved.reason) = (Cause::Renewed, reason.to_owned());
    let app = app(desk);
    for path in [&format!("/orders/{DONE}")[..], "/deployments/customer-care"] {
        let page = get(&app, path, "en").await.text;
        assert!(!page.contains("<div class=\"notice\">"), "{path}: {page}");
        assert!(!page.contains("took the name"), "{path}: {page}");
    }
    let page = get(&app, "/deployments/customer-care", "en").await.text;
    let told = "closed: a new deployment replaced the restricted one";
    assert_eq!(page.matches(told).count(), 1, "{page}");
}

/// The order that was set aside as one that was placed again with nothing changed.
fn again(state: OrderState, now: Option<AnsweringNow>) -> SampleDesk {
    let mut desk = SampleDesk::new();
    let again = desk.orders.iter_mut().find(|it| it.id.0 == PAUSED);
    let again = again.expect("the sample has it");
    again.state = state;
    again.answering = now.map(|now| orders::stands(now, PAUSED));
    if let Some(origin) = &mut again.origin {
        origin.changes.clear();
    }
    desk
}

#[tokio::test]
async fn letting_an_order_answer_says_what_became_of_it() {
    use AnsweringNow::{Answers, Replaced};
    use OrderState::{Done, Queued, Running, Waiting};
    for (state, now, words) in [
        (Queued, None, "its model takes the name customer-care"),
        (Running, None, "its model takes the name customer-care"),
        (Waiting, None, "Once somebody has approved it"),
        (
            Done,
            Some(Answers),
            "its model answers as customer-care now",
        ),
        (Done, Some(Replaced), ""),
    ] {
        let app = app(again(state, now));
        let page = get(&app, &format!("/orders/{PAUSED}"), "en").await.text;
        // It went well, and does not look like a warning.
        let said = page.contains("<p class=\"notice good\" role=\"status\">");
        assert_eq!(said, !words.is_empty(), "{state:?}: {page}");
        assert!(page.contains(words), "{words}: {page}");
    }
    // One that was changed is an order like any other.
    let page = get(&app(SampleDesk::new()), &format!("/orders/{PAUSED}"), "en").await;
    assert!(!page.text.contains("role=\"status\""), "{}", page.text);
}

#[tokio::test]
async fn a_clone_says_whose_name_it_would_take() {
    let path = format!("/orders/{DONE}/clone");
    let page = get(&app(SampleDesk::new()), &path, "en").await.text;
    let (_, taken) = page.split_once("id=\"taken\"").expect("a warning");
    let taken = taken.split("</p>").next().expect("its end");
    assert!(
        taken.contains("The name customer-care is in use"),
        "{taken}"
    );
    assert!(
        taken.contains(&format!("href=\"/orders/{DONE}\"")),
        "{taken}"
    );
    let mut desk = SampleDesk::new();
    desk.deployments.clear();
    let free = get(&app(desk), &path, "en").await.text;
    assert!(!free.contains("id=\"taken\""), "{free}");
}

#[tokio::test]
async fn a_new_order_says_whose_name_it_would_take() {
    let app = app(SampleDesk::new());
    for (lang, words) in [
        ("en", "The name customer-care is in use"),
        ("zh", "名称 customer-care 正在使用"),
    ] {
        let page = get(&app, "/orders/new", lang).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        assert!(page.text.contains(words), "{}", page.text);
    }
    // A demonstration never takes the real one's.
    let quick = get(&app, "/orders/new?quick=true", "en").await.text;
    assert!(!quick.contains("id=\"taken\""), "{quick}");
}

#[tokio::test]
async fn a_clone_has_the_fields_of_a_new_order_with_what_the_order_says() {
    let app = app(SampleDesk::new());
    let path = format!("/orders/{DONE}/clone");
    let page = get(&app, &path, "en").await.text;
    for field in [
        "<input name=\"tune.sft.rank\" value=\"16\"",
        "<input name=\"data.licence\" value=\"MIT\"",
        "<textarea name=\"more\"",
    ] {
        assert!(page.contains(field), "{field}: {page}");
    }
    // What it would take is told as of a new order.
    for words in ["<dt>Training records</dt><dd>2,966</dd>", "value=\"check\""] {
        assert!(page.contains(words), "{words}: {page}");
    }
    // A mistake stands at its field, which keeps what was typed.
    let refused = post(&app, &path, "tune.sft.rank=0&more=nonsense%3D1").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    for words in [
        "id=\"m-tune.sft.rank\"",
        "the rank must be 1 to 1024 &#60;b&#62;",
        "<input name=\"tune.sft.rank\" value=\"0\"",
        "this order has 16",
        ">nonsense=1</textarea>",
    ] {
        assert!(refused.text.contains(words), "{words}: {}", refused.text);
    }
    let empty = post(&app, &path, "data.licence=+").await;
    assert_eq!(empty.status, StatusCode::BAD_REQUEST);
    assert!(
        empty.text.contains("id=\"m-data.licence\""),
        "{}",
        empty.text
    );
}

/// What the script has to say where the workshop does not answer stands in the page, in its language.
#[tokio::test]
async fn what_went_wrong_is_told_in_the_language_of_the_page() {
    let app = app(SampleDesk::new());
    let running = format!("/orders/{RUNNING}");
    for (path, lang, words) in [
        (
            &*running,
            "en",
            "data-lost=\"The connection to the workshop is interrupted.",
        ),
        (&*running, "zh", "data-lost=\"与工场的连接已中断。"),
        (
            &*running,
            "en",
            "data-ended=\"You are not logged in any more",
        ),
        (&*running, "zh", "data-ended=\"登录已失效"),
        (
            "/data/bring",
            "en",
            "data-waits=\"The workshop does not answer",
        ),
        ("/data/bring", "zh", "data-unread=\"无法读取文件"),
        ("/try", "en", "data-broke=\"The answer broke off."),
        ("/try", "zh", "data-broke=\"应答中断"),
        (
            "/",
            "en",
            "<body data-unreached=\"The workshop did not answer.",
        ),
        ("/", "zh", "<body data-unreached=\"工场没有响应。"),
        ("/", "zh", "data-by-hand=\"已选中"),
    ] {
        let page = get(&app, path, lang).await.text;
        assert!(page.contains(words), "{path} {lang} {words}: {page}");
    }
    // An order that is over is not followed.
    let done = get(&app, &format!("/orders/{DONE}"), "en").await.text;
    assert!(!done.contains("live-note"), "{done}");
}

#[tokio::test]
async fn with_one_order_ticked_another_is_chosen_and_the_first_stays_ticked() {
    let app = app(two());
    let one = get(&app, &format!("/orders/compare?ids={DONE}"), "en").await;
    assert_eq!(one.status, StatusCode::OK, "{}", one.text);
    let ticked = |page: &str, id: &str| page.contains(&format!("value=\"{id}\" checked"));
    assert!(ticked(&one.text, DONE) && !ticked(&one.text, QUEUED));
    assert!(
        one.text
            .contains(&format!("name=\"ids\" value=\"{QUEUED}\""))
    );
    assert_eq!(one.text.matches(&format!("value=\"{DONE}\"")).count(), 1);
    assert!(one.text.contains("Tick at least one more"));
    assert!(!one.text.contains("could not answer"), "{}", one.text);
    // Looking for the second keeps the first.
    let sought = get(
        &app,
        &format!("/orders/compare?ids={DONE}&q={REPLACED}"),
        "zh",
    )
    .await
    .text;
    assert!(ticked(&sought, DONE) && sought.contains(REPLACED) && !sought.contains(QUEUED));
    let twice = get(&app, &format!("/orders/compare?ids={DONE},{DONE}"), "en").await;
    assert!(ticked(&twice.text, DONE), "{}", twice.text);
    let none = get(&app, "/orders/compare", "en").await;
    assert_eq!(none.status, StatusCode::OK);
    assert!(none.text.contains("Tick two to 8 orders"), "{}", none.text);
}

#[tokio::test]
async fn what_an_order_waited_is_told_apart() {
    let app = app(two());
    for path in [
        format!("/orders/{REPLACED}"),
        "/?q=019a4a0e-2f31".to_owned(),
    ] {
        let page = get(&app, &path, "en").await.text;
        assert!(page.contains("18 min 5"), "{path}: {page}");
        assert!(page.contains("waited 24 h 0 min"), "{path}: {page}");
    }
}

#[tokio::test]
async fn a_difference_says_of_how_many_records_it_is_where_these_are_fewer() {
    let path = format!("/orders/{DONE}");
    let all = get(&app(SampleDesk::new()), &path, "en").await.text;
    assert!(!all.contains("that both were measured on"), "{all}");
    let mut desk = SampleDesk::new();
    desk.report.paired[0].records = 200;
    let few = get(&app(desk), &path, "en").await.text;
    let told = "of the 200 records that both were measured on";
    assert_eq!(few.matches(told).count(), 1, "{few}");
}

#[tokio::test]
async fn the_figure_of_the_gate_and_that_of_the_report_say_what_they_are() {
    let page = get(&app(SampleDesk::new()), &format!("/orders/{DONE}"), "en").await;
    assert!(
        page.text.contains("estimate; 95 % interval 0.852 … 0.887"),
        "{}",
        page.text
    );
    let paired = "lower end of the difference’s 95 % interval";
    assert!(page.text.contains(paired), "{}", page.text);
}
