//! `/data`: the dataset versions, newest first.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use lathe_workshop::DatasetView;

use super::{Frame, PAGE_ROWS, PageNumber, Pager, Problem, short};
use crate::AppState;
use crate::format;
use crate::lang::Tongue;

#[derive(Template)]
#[template(path = "datasets.html")]
struct DatasetsPage {
    frame: Frame,
    datasets: Vec<DatasetRow>,
    offset: u32,
    pager: Pager,
}

struct DatasetRow {
    digest: String,
    name: String,
    source: String,
    demonstration: bool,
    records: String,
    licence: String,
    root: String,
    short_root: String,
    created: String,
    created_text: String,
}

/// `GET /data`.
pub(super) async fn page(
    State(state): State<AppState>,
    tongue: Tongue,
    number: Result<Query<PageNumber>, QueryRejection>,
) -> Response {
    let number = number.map(|Query(number)| number).unwrap_or_default();
    let mut rows = match state.desk.datasets(PAGE_ROWS + 1, number.offset()).await {
        Ok(rows) => rows,
        Err(error) => return Problem::from(error).page(tongue),
    };
    let pager = number.pager("/data", rows.len());
    rows.truncate(PAGE_ROWS as usize);
    let page = DatasetsPage {
        frame: Frame::new(tongue, "data"),
        datasets: rows.into_iter().map(row).collect(),
        offset: number.offset(),
        pager,
    };
    page.frame.answer(StatusCode::OK, &page)
}

fn row(dataset: DatasetView) -> DatasetRow {
    let records = dataset
        .card
        .pointer("/statistics/records")
        .and_then(serde_json::Value::as_u64);
    DatasetRow {
        name: dataset.name,
        source: dataset.source,
        demonstration: dataset.demonstration,
        records: records.map_or_else(|| "–".to_owned(), format::count),
        licence: dataset.licence,
        short_root: short(&dataset.root).to_owned(),
        root: dataset.root,
        created: format::moment(dataset.created_ms),
        created_text: format::moment_text(dataset.created_ms),
        digest: dataset.digest,
    }
}
