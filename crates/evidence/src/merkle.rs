//! Merkle tree hashes by RFC 6962, section 2.1.
//!
//! A leaf hashes as SHA-256(0x00 ‖ data), a node as SHA-256(0x01 ‖ left ‖ right); the two prefixes
//! keep a node from passing for a leaf. The left subtree holds the largest power of two smaller
//! than the number of leaves. Roots only: proofs belong to the ledger.

use crate::digest::{Digest, Hasher};

/// The hash of a leaf that holds `data`.
pub fn leaf_hash(data: &[u8]) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(&[0x00]);
    hasher.update(data);
    hasher.finish()
}

/// The hash of a node over its two children.
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(&[0x01]);
    hasher.update(&left.0);
    hasher.update(&right.0);
    hasher.finish()
}

/// The root over leaf hashes in their order; the digest of nothing for no leaves.
pub fn root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest::of(b""),
        [leaf] => *leaf,
        _ => {
            let split = largest_power_of_two_below(leaves.len());
            node_hash(&root(&leaves[..split]), &root(&leaves[split..]))
        }
    }
}

/// The largest power of two smaller than `count`, which is at least 2.
fn largest_power_of_two_below(count: usize) -> usize {
    1 << (count - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::from_hex;

    /// The eight leaves and the roots of their first n that certificate-transparency's reference
    /// implementation publishes (google/certificate-transparency, merkle_tree_test.cc).
    const LEAVES: [&str; 8] = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[test]
    fn roots_match_the_published_vectors() {
        let leaves: Vec<_> = LEAVES
            .iter()
            .map(|hex| leaf_hash(&from_hex(hex).unwrap()))
            .collect();
        for (count, expected) in (1..=8).zip(ROOTS) {
            assert_eq!(
                root(&leaves[..count]).to_string(),
                expected,
                "{count} leaves"
            );
        }
    }

    /// RFC 6962, 2.1: "The hash of an empty list is the hash of an empty string."
    #[test]
    fn the_empty_tree_is_the_digest_of_nothing() {
        assert_eq!(root(&[]), Digest::of(b""));
    }

    #[test]
    fn every_leaf_and_the_order_count() {
        let leaves: Vec<_> = (0..37u8).map(|n| leaf_hash(&[n])).collect();
        let whole = root(&leaves);
        for index in 0..leaves.len() {
            let mut changed = leaves.clone();
            changed[index] = leaf_hash(b"changed");
            assert_ne!(root(&changed), whole, "leaf {index}");
        }
        let mut swapped = leaves;
        swapped.swap(11, 12);
        assert_ne!(root(&swapped), whole);
    }
}
