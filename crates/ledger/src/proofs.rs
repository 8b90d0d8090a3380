//! Verifying proofs: that an entry is in a tree, and that one tree is the beginning of another.
//!
//! RFC 9162, sections 2.1.3.2 and 2.1.4.2, step by step. Making proofs is the tree's work; nothing
//! here trusts who made one.

use lathe_evidence::Digest;
use lathe_evidence::merkle::node_hash;

/// The most hashes a proof can have: a tree of 2^64 leaves is 64 levels high, and a consistency
/// proof begins with one more.
pub const PROOF_HASHES_MAX: usize = 65;

/// Why a proof shows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The sizes or the index cannot be.
    #[error("no tree has this leaf, or this beginning")]
    Sizes,
    /// More or fewer hashes than such a proof has.
    #[error("the proof has {0} hashes, which is not what a tree of this size needs")]
    Length(usize),
    /// Another root comes out.
    #[error("the proof leads to the root {found}, not to {expected}")]
    Root {
        /// What comes out.
        found: Digest,
        /// What was to come out.
        expected: Digest,
    },
}

/// Whether `leaf` is the leaf `index` of the tree of `size` leaves whose root is `root`.
///
/// # Errors
/// It is not, or the proof does not show it.
pub fn verify_inclusion(
    leaf: &Digest,
    index: u64,
    size: u64,
    proof: &[Digest],
    root: &Digest,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Sizes);
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length(proof.len()));
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            skip_right_border(&mut node, &mut last);
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length(proof.len()));
    }
    check_root(hash, root)
}

/// Whether the tree of `old_size` leaves with `old_root` is the beginning of the one of `new_size`
/// leaves with `new_root`. Every tree begins with the empty one.
///
/// # Errors
/// It is not, or the proof does not show it.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Digest,
    new_size: u64,
    new_root: &Digest,
    proof: &[Digest],
) -> Result<(), ProofError> {
    if old_size > new_size {
        return Err(ProofError::Sizes);
    }
    if old_size == 0 || old_size == new_size {
        if !proof.is_empty() {
            return Err(ProofError::Length(proof.len()));
        }
        let expected = if old_size == 0 {
            &Digest::of(b"")
        } else {
            new_root
        };
        return check_root(*old_root, expected);
    }
    // A whole subtree is its own first hash.
    let (first, rest) = if old_size.is_power_of_two() {
        (*old_root, proof)
    } else {
        let (first, rest) = proof.split_first().ok_or(ProofError::Length(0))?;
        (*first, rest)
    };
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut old_hash, mut new_hash) = (first, first);
    for hash in rest {
        if last == 0 {
            return Err(ProofError::Length(proof.len()));
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(hash, &old_hash);
            new_hash = node_hash(hash, &new_hash);
            skip_right_border(&mut node, &mut last);
        } else {
            new_hash = node_hash(&new_hash, hash);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length(proof.len()));
    }
    check_root(old_hash, old_root)?;
    check_root(new_hash, new_root)
}

/// On the right border a node without a sibling stands for its parent as well.
fn skip_right_border(node: &mut u64, last: &mut u64) {
    while *node & 1 == 0 && *node != 0 {
        *node >>= 1;
        *last >>= 1;
    }
}

fn check_root(found: Digest, expected: &Digest) -> Result<(), ProofError> {
    if found == *expected {
        return Ok(());
    }
    Err(ProofError::Root {
        found,
        expected: *expected,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;
    use lathe_evidence::digest::from_hex;
    use lathe_evidence::merkle::leaf_hash;

    const SIZE_MAX: u64 = 40;

    fn tree(count: u64) -> Tree {
        (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
    }

    fn hex(texts: &[&str]) -> Vec<Digest> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// The tree that certificate-transparency's reference implementation publishes its vectors over.
    fn published() -> Tree {
        [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ]
        .iter()
        .map(|data| leaf_hash(&from_hex(data).unwrap()))
        .collect()
    }

    /// google/certificate-transparency, merkle_tree_test.cc: the precomputed paths and proofs.
    #[test]
    fn proofs_are_the_published_ones() {
        let tree = published();
        let inclusion = |leaf: u64, size: u64, expected: &[&str]| {
            // Its leaves count from 1.
            assert_eq!(tree.inclusion(leaf - 1, size).unwrap(), hex(expected));
        };
        inclusion(1, 1, &[]);
        inclusion(
            1,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        );
        inclusion(
            6,
            8,
            &[
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        );
        inclusion(
            3,
            3,
            &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
        );
        inclusion(
            2,
            5,
            &[
                "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        );
        let consistency = |old: u64, new: u64, expected: &[&str]| {
            assert_eq!(tree.consistency(old, new).unwrap(), hex(expected));
        };
        consistency(1, 1, &[]);
        consistency(
            1,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        );
        consistency(
            6,
            8,
            &[
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        );
        consistency(
            2,
            5,
            &[
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        );
    }

    #[test]
    fn every_leaf_of_every_tree_is_shown_and_nothing_else() {
        let tree = tree(SIZE_MAX);
        let other = leaf_hash(b"other");
        for size in 1..=SIZE_MAX {
            let root = tree.root_at(size).unwrap();
            for index in 0..size {
                let leaf = tree.leaf(index).unwrap();
                let proof = tree.inclusion(index, size).unwrap();
                let shows = |leaf: &Digest, index, size, proof: &[Digest], root: &Digest| {
                    verify_inclusion(leaf, index, size, proof, root).is_ok()
                };
                assert!(
                    shows(&leaf, index, size, &proof, &root),
                    "{index} of {size}"
                );
                assert!(!shows(&other, index, size, &proof, &root));
                assert!(!shows(&leaf, index, size, &proof, &other));
                assert!(!shows(&leaf, size, size, &proof, &root));
                for wrong in (0..size).filter(|wrong| *wrong != index) {
                    assert!(!shows(&leaf, wrong, size, &proof, &root));
                }
                let longer = [&proof[..], &[other]].concat();
                assert!(!shows(&leaf, index, size, &longer, &root));
                for at in 0..proof.len() {
                    let mut changed = proof.clone();
                    changed[at] = other;
                    assert!(!shows(&leaf, index, size, &changed, &root));
                    changed.remove(at);
                    assert!(!shows(&leaf, index, size, &changed, &root));
                }
            }
        }
    }

    #[test]
    fn every_beginning_of_every_tree_is_shown_and_nothing_else() {
        let tree = tree(SIZE_MAX);
        let other = leaf_hash(b"other");
        for new in 0..=SIZE_MAX {
            let new_root = tree.root_at(new).unwrap();
            for old in 0..=new {
                let old_root = tree.root_at(old).unwrap();
                let proof = tree.consistency(old, new).unwrap();
                let shows = |old_root: &Digest, new_root: &Digest, proof: &[Digest]| {
                    verify_consistency(old, old_root, new, new_root, proof).is_ok()
                };
                assert!(shows(&old_root, &new_root, &proof), "{old} of {new}");
                assert!(!shows(&other, &new_root, &proof));
                assert!(old == 0 || !shows(&old_root, &other, &proof));
                assert!(!shows(
                    &old_root,
                    &new_root,
                    &[&proof[..], &[other]].concat()
                ));
                for at in 0..proof.len() {
                    let mut changed = proof.clone();
                    changed[at] = other;
                    assert!(!shows(&old_root, &new_root, &changed));
                    changed.remove(at);
                    assert!(!shows(&old_root, &new_root, &changed));
                }
            }
        }
        assert_eq!(
            verify_consistency(2, &other, 1, &other, &[]),
            Err(ProofError::Sizes)
        );
    }

    /// Another implementation: proofs made here are accepted by the crate `tlog_tiles`.
    #[test]
    fn tlog_tiles_accepts_the_proofs() {
        use tlog_tiles::{Hash, check_record, check_tree};
        let tree = tree(SIZE_MAX);
        let theirs = |proof: Vec<Digest>| proof.into_iter().map(|it| Hash(it.0)).collect();
        for size in 1..=SIZE_MAX {
            let root = Hash(tree.root_at(size).unwrap().0);
            for index in 0..size {
                let proof = theirs(tree.inclusion(index, size).unwrap());
                let leaf = Hash(tree.leaf(index).unwrap().0);
                check_record(&proof, size, root, index, leaf).unwrap();
                let old = index + 1;
                let proof = theirs(tree.consistency(old, size).unwrap());
                let old_root = Hash(tree.root_at(old).unwrap().0);
                check_tree(&proof, size, root, old, old_root).unwrap();
            }
        }
    }
}
