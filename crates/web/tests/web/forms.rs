//! The pages on which people do things, over a real workshop in a folder of its own: an order as a form, a
//! file that is brought, the review of feedback. No order runs, and nobody answers.

use std::path::Path;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use lathe_evidence::receipt::Ended;
use lathe_evidence::{Digest, canonical};
use lathe_web::{Access, AppState, router};
use lathe_workshop::feedback::{FeedbackKind, Given, Giver};
use lathe_workshop::{Opening, ReceiptDraft, Texts, Workshop};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::sample::nobody::workshop;

mod clone;
mod placing;

const BODY_BYTES_MAX: usize = 4 << 20;

/// A workshop, its pages, and the folder that both are gone with.
struct Shop {
    workshop: Workshop,
    app: Router,
    folder: tempfile::TempDir,
}

async fn shop() -> Shop {
    let folder = tempfile::tempdir().expect("a folder");
    let workshop = workshop(&folder.path().join("home"), None).await;
    let workshop = workshop.expect("it opens");
    let state = AppState::new(workshop.clone(), Router::new(), Access::Loopback);
    Shop {
        workshop,
        app: router(state),
        folder,
    }
}

struct Answer {
    status: StatusCode,
    /// Where it leads.
    location: String,
    text: String,
}

impl Shop {
    async fn send(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        lang: &str,
        body: Vec<u8>,
    ) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "127.0.0.1:7878")
            .header("origin", "http://127.0.0.1:7878")
            .header("accept-language", lang)
            .header("content-type", kind)
            .body(Body::from(body));
        let Ok(response) = self.app.clone().oneshot(request.expect("a request")).await;
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, BODY_BYTES_MAX)
            .await
            .expect("a body");
        let location = parts.headers.get("location");
        Answer {
            status: parts.status,
            location: location.map_or(String::new(), |it| it.to_str().expect("ASCII").to_owned()),
            text: String::from_utf8(bytes.to_vec()).expect("UTF-8"),
        }
    }

    async fn get(&self, path: &str, lang: &str) -> Answer {
        self.send(Method::GET, path, "text/plain", lang, Vec::new())
            .await
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let pairs: Vec<String> = form
            .iter()
            .map(|(key, value)| format!("{}={}", escaped(key), escaped(value)))
            .collect();
        let kind = "application/x-www-form-urlencoded";
        self.send(Method::POST, path, kind, "en", pairs.join("&").into_bytes())
            .await
    }

    async fn operate(&self, operation: Value) -> (StatusCode, Value) {
        let body = operation.to_string().into_bytes();
        let answer = self
            .send(
                Method::POST,
                "/api/operations",
                "application/json",
                "en",
                body,
            )
            .await;
        (
            answer.status,
            serde_json::from_str(&answer.text).unwrap_or_default(),
        )
    }

    /// Brings a file as a form does.
    async fn bring(&self, name: &str, text: &str) -> Answer {
        let body = format!(
            "--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             content-type: text/csv\r\n\r\n{text}\r\n--x--\r\n"
        );
        let kind = "multipart/form-data; boundary=x";
        self.send(Method::POST, "/data/bring", kind, "en", body.into_bytes())
            .await
    }
}

fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let byte = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

fn tiny() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny-pack");
    path.canonicalize()
        .expect("the fixture")
        .display()
        .to_string()
}

/// What stands in a field of the page.
fn field(page: &str, name: &str) -> String {
    let start = page
        .find(&format!("<input name=\"{name}\" value=\""))
        .expect(name);
    let rest = &page[start..];
    let value = rest.split("value=\"").nth(1).expect("a value");
    value.split('"').next().expect("its end").to_owned()
}

/// What stands in a text area, its markup undone.
fn area(page: &str, name: &str) -> String {
    let start = page
        .find(&format!("<textarea name=\"{name}\""))
        .expect(name);
    let rest = page[start..].split_once('>').expect("its begin").1;
    let text = rest.split("</textarea>").next().expect("its end");
    [
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#38;", "&"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (mark, letter)| {
        text.replace(mark, letter)
    })
}

#[tokio::test]
async fn form_yaml_and_command_say_the_same_order() {
    let shop = shop().await;
    let pack = tiny();
    let page = shop.get(&format!("/orders/new?pack={pack}"), "en").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert_eq!(field(&page.text, "tune.sft.epochs"), "30");
    assert!(page.text.contains("Training steps"), "{}", page.text);
    let chinese = shop
        .get(&format!("/orders/new?pack={pack}"), "zh")
        .await
        .text;
    assert!(
        chinese.contains("学习率") && chinese.contains("训练步数"),
        "{chinese}"
    );

    // The form, changed and checked.
    let form = [
        ("pack", &pack[..]),
        ("do", "check"),
        ("tune.sft.epochs", "2"),
        ("tune.sft.rank", "8"),
        ("more", "ask.records=1\r\n"),
    ];
    let checked = shop.post("/orders/new", &form).await;
    assert_eq!(checked.status, StatusCode::OK, "{}", checked.text);
    let yaml = area(&checked.text, "yaml");
    assert_eq!(
        yaml,
        format!("pack: \"{pack}\"\nset:\n  ask.records: 1\n  tune.sft.epochs: 2\n")
    );
    let command = format!("lathe run {pack} --set ask.records=1 --set tune.sft.epochs=2");
    assert!(checked.text.contains(&command), "{}", checked.text);
    assert!(checked.text.contains("the pack says 30"));

    // The YAML fills the form in the same way.
    let read = shop
        .post(
            "/orders/new",
            &[("pack", &pack), ("do", "yaml"), ("yaml", &yaml)],
        )
        .await;
    assert_eq!(field(&read.text, "tune.sft.epochs"), "2");
    assert_eq!(area(&read.text, "more"), "ask.records=1");
    assert_eq!(area(&read.text, "yaml"), yaml);

    // Placed, it is the order that was shown.
    let mut form = form.to_vec();
    form[1] = ("do", "place");
    let placed = shop.post("/orders/new", &form).await;
    assert_eq!(placed.status, StatusCode::SEE_OTHER, "{}", placed.text);
    let id = placed
        .location
        .strip_prefix("/orders/")
        .expect("an order's page");
    let settings = shop
        .get(&format!("/api/orders/{id}/settings"), "en")
        .await
        .text;
    let settings: Value = serde_json::from_str(&settings).expect("JSON");
    assert_eq!(settings["settings"]["tune.sft.epochs"], json!(2.0));
    assert_eq!(settings["settings"]["ask.records"], json!(1));
}

#[tokio::test]
async fn what_would_become_of_an_order_is_an_operation_too() {
    let (shop, pack) = (shop().await, tiny());
    let (_, plan) = shop
        .operate(json!({"do": "order-plan", "pack": pack, "set": {"tune.sft.epochs": 2}}))
        .await;
    assert_eq!(plan["mistakes"], json!([]), "{plan}");
    assert!(
        plan["estimate"]["training_steps"]
            .as_u64()
            .is_some_and(|it| it > 1),
        "{plan}"
    );
}

#[tokio::test]
async fn each_mistake_of_an_order_is_marked_at_its_field() {
    let shop = shop().await;
    let pack = tiny();
    for does in ["check", "place"] {
        let form = [
            ("pack", &pack[..]),
            ("do", does),
            ("tune.sft.rank", "0"),
            ("data.source", "file:<b>gone.tsv"),
            ("tune.sft.epochs", "many"),
        ];
        let refused = shop.post("/orders/new", &form).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        for key in ["tune.sft.rank", "tune.sft.epochs"] {
            assert!(
                refused.text.contains(&format!("id=\"m-{key}\"")),
                "{key}: {}",
                refused.text
            );
        }
        assert!(refused.text.contains("must be between 1 and 1024"));
        // Where the order is placed, the way to each is shown.
        let (_, told) = refused.text.split_once("The order cannot").expect("it");
        let told = told.split("</div>").next().expect("its end");
        for key in ["tune.sft.rank", "tune.sft.epochs"] {
            let link = format!("<a href=\"#f-{key}\">");
            assert!(told.contains(&link), "{key}: {told}");
            assert!(refused.text.contains(&format!(" id=\"f-{key}\">")));
        }
        assert!(!refused.text.contains("<b>gone"));
    }
    let missing = [
        ("pack", &pack[..]),
        ("do", "check"),
        ("data.source", "file:gone.tsv"),
    ];
    let missing = shop.post("/orders/new", &missing).await;
    assert!(
        missing.text.contains("id=\"m-data.source\""),
        "{}",
        missing.text
    );
    let yaml = [
        ("pack", &pack[..]),
        ("do", "yaml"),
        ("yaml", "pack: a\nquik: true"),
    ];
    let yaml = shop.post("/orders/new", &yaml).await;
    assert_eq!(yaml.status, StatusCode::BAD_REQUEST);
    assert!(yaml.text.contains("id=\"m-yaml\"") && yaml.text.contains("quik"));
    let lines = [("pack", &pack[..]), ("do", "check"), ("more", "nothing")];
    assert_eq!(
        shop.post("/orders/new", &lines).await.status,
        StatusCode::BAD_REQUEST
    );
    let gone = shop.get("/orders/new?pack=/no/such/pack", "en").await;
    assert_eq!(gone.status, StatusCode::BAD_REQUEST);
    assert!(gone.text.contains("role=\"alert\""));
}

#[tokio::test]
async fn what_is_required_is_marked_and_said_at_its_field_where_it_is_empty() {
    let (shop, pack) = (shop().await, tiny());
    let page = shop.get(&format!("/orders/new?pack={pack}"), "zh").await;
    let (_, licence) = page
        .text
        .split_once("<input name=\"data.licence\"")
        .expect("it");
    let licence = licence.split('>').next().expect("its end");
    assert!(
        licence.contains(" required aria-required=\"true\""),
        "{licence}"
    );
    assert!(page.text.contains("必填"), "{}", page.text);
    for does in ["check", "place"] {
        let form = [("pack", &pack[..]), ("do", does), ("data.licence", " ")];
        let refused = shop.post("/orders/new", &form).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{does}");
        assert_eq!(field(&refused.text, "data.licence"), "");
        for words in ["id=\"m-data.licence\"", "This is required"] {
            assert!(refused.text.contains(words), "{words}: {}", refused.text);
        }
    }
    let file = shop.bring("reviews.csv", &table()).await.location;
    let form = [
        ("do", "make"),
        ("kind", "label"),
        ("question", "text"),
        ("answer", "label"),
        ("name", "ours"),
        ("licence", ""),
        ("owner", " "),
    ];
    let refused = shop.post(&file, &form).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    for key in ["licence", "owner"] {
        let at = format!("aria-invalid=\"true\" aria-describedby=\"m-{key}\"");
        assert!(refused.text.contains(&at), "{key}: {}", refused.text);
        let marked = format!("<input name=\"{key}\" required aria-required=\"true\"");
        assert!(refused.text.contains(&marked), "{key}");
    }
    assert_eq!(refused.text.matches("This is required").count(), 2);
    assert!(!refused.text.contains("unprintable"), "{}", refused.text);
}

/// A recipe for the tiny pack, whose rank is 8 and whose epochs are 30.
const RECIPE: &str = "model_name_or_path: some/model\nstage: sft\nlora_rank: 16\nlora_alpha: 16\n\
                      num_train_epochs: 30\nlr_scheduler_type: linear\nbf16: true\noutput_dir: saves\n";

#[tokio::test]
async fn a_recipe_fills_the_form_as_far_as_it_speaks_of_learning() {
    let (shop, pack) = (shop().await, tiny());
    let form = [
        ("pack", &pack[..]),
        ("do", "recipe"),
        ("tune.sft.seed", "9"),
        ("recipe", RECIPE),
    ];
    let read = shop.post("/orders/new", &form).await;
    assert_eq!(read.status, StatusCode::OK, "{}", read.text);
    assert_eq!(field(&read.text, "tune.sft.rank"), "16");
    assert_eq!(field(&read.text, "tune.sft.seed"), "9");
    assert_eq!(area(&read.text, "more"), "tune.sft.schedule=linear");
    let yaml = area(&read.text, "yaml");
    let set = "set:\n  tune.sft.rank: 16\n  tune.sft.schedule: linear\n  tune.sft.seed: 9\n";
    assert_eq!(yaml, format!("pack: \"{pack}\"\n{set}"));
    assert_eq!(area(&read.text, "recipe"), RECIPE);
    for (who, keys) in [
        ("Base model: as the pack has it", "model_name_or_path"),
        ("Output: kept by the workshop", "output_dir"),
        ("Without effect here", "bf16"),
    ] {
        let line = format!("<dt>{who}</dt><dd class=\"mono\">{keys}</dd>");
        assert!(read.text.contains(&line), "{line}: {}", read.text);
    }
    // The YAML is the same order again, and what the form then says too.
    let form = [("pack", &pack[..]), ("do", "yaml"), ("yaml", &yaml)];
    let again = shop.post("/orders/new", &form).await;
    assert_eq!(area(&again.text, "yaml"), yaml);
    assert_eq!(field(&again.text, "tune.sft.rank"), "16");
    let operation = json!({"do": "order-recipe", "pack": pack, "recipe": RECIPE});
    let (status, answer) = shop.operate(operation).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let set = json!({"tune.sft.rank": 16, "tune.sft.schedule": "linear"});
    assert_eq!(answer["set"], set);
    assert_eq!(answer["left"][0]["part"], "model");
    assert_eq!(answer["mistakes"], json!([]));
}

#[tokio::test]
async fn each_mistake_of_a_recipe_is_marked_at_its_key() {
    let (shop, pack) = (shop().await, tiny());
    let recipe = "stage: dpo\nlora_rank: 0\n<b>bold</b>: 1\nseed: 5\n";
    let form = [("pack", &pack[..]), ("do", "recipe"), ("recipe", recipe)];
    let wrong = shop.post("/orders/new", &form).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    for key in ["stage", "lora_rank", "&#60;b&#62;bold&#60;/b&#62;"] {
        let told = format!("<code>{key}</code>");
        assert!(wrong.text.contains(&told), "{key}: {}", wrong.text);
    }
    assert!(wrong.text.contains("aria-describedby=\"m-recipe\""));
    assert!(!wrong.text.contains("<b>bold"));
    // What has a field is marked there, too; what is sound stands in the form.
    assert!(wrong.text.contains("id=\"m-tune.sft.rank\""));
    assert_eq!(field(&wrong.text, "tune.sft.seed"), "5");
    let none = [
        ("pack", &pack[..]),
        ("do", "recipe"),
        ("recipe", "stage: ["),
    ];
    let none = shop.post("/orders/new", &none).await;
    assert_eq!(none.status, StatusCode::BAD_REQUEST);
    assert_eq!(area(&none.text, "recipe"), "stage: [");
    // Another button keeps what was pasted and says nothing of it.
    let form = [("pack", &pack[..]), ("do", "check"), ("recipe", recipe)];
    let kept = shop.post("/orders/new", &form).await;
    assert_eq!(kept.status, StatusCode::OK, "{}", kept.text);
    assert_eq!(area(&kept.text, "recipe"), recipe);
    assert!(!kept.text.contains("id=\"m-recipe\""));
}

fn table() -> String {
    let row = |row: usize| {
        let label = ["good", "<b>bad</b>"][row % 2];
        format!("\"Review {row}: <script>alert(1)</script> 13800138000\",{label}\n")
    };
    "text,label\n".to_owned() + &(0..40).map(row).collect::<String>()
}

#[tokio::test]
async fn a_table_is_brought_and_tuned_on_without_a_word_of_documentation() {
    let shop = shop().await;
    let data = shop.get("/data", "en").await.text;
    assert!(data.contains("href=\"/data/bring\""));
    let brought = shop.bring("reviews.csv", &table()).await;
    assert_eq!(brought.status, StatusCode::SEE_OTHER, "{}", brought.text);
    let file = brought.location;
    for (lang, word) in [("en", "Personal data"), ("zh", "个人信息")] {
        let page = shop.get(&file, lang).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        assert!(page.text.contains(word), "{}", page.text);
        assert!(page.text.contains("138••••••00") && !page.text.contains("<script>alert"));
        assert!(
            page.text.contains("<option selected>text</option>"),
            "{}",
            page.text
        );
        assert!(
            page.text.contains("value=\"label\" checked"),
            "{}",
            page.text
        );
    }
    // What is missing is said at its field, and nothing is made.
    let mut form = vec![
        ("do", "make"),
        ("kind", "label"),
        ("question", "text"),
        ("answer", "label"),
        ("name", "Our Reviews"),
        ("licence", "CC-BY-4.0"),
        ("owner", "Our shop"),
    ];
    let refused = shop.post(&file, &form).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.text.contains("id=\"m-name\""), "{}", refused.text);
    let gone = [
        ("do", "check"),
        ("kind", "label"),
        ("question", "gone"),
        ("answer", "label"),
    ];
    let gone = shop.post(&file, &gone).await;
    assert!(gone.text.contains("id=\"m-question\""), "{}", gone.text);
    form[4] = ("name", "our-reviews");
    let made = shop.post(&file, &form).await;
    assert_eq!(made.status, StatusCode::SEE_OTHER, "{}", made.text);
    assert_eq!(made.location, "/orders/new?pack=our-reviews");
    let order = shop.get(&made.location, "en").await;
    assert_eq!(order.status, StatusCode::OK, "{}", order.text);
    assert!(
        order.text.contains("<dt>Training records</dt>"),
        "{}",
        order.text
    );
    let placed = shop
        .post("/orders/new", &[("pack", "our-reviews"), ("do", "place")])
        .await;
    assert_eq!(placed.status, StatusCode::SEE_OTHER, "{}", placed.text);
    assert_eq!(shop.get(&file, "en").await.status, StatusCode::NOT_FOUND);
    the_next_version_is_held_against_the_first(&shop, form).await;
}

async fn the_next_version_is_held_against_the_first(
    shop: &Shop,
    mut form: Vec<(&'static str, &'static str)>,
) {
    let more = shop
        .bring("reviews.csv", &(table() + "A new one,good\n"))
        .await
        .location;
    assert_eq!(
        shop.post(&more, &form).await.status,
        StatusCode::BAD_REQUEST
    );
    form.push(("next_version", "true"));
    assert_eq!(shop.post(&more, &form).await.status, StatusCode::SEE_OTHER);
    let versions = shop.workshop.datasets(10, 0).await.expect("datasets");
    let [to, from] = &versions[..] else {
        panic!("{} versions", versions.len());
    };
    let page = shop.get(&format!("/data/{}", to.digest), "en").await.text;
    let compare = format!("/data/compare?from={}&amp;to={}", from.digest, to.digest);
    assert!(page.contains(&compare), "{page}");
    let page = shop.get(&compare.replace("&amp;", "&"), "en").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert!(
        page.text.contains("<dt>Added records</dt><dd>1</dd>"),
        "{}",
        page.text
    );
    let none = shop
        .get(&format!("/data/compare?from={}&to=none", from.digest), "en")
        .await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_file_comes_in_pieces_through_the_api_and_goes_on_where_it_broke_off() {
    let shop = shop().await;
    let text = table();
    let begin = json!({
        "do": "bring-begin", "name": "reviews.csv", "bytes": text.len(),
        "sha256": Digest::of(text.as_bytes()),
    });
    let (status, file) = shop.operate(begin.clone()).await;
    assert_eq!(status, StatusCode::OK, "{file}");
    let path = format!("/api/brought/{}", file["id"].as_str().expect("an id"));
    let put = |offset: usize, bytes: &str| {
        let (path, bytes) = (format!("{path}?offset={offset}"), bytes.as_bytes().to_vec());
        let shop = &shop;
        async move {
            shop.send(Method::PUT, &path, "application/octet-stream", "en", bytes)
                .await
        }
    };
    assert_eq!(put(0, &text[..100]).await.status, StatusCode::OK);
    let twice = put(0, &text[..100]).await;
    assert_eq!(twice.status, StatusCode::CONFLICT);
    assert!(twice.text.contains("bring-offset"), "{}", twice.text);
    let (_, again) = shop.operate(begin).await;
    assert_eq!(again["received"], 100);
    assert_eq!(put(100, &text[100..]).await.status, StatusCode::OK);
    let list = shop.get("/api/brought", "en").await.text;
    assert!(list.contains("\"complete\":true"), "{list}");
    let large = "x".repeat((4 << 20) + 1);
    assert_eq!(put(0, &large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    for id in ["none", "..%2F..%2Fkeys", "%ff"] {
        let path = format!("/api/brought/{id}?offset=0");
        let answer = shop
            .send(Method::PUT, &path, "text/plain", "en", Vec::new())
            .await;
        assert!(answer.status.is_client_error(), "{id}: {}", answer.status);
    }
    // A form without a file, and one whose ending is no format.
    assert_eq!(shop.bring("", "").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        shop.bring("x.exe", "MZ").await.status,
        StatusCode::BAD_REQUEST
    );
    let forget = json!({"do": "bring-forget", "id": file["id"]});
    assert_eq!(shop.operate(forget.clone()).await.0, StatusCode::OK);
    assert_eq!(shop.operate(forget).await.0, StatusCode::NOT_FOUND);
}

/// What is said of the file stands with it; where nothing is said of how it comes, no room is left for that.
#[tokio::test]
async fn the_note_of_a_file_and_how_it_comes_stand_with_its_field() {
    let page = shop().await.get("/data/bring", "en").await.text;
    let (_, form) = page
        .split_once("<form class=\"card\" id=\"bring\"")
        .expect(&page);
    let (_, noted) = form.split_once("<div class=\"noted\">").expect(form);
    let (noted, rest) = noted.split_once("</div>").expect("its end");
    for part in [
        "aria-describedby=\"formats\"",
        "id=\"formats\"",
        "<progress",
        "data-status",
    ] {
        assert!(noted.contains(part), "{part}: {noted}");
    }
    assert!(
        rest.trim_start().starts_with("<div class=\"actions\">"),
        "{rest}"
    );
}

/// Answers a question in the book, and corrects the answer once for each of `corrections`.
async fn corrected(shop: &Shop, question: &str, corrections: &[&str]) -> Vec<String> {
    let messages = json!([{"role": "user", "content": question}]);
    let prompt = canonical::to_bytes(&messages).expect("texts alone");
    let prompt = String::from_utf8(prompt).expect("UTF-8");
    let digest = Digest::of(b"a model");
    let book = shop.workshop.book();
    let opening = Opening {
        name: "tiny".to_owned(),
        deployment: digest,
        model: digest,
        policy: digest,
        prompt: Digest::of(prompt.as_bytes()),
        accepts_restricted: false,
        relayed: false,
    };
    let opened = book.open(opening).await.expect("opened");
    let receipt = opened.id.clone();
    let texts = Texts {
        prompt,
        answer: "an <i>answer</i>".to_owned(),
    };
    let draft = ReceiptDraft {
        opened,
        answer: Digest::of(texts.answer.as_bytes()),
        ended: Ended::Stop,
        prompt_tokens: 3,
        answer_tokens: 2,
        spans: Vec::new(),
        shingles: Vec::new(),
        relayed: None,
        texts: Some(texts),
    };
    book.close(draft).await.expect("closed");
    let mut ids = Vec::new();
    for (place, correction) in corrections.iter().enumerate() {
        let given = Given {
            receipt: receipt.clone(),
            kind: FeedbackKind::Correction,
            correction: Some((*correction).to_owned()),
            reason: Some("it was <b>wrong</b>".to_owned()),
            from: Some(format!("caller {place}")),
            prompt: None,
        };
        let giver = Giver {
            token: String::new(),
            name: "local".to_owned(),
        };
        let row = shop
            .workshop
            .give_feedback(given, &giver)
            .await
            .expect("given");
        ids.push(row.id);
    }
    ids
}

#[tokio::test]
async fn feedback_is_reviewed_edited_and_made_a_dataset() {
    let shop = shop().await;
    let empty = shop.get("/review", "zh").await.text;
    assert!(empty.contains("暂无反馈"), "{empty}");
    let first = corrected(&shop, "Is <b>it</b> so?", &["yes", "yes", "no"]).await;
    let second = corrected(&shop, "And this?", &["certainly"]).await;
    let page = shop.get("/review", "en").await.text;
    assert!(
        page.contains("2 of 3 corrections of this answer say the same."),
        "{page}"
    );
    assert!(page.contains("Is &#60;b&#62;it&#60;/b&#62; so?") && !page.contains("<b>it"));
    assert!(page.contains("an &#60;i&#62;answer"), "{page}");

    // A rejection without a reason is refused at its card.
    let refused = shop
        .post(
            "/review",
            &[
                ("id", &first[2]),
                ("do", "reject"),
                ("by", "Li Lei"),
                ("correction", "no"),
            ],
        )
        .await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.text.contains("role=\"alert\""), "{}", refused.text);
    let form = [
        ("id", &first[2][..]),
        ("do", "reject"),
        ("by", "Li Lei"),
        ("reason", "it is so"),
    ];
    let done = shop.post("/review", &form).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    assert!(done.location.contains("by=Li%20Lei"), "{}", done.location);

    // What is accepted as it was given stays the giver's; what is edited is a correction of its own.
    let form = [
        ("id", &first[0][..]),
        ("do", "accept"),
        ("by", "Li Lei"),
        ("correction", "yes"),
    ];
    assert_eq!(
        shop.post("/review", &form).await.status,
        StatusCode::SEE_OTHER
    );
    let form = [
        ("id", &second[0][..]),
        ("do", "accept"),
        ("by", "Li Lei"),
        ("correction", "certainly,\r\nalways"),
    ];
    assert_eq!(
        shop.post("/review", &form).await.status,
        StatusCode::SEE_OTHER
    );
    let (_, shown) = shop
        .operate(json!({"do": "feedback-show", "id": second[0]}))
        .await;
    assert_eq!(shown["state"], "rejected", "{shown}");
    assert_eq!(shown["correction"], "certainly");
    assert_eq!(shown["others"][0]["correction"], "certainly,\nalways");
    assert_eq!(shown["others"][0]["state"], "accepted");
    let page = shop.get("/review?state=accepted", "en").await.text;
    assert!(page.contains("Decided by Li Lei"), "{page}");
    corrections_become_a_dataset(&shop).await;
}

async fn corrections_become_a_dataset(shop: &Shop) {
    let made = shop
        .post(
            "/review/learn",
            &[("do", "dataset"), ("dataset", "corrections")],
        )
        .await;
    assert_eq!(made.status, StatusCode::SEE_OTHER, "{}", made.text);
    let dataset = shop.get(&made.location, "en").await;
    assert_eq!(dataset.status, StatusCode::OK, "{}", dataset.text);
    let none = shop
        .post("/review/learn", &[("do", "tune"), ("deployment", "none")])
        .await;
    assert!(none.status.is_client_error() && none.text.contains("role=\"alert\""));
}
