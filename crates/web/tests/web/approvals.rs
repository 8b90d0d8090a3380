//! What waits for a decision, what was decided, and by whom: as it is shown to those who may decide and to those
//! who may not.

use axum::http::StatusCode;
use lathe_evidence::report::Role;
use lathe_workshop::{StepName, StepState};

use crate::pages::{app, get};
use crate::people::Shop;
use crate::sample::trace::{NUMBER, RECEIPT, leaf, waiting};
use crate::sample::{DONE, FAILED, QUEUED, RUNNING, SampleDesk};

/// Where `what` stands in a page.
fn place(page: &str, what: &str) -> usize {
    page.find(what)
        .unwrap_or_else(|| panic!("{what} is not on the page: {page}"))
}

#[tokio::test]
async fn the_page_shows_the_model_that_is_decided_about_before_the_one_that_answers() {
    let app = app(SampleDesk::waiting());
    for (lang, about, now) in [
        (
            "en",
            "What is being decided about",
            "What the model that answers now rests on",
        ),
        ("zh", "待审批的模型", "当前应答模型的证据链"),
    ] {
        let page = get(&app, &format!("/register/{NUMBER}"), lang).await.text;
        let (about, now) = (place(&page, about), place(&page, now));
        let model = waiting().model;
        for of_it in [
            "0.932",
            &format!("href=\"/orders/{RUNNING}#report-title\""),
            &format!("href=\"/models/{model}\""),
        ] {
            let at = place(&page, of_it);
            assert!(about < at && at < now, "{of_it} in {lang}: {page}");
        }
        assert!(place(&page, "0.871") > now, "{lang}: {page}");
        // Nobody has decided about it yet, and how the other one was approved is not told of it.
        let candidate = &page[about..];
        let candidate = &candidate[..place(candidate, "</section>")];
        for absent in ["missing from the ledger", "账本中缺失"] {
            assert!(
                !candidate.contains(absent),
                "{absent} in {lang}: {candidate}"
            );
        }
        for absent in ["self-approved", "自行审批"] {
            assert!(
                !page[..about].contains(absent),
                "{absent} in {lang}: {page}"
            );
        }
    }
}

#[tokio::test]
async fn what_rests_on_withdrawn_data_is_offered_to_be_rejected_only() {
    let shop = Shop::before(SampleDesk::taken_back()).await;
    let path = format!("/register/{NUMBER}");
    let page = shop.log_in("approver").await.get(&path).await.text;
    let alert = &page[place(&page, "role=\"alert\"")..];
    let alert = &alert[..place(alert, "</div>")];
    for told in ["was withdrawn", "the patient asked", "31"] {
        assert!(alert.contains(told), "{told}: {alert}");
    }
    assert!(page.contains("value=\"rejected\""), "{page}");
    assert!(!page.contains("value=\"approved\""), "{page}");
    // Marked in the chain of the one that waits and of the one that answers.
    assert_eq!(page.matches("withdrawn since").count(), 2, "{page}");
    // With keys of their own the command that rejects is left.
    let keys = app(SampleDesk::taken_back());
    let page = get(&keys, &path, "zh").await.text;
    assert!(
        page.contains("数据已被撤回") && page.contains("--reject"),
        "{page}"
    );
    let approve = format!("lathe approve {NUMBER} --key KEY-FILE --reason");
    assert!(!page.contains(&approve), "{page}");
    let page = get(&app(SampleDesk::waiting()), &path, "en").await.text;
    assert!(
        page.contains(&approve) && !page.contains("withdrawn since"),
        "{page}"
    );
}

#[tokio::test]
async fn wherever_it_waits_what_rests_on_withdrawn_data_is_offered_to_be_rejected_only() {
    let shop = Shop::before(SampleDesk::taken_back()).await;
    let approver = shop.log_in("approver").await;
    let keys = app(SampleDesk::taken_back());
    let commands = format!("lathe approve {NUMBER} --key KEY-FILE");
    for path in ["/register".to_owned(), format!("/orders/{RUNNING}")] {
        // What waits besides, on the register, can be approved still.
        let own = |page: &str| {
            let own = page.split("class=\"waits\"").nth(1);
            own.unwrap_or_else(|| panic!("nothing waits: {page}"))
                .to_owned()
        };
        let page = own(&approver.get(&path).await.text);
        for told in [
            "was withdrawn",
            "product-reviews · the patient asked",
            "href=\"/ledger/31\"",
            &format!("href=\"/register/{NUMBER}\""),
            "value=\"rejected\"",
        ] {
            assert!(page.contains(told), "{told} on {path}: {page}");
        }
        assert!(!page.contains("value=\"approved\""), "{path}: {page}");
        let page = own(&get(&keys, &path, "zh").await.text);
        let reject = format!("{commands} --reject");
        assert!(page.contains("数据已被撤回") && page.contains(&reject));
        assert!(!page.contains(&format!("{commands} --reason")), "{page}");
    }
}

#[tokio::test]
async fn whom_the_workshop_signed_for_has_approved() {
    let pages = [
        "/register".to_owned(),
        format!("/register/{NUMBER}"),
        "/deployments/customer-care".to_owned(),
    ];
    let (by_nobody, by_wang) = (app(SampleDesk::new()), app(SampleDesk::decided()));
    for page in pages {
        for (lang, wang, own) in [
            ("en", "approved by wang", "self-approved"),
            ("zh", "由 wang 批准", "自行审批"),
        ] {
            let told = get(&by_wang, &page, lang).await.text;
            let head = told.find("<main").map_or("", |at| &told[at..]);
            assert!(head.contains(wang) && !head.contains(own), "{page}: {told}");
            // What nobody approved goes on saying so.
            let told = get(&by_nobody, &page, lang).await.text;
            assert!(told.contains(own) && !told.contains(wang), "{page}: {told}");
        }
    }
}

#[tokio::test]
async fn whoever_comes_from_deciding_is_told_what_was_decided() {
    let app = app(SampleDesk::decided());
    let told = "The decision stands in the ledger";
    let page = get(&app, &format!("/register/{NUMBER}?decided=yes"), "en").await;
    assert_eq!(page.status, StatusCode::OK);
    let status = &page.text[place(&page.text, "role=\"status\"")..];
    let status = &status[..place(status, "</p>")];
    assert!(
        status.contains("approved by wang") && status.contains(told),
        "{status}"
    );
    let page = get(&app, &format!("/register/{NUMBER}"), "en").await;
    assert!(!page.text.contains(told));
    // As long as it waits nothing was decided, whatever the address says.
    let waits = self::app(SampleDesk::waiting());
    let page = get(&waits, &format!("/register/{NUMBER}?decided=yes"), "en").await;
    assert!(!page.text.contains(told));
}

#[tokio::test]
async fn whoever_may_not_decide_is_told_who_does_and_where() {
    let shop = Shop::before(SampleDesk::waiting()).await;
    let (tuner, approver) = (shop.log_in("tuner").await, shop.log_in("approver").await);
    let decide = format!("action=\"/register/{NUMBER}/decide\"");
    for path in [
        "/register".to_owned(),
        format!("/register/{NUMBER}"),
        format!("/orders/{RUNNING}"),
    ] {
        let page = tuner.get(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        let link = format!("href=\"/register/{NUMBER}\"");
        let waits = &page.text[place(&page.text, "id=\"pending-title\"")..];
        let waits = &waits[..place(waits, "</section>")];
        // The registration's page is where it is decided, and does not lead to itself.
        let is_there = path == format!("/register/{NUMBER}");
        let told = match is_there {
            true => "An approver decides, on this page.",
            false => "An approver decides, under Register:",
        };
        assert!(waits.contains(told), "{path}: {waits}");
        assert_eq!(waits.contains(&link), !is_there, "{path}: {waits}");
        let order = format!("href=\"/orders/{RUNNING}\"");
        let is_order = path.starts_with("/orders/");
        assert_eq!(waits.contains(&order), !is_order, "{path}: {waits}");
        assert!(!page.text.contains("/decide\""), "{path}: {}", page.text);
        assert!(
            !page.text.contains("lathe approve"),
            "{path}: {}",
            page.text
        );
        let page = approver.get(&path).await.text;
        assert!(
            page.contains(&decide) && page.contains("value=\"approved\""),
            "{path}"
        );
        assert!(!page.contains("lathe approve"), "{path}: {page}");
    }
    // Somebody who approves nothing of their own may reject it.
    let mut desk = SampleDesk::waiting();
    desk.author = Some("person approver".to_owned());
    let shop = Shop::before(desk).await;
    let page = shop.log_in("approver").await.get("/register").await.text;
    assert!(page.contains("You placed this order"), "{page}");
    assert!(page.contains("placed by approver"), "{page}");
    assert!(page.contains("value=\"rejected\"") && !page.contains("value=\"approved\""));
}

#[tokio::test]
async fn what_answers_until_it_is_decided_is_named() {
    let app = app(SampleDesk::waiting());
    let page = get(&app, "/register", "en").await.text;
    let meanwhile = &page[place(&page, "Until then the model of this order answers")..];
    let href = format!("href=\"/orders/{DONE}\"");
    assert!(place(meanwhile, &href) < place(meanwhile, "</p>"), "{page}");
    let page = get(&app, &format!("/orders/{QUEUED}"), "en").await.text;
    assert!(
        page.contains("Until then nothing answers under the name."),
        "{page}"
    );
}

#[tokio::test]
async fn the_first_page_tells_approvers_how_many_wait() {
    let shop = Shop::before(SampleDesk::waiting()).await;
    for role in ["approver", "tuner", "administrator"] {
        let page = shop.log_in(role).await.get("/").await.text;
        let told = "<a href=\"/register\">Registrations that wait for a decision: 2</a>";
        assert_eq!(page.contains(told), role == "approver", "{role}: {page}");
    }
    let nothing = Shop::before(SampleDesk::empty()).await;
    let page = nothing.log_in("approver").await.get("/").await.text;
    assert!(!page.contains("wait for a decision"));
}

#[tokio::test]
async fn a_record_is_taken_back_by_those_alone_who_may() {
    let shop = Shop::before(SampleDesk::new()).await;
    let path = format!("/records/{}", leaf());
    let button = format!("href=\"{path}/withdraw\"");
    for (role, may) in [("approver", false), ("tuner", false), ("data-owner", true)] {
        let reader = shop.log_in(role).await;
        let page = reader.get(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{role}");
        assert_eq!(page.text.contains(&button), may, "{role}");
        let told = page
            .text
            .contains("A data owner of the workshop withdraws records");
        assert_eq!(told, !may, "{role}");
        let opened = reader.get(&format!("{path}/withdraw")).await.status;
        assert_eq!(
            opened == StatusCode::OK,
            may,
            "the button is where it opens: {role}"
        );
    }
}

/// The line of the heading.
fn heading(page: &str) -> &str {
    let line = &page[place(page, "<div class=\"headline\">")..];
    &line[..place(line, "</div>")]
}

#[tokio::test]
async fn a_heading_names_the_person_who_approved() {
    let app = app(SampleDesk::decided());
    for path in [
        format!("/register/{NUMBER}"),
        "/deployments/customer-care".to_owned(),
        format!("/receipts/{RECEIPT}"),
    ] {
        for (lang, badge) in [
            ("en", "<span class=\"badge good\">approved by wang</span>"),
            ("zh", "<span class=\"badge good\">由 wang 批准</span>"),
        ] {
            let page = get(&app, &path, lang).await.text;
            assert!(heading(&page).contains(badge), "{path}: {}", heading(&page));
        }
    }
}

#[tokio::test]
async fn a_decision_is_told_as_it_stands_now() {
    let path = format!("/register/{NUMBER}?decided=yes");
    // A moment after approving: of the one that answers still, nothing is said of its approval.
    let page = get(&app(SampleDesk::going_on()), &path, "en").await.text;
    assert!(!heading(&page).contains("approved"), "{}", heading(&page));
    assert!(page.contains("The order goes on by itself"), "{page}");
    // Once it is deployed.
    let page = get(&app(SampleDesk::decided()), &path, "en").await.text;
    assert!(
        page.contains("is the one that is deployed as customer-care"),
        "{page}"
    );
    assert!(!page.contains("goes on by itself"), "{page}");
}

#[tokio::test]
async fn a_rejection_is_no_crash() {
    let app = app(SampleDesk::rejected());
    for (lang, told, state, next, before) in [
        (
            "en",
            "<b>rejected by wang: too &#60;b&#62;curt&#60;/b&#62;</b>",
            "</svg>rejected<",
            "Nothing broke",
            "This very model was rejected before, by wang: too &#60;b&#62;curt",
        ),
        (
            "zh",
            "<b>由 wang 驳回，理由：too &#60;b&#62;curt&#60;/b&#62;</b>",
            "</svg>已驳回<",
            "任务并未出错",
            "该模型此前曾被 wang 驳回",
        ),
    ] {
        let page = get(&app, &format!("/orders/{FAILED}"), lang).await.text;
        assert!(page.contains(told) && page.contains(next), "{page}");
        assert!(heading(&page).contains(state), "{}", heading(&page));
        for path in [format!("/register/{NUMBER}"), format!("/orders/{RUNNING}")] {
            let page = get(&app, &path, lang).await.text;
            assert!(page.contains(before), "{path}: {page}");
            assert!(!page.contains("of another model"), "{path}: {page}");
        }
    }
    // What failed otherwise is told as before.
    let app = self::app(SampleDesk::new());
    let page = get(&app, &format!("/orders/{FAILED}"), "en").await.text;
    assert!(!page.contains("rejected by"), "{page}");
}

/// What waits and what is done as measured, on a small part of the data, below the best challenger.
fn measured() -> SampleDesk {
    let mut desk = SampleDesk::waiting();
    for order in desk.orders.iter_mut().filter(|it| it.id.0 == RUNNING) {
        let mut steps = order.steps.iter_mut();
        let step = steps.find(|it| it.name == StepName::Evaluate);
        step.expect("it measures").state = StepState::Done;
    }
    desk.report.demonstration = true;
    let subjects = desk.report.subjects.iter_mut();
    for subject in subjects.filter(|it| it.role == Role::Tuned) {
        let figure = subject.metrics.get_mut("pearson_r").expect("it has it");
        (figure.value, figure.low, figure.high) = (0.571, Some(0.5), Some(0.65));
    }
    desk
}

#[tokio::test]
async fn what_waits_shows_the_figures_that_a_decision_rests_on() {
    let app = app(measured());
    for (lang, role, now, worse, mark) in [
        (
            "en",
            "Tuned model",
            "What answers now, by its own report",
            "Worse than the best challenger: 0.571 against 0.702",
            ">demonstration<",
        ),
        (
            "zh",
            "调优模型",
            "当前应答模型（据其评测报告）",
            "不及最佳对照：本模型 0.571，最佳对照 0.702",
            ">演示<",
        ),
    ] {
        for path in [
            "/register".to_owned(),
            format!("/register/{NUMBER}"),
            format!("/orders/{RUNNING}"),
        ] {
            let page = get(&app, &path, lang).await.text;
            let card = page.split("class=\"waits\"").nth(1);
            let card = card.unwrap_or_else(|| panic!("nothing waits: {page}"));
            for told in [role, "0.500 … 0.650", now, worse, mark] {
                assert!(card.contains(told), "{told} on {path}: {card}");
            }
        }
    }
}

#[tokio::test]
async fn a_figure_below_the_best_challengers_does_not_look_good() {
    let path = format!("/orders/{DONE}");
    let page = get(&app(measured()), &path, "en").await.text;
    let tile = &page[place(&page, "<span class=\"tile-name\">Tuned model")..];
    let tile = &tile[..place(tile, "</div>")];
    let below = "Below the best challenger: 0.702";
    assert!(tile.contains(below), "{tile}");
    let class = "<div class=\"tile bad\"><span class=\"tile-name\">Tuned model";
    assert!(page.contains(class), "{page}");
    let page = get(&app(SampleDesk::new()), &path, "en").await.text;
    assert!(!page.contains("Below the best challenger"), "{page}");
    assert!(page.contains(&class.replace("bad", "tuned")), "{page}");
}

#[tokio::test]
async fn rejecting_is_behind_a_fold_and_needs_a_reason_as_well() {
    let shop = Shop::before(SampleDesk::waiting()).await;
    let approver = shop.log_in("approver").await;
    let path = format!("/register/{NUMBER}");
    let page = approver.get(&path).await.text;
    let form = &page[place(&page, "<form class=\"decide\"")..];
    let form = &form[..place(form, "</form>")];
    let fold = place(form, "<details");
    assert!(place(form, "value=\"approved\"") < fold, "{form}");
    assert!(place(form, "name=\"reason\"") < fold, "{form}");
    assert!(place(form, "value=\"rejected\"") > fold, "{form}");
    // Who may only reject writes the reason in the fold: a key pressed outside of it would reject at once.
    let shop = Shop::before(SampleDesk::taken_back()).await;
    let page = shop.log_in("approver").await.get(&path).await.text;
    let form = &page[place(&page, "<form class=\"decide\"")..];
    let form = &form[..place(form, "</form>")];
    assert!(place(form, "name=\"reason\"") > place(form, "<details"));
    assert_eq!(form.matches("name=\"reason\"").count(), 1, "{form}");
}

#[tokio::test]
async fn whoever_decided_is_led_to_the_order() {
    let app = app(SampleDesk::decided());
    let decided = |order: &str| format!("/register/{NUMBER}?decided={order}");
    let banner = |page: &str| {
        let status = &page[place(page, "role=\"status\"")..];
        status[..place(status, "</p>")].to_owned()
    };
    let page = get(&app, &decided(DONE), "en").await.text;
    let link = format!("<a href=\"/orders/{DONE}\">See the order</a>");
    assert!(banner(&page).contains(&link), "{}", banner(&page));
    // Not to one that is not there, and not to one of another name.
    for other in ["yes", FAILED] {
        let page = get(&app, &decided(other), "en").await.text;
        assert!(!banner(&page).contains("See the order"), "{page}");
    }
}
