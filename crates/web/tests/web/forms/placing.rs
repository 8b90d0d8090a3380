//! Where the forms that place an order lead whoever fills them in, and what can be read on them.

use axum::http::StatusCode;

use super::{field, shop, tiny};

/// The first page comes back at the field whose value was refused, and the field names the alert.
#[tokio::test]
async fn a_refused_pack_of_the_first_page_is_led_to() {
    let shop = shop().await;
    let placing = |page: &str| {
        let (_, rest) = page.split_once("class=\"place\"").expect("the form");
        rest.split("</form>").next().expect("its end").to_owned()
    };
    assert!(!shop.get("/", "en").await.text.contains("autofocus"));
    let refused = shop.post("/orders", &[("pack", "/no/such/pack")]).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.text);
    let form = placing(&refused.text);
    assert!(form.contains("role=\"alert\" id=\"m-place\""), "{form}");
    let marked = "aria-invalid=\"true\" aria-describedby=\"m-place\" autofocus>";
    assert!(form.contains(marked), "{form}");
}

/// A pack that is titled as it is named is called so once, and what a field may be too short for is its title.
#[tokio::test]
async fn packs_and_sources_can_be_read_on_the_form() {
    let shop = shop().await;
    let made = shop.folder.path().join("home/packs/mail");
    std::fs::create_dir_all(&made).expect("a folder");
    for file in std::fs::read_dir(tiny()).expect("the fixture") {
        let file = file.expect("a file").path();
        let to = made.join(file.file_name().expect("its name"));
        std::fs::copy(&file, to).expect("a copy");
    }
    let text = std::fs::read_to_string(made.join("pack.yaml")).expect("the pack");
    let named = |line: &str| match line.split_once(':') {
        Some(("name", _)) => "name: mail".to_owned(),
        Some(("title", _)) => "title: {en: mail, zh: mail}".to_owned(),
        _ => line.to_owned(),
    };
    let lines: Vec<String> = text.lines().map(named).collect();
    std::fs::write(made.join("pack.yaml"), lines.join("\n")).expect("it is written");
    let page = shop.get("/orders/new?pack=mail", "en").await.text;
    assert!(
        page.contains("<option value=\"mail\">mail</option>"),
        "{page}"
    );
    // The sample is there wherever the workshop was started.
    assert!(page.contains("packs/customer-care"), "{page}");
    let source = field(&page, "model.source");
    let (_, input) = page.split_once("<input name=\"model.source\"").expect("it");
    let input = input.split('>').next().expect("its end");
    assert!(input.contains(&format!(" title=\"{source}\"")), "{input}");
}
