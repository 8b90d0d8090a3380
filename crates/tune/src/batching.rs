//! A step's rows as batches of bounded size for the engine.
//!
//! Rows stand one after the other without padding, each a segment of its own that sees itself and
//! the shared prefix but no other row. A step too large for memory becomes several micro-batches,
//! each with its own copy of the prefix; because the loss is divided by the supervised tokens of
//! the whole step, how it is cut does not change the gradient (only its rounding).

use lathe_engine::{Batch, Segment, Target};

use crate::pack::{Packed, Row};

/// Cuts the rows with the given indices into batches of at most `rows_max` tokens, prefix included;
/// a row that alone is longer gets a batch of its own.
pub fn micro_batches(packed: &Packed, indices: &[usize], rows_max: usize) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut current = start(packed);
    for &index in indices {
        let row = packed.rows.get(index);
        let more = row.tokens.len() - packed.prefix_len;
        if !current.targets.is_empty() && current.tokens.len() + more > rows_max {
            batches.push(std::mem::replace(&mut current, start(packed)));
        }
        append(&mut current, &row, packed.prefix_len);
    }
    if !current.targets.is_empty() {
        batches.push(current);
    }
    batches
}

/// A batch that holds the prefix and nothing else.
fn start(packed: &Packed) -> Batch {
    let mut batch = Batch::default();
    if packed.prefix_len > 0 {
        let row = packed.rows.get(0);
        batch
            .tokens
            .extend_from_slice(&row.tokens[..packed.prefix_len]);
        batch.segments.push(Segment {
            start: 0,
            len: packed.prefix_len,
            prefix: None,
        });
    }
    batch
}

/// Adds what `row` has beyond the prefix, and its targets: a token is predicted one row earlier.
fn append(batch: &mut Batch, row: &Row, prefix_len: usize) {
    let start = batch.tokens.len();
    let own = &row.tokens[prefix_len..];
    batch.tokens.extend_from_slice(own);
    let prefix = (prefix_len > 0).then_some(0);
    batch.segments.push(Segment {
        start,
        len: own.len(),
        prefix,
    });
    let mut soft = row.soft.iter().peekable();
    for (at, (&token, &weight)) in row.tokens.iter().zip(&row.weights).enumerate() {
        let hard = [(token, 1.0)];
        let tokens = match soft.next_if(|(place, _)| *place == at) {
            Some((_, soft)) => soft,
            None => &hard[..],
        };
        if weight == 0.0 {
            continue;
        }
        let row = (start + at - prefix_len - 1) as u32;
        let target = |&(token, share): &(u32, f32)| Target {
            row,
            token,
            weight: share * weight,
        };
        batch.targets.extend(tokens.iter().map(target));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lathe_evidence::Digest;

    fn packed(prefix_len: usize, lengths: &[usize]) -> Packed {
        let row = |(index, &len): (usize, &usize)| {
            let token = |at: u32| {
                if (at as usize) < prefix_len {
                    at
                } else {
                    100 * index as u32 + at
                }
            };
            let tokens = (0..len as u32).map(token).collect();
            let leaf = Digest::of(&[index as u8]);
            Row::answering(index.to_string(), leaf, tokens, len - 2)
        };
        Packed {
            rows: lengths.iter().enumerate().map(row).collect(),
            prefix_len,
            over_long: Vec::new(),
            unanswered: Vec::new(),
        }
    }

    /// Every target's row holds the token before the target's, in the same segment.
    fn check(batch: &Batch) {
        for target in &batch.targets {
            let row = target.row as usize;
            let inside = |s: &&Segment| s.start <= row && row < s.start + s.len;
            let segment = batch.segments.iter().find(inside).expect("in a segment");
            let next = row + 1;
            if next < segment.start + segment.len {
                assert_eq!(batch.tokens[next], target.token);
            }
        }
        let mut end = 0;
        for segment in &batch.segments {
            assert_eq!(segment.start, end, "segments cover all rows");
            end += segment.len;
        }
        assert_eq!(end, batch.tokens.len());
    }

    #[test]
    fn rows_stand_apart_behind_one_prefix() {
        let packed = packed(3, &[8, 6, 7]);
        let batches = micro_batches(&packed, &[2, 0, 1], 1000);
        assert_eq!(batches.len(), 1);
        check(&batches[0]);
        let lens: Vec<_> = batches[0]
            .segments
            .iter()
            .map(|s| (s.len, s.prefix))
            .collect();
        assert_eq!(lens, [(3, None), (4, Some(0)), (5, Some(0)), (3, Some(0))]);
        assert_eq!(batches[0].targets.len(), 6);
    }

    #[test]
    fn batches_are_bounded_and_lose_nothing() {
        let packed = packed(3, &[8, 6, 7, 9, 40, 6]);
        let batches = micro_batches(&packed, &[0, 1, 2, 3, 4, 5], 14);
        let targets: usize = batches.iter().map(|batch| batch.targets.len()).sum();
        assert_eq!(targets, 12);
        for batch in &batches {
            check(batch);
            assert!(batch.tokens.len() <= 14 || batch.segments.len() == 2);
        }
        assert!(batches.len() > 2);
    }

    #[test]
    fn a_soft_place_has_several_targets_of_weight_one_in_all() {
        let mut packed = packed(3, &[8, 6]);
        let mut rows: Vec<Row> = packed.rows.iter().collect();
        rows[0].soft = vec![(7, vec![(41, 0.25), (7, 0.75)])];
        packed.rows = rows.into();
        let batches = micro_batches(&packed, &[0, 1], 1000);
        let targets: Vec<_> = batches[0]
            .targets
            .iter()
            .map(|t| (t.row, t.token, t.weight))
            .collect();
        let expected = [
            (5, 6, 1.0),
            (6, 41, 0.25),
            (6, 7, 0.75),
            (9, 104, 1.0),
            (10, 105, 1.0),
        ];
        assert_eq!(targets[..3], expected[..3]);
        assert_eq!(targets.len(), 5);
        assert!(targets[3..].iter().all(|(_, _, weight)| *weight == 1.0));
    }

    #[test]
    fn without_a_prefix_rows_are_whole() {
        let packed = packed(0, &[8, 6]);
        let batches = micro_batches(&packed, &[0, 1], 1000);
        check(&batches[0]);
        assert_eq!(batches[0].tokens.len(), 14);
        assert!(
            batches[0]
                .segments
                .iter()
                .all(|segment| segment.prefix.is_none())
        );
    }
}
