//! `/settings`: what the workshop runs with, and where each of it is changed. Nothing is changed here.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use lathe_workshop::settings::SettingsSection;
use lathe_workshop::words::Lang;

use super::{Frame, Problem};
use crate::AppState;
use crate::lang::Tongue;

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    frame: Frame,
    sections: Vec<Section>,
}

struct Section {
    name: String,
    title: String,
    rows: Vec<Row>,
}

struct Row {
    title: String,
    value: String,
    changed_by: Vec<String>,
}

/// `GET /settings`.
pub(super) async fn page(State(state): State<AppState>, tongue: Tongue) -> Response {
    let told = match state.desk.runs_with().await {
        Ok(told) => told,
        Err(error) => return Problem::from(error).page(tongue),
    };
    let lang = tongue.say.lang();
    let sections = told.sections.into_iter();
    let page = SettingsPage {
        frame: Frame::new(tongue, "settings"),
        sections: sections.map(|it| section(lang, it)).collect(),
    };
    page.frame.answer(StatusCode::OK, &page)
}

fn section(lang: Lang, section: SettingsSection) -> Section {
    let title = section.title(lang);
    let rows = section.settings.into_iter().map(|line| Row {
        title: line.title(lang),
        value: line.text(lang),
        changed_by: line.changed_by,
    });
    Section {
        title,
        rows: rows.collect(),
        name: section.name,
    }
}
