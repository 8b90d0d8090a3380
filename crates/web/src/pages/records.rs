//! `/data/{digest}/records`: the records of a dataset version, a page at a time, each leading to its own page.
//!
//! A page is read from the version's folder without what stands behind it. Not here: what depends on a record.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use lathe_evidence::Digest;
use lathe_workshop::trace::RecordView;

use super::in_path::InPath;
use super::{Frame, PAGE_ROWS, PageNumber, Pager, Problem};
use crate::AppState;
use crate::lang::{Say, Tongue};

/// Characters shown of what a record says.
const TEXT_CHARS_MAX: usize = 160;

#[derive(Template)]
#[template(path = "records.html")]
struct RecordsPage {
    frame: Frame,
    name: String,
    dataset_href: String,
    /// Why there is none, by the catalogue.
    why_none: &'static str,
    records: Vec<Row>,
    pager: Pager,
}

struct Row {
    href: String,
    id: String,
    line: u64,
    text: String,
    side: String,
    withdrawn: bool,
}

/// `GET /data/{digest}/records?page=`.
pub(super) async fn page(
    State(state): State<AppState>,
    tongue: Tongue,
    InPath(digest): InPath,
    number: Result<Query<PageNumber>, QueryRejection>,
) -> Response {
    let number = number.map(|Query(number)| number).unwrap_or_default();
    match load(&state, tongue.clone(), &digest, number).await {
        Ok(page) => page.frame.answer(StatusCode::OK, &page),
        Err(problem) => problem.page(tongue),
    }
}

async fn load(
    state: &AppState,
    tongue: Tongue,
    digest: &str,
    number: PageNumber,
) -> Result<RecordsPage, Problem> {
    let dataset = state.desk.dataset(digest).await?.ok_or(Problem::Missing)?;
    let leaf = digest.parse::<Digest>().map_err(|_| Problem::Missing)?;
    let (limit, offset) = (PAGE_ROWS + 1, number.offset());
    let found = state.desk.dataset_records(&leaf, limit, offset).await?;
    let why_none = match found {
        None => "web.records.none",
        Some(_) => "web.page.none",
    };
    let mut records = found.unwrap_or_default();
    let dataset_href = format!("/data/{digest}");
    let pager = number.pager(&format!("{dataset_href}/records"), records.len());
    records.truncate(PAGE_ROWS as usize);
    let say = tongue.say;
    Ok(RecordsPage {
        frame: Frame::new(tongue, "data"),
        name: dataset.name,
        dataset_href,
        why_none,
        records: records.iter().map(|it| row(say, it)).collect(),
        pager,
    })
}

fn row(say: Say, record: &RecordView) -> Row {
    Row {
        href: format!("/records/{}", record.leaf),
        id: record.id.clone(),
        line: record.line,
        text: shortened(text(record)),
        side: say.it(match record.tuned_on {
            true => "web.record.tuned",
            false => "web.record.held",
        }),
        withdrawn: record.withdrawn.is_some(),
    }
}

/// What a record says: what the model is asked or, where no task is known, the first of its fields that is a text.
fn text(record: &RecordView) -> &str {
    match &record.prompt[..] {
        "" => {
            let mut texts = record.fields.values().filter_map(|it| it.as_str());
            texts.next().unwrap_or_default()
        }
        prompt => prompt,
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        let long = shortened(&"长".repeat(1000));
        assert_eq!(long.chars().count(), TEXT_CHARS_MAX + 1);
    }
}
