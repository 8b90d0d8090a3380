//! `/data`: the dataset versions, newest first.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use lathe_workshop::DatasetView;

use super::{Frame, PAGE_ROWS, PageNumber, Pager, Problem, dataset, projects, short};
use crate::AppState;
use crate::format;
use crate::lang::{Say, Tongue};

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
    /// What its projects are called; none for the common one.
    projects: Vec<String>,
    records: String,
    /// How many of them were withdrawn; empty where none was.
    withdrawn: String,
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
    let digests: Vec<&str> = rows.iter().map(|it| &it.digest[..]).collect();
    let marks = match projects::marks(&state, &digests).await {
        Ok(marks) => marks,
        Err(error) => return Problem::from(error).page(tongue),
    };
    let say = tongue.say;
    let marked = |(dataset, projects)| DatasetRow {
        projects,
        ..row(say, dataset)
    };
    let datasets: Vec<DatasetRow> = rows.into_iter().zip(marks).map(marked).collect();
    let page = DatasetsPage {
        frame: Frame::new(tongue, "data"),
        datasets,
        offset: number.offset(),
        pager,
    };
    page.frame.answer(StatusCode::OK, &page)
}

fn row(say: Say, dataset: DatasetView) -> DatasetRow {
    let records = dataset
        .card
        .pointer("/statistics/records")
        .and_then(serde_json::Value::as_u64);
    DatasetRow {
        withdrawn: dataset::gone(say, &dataset).unwrap_or_default(),
        name: dataset.name,
        source: dataset.source,
        demonstration: dataset.demonstration,
        projects: Vec::new(),
        records: records.map_or_else(|| "–".to_owned(), format::count),
        licence: dataset.licence,
        short_root: short(&dataset.root).to_owned(),
        root: dataset.root,
        created: format::moment(dataset.created_ms),
        created_text: format::moment_text(dataset.created_ms),
        digest: dataset.digest,
    }
}
