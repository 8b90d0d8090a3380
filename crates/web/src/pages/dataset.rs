//! `/data/{digest}`: one dataset version: terms, counts, statistics, what was left out and why, what was withdrawn since.
//!
//! Not here: the records themselves; they may be private, and a page of statistics needs none.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use lathe_data::prepare::{Duplicate, FieldStatistics, Statistics};
use lathe_data::reader::Broken;
use lathe_evidence::statement::{Withdrawal, Withdrawn};
use lathe_workshop::trace::Said;
use lathe_workshop::{DatasetView, bring};
use serde::de::DeserializeOwned;

use super::chain::{self, EntryLink};
use super::in_path::InPath;
use super::order::Tile;
use super::{Frame, Problem, short};
use crate::AppState;
use crate::chart;
use crate::format;
use crate::lang::{Say, Tongue};

/// Rows shown of what was left out.
const LEFT_OUT_ROWS_MAX: usize = 50;
/// Dataset versions that are looked through for others of the same name.
const VERSIONS_MAX: u32 = 200;
/// Values shown of a field with few different ones.
const CATEGORY_ROWS_MAX: usize = 12;

#[derive(Template)]
#[template(path = "dataset.html")]
struct DatasetPage {
    frame: Frame,
    dataset: DatasetView,
    created: String,
    created_text: String,
    tiles: Vec<Tile>,
    fields: Vec<Field>,
    left_out: LeftOut,
    /// What took records of it back, or all of it.
    withdrawals: Vec<TakenBack>,
    /// How many are not listed; empty where all are.
    withdrawals_more: String,
    /// Other versions of the same name: digest, when, when as text.
    others: Vec<(String, String, String)>,
}

/// Something that was taken back.
struct TakenBack {
    what: String,
    /// The page of the record; empty of a whole.
    href: String,
    reason: String,
    at: String,
    at_text: String,
    entry: EntryLink,
}

/// What was left out, and how much of it is not shown.
#[derive(Default)]
pub(super) struct LeftOut {
    pub duplicates: Vec<Duplicate>,
    pub duplicates_more: String,
    pub broken: Vec<Broken>,
    pub broken_more: String,
}

impl LeftOut {
    /// The first of both.
    pub(super) fn new(say: Say, mut duplicates: Vec<Duplicate>, mut broken: Vec<Broken>) -> Self {
        for row in &mut broken {
            row.reason = bring::told_reason(&row.reason, say.lang());
        }
        LeftOut {
            duplicates_more: cut(say, &mut duplicates),
            duplicates,
            broken_more: cut(say, &mut broken),
            broken,
        }
    }
}

/// One field of the records.
pub(super) struct Field {
    pub name: String,
    pub kind: String,
    pub facts: Vec<(String, String)>,
    pub histogram: Option<Histogram>,
    pub categories: Vec<Category>,
}

/// How often numbers are.
pub(super) struct Histogram {
    pub columns: Vec<(f64, f64, f64, f64)>,
    pub low: String,
    pub high: String,
    pub summary: String,
}

/// How often a value is.
pub(super) struct Category {
    pub value: String,
    pub count: String,
    /// Share of the most frequent value, in thousandths.
    pub per_mille: u64,
}

/// `GET /data/{digest}`.
pub(super) async fn page(
    State(state): State<AppState>,
    tongue: Tongue,
    InPath(digest): InPath,
) -> Response {
    let dataset = match state.desk.dataset(&digest).await {
        Ok(Some(dataset)) => dataset,
        Ok(None) => return Problem::Missing.page(tongue),
        Err(error) => return Problem::from(error).page(tongue),
    };
    let say = tongue.say;
    let statistics: Option<Statistics> = part(&dataset, "statistics");
    let duplicates: Vec<Duplicate> = part(&dataset, "duplicates").unwrap_or_default();
    let broken: Vec<Broken> = part(&dataset, "broken").unwrap_or_default();
    let others = match state.desk.versions(VERSIONS_MAX, 0).await {
        Ok(all) => others(&dataset, all),
        Err(error) => return Problem::from(error).page(tongue),
    };
    let withdrawals: Vec<_> = dataset
        .withdrawals
        .iter()
        .map(|it| taken(say, it))
        .collect();
    let page = DatasetPage {
        frame: Frame::new(tongue, "data"),
        created: format::moment(dataset.created_ms),
        created_text: format::moment_text(dataset.created_ms),
        tiles: counts(say, &dataset, statistics.as_ref()),
        withdrawals_more: withdrawals_more(say, &dataset),
        withdrawals,
        fields: statistics
            .map(|statistics| fields(say, &statistics))
            .unwrap_or_default(),
        left_out: LeftOut::new(say, duplicates, broken),
        others,
        dataset,
    };
    page.frame.answer(StatusCode::OK, &page)
}

/// The counts as tiles, with how many of the records were withdrawn since.
fn counts(say: Say, dataset: &DatasetView, statistics: Option<&Statistics>) -> Vec<Tile> {
    let mut tiles = statistics.map_or_else(Vec::new, |it| tiles(say, it));
    if let (Some(records), Some(gone)) = (tiles.first_mut(), gone(say, dataset)) {
        records.note = format!("{gone} · {}", records.note);
    }
    tiles
}

/// How many of a version's records were withdrawn; none where none was.
pub(super) fn gone(say: Say, dataset: &DatasetView) -> Option<String> {
    let withdrawn = dataset.withdrawn.filter(|count| *count > 0)?;
    Some(say.of("web.dataset.withdrawn", format::count(withdrawn)))
}

fn taken(say: Say, it: &Said<Withdrawal>) -> TakenBack {
    let (what, href) = match &it.said.what {
        Withdrawn::Leaf(leaf) => {
            let leaf = leaf.to_string();
            let what = say.of("web.dataset.taken.leaf", short(&leaf));
            (what, format!("/records/{leaf}"))
        }
        Withdrawn::Dataset(_) => (say.it("web.dataset.taken.dataset"), String::new()),
        Withdrawn::Agreement(name) => {
            let what = say.of("web.dataset.taken.agreement", name);
            (what, String::new())
        }
    };
    TakenBack {
        what,
        href,
        reason: it.said.reason.clone(),
        at: format::moment(it.at_ms),
        at_text: format::moment_text(it.at_ms),
        entry: chain::entry(say, it),
    }
}

/// How many single records are withdrawn and not listed.
fn withdrawals_more(say: Say, dataset: &DatasetView) -> String {
    let is_record = |it: &Said<Withdrawal>| matches!(it.said.what, Withdrawn::Leaf(_));
    let listed = dataset.withdrawals.len() as u64;
    let more = dataset.withdrawn.unwrap_or_default().saturating_sub(listed);
    // A whole takes back what is not listed one by one.
    match more > 0 && dataset.withdrawals.iter().all(is_record) {
        true => say.of("web.dataset.more", format::count(more)),
        false => String::new(),
    }
}

/// The other versions of the same name.
fn others(dataset: &DatasetView, all: Vec<DatasetView>) -> Vec<(String, String, String)> {
    let is_other = |it: &DatasetView| it.name == dataset.name && it.digest != dataset.digest;
    let of = |it: DatasetView| {
        let (at, text) = (
            format::moment(it.created_ms),
            format::moment_text(it.created_ms),
        );
        (it.digest, at, text)
    };
    all.into_iter().filter(is_other).map(of).collect()
}

/// A part of the dataset's card; none where it is absent or of another version.
fn part<T: DeserializeOwned>(dataset: &DatasetView, name: &str) -> Option<T> {
    let value = dataset.card.get(name)?.clone();
    serde_json::from_value(value)
        .inspect_err(
            |error| tracing::warn!(dataset = dataset.digest, name, %error, "unreadable card"),
        )
        .ok()
}

/// Keeps the first rows and says how many were cut; empty when none were.
fn cut<T>(say: Say, rows: &mut Vec<T>) -> String {
    let surplus = rows.len().saturating_sub(LEFT_OUT_ROWS_MAX);
    rows.truncate(LEFT_OUT_ROWS_MAX);
    if surplus == 0 {
        String::new()
    } else {
        say.of("web.dataset.more", format::count(surplus as u64))
    }
}

/// The counts as tiles.
pub(super) fn tiles(say: Say, statistics: &Statistics) -> Vec<Tile> {
    let tile = |name: &str, value: u64, note: String| Tile {
        class: "plain",
        name: say.it_of("web.dataset", name),
        value: format::count(value),
        note,
    };
    let split = say.with(
        "web.dataset.split",
        &[
            ("train", &format::count(statistics.train)),
            ("test", &format::count(statistics.test)),
        ],
    );
    vec![
        tile("records", statistics.records, split),
        tile(
            "groups",
            statistics.groups,
            say.it("web.dataset.groups.note"),
        ),
        tile(
            "duplicates",
            statistics.duplicates,
            say.it("web.dataset.duplicates.note"),
        ),
        tile("broken", statistics.broken, rows_read(say, statistics)),
    ]
}

/// How many rows were read, and how many records of them were left out because they had been withdrawn.
fn rows_read(say: Say, statistics: &Statistics) -> String {
    let read = say.of("web.dataset.broken.note", format::count(statistics.rows));
    match statistics.withdrawn {
        0 => read,
        withdrawn => {
            let gone = say.of("web.dataset.broken.withdrawn", format::count(withdrawn));
            format!("{read} · {gone}")
        }
    }
}

/// The fields as they are shown.
pub(super) fn fields(say: Say, statistics: &Statistics) -> Vec<Field> {
    let fields = statistics.fields.iter();
    fields
        .map(|(name, statistics)| field(say, name.clone(), statistics))
        .collect()
}

fn field(say: Say, name: String, statistics: &FieldStatistics) -> Field {
    let fact = |key: &str, text: String| (say.it_of("web.dataset", key), text);
    let mut field = Field {
        name,
        kind: String::new(),
        facts: Vec::new(),
        histogram: None,
        categories: Vec::new(),
    };
    match statistics {
        FieldStatistics::Number {
            min,
            mean,
            max,
            histogram,
        } => {
            field.kind = say.it("web.dataset.number");
            field.facts = vec![
                fact("least", format::decimals(*min, 2)),
                fact("mean", format::decimals(*mean, 2)),
                fact("greatest", format::decimals(*max, 2)),
            ];
            field.histogram = Some(Histogram {
                columns: chart::columns(histogram),
                low: format::decimals(*min, 1),
                high: format::decimals(*max, 1),
                summary: say.of("web.dataset.histogram", histogram.len()),
            });
        }
        FieldStatistics::Category { counts } => {
            field.kind = say.it("web.dataset.category");
            field.facts = vec![fact("values", format::count(counts.len() as u64))];
            field.categories = categories(counts);
        }
        FieldStatistics::Text { characters, words } => {
            field.kind = say.it("web.dataset.text");
            field.facts = vec![
                fact(
                    "characters",
                    spread(say, characters.min, characters.mean, characters.max),
                ),
                fact("words", spread(say, words.min, words.mean, words.max)),
            ];
        }
    }
    field
}

fn spread(say: Say, low: u64, mean: f64, high: u64) -> String {
    let arguments = [
        ("low", format::count(low)),
        ("mean", format::decimals(mean, 1)),
        ("high", format::count(high)),
    ];
    let arguments = arguments
        .each_ref()
        .map(|(name, text)| (*name, text.as_str()));
    say.with("web.dataset.spread", &arguments)
}

fn categories(counts: &[(String, u64)]) -> Vec<Category> {
    let most = counts
        .iter()
        .map(|(_, count)| *count)
        .max()
        .unwrap_or(0)
        .max(1);
    let category = |(value, count): &(String, u64)| Category {
        value: value.clone(),
        count: format::count(*count),
        per_mille: count * 1000 / most,
    };
    counts
        .iter()
        .take(CATEGORY_ROWS_MAX)
        .map(category)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lathe_workshop::words::Lang;

    #[test]
    fn the_rows_that_were_read_add_up() {
        let statistics = Statistics {
            rows: 60,
            withdrawn: 1,
            ..Statistics::default()
        };
        let told = |lang| rows_read(Say::new(lang), &statistics);
        assert!(told(Lang::En).contains("60 rows read · 1 more left out"));
        assert!(told(Lang::Zh).contains("另有 1 条因已撤回"));
        let whole = Statistics {
            withdrawn: 0,
            ..statistics.clone()
        };
        assert!(!rows_read(Say::new(Lang::En), &whole).contains("withdrawn"));
    }
}
