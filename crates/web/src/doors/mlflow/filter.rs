//! MLflow's `filter`, `order_by` and pages, as far as a register has what they speak of.
//!
//! Built: comparisons of `name`, `version_number` and `run_id` joined by `AND`; `=`, `!=`, `LIKE` and `ILIKE` of
//! texts, `=`, `!=`, `<`, `<=`, `>` and `>=` of numbers. What else MLflow knows (tags, source paths, `IN`)
//! is refused by name rather than passed over, since a filter that is not heeded tells too much. One tag is
//! known, that of prompts: MLflow keeps them beside the models, and its client leaves them out by a
//! comparison that it adds to every search. A register has none.

use std::cmp::Ordering;

use lathe_workshop::shelf::{ShelfModel, ShelfVersion};

/// The longest filter.
const FILTER_BYTES_MAX: usize = 1000;
/// What can be filtered by.
const KNOWN: &str = "a filter is NAME OPERATOR VALUE, joined by AND: name and run_id with =, !=, LIKE or ILIKE \
                     and a text in single quotes, version_number with =, !=, <, <=, > or >= and a number";

/// One comparison.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Name(Text),
    /// Of the run a version came from, which here has none.
    Run(Text),
    Number(&'static str, u32),
    /// Prompts, or all but them.
    Prompts(bool),
}

/// A comparison with a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Text {
    Is(String),
    IsNot(String),
    Like(String),
    /// Whatever the case of letters; the pattern is in small ones.
    LikeAnyCase(String),
}

impl Wanted {
    /// Whether a model, or one version of it, is what is wanted.
    pub(super) fn fits(&self, name: &str, version: Option<&ShelfVersion>) -> bool {
        match (self, version) {
            (Wanted::Name(text), _) => text.fits(name),
            (Wanted::Prompts(wanted), _) => !wanted,
            (Wanted::Run(text), Some(_)) => text.fits(""),
            (Wanted::Number(operator, number), Some(version)) => {
                let found = version.number.cmp(number);
                match *operator {
                    "=" => found == Ordering::Equal,
                    "!=" => found != Ordering::Equal,
                    "<" => found == Ordering::Less,
                    "<=" => found != Ordering::Greater,
                    ">" => found == Ordering::Greater,
                    _ => found != Ordering::Less,
                }
            }
            (Wanted::Run(_) | Wanted::Number(..), None) => false,
        }
    }
}

impl Text {
    fn fits(&self, text: &str) -> bool {
        match self {
            Text::Is(wanted) => text == wanted,
            Text::IsNot(other) => text != other,
            Text::Like(pattern) => like(pattern, text),
            Text::LikeAnyCase(pattern) => like(pattern, &text.to_lowercase()),
        }
    }
}

/// SQL's LIKE: `%` is any text, `_` any character.
fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut of) = (0, 0);
    // Where the last % stands, and from where of the text it is tried next.
    let mut again: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(of) {
            Some('%') => {
                again = Some((of, at));
                of += 1;
            }
            Some(letter) if *letter == '_' || *letter == text[at] => (at, of) = (at + 1, of + 1),
            _ => {
                let Some((percent, from)) = again else {
                    return false;
                };
                again = Some((percent, from + 1));
                (at, of) = (from + 1, percent + 1);
            }
        }
    }
    pattern[of..].iter().all(|letter| *letter == '%')
}

/// The comparisons of a filter, all of which have to hold.
///
/// # Errors
/// What is not built, for people.
pub(super) fn parse(filter: Option<&str>) -> Result<Vec<Wanted>, String> {
    let filter = filter.unwrap_or_default();
    if filter.len() > FILTER_BYTES_MAX {
        return Err(format!("the filter has more than {FILTER_BYTES_MAX} bytes"));
    }
    let words = words(filter)?;
    if words.is_empty() {
        return Ok(Vec::new());
    }
    let is_and =
        |word: &Word| matches!(word, Word::Plain(text) if text.eq_ignore_ascii_case("and"));
    words.split(is_and).map(comparison).collect()
}

/// A piece of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Plain(String),
    Quoted(String),
}

fn words(filter: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = filter.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '\'' | '"' => {
                let inner = &rest[1..];
                let end = inner
                    .find(first)
                    .ok_or("the filter has a quote that is not closed")?;
                (Word::Quoted(inner[..end].to_owned()), &inner[end + 1..])
            }
            _ => {
                let is_sign = |letter: char| "=!<>".contains(letter);
                let ends = |letter: char| {
                    letter.is_whitespace()
                        || "'\"".contains(letter)
                        || is_sign(letter) != is_sign(first)
                };
                let end = rest.find(ends).unwrap_or(rest.len());
                (Word::Plain(rest[..end].to_owned()), &rest[end..])
            }
        };
        words.push(word);
        rest = after.trim_start();
    }
    Ok(words)
}

fn comparison(words: &[Word]) -> Result<Wanted, String> {
    let unknown = || format!("the filter asks for what is not built; {KNOWN}");
    let [Word::Plain(name), Word::Plain(operator), value] = words else {
        return Err(unknown());
    };
    let operator = operator.to_uppercase();
    match (name.as_str(), value) {
        ("version_number", Word::Plain(number)) => {
            let known = ["=", "!=", "<", "<=", ">", ">="];
            let operator = known.into_iter().find(|it| *it == operator);
            let number = number.parse().ok();
            let both = operator.zip(number);
            both.map(|(operator, number)| Wanted::Number(operator, number))
                .ok_or_else(unknown)
        }
        ("tag.`mlflow.prompt.is_prompt`" | "tags.`mlflow.prompt.is_prompt`", Word::Quoted(is)) => {
            match (operator.as_str(), is.as_str()) {
                ("=", "true") | ("!=", "false") => Ok(Wanted::Prompts(true)),
                ("!=", "true") | ("=", "false") => Ok(Wanted::Prompts(false)),
                _ => Err(unknown()),
            }
        }
        ("name" | "run_id", Word::Quoted(text)) => {
            let text = match operator.as_str() {
                "=" => Text::Is(text.clone()),
                "!=" => Text::IsNot(text.clone()),
                "LIKE" => Text::Like(text.clone()),
                "ILIKE" => Text::LikeAnyCase(text.to_lowercase()),
                _ => return Err(unknown()),
            };
            Ok(match name.as_str() {
                "name" => Wanted::Name(text),
                _ => Wanted::Run(text),
            })
        }
        _ => Err(unknown()),
    }
}

/// What to sort by, and whether the greatest comes first.
pub(super) type Order = (By, bool);

/// Columns that rows can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Name,
    Number,
    Created,
    Updated,
}

/// Reads `order_by`, each a column with perhaps `ASC` or `DESC`.
///
/// # Errors
/// A column that is not known, for people.
pub(super) fn order<'a>(given: impl Iterator<Item = &'a str>) -> Result<Vec<Order>, String> {
    let one = |text: &str| {
        let mut words = text.split_whitespace();
        let by = match words.next() {
            Some("name") => By::Name,
            Some("version_number") => By::Number,
            Some("creation_timestamp") => By::Created,
            Some("last_updated_timestamp" | "timestamp") => By::Updated,
            _ => return None,
        };
        let falls = match words.next().map(str::to_uppercase).as_deref() {
            None | Some("ASC") => false,
            Some("DESC") => true,
            Some(_) => return None,
        };
        words.next().is_none().then_some((by, falls))
    };
    let parsed: Option<Vec<Order>> = given.map(one).collect();
    parsed.ok_or_else(|| {
        "order_by takes name, version_number, creation_timestamp or last_updated_timestamp, each \
         with ASC or DESC after it"
            .to_owned()
    })
}

fn sorted<T>(rows: &mut [T], order: &[Order], compare: impl Fn(&T, &T, By) -> Ordering) {
    // What is equal in all of these stays by name.
    rows.sort_by(|a, b| {
        let by_each = order.iter().map(|(by, falls)| match falls {
            true => compare(b, a, *by),
            false => compare(a, b, *by),
        });
        by_each.fold(Ordering::Equal, Ordering::then)
    });
}

/// Sorts registered models.
pub(super) fn sort_models(models: &mut [ShelfModel], order: &[Order]) {
    let created = |it: &ShelfModel| it.versions.iter().map(|it| it.created_ms).min();
    let updated = |it: &ShelfModel| it.versions.iter().map(|it| it.updated_ms).max();
    sorted(models, order, |a, b, by| match by {
        By::Name => a.name.cmp(&b.name),
        By::Number => a.versions.len().cmp(&b.versions.len()),
        By::Created => created(a).cmp(&created(b)),
        By::Updated => updated(a).cmp(&updated(b)),
    });
}

/// Sorts versions: the newest of each name first, as MLflow does, where nothing is said.
pub(super) fn sort_versions(versions: &mut [(&str, &ShelfVersion)], order: &[Order]) {
    let unsaid = [(By::Name, false), (By::Number, true)];
    let order = match order.is_empty() {
        true => &unsaid,
        false => order,
    };
    sorted(versions, order, |a, b, by| match by {
        By::Name => a.0.cmp(b.0),
        By::Number => a.1.number.cmp(&b.1.number),
        By::Created => a.1.created_ms.cmp(&b.1.created_ms),
        By::Updated => a.1.updated_ms.cmp(&b.1.updated_ms),
    });
}

/// Which rows are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    from: usize,
    rows: usize,
}

impl Page {
    /// Reads `max_results`, with what it is unless given and what it is at most, and `page_token`.
    ///
    /// # Errors
    /// One that is no such number, for people.
    pub(super) fn of(
        (rows, rows_default, rows_max): (Option<&str>, usize, usize),
        token: Option<&str>,
    ) -> Result<Page, String> {
        let rows: usize = match rows {
            None => rows_default,
            Some(text) => {
                let number = text
                    .parse()
                    .ok()
                    .filter(|rows| (1..=rows_max).contains(rows));
                number.ok_or_else(|| format!("max_results is no number from 1 to {rows_max}"))?
            }
        };
        let from: usize = match token {
            None | Some("") => 0,
            Some(text) => text
                .parse()
                .map_err(|_| "page_token is none that this workshop gave".to_owned())?,
        };
        Ok(Page { from, rows })
    }

    /// The rows of this page, and the token of the next; empty after the last.
    pub(super) fn cut<T>(self, rows: &[T]) -> (&[T], String) {
        let rest = rows.get(self.from..).unwrap_or_default();
        let page = &rest[..rest.len().min(self.rows)];
        match page.len() < rest.len() {
            true => (page, (self.from + page.len()).to_string()),
            false => (page, String::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_heeded_or_refused() {
        let fits = |filter: &str, name: &str| {
            let wanted = parse(Some(filter)).expect("it is built");
            wanted.iter().all(|it| it.fits(name, None))
        };
        assert!(fits("", "care") && fits("  ", "care"));
        assert!(fits("name='care'", "care") && !fits("name = 'care'", "Care"));
        assert!(fits("name != \"care\"", "core"));
        assert!(fits("name LIKE '%ar%'", "care") && !fits("name LIKE 'ar%'", "care"));
        assert!(fits("name ilike 'C_RE'", "care") && !fits("name LIKE 'C_RE'", "care"));
        assert!(fits("name LIKE '%' and name != 'a and b'", "a"));
        assert!(!fits("name LIKE '%' AND name != 'a'", "a"));
        assert!(fits(
            "name = 'a' AND tag.`mlflow.prompt.is_prompt` != 'true'",
            "a"
        ));
        assert!(!fits("tags.`mlflow.prompt.is_prompt` = 'true'", "a"));
        for unbuilt in [
            "tags.a = 'b'",
            "tag.`mlflow.prompt.is_prompt` = 'b'",
            "name IN ('a')",
            "name = care",
            "name = 'care",
            "name",
            "and",
            "name = 'a' AND",
            "name = 'a' OR name = 'b'",
            "version_number = '1'",
            "version_number LIKE 1",
        ] {
            assert!(parse(Some(unbuilt)).is_err(), "{unbuilt}");
        }
        assert!(parse(Some(&"a".repeat(FILTER_BYTES_MAX + 1))).is_err());
    }

    #[test]
    fn like_is_that_of_sql() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("%", "", true),
            ("a%b%c", "aXbYbZc", true),
            ("a%b%c", "aXbYc_", false),
            ("%%%a", "aaab", false),
            ("_", "模", true),
            ("__", "模", false),
            ("%ab", "aab", true),
        ] {
            assert_eq!(like(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn pages_follow_one_another() {
        let rows = [1, 2, 3, 4, 5];
        let page = |rows: Option<&str>, token: Option<&str>| Page::of((rows, 100, 1000), token);
        let first = page(Some("2"), None).expect("a page");
        assert_eq!(first.cut(&rows), (&rows[..2], "2".to_owned()));
        let last = page(Some("2"), Some("4")).expect("a page");
        assert_eq!(last.cut(&rows), (&rows[4..], String::new()));
        let beyond = page(None, Some("99")).expect("a page");
        assert_eq!(beyond.cut(&rows), (&rows[..0], String::new()));
        for (count, token) in [(Some("0"), None), (Some("1001"), None), (None, Some("x"))] {
            assert!(page(count, token).is_err());
        }
    }

    #[test]
    fn columns_are_known_or_refused() {
        let read = |given: &str| order(std::iter::once(given));
        assert_eq!(read("name"), Ok(vec![(By::Name, false)]));
        assert_eq!(read("version_number desc"), Ok(vec![(By::Number, true)]));
        for bad in ["", "size", "name up", "name ASC DESC"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
