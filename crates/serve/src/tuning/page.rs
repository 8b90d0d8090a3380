//! Lists as OpenAI pages them: `after` names the last entry seen, `limit` the most wanted.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::api::error::ApiError;

/// What a list was asked for with.
pub(crate) type Query = BTreeMap<String, String>;

/// `limit`, from 1 to `most`.
///
/// # Errors
/// 400 where it is none of them.
pub(crate) fn limit(query: &Query, usual: usize, most: usize) -> Result<usize, ApiError> {
    let Some(text) = query.get("limit") else {
        return Ok(usual);
    };
    let read = text.parse().ok().filter(|limit| (1..=most).contains(limit));
    read.ok_or_else(|| {
        let message = format!("'limit' must be an integer from 1 to {most}.");
        ApiError::invalid(Some("limit"), message)
    })
}

/// The entries after the one that `after` names; none where there is no such entry.
pub(crate) fn after<'a>(all: &'a [Value], query: &Query) -> &'a [Value] {
    let Some(after) = query.get("after") else {
        return all;
    };
    let place = all.iter().position(|entry| entry["id"] == after.as_str());
    place.map_or(&[], |place| &all[place + 1..])
}

/// The first `limit` of what is left.
pub(crate) fn list(left: &[Value], limit: usize) -> Value {
    let data = &left[..left.len().min(limit)];
    let id = |entry: Option<&Value>| entry.map_or(Value::Null, |entry| entry["id"].clone());
    json!({
        "object": "list",
        "data": data,
        "first_id": id(data.first()),
        "last_id": id(data.last()),
        "has_more": left.len() > data.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(pairs: &[(&str, &str)]) -> Query {
        let owned = pairs
            .iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
        owned.collect()
    }

    #[test]
    fn pages_follow_one_another_to_the_end() {
        let all: Vec<Value> = (0..5).map(|at| json!({"id": format!("e{at}")})).collect();
        let (mut seen, mut last) = (Vec::new(), query(&[]));
        loop {
            let page = list(after(&all, &last), 2);
            let data = page["data"].as_array().expect("a list").clone();
            seen.extend(data);
            if page["has_more"] == false {
                break;
            }
            last = query(&[("after", page["last_id"].as_str().expect("an id"))]);
        }
        assert_eq!(seen, all);
        assert_eq!(
            after(&all, &query(&[("after", "nobody")])),
            [] as [Value; 0]
        );
    }

    #[test]
    fn limits_are_bounded() {
        assert_eq!(limit(&query(&[]), 20, 100).ok(), Some(20));
        assert_eq!(limit(&query(&[("limit", "100")]), 20, 100).ok(), Some(100));
        for bad in ["0", "101", "-1", "many", ""] {
            assert!(limit(&query(&[("limit", bad)]), 20, 100).is_err(), "{bad}");
        }
    }
}
