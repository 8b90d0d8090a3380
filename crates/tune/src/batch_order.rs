//! The batch-order root: what was trained on, in which order, in 32 bytes.
//!
//! The leaves of a step's records, in training order, form an RFC 6962 tree; the roots of all steps
//! are the leaves of another. From the root one can prove that a record was in a step, and that a
//! step was the n-th, without showing any other record.

use lathe_evidence::Digest;
use lathe_evidence::merkle::{leaf_hash, root};

use crate::plan::Plan;

/// The root over the first `steps` steps of `plan` on records that are committed to by `leaf`.
pub fn batch_order_root(plan: &Plan, steps: u64, leaf: &dyn Fn(usize) -> Digest) -> Digest {
    let step_leaf = |batch: Vec<usize>| {
        let leaves: Vec<Digest> = batch.into_iter().map(leaf).collect();
        leaf_hash(&root(&leaves).0)
    };
    let steps = plan.batches(0).take(steps as usize);
    let steps: Vec<Digest> = steps.map(step_leaf).collect();
    root(&steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u8) -> Vec<Digest> {
        (0..count).map(|index| Digest::of(&[index])).collect()
    }

    fn whole(plan: &Plan, leaves: &[Digest]) -> Digest {
        batch_order_root(plan, plan.steps(), &|index| leaves[index])
    }

    #[test]
    fn two_steps_by_hand() {
        let (plan, leaves) = (Plan::new(3, 2, 1.0, 5), leaves(3));
        let batches: Vec<_> = plan.batches(0).collect();
        let [first, second] = &batches[..] else {
            panic!("two steps")
        };
        let first = root(&[leaves[first[0]], leaves[first[1]]]);
        let second = root(&[leaves[second[0]]]);
        let expected = root(&[leaf_hash(&first.0), leaf_hash(&second.0)]);
        assert_eq!(whole(&plan, &leaves), expected);
        let stopped = batch_order_root(&plan, 1, &|index| leaves[index]);
        assert_eq!(stopped, root(&[leaf_hash(&first.0)]));
    }

    #[test]
    fn order_and_records_change_it() {
        let base = whole(&Plan::new(9, 2, 1.0, 5), &leaves(9));
        assert_ne!(base, whole(&Plan::new(9, 2, 1.0, 6), &leaves(9)));
        assert_ne!(base, whole(&Plan::new(9, 3, 1.0, 5), &leaves(9)));
        let mut other = leaves(9);
        other[4] = Digest::of(b"another record");
        assert_ne!(base, whole(&Plan::new(9, 2, 1.0, 5), &other));
    }
}
