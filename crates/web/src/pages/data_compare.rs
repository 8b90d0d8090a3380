//! `/data/compare?from=&to=`: what one dataset version has that another lacks.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use lathe_workshop::Operation;
use lathe_workshop::bring::DatasetDifference;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Frame, Problem, asked};
use crate::AppState;
use crate::format;
use crate::lang::Tongue;

#[derive(Template)]
#[template(path = "data_compare.html")]
struct ComparePage {
    frame: Frame,
    from: (String, String),
    to: (String, String),
    counts: Vec<(String, String)>,
    added: Vec<String>,
    removed: Vec<String>,
}

/// Which two.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Two {
    from: String,
    to: String,
}

/// `GET /data/compare`.
pub(super) async fn page(
    State(state): State<AppState>,
    tongue: Tongue,
    two: Result<Query<Two>, QueryRejection>,
) -> Response {
    let Query(Two { from, to }) = two.unwrap_or_default();
    let difference: Result<DatasetDifference, _> =
        asked(&state, Operation::DataCompare { from, to }).await;
    let difference = match difference {
        Ok(difference) => difference,
        Err(error) if error.code() == "dataset-unknown" => return Problem::Missing.page(tongue),
        Err(error) => return Problem::from(error).page(tongue),
    };
    let say = tongue.say;
    let counts = [
        ("same", difference.same),
        ("added", difference.added),
        ("removed", difference.removed),
    ];
    let count = |(name, count)| (say.it_of("web.data.compare", name), format::count(count));
    let page = ComparePage {
        from: (difference.from.digest, difference.from.name),
        to: (difference.to.digest, difference.to.name),
        counts: counts.map(count).into(),
        added: lines(&difference.added_first),
        removed: lines(&difference.removed_first),
        frame: Frame::new(tongue, "data"),
    };
    page.frame.answer(StatusCode::OK, &page)
}

fn lines(records: &[Map<String, Value>]) -> Vec<String> {
    let line = |record: &Map<String, Value>| Value::Object(record.clone()).to_string();
    records.iter().map(line).collect()
}
