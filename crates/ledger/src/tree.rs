//! The Merkle tree of the ledger: leaf hashes with their full subtrees kept, and proofs from them.
//!
//! Hashing is RFC 6962's, section 2.1. Level k holds the hashes of the complete subtrees of 2^k
//! leaves, so that a push costs one hash on average and any root or proof a few per level. It holds
//! hashes alone, two per leaf; the entries themselves are the store's.

use lathe_evidence::Digest;
use lathe_evidence::merkle::node_hash;

/// Why a tree has no such root or proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// A tree larger than this one.
    #[error("the tree has {len} leaves; there is no tree of {size}")]
    Size {
        /// Asked for.
        size: u64,
        /// What there is.
        len: u64,
    },
    /// A leaf that is not in the tree asked about.
    #[error("a tree of {size} leaves has no leaf {index}")]
    Index {
        /// Asked for.
        index: u64,
        /// The tree asked about.
        size: u64,
    },
}

/// An append-only list of leaf hashes.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    levels: Vec<Vec<Digest>>,
}

impl FromIterator<Digest> for Tree {
    fn from_iter<I: IntoIterator<Item = Digest>>(leaves: I) -> Self {
        let mut tree = Self::default();
        for leaf in leaves {
            tree.push(leaf);
        }
        tree
    }
}

impl Tree {
    /// A tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a leaf at the end.
    pub fn push(&mut self, leaf: Digest) {
        let mut hash = leaf;
        let mut level = 0;
        loop {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            let hashes = &mut self.levels[level];
            hashes.push(hash);
            if hashes.len() % 2 == 1 {
                return;
            }
            hash = node_hash(&hashes[hashes.len() - 2], &hashes[hashes.len() - 1]);
            level += 1;
        }
    }

    /// Takes back what was pushed after the first `size` leaves.
    pub fn truncate(&mut self, size: u64) {
        for (level, hashes) in self.levels.iter_mut().enumerate() {
            hashes.truncate((size >> level) as usize);
        }
    }

    /// The number of leaves.
    pub fn len(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// Whether there is no leaf.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The leaf at `index`.
    pub fn leaf(&self, index: u64) -> Option<Digest> {
        let leaves = self.levels.first()?;
        leaves.get(usize::try_from(index).ok()?).copied()
    }

    /// The root over all leaves.
    pub fn root(&self) -> Digest {
        self.root_at(self.len())
            .expect("a tree has a root at its own size")
    }

    /// The root over the first `size` leaves.
    ///
    /// # Errors
    /// A size beyond the leaves there are.
    pub fn root_at(&self, size: u64) -> Result<Digest, TreeError> {
        self.check_size(size)?;
        Ok(match size {
            0 => Digest::of(b""),
            _ => self.subtree(0, size),
        })
    }

    /// What shows that leaf `index` is in the tree of `size` leaves: RFC 6962, 2.1.1, from the leaf
    /// up.
    ///
    /// # Errors
    /// A size beyond the leaves there are, an index beyond the size.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Digest>, TreeError> {
        self.check_size(size)?;
        if index >= size {
            return Err(TreeError::Index { index, size });
        }
        let mut proof = Vec::new();
        let (mut start, mut end) = (0, size);
        while end - start > 1 {
            let middle = start + largest_power_of_two_below(end - start);
            if index < middle {
                proof.push(self.subtree(middle, end));
                end = middle;
            } else {
                proof.push(self.subtree(start, middle));
                start = middle;
            }
        }
        proof.reverse();
        Ok(proof)
    }

    /// What shows that the tree of `old` leaves is the beginning of the one of `new`: RFC 6962,
    /// 2.1.2. Empty where the two are one, or the old one is empty.
    ///
    /// # Errors
    /// A size beyond the leaves there are, an old one larger than the new.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Digest>, TreeError> {
        self.check_size(new)?;
        if old > new {
            return Err(TreeError::Size {
                size: old,
                len: new,
            });
        }
        let mut proof = Vec::new();
        if old == 0 || old == new {
            return Ok(proof);
        }
        let (mut start, mut end) = (0, new);
        // The old tree's last subtree; its hash is known to the verifier while it is the whole tree.
        while end > old {
            let middle = start + largest_power_of_two_below(end - start);
            if old <= middle {
                proof.push(self.subtree(middle, end));
                end = middle;
            } else {
                proof.push(self.subtree(start, middle));
                start = middle;
            }
        }
        if start > 0 {
            proof.push(self.subtree(start, end));
        }
        proof.reverse();
        Ok(proof)
    }

    /// Hashes of level `level` from `start` on, at most `count`: what a tile holds.
    pub(crate) fn level(&self, level: usize, start: usize, count: usize) -> &[Digest] {
        let hashes = self.levels.get(level).map_or(&[][..], Vec::as_slice);
        let start = start.min(hashes.len());
        let end = start.saturating_add(count).min(hashes.len());
        &hashes[start..end]
    }

    /// The hash over leaves `start..end`, where `start` is a multiple of the least power of two
    /// that is not less than their number.
    fn subtree(&self, start: u64, end: u64) -> Digest {
        let count = end - start;
        if count.is_power_of_two() {
            let level = count.trailing_zeros() as usize;
            return self.levels[level][(start >> level) as usize];
        }
        let middle = start + largest_power_of_two_below(count);
        node_hash(&self.subtree(start, middle), &self.subtree(middle, end))
    }

    fn check_size(&self, size: u64) -> Result<(), TreeError> {
        let len = self.len();
        if size > len {
            return Err(TreeError::Size { size, len });
        }
        Ok(())
    }
}

/// The largest power of two smaller than `count`, which is at least 2.
fn largest_power_of_two_below(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lathe_evidence::merkle;

    fn leaves(count: u32) -> Vec<Digest> {
        (0..count)
            .map(|n| merkle::leaf_hash(&n.to_be_bytes()))
            .collect()
    }

    /// The readable reference: `merkle::root` over a slice.
    #[test]
    fn roots_are_the_references_at_every_size() {
        let leaves = leaves(130);
        let tree: Tree = leaves.iter().copied().collect();
        for size in 0..=leaves.len() {
            let root = tree.root_at(size as u64).unwrap();
            assert_eq!(root, merkle::root(&leaves[..size]), "{size} leaves");
        }
        assert_eq!(tree.root(), merkle::root(&leaves));
        assert!(tree.root_at(131).is_err());
    }

    #[test]
    fn what_is_taken_back_leaves_no_trace() {
        let leaves = leaves(70);
        for size in 0..=70 {
            let mut tree: Tree = leaves.iter().copied().collect();
            tree.truncate(size as u64);
            assert_eq!(tree.root(), merkle::root(&leaves[..size]));
            for leaf in &leaves[size..] {
                tree.push(*leaf);
            }
            assert_eq!(tree.root(), merkle::root(&leaves));
        }
    }

    #[test]
    fn there_is_no_proof_of_what_is_not_there() {
        let tree: Tree = leaves(5).into_iter().collect();
        assert!(tree.inclusion(5, 5).is_err());
        assert!(tree.inclusion(0, 6).is_err());
        assert!(tree.inclusion(0, 0).is_err());
        assert!(tree.consistency(4, 3).is_err());
        assert!(tree.consistency(0, 6).is_err());
    }
}
