//! `/orders/{id}/lesson`: the first training records of an order, token by token.
//!
//! Which tokens are learnt from, and which are only read, as the tuning step has them. Bounded in
//! records and in tokens of each.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use lathe_workshop::OrderId;
use lathe_workshop::preview::{Counts, Marked, Preview, Token};

use super::in_path::InPath;
use super::{Frame, Problem};
use crate::AppState;
use crate::api::LESSON_RECORDS;
use crate::format;
use crate::lang::{Say, Tongue};

/// Tokens of a record on the page.
const TOKENS_MAX: usize = 1500;
/// Tokens of a soft target that are named.
const SHARES_MAX: usize = 5;

#[derive(Template)]
#[template(path = "lesson.html")]
struct LessonPage {
    frame: Frame,
    order: String,
    title: String,
    counts: String,
    warnings: Vec<String>,
    rows: Vec<RowView>,
    marks: Vec<(&'static str, String)>,
}

/// A record, token by token.
pub(super) struct RowView {
    /// What it is called.
    pub heading: String,
    /// Where the record is; empty before it is sealed.
    pub href: String,
    pub figures: String,
    pub badges: Vec<String>,
    pub tokens: Vec<TokenView>,
    pub more: String,
}

/// One token.
pub(super) struct TokenView {
    pub class: String,
    pub text: String,
    /// What is said of it where somebody points at it.
    pub note: String,
    /// What stands above it.
    pub weight: String,
    /// Whether a line ends behind it.
    pub breaks: bool,
}

/// `GET /orders/{id}/lesson`.
pub(super) async fn page(
    State(state): State<AppState>,
    tongue: Tongue,
    InPath(id): InPath,
) -> Response {
    match load(&state, tongue.clone(), OrderId(id)).await {
        Ok(page) => page.frame.answer(StatusCode::OK, &page),
        Err(problem) => problem.page(tongue),
    }
}

async fn load(state: &AppState, tongue: Tongue, id: OrderId) -> Result<LessonPage, Problem> {
    let order = state.desk.order(&id).await?.ok_or(Problem::Missing)?;
    let lesson = state.desk.lesson(&id, LESSON_RECORDS).await?;
    let say = tongue.say;
    let (rows, counts) = match lesson {
        Some(Preview { rows, counts }) => (rows, Some(counts)),
        None => (Vec::new(), None),
    };
    Ok(LessonPage {
        frame: Frame::new(tongue, "orders"),
        order: order.id.to_string(),
        title: say.pick(&order.title.en, &order.title.zh).to_owned(),
        warnings: counts.as_ref().map_or(Vec::new(), |it| warnings(say, it)),
        counts: match &counts {
            Some(counts) => counted(say, counts),
            None => say.it("web.lesson.none"),
        },
        rows: rows.iter().map(|row| row_view(say, row)).collect(),
        marks: marks(say),
    })
}

fn counted(say: Say, counts: &Counts) -> String {
    let numbers = [
        ("rows", counts.rows as u64),
        ("tokens", counts.tokens),
        ("supervised", counts.supervised),
        ("shared", counts.shared_prefix as u64),
    ];
    with(say, "web.lesson.counts", &numbers)
}

fn with(say: Say, key: &str, numbers: &[(&str, u64)]) -> String {
    let texts: Vec<(&str, String)> = numbers
        .iter()
        .map(|(name, number)| (*name, format::count(*number)))
        .collect();
    let texts: Vec<(&str, &str)> = texts
        .iter()
        .map(|(name, text)| (*name, &text[..]))
        .collect();
    say.with(key, &texts)
}

fn warnings(say: Say, counts: &Counts) -> Vec<String> {
    let found = [
        ("web.lesson.warn.unsupervised", &counts.unsupervised),
        ("web.lesson.warn.over", &counts.over_cutoff),
        ("web.lesson.warn.endless", &counts.endless),
    ];
    let max = counts.tokens_max as u64;
    found
        .into_iter()
        .filter(|(_, found)| found.rows > 0)
        .map(|(key, found)| with(say, key, &[("rows", found.rows), ("max", max)]))
        .collect()
}

/// The classes of tokens and what they mean.
pub(super) fn marks(say: Say) -> Vec<(&'static str, String)> {
    vec![
        ("learnt", say.it("web.lesson.learnt")),
        ("shared", say.it("web.lesson.shared")),
        ("read", say.it("web.lesson.read")),
        ("special", say.it("web.lesson.special")),
        ("end", say.it("web.lesson.end")),
        ("soft-target", say.it("web.lesson.soft")),
    ]
}

/// A row as it is shown.
pub(super) fn row_view(say: Say, row: &Marked) -> RowView {
    let figures = [
        ("tokens", row.tokens.len() as u64),
        ("supervised", row.supervised as u64),
    ];
    let badges = [
        (row.over_cutoff, "web.lesson.over"),
        (row.unsupervised, "web.lesson.unsupervised"),
        (row.withdrawn, "web.record.withdrawn"),
    ];
    let more = row.tokens.len().saturating_sub(TOKENS_MAX);
    RowView {
        heading: say.of("web.lesson.record", &row.record),
        href: format!("/records/{}", row.leaf),
        figures: with(say, "web.lesson.row", &figures),
        badges: badges
            .into_iter()
            .filter(|(is_so, _)| *is_so)
            .map(|(_, key)| say.it(key))
            .collect(),
        tokens: row
            .tokens
            .iter()
            .take(TOKENS_MAX)
            .map(|token| token_view(say, token))
            .collect(),
        more: if more == 0 {
            String::new()
        } else {
            say.of("web.lesson.more", format::count(more as u64))
        },
    }
}

fn token_view(say: Say, token: &Token) -> TokenView {
    let learnt = token.weight > 0.0;
    let classes = [
        (learnt, "learnt"),
        (!learnt && token.shared, "shared"),
        (token.special, "special"),
        (token.end, "end"),
        (!token.soft.is_empty(), "soft-target"),
    ];
    let classes: Vec<&str> = classes
        .into_iter()
        .filter_map(|(is_so, name)| is_so.then_some(name))
        .collect();
    let partial = learnt && token.weight != 1.0;
    let weight = token.weight.to_string();
    let mut notes = vec![say.with("web.lesson.token", &[("id", &token.id.to_string())])];
    if partial {
        notes.push(say.of("web.lesson.weight", &weight));
    }
    let shares = token.soft.iter().take(SHARES_MAX);
    notes.extend(shares.map(|it| format!("{} {:.2}", it.text, it.share)));
    TokenView {
        class: classes.join(" "),
        text: token.text.replace('\n', "⏎"),
        note: notes.join(" · "),
        weight: if partial {
            format!("×{weight}")
        } else {
            String::new()
        },
        breaks: token.text.ends_with('\n'),
    }
}
