//! `/models`: the base models and what orders made of them, narrowed as asked, newest first.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use lathe_workshop::{ModelKind, ModelRow, ModelsAsked};
use serde::Deserialize;

use super::model::{self, Standing};
use super::playground::encoded;
use super::{Frame, PAGE_ROWS, PageNumber, Pager, Problem, projects, short};
use crate::AppState;
use crate::format;
use crate::lang::{Say, Tongue};

#[derive(Template)]
#[template(path = "models.html")]
struct ModelsPage {
    frame: Frame,
    models: Vec<Row>,
    /// No model ever came: the page says how one does.
    nothing_yet: bool,
    text: String,
    kinds: Vec<Choice>,
    narrows: bool,
    pager: Pager,
}

struct Choice {
    value: &'static str,
    text: String,
    chosen: bool,
}

struct Row {
    href: String,
    name: String,
    kind: String,
    short_digest: String,
    demonstration: bool,
    /// What its projects are called; none for the common one.
    projects: Vec<String>,
    /// The base model and the stages that led from it here.
    from: Option<(String, String)>,
    /// Where it was fetched; shown of what no order made.
    source: String,
    stages: String,
    order: Option<(String, String)>,
    registration: Option<(String, String)>,
    standing: Standing,
    bytes: String,
    created: String,
    created_text: String,
}

/// `?page=&q=&kind=`; a form sends all of them, empty where nothing is chosen.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Listing {
    #[serde(default)]
    page: u32,
    #[serde(default)]
    q: String,
    #[serde(default)]
    kind: String,
}

/// The kinds that a list is narrowed to.
const KINDS: [ModelKind; 2] = [ModelKind::Base, ModelKind::Tuned];

impl Listing {
    /// What is asked for; words that nobody knows ask for nothing.
    fn asked(&self) -> ModelsAsked {
        ModelsAsked {
            kind: KINDS.into_iter().find(|kind| kind.as_str() == self.kind),
            text: (!self.q.trim().is_empty()).then(|| self.q.clone()),
        }
    }

    /// The address of this list without its page.
    fn path(asked: &ModelsAsked) -> String {
        let text = asked.text.as_deref();
        let said = [
            text.map(|text| format!("q={}", encoded(text))),
            asked.kind.map(|kind| format!("kind={}", kind.as_str())),
        ];
        match said.into_iter().flatten().collect::<Vec<_>>().join("&") {
            none if none.is_empty() => "/models".to_owned(),
            query => format!("/models?{query}"),
        }
    }
}

/// `GET /models`.
pub(super) async fn page(
    State(state): State<AppState>,
    tongue: Tongue,
    listing: Result<Query<Listing>, QueryRejection>,
) -> Response {
    let listing = listing.map(|Query(listing)| listing).unwrap_or_default();
    let asked = listing.asked();
    let number = PageNumber { page: listing.page };
    let read = state
        .desk
        .models_asked(&asked, PAGE_ROWS + 1, number.offset());
    let mut rows = match read.await {
        Ok(rows) => rows,
        Err(error) => return Problem::from(error).page(tongue),
    };
    let pager = number.pager(&Listing::path(&asked), rows.len());
    rows.truncate(PAGE_ROWS as usize);
    let say = tongue.say;
    let narrows = asked.kind.is_some() || asked.text.is_some();
    let choice = |kind: ModelKind| Choice {
        value: kind.as_str(),
        text: say.it_of("web.models.kind", kind.as_str()),
        chosen: asked.kind == Some(kind),
    };
    let digests: Vec<&str> = rows.iter().map(|it| &it.model.digest[..]).collect();
    let marks = match projects::marks(&state, &digests).await {
        Ok(marks) => marks,
        Err(error) => return Problem::from(error).page(tongue),
    };
    let marked = |(model, projects)| Row {
        projects,
        ..row(say, model)
    };
    let models: Vec<Row> = rows.into_iter().zip(marks).map(marked).collect();
    let page = ModelsPage {
        frame: Frame::new(tongue, "models"),
        nothing_yet: models.is_empty() && !narrows && number.offset() == 0,
        models,
        kinds: KINDS.into_iter().map(choice).collect(),
        text: asked.text.unwrap_or_default(),
        narrows,
        pager,
    };
    page.frame.answer(StatusCode::OK, &page)
}

fn row(say: Say, ModelRow { model, used }: ModelRow) -> Row {
    let base = used.base.as_ref();
    Row {
        href: format!("/models/{}", encoded(&model.digest)),
        kind: say.it_of("web.models.kind", &model.kind),
        short_digest: short(&model.digest).to_owned(),
        demonstration: model.demonstration,
        projects: Vec::new(),
        from: base.map(model::named),
        stages: model::stages(say, &used.stages),
        order: used.order.as_ref().map(model::order),
        registration: used.registration.as_deref().map(model::registration),
        standing: Standing::new(say, &used),
        bytes: format::file_size(model.bytes),
        created: format::moment(model.created_ms),
        created_text: format::moment_text(model.created_ms),
        source: model.source,
        name: model.name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_keeps_what_is_known() {
        let listing = Listing {
            page: 3,
            q: " 客 ".to_owned(),
            kind: "tuned".to_owned(),
        };
        let path = Listing::path(&listing.asked());
        assert_eq!(path, "/models?q=%20%E5%AE%A2%20&kind=tuned");
        let odd = Listing {
            kind: "odd".to_owned(),
            ..Listing::default()
        };
        assert_eq!(Listing::path(&odd.asked()), "/models");
    }
}
