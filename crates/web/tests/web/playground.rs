//! The playground without JavaScript: one model or two, parameters, a schema, a receipt under each answer.

use axum::http::StatusCode;
use lathe_evidence::statement::BreakerState;

use crate::pages::{app, get, post};
use crate::sample::trace::RECEIPT;
use crate::sample::{SampleDesk, evidence};

#[tokio::test]
async fn the_model_answers_a_plain_form() {
    let app = app(SampleDesk::new());
    let answer = post(&app, "/try", "model=customer-care&user=Lovely.&system=").await;
    assert_eq!(answer.status, StatusCode::OK);
    for words in [
        "+2.3",
        "positive",
        "−4",
        "+4",
        "74 prompt tokens, 14 answered",
        ">Lovely.</textarea>",
    ] {
        assert!(answer.text.contains(words), "{words}");
    }
    let refused = post(&app, "/try", "model=customer-care&user=refuse").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.text.contains("the prompt is too long &#60;b&#62;"));
    let unknown = post(&app, "/try", "model=nobody&user=Lovely.").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_answer_the_script_received_is_drawn_as_text() {
    let app = app(SampleDesk::new());
    let body = "model=customer-care&text=%7B%22sentiment%22%3A-2%2C%22label%22%3A%22%3Cb%3E%22%7D";
    let drawn = post(&app, "/try/answer", body).await;
    assert_eq!(drawn.status, StatusCode::OK);
    assert!(
        drawn.text.contains("−2.0") && drawn.text.contains("&#60;b&#62;"),
        "{}",
        drawn.text
    );
}

/// The panel of this id, up to the next one.
fn panel<'a>(page: &'a str, id: &str) -> &'a str {
    let from = page
        .find(&format!("<section id=\"{id}\""))
        .expect("a panel");
    let rest = &page[from..];
    rest.split("</section>").next().expect("its end")
}

/// A workshop of two models, each with a system message of its own.
fn two() -> SampleDesk {
    let mut other = evidence::deployment();
    other.name = "after-sales".to_owned();
    other.system = Some("echo".to_owned());
    let mut desk = SampleDesk::new();
    desk.deployments.push(other);
    desk
}

#[tokio::test]
async fn two_models_answer_the_same_each_with_its_receipt() {
    let app = app(two());
    let asked = "model=customer-care&other=after-sales&user=Lovely.&system=written";
    let page = post(&app, "/try", asked).await;
    assert_eq!(page.status, StatusCode::OK);
    for (id, name) in [("answer", "customer-care"), ("answer-2", "after-sales")] {
        let panel = panel(&page.text, id);
        let said = panel.split_once('>').expect("its beginning").0;
        assert!(!said.contains("hidden"), "{said}");
        assert!(panel.contains(&format!("data-who>{name}<")), "{panel}");
        assert!(panel.contains("+2.3"), "{panel}");
        let receipt = format!("href=\"/receipts/{RECEIPT}\"");
        assert!(panel.contains(&receipt), "{panel}");
    }
    let alone = get(&app, "/try", "en").await.text;
    let begins = panel(&alone, "answer-2")
        .split_once('>')
        .expect("it")
        .0
        .to_owned();
    assert!(begins.ends_with(" hidden"), "{begins}");
    let beside = get(&app, "/try?model=customer-care&other=after-sales", "zh")
        .await
        .text;
    let shown = "<option value=\"after-sales\" data-system=\"echo\" selected>";
    assert!(
        beside.contains(shown) && beside.contains("并排对比"),
        "{beside}"
    );
    let nobody = post(
        &app,
        "/try",
        "model=customer-care&other=nobody&user=Lovely.",
    )
    .await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn each_model_gets_the_system_message_it_was_tuned_with() {
    let app = app(two());
    let own = evidence::deployment().system.expect("a system message");
    let own: String = own.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let asked = format!("model=customer-care&other=after-sales&user=echo&system={own}");
    let page = post(&app, "/try", &asked).await.text;
    // The sample's model server answers a message of `echo` with what it was sent.
    let sent = "&#34;role&#34;:&#34;system&#34;,&#34;content&#34;:&#34;echo&#34;";
    assert!(!panel(&page, "answer").contains(sent), "{page}");
    assert!(panel(&page, "answer-2").contains(sent), "{page}");
    let written = "model=customer-care&other=after-sales&user=echo&system=mine";
    let page = post(&app, "/try", written).await.text;
    for id in ["answer", "answer-2"] {
        let sent = "&#34;role&#34;:&#34;system&#34;,&#34;content&#34;:&#34;mine&#34;";
        assert!(panel(&page, id).contains(sent), "{id}: {page}");
    }
}

#[tokio::test]
async fn parameters_and_a_schema_go_along_and_stay_in_the_form() {
    let app = app(SampleDesk::new());
    let asked = "model=customer-care&user=echo&system=&temperature=0.7&top_p=0.9&max_tokens=64&seed=7\
                 &schema=%7B%22type%22%3A%22object%22%7D";
    let page = post(&app, "/try", asked).await;
    assert_eq!(page.status, StatusCode::OK);
    let answer = panel(&page.text, "answer").replace("&#34;", "\"");
    for sent in [
        "\"temperature\":0.7",
        "\"top_p\":0.9",
        "\"max_tokens\":64",
        "\"seed\":7",
        "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"answer\",\"schema\":{\"type\":\"object\"}}}",
    ] {
        assert!(answer.contains(sent), "{sent}: {answer}");
    }
    for kept in [
        "<details id=\"parameters\" open>",
        "name=\"temperature\" value=\"0.7\"",
        "name=\"seed\" value=\"7\"",
        "{&#34;type&#34;:&#34;object&#34;}</textarea>",
    ] {
        assert!(page.text.contains(kept), "{kept}");
    }
    let plain = post(&app, "/try", "model=customer-care&user=echo&system=&top_p=").await;
    let answer = panel(&plain.text, "answer").replace("&#34;", "\"");
    assert!(
        answer.contains("\"temperature\":0") && !answer.contains("top_p"),
        "{answer}"
    );
    assert!(plain.text.contains("<details id=\"parameters\"><summary>"));
}

#[tokio::test]
async fn a_parameter_that_is_none_is_named_and_nobody_is_asked() {
    let app = app(SampleDesk::new());
    for (field, said) in [
        (
            "temperature=warm",
            "Temperature is not what it has to be: warm",
        ),
        ("seed=%3Cb%3E", "Seed is not what it has to be: &#60;b&#62;"),
        (
            "schema=%7B",
            "JSON Schema of the answer is not what it has to be",
        ),
    ] {
        let asked = format!("model=customer-care&user=Lovely.&system=&{field}");
        let page = post(&app, "/try", &asked).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{field}");
        assert!(page.text.contains(said), "{field}: {}", page.text);
        assert!(!page.text.contains("74 prompt tokens"), "{field}");
        assert!(
            page.text.contains(">Lovely.</textarea>"),
            "what was typed is kept"
        );
    }
}

/// Every link of a page leads somewhere, with a script or without one.
#[tokio::test]
async fn there_is_no_link_to_no_receipt() {
    let app = app(two());
    for path in ["/try", "/try?model=customer-care&other=after-sales"] {
        let page = get(&app, path, "en").await.text;
        assert!(!page.contains("href=\"/receipts/\""), "{page}");
    }
    let refused = post(&app, "/try", "model=customer-care&user=refuse").await;
    assert!(!refused.text.contains("href=\"/receipts/\""));
}

#[tokio::test]
async fn who_was_refused_is_told_so() {
    let app = app(SampleDesk::new());
    let refused = post(&app, "/try", "model=customer-care&user=refuse").await;
    assert!(refused.text.contains("<b>Refused: the prompt is too long"));
    assert!(!refused.text.contains("<b>The model server did not answer"));
}

#[tokio::test]
async fn a_model_that_does_not_answer_everyone_is_marked() {
    let mut desk = two();
    desk.deployments[1].breaker = BreakerState::Restricted;
    "a record was withdrawn".clone_into(&mut desk.deployments[1].breaker_reason);
    let app = app(desk);
    let page = get(&app, "/try?model=after-sales", "en").await.text;
    for said in [
        "<span class=\"badge demo\">restricted</span>",
        "<b>a record was withdrawn</b>",
        "x-lathe-accept-restricted: 1",
        "<option value=\"after-sales\" selected>after-sales · restricted</option>",
        "<option value=\"customer-care\">customer-care</option>",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    let other = get(&app, "/try?model=customer-care", "en").await.text;
    assert!(!other.contains("a record was withdrawn"));
    let listed = "data-system=\"echo\">after-sales · restricted</option>";
    assert!(other.contains(listed), "{other}");
}

#[tokio::test]
async fn whoever_knows_that_a_model_is_restricted_can_say_so() {
    let mut desk = two();
    desk.deployments[1].breaker = BreakerState::Restricted;
    let app = app(desk);
    let page = get(&app, "/try?model=after-sales", "zh").await.text;
    let tick = "<input type=\"checkbox\" name=\"accepts\" value=\"yes\"";
    assert!(page.contains(tick) && !page.contains(" checked"), "{page}");
    assert!(page.contains("我已知悉该模型受限运行"), "{page}");
    let asked = "model=after-sales&user=echo&system=";
    let silent = post(&app, "/try", asked).await.text;
    assert!(!silent.contains("restricted is accepted"), "{silent}");
    let knowing = post(&app, "/try", &format!("{asked}&accepts=yes"))
        .await
        .text;
    assert!(knowing.contains("restricted is accepted"), "{knowing}");
    // It stays ticked for the next question.
    assert!(knowing.contains("aria-describedby=\"accepts-text\" checked"));
    // Where nothing is restricted there is nothing to know.
    let plain = get(&super::pages::app(two()), "/try", "en").await.text;
    assert!(!plain.contains("name=\"accepts\""), "{plain}");
}

#[tokio::test]
async fn a_refusal_is_told_by_its_code_in_the_language_of_the_page() {
    let app = app(SampleDesk::new());
    let form = "model=customer-care&user=refuse+context_length_exceeded";
    let chinese = post(&app, "/try?lang=zh", form).await.text;
    let told = "<b>请求被拒绝：输入超出模型的上下文长度";
    assert!(chinese.contains(told), "{chinese}");
    let said = "（the prompt is too long &#60;b&#62;）</b>";
    assert!(chinese.contains(said), "{chinese}");
    let english = post(&app, "/try", form).await.text;
    assert!(english.contains("<b>Refused: the prompt is too long &#60;b&#62;</b>"));
    // Who stands before the box is told to tick it.
    let form = "model=customer-care&user=refuse+restricted";
    let boxed = post(&app, "/try", form).await.text;
    assert!(
        boxed.contains("<b>Refused: The model is restricted."),
        "{boxed}"
    );
    assert!(!boxed.contains("the prompt is too long"), "{boxed}");
    // The script has the same words.
    let words = "data-refusals=\"{&#34;restricted&#34;:&#34;The model is restricted.";
    assert!(boxed.contains(words), "{boxed}");
}

#[tokio::test]
async fn a_restricted_model_leads_to_what_was_taken_back_and_to_where_it_is_tuned_again() {
    let mut desk = two();
    for deployment in &mut desk.deployments {
        deployment.breaker = BreakerState::Restricted;
    }
    let app = app(desk);
    let page = get(&app, "/try?model=customer-care", "en").await.text;
    let evidence = "<a href=\"/deployments/customer-care\">";
    assert!(page.contains(evidence), "{page}");
    // Nothing was taken back of what this one learnt from.
    let other = get(&app, "/try?model=after-sales", "zh").await.text;
    let evidence = "<span class=\"actions\"><a href=\"/deployments/after-sales\">部署</a></span>";
    assert!(other.contains(evidence), "{other}");
}
