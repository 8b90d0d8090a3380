//! Training and test records, told apart by group; and a sample of both.
//!
//! Groups are ranked by the SHA-256 of seed and name: no random number generator whose stream might
//! change, and adding a group moves no other.

use std::collections::{HashMap, HashSet};

use lathe_evidence::Digest;
use lathe_evidence::digest::Hasher;
use serde_json::Value;

use super::{check_field, keep_or_report};
use crate::DataError;
use crate::reader::{Read, Record};
use crate::spec::{SplitSpec, TEST_SHARE};

/// Gives each record the group that the specification's field names.
pub(super) fn group(read: &mut Read, spec: &SplitSpec) -> Result<(), DataError> {
    let Some(field) = &spec.group else {
        return Ok(());
    };
    check_field(read, "split.group", field)?;
    keep_or_report(read, |record| {
        record.group = match record.fields.get(field) {
            Some(Value::String(text)) if !text.is_empty() => text.clone(),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
            // A conversation as a name would be as long as itself.
            Some(value @ (Value::Array(_) | Value::Object(_))) => {
                Digest::of(value.to_string().as_bytes()).to_string()
            }
            _ => return Err(format!("`{field}`, which groups the records, is missing")),
        };
        Ok(())
    });
    Ok(())
}

/// Training and test records, each in the order they came.
pub(super) fn split(
    records: Vec<Record>,
    spec: &SplitSpec,
) -> Result<(Vec<Record>, Vec<Record>), DataError> {
    if let Some(field) = &spec.held_out {
        return by_field(records, field);
    }
    if !TEST_SHARE.holds(spec.test_share) {
        return Err(refuse(
            "split.test_share",
            format!(
                "it is {}; write a share between 0 and 1, such as 0.2",
                spec.test_share
            ),
        ));
    }
    let wanted = records.len() as f64 * spec.test_share;
    let mut test_groups = HashSet::new();
    let mut test_records = 0usize;
    for (group, count) in ranked(&records, spec.seed, "split") {
        let after = test_records + count;
        // A group goes in where that brings the share nearer; the first always does.
        if test_records > 0 && (after as f64 - wanted).abs() > (test_records as f64 - wanted).abs()
        {
            break;
        }
        test_groups.insert(group);
        test_records = after;
    }
    if test_records == records.len() {
        return Err(refuse(
            "split.group",
            "all records are in one group, so none can be held out; name a field with more values"
                .to_owned(),
        ));
    }
    let (test, train) = records
        .into_iter()
        .partition(|record| test_groups.contains(&record.group));
    Ok((train, test))
}

/// The records that a field marks as held out, apart from the others.
fn by_field(records: Vec<Record>, field: &str) -> Result<(Vec<Record>, Vec<Record>), DataError> {
    let is_held = |record: &Record| match record.fields.get(field) {
        Some(Value::Bool(held)) => Ok(*held),
        _ => Err(DataError::Render {
            id: record.id.clone(),
            reason: format!("`{field}`, which says whether it is held out, is not true or false"),
        }),
    };
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for record in records {
        match is_held(&record)? {
            true => test.push(record),
            false => train.push(record),
        }
    }
    if train.is_empty() || test.is_empty() {
        let reason = format!(
            "`{field}` leaves {} records to tune on and {} to measure on; both are needed",
            train.len(),
            test.len()
        );
        return Err(refuse("split.held_out", reason));
    }
    Ok((train, test))
}

/// At most `records_max` records of both together, in whole groups, each side keeping its share.
pub(super) fn sample(
    train: Vec<Record>,
    test: Vec<Record>,
    records_max: Option<usize>,
    spec: &SplitSpec,
) -> Result<(Vec<Record>, Vec<Record>), DataError> {
    let total = train.len() + test.len();
    let Some(records_max) = records_max.filter(|max| *max < total) else {
        return Ok((train, test));
    };
    let share = test.len() as f64 / total as f64;
    let test_max = ((records_max as f64 * share).round() as usize).max(1);
    let train = whole_groups(train, records_max.saturating_sub(test_max), spec.seed);
    let test = whole_groups(test, test_max, spec.seed);
    if train.is_empty() || test.is_empty() {
        return Err(refuse(
            "split",
            format!("no whole group fits into a sample of {records_max} records; ask for more"),
        ));
    }
    Ok((train, test))
}

/// Groups in their rank's order, as long as they fit.
fn whole_groups(records: Vec<Record>, records_max: usize, seed: u64) -> Vec<Record> {
    let mut chosen = HashSet::new();
    let mut total = 0;
    for (group, count) in ranked(&records, seed, "sample") {
        if total + count <= records_max {
            total += count;
            chosen.insert(group);
        }
    }
    let mut kept = records;
    kept.retain(|record| chosen.contains(&record.group));
    kept
}

/// The groups with their numbers of records, in an order that only seed, purpose and names decide.
fn ranked(records: &[Record], seed: u64, purpose: &str) -> Vec<(String, usize)> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for record in records {
        *counts.entry(&record.group).or_default() += 1;
    }
    let mut ranked: Vec<(Digest, &str, usize)> = counts
        .into_iter()
        .map(|(group, count)| (rank(seed, purpose, group), group, count))
        .collect();
    ranked.sort_unstable();
    ranked
        .into_iter()
        .map(|(_, group, count)| (group.to_owned(), count))
        .collect()
}

fn rank(seed: u64, purpose: &str, group: &str) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(b"lathe ");
    hasher.update(purpose.as_bytes());
    hasher.update(&[0]);
    hasher.update(&seed.to_le_bytes());
    hasher.update(group.as_bytes());
    hasher.finish()
}

fn refuse(key: &str, reason: String) -> DataError {
    DataError::Spec {
        key: format!("data.{key}"),
        reason,
    }
}
