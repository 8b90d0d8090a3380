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

use super::bring::cells;
use super::{Frame, Problem, asked};
use crate::AppState;
use crate::format;
use crate::lang::{Say, Tongue};

#[derive(Template)]
#[template(path = "data_compare.html")]
struct ComparePage {
    frame: Frame,
    from: (String, String),
    to: (String, String),
    counts: Vec<(String, String)>,
    parts: Vec<Part>,
}

/// The records that only one of them has.
struct Part {
    id: &'static str,
    title: String,
    /// How many of them are shown, where not all are.
    first: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
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
    let parts = [
        part(say, "added", difference.added, &difference.added_first),
        part(
            say,
            "removed",
            difference.removed,
            &difference.removed_first,
        ),
    ];
    let page = ComparePage {
        from: (difference.from.digest, difference.from.name),
        to: (difference.to.digest, difference.to.name),
        counts: counts.map(count).into(),
        parts: parts.into_iter().flatten().collect(),
        frame: Frame::new(tongue, "data"),
    };
    page.frame.answer(StatusCode::OK, &page)
}

/// The records as a table; nothing where there are none.
fn part(say: Say, name: &'static str, count: u64, records: &[Map<String, Value>]) -> Option<Part> {
    let mut columns: Vec<String> = Vec::new();
    for key in records.iter().flat_map(Map::keys) {
        if !columns.contains(key) {
            columns.push(key.clone());
        }
    }
    let is_cut = count > records.len() as u64;
    (!records.is_empty()).then(|| Part {
        id: name,
        title: say.it_of("web.data.compare", name),
        first: match is_cut {
            true => say.of("web.data.compare.first", records.len()),
            false => String::new(),
        },
        rows: records.iter().map(|row| cells(&columns, row)).collect(),
        columns,
    })
}
