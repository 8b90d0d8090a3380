//! The batch-order root: what was trained on, in which order, in 32 bytes.
//!
//! The leaves of a step's records, in training order, form an RFC 6962 tree; the roots of all steps
//! are the leaves of another. From the root one can prove that a record was in a step, and that a
//! step was the n-th, without showing any other record.

use lathe_evidence::Digest;
use lathe_evidence::merkle::{leaf_hash, root};

use crate::plan::Plan;
use crate::rows::Rows;

/// The root over every step of `plan` on `rows`.
pub fn batch_order_root(plan: &Plan, rows: &Rows) -> Digest {
    let step_leaf = |batch: Vec<usize>| {
        let leaves: Vec<Digest> = batch.into_iter().map(|index| rows.leaf(index)).collect();
        leaf_hash(&root(&leaves).0)
    };
    let steps: Vec<Digest> = plan.batches(0).map(step_leaf).collect();
    root(&steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::Row;

    fn rows(count: u8) -> Rows {
        let row =
            |index: u8| Row::answering(index.to_string(), Digest::of(&[index]), vec![1, 2], 1);
        (0..count).map(row).collect()
    }

    #[test]
    fn two_steps_by_hand() {
        let (plan, rows) = (Plan::new(3, 2, 1.0, 5), rows(3));
        let batches: Vec<_> = plan.batches(0).collect();
        let [first, second] = &batches[..] else {
            panic!("two steps")
        };
        let first = root(&[rows.leaf(first[0]), rows.leaf(first[1])]);
        let second = root(&[rows.leaf(second[0])]);
        let expected = root(&[leaf_hash(&first.0), leaf_hash(&second.0)]);
        assert_eq!(batch_order_root(&plan, &rows), expected);
    }

    #[test]
    fn order_and_records_change_it() {
        let base = batch_order_root(&Plan::new(9, 2, 1.0, 5), &rows(9));
        assert_ne!(base, batch_order_root(&Plan::new(9, 2, 1.0, 6), &rows(9)));
        assert_ne!(base, batch_order_root(&Plan::new(9, 3, 1.0, 5), &rows(9)));
        let mut other: Vec<Row> = rows(9).iter().collect();
        other[4].leaf = Digest::of(b"another record");
        let plan = Plan::new(9, 2, 1.0, 5);
        assert_ne!(base, batch_order_root(&plan, &other.into()));
    }
}
