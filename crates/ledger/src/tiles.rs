//! The ledger as static files: C2SP tlog-tiles, for any web server and any client that knows them.
//!
//! Paths and bytes only; writing them is the caller's. Tiles are derived from the rows of the store
//! and never read back.

use std::fmt::Write as _;

use crate::dsse::Envelope;
use crate::tree::{Tree, TreeError};

/// Hashes, or entries, in a full tile.
pub const TILE_WIDTH: u64 = 256;

/// Levels of the tree between two levels of tiles.
const TILE_HEIGHT: usize = 8;

/// A file: its path with `/` between its parts, and its bytes.
pub type File = (String, Vec<u8>);

/// The files of the ledger of `size` entries: every tile of hashes, every bundle of entries, and the
/// `checkpoint`, which is over these `size` entries.
///
/// # Errors
/// A size other than the number of envelopes, or beyond the tree.
pub fn export_tiles(
    tree: &Tree,
    envelopes: &[Envelope],
    checkpoint: &str,
) -> Result<Vec<File>, TreeError> {
    let size = envelopes.len() as u64;
    if size != tree.len() {
        let len = tree.len();
        return Err(TreeError::Size { size, len });
    }
    let mut files = vec![("checkpoint".to_owned(), checkpoint.as_bytes().to_vec())];
    for (number, bundle) in envelopes.chunks(TILE_WIDTH as usize).enumerate() {
        let path = path("entries", number as u64, bundle.len());
        files.push((path, entries(bundle)));
    }
    for level in 0.. {
        let mut number = 0;
        loop {
            let start = number * TILE_WIDTH as usize;
            let hashes = tree.level(level * TILE_HEIGHT, start, TILE_WIDTH as usize);
            if hashes.is_empty() {
                break;
            }
            let bytes = hashes.iter().flat_map(|hash| hash.0).collect();
            let path = path(&level.to_string(), number as u64, hashes.len());
            files.push((path, bytes));
            number += 1;
        }
        if number == 0 {
            break;
        }
    }
    Ok(files)
}

/// Entries one after the other, each with its length in two bytes before it.
fn entries(bundle: &[Envelope]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for envelope in bundle {
        let entry = envelope.bytes();
        let length = u16::try_from(entry.len()).expect("an envelope has at most 65,535 bytes");
        bytes.extend(length.to_be_bytes());
        bytes.extend(entry);
    }
    bytes
}

/// `tile/LEVEL/x001/x234/067`, and `.p/WIDTH` where the tile is partial.
fn path(level: &str, number: u64, width: usize) -> String {
    let mut parts = vec![number % 1000];
    let mut rest = number / 1000;
    while rest > 0 {
        parts.push(rest % 1000);
        rest /= 1000;
    }
    let mut path = format!("tile/{level}");
    for (at, part) in parts.iter().enumerate().rev() {
        let mark = if at > 0 { "x" } else { "" };
        write!(path, "/{mark}{part:03}").expect("writing to a string cannot fail");
    }
    if width < TILE_WIDTH as usize {
        write!(path, ".p/{width}").expect("writing to a string cannot fail");
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;
    use lathe_evidence::Digest;
    use std::collections::BTreeMap;

    fn ledger(size: u64) -> (Tree, Vec<Envelope>) {
        let key = SigningKey::from_seed(&[1; 32]);
        let seal = |n: u64| Envelope::seal_bytes("t", n.to_be_bytes().to_vec(), &[&key]).unwrap();
        let envelopes: Vec<_> = (0..size).map(seal).collect();
        (envelopes.iter().map(Envelope::leaf).collect(), envelopes)
    }

    #[test]
    fn paths_are_the_specifications() {
        assert_eq!(path("0", 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(path("entries", 5, 17), "tile/entries/005.p/17");
    }

    /// C2SP tlog-tiles, "Partial Tiles": the tiles of a tree of 70,000 and of 256.
    #[test]
    fn there_are_the_tiles_that_the_specification_counts() {
        let count = |size: u32| {
            let tree: Tree = (0..size).map(|n| Digest::of(&n.to_be_bytes())).collect();
            let widths = |level: usize| {
                let all = tree.level(level * TILE_HEIGHT, 0, usize::MAX);
                (all.len() / 256, all.len() % 256)
            };
            (widths(0), widths(1), widths(2), widths(3))
        };
        assert_eq!(count(70_000), ((273, 112), (1, 17), (0, 1), (0, 0)));
        assert_eq!(count(256), ((1, 0), (0, 1), (0, 0), (0, 0)));
    }

    /// Another implementation: from the exported files alone, `tlog_tiles` checks every tile against
    /// the root and finds every leaf.
    #[test]
    fn tlog_tiles_reads_what_is_exported() {
        for size in [1, 2, 255, 256, 257, 700] {
            let (tree, envelopes) = ledger(size);
            let files: BTreeMap<_, _> = export_tiles(&tree, &envelopes, "note")
                .unwrap()
                .into_iter()
                .collect();
            let reader = Files(files);
            let root = tlog_tiles::Hash(tree.root().0);
            let hashes = tlog_tiles::TileHashReader::new(size, root, &reader);
            for (index, envelope) in envelopes.iter().enumerate() {
                let at = tlog_tiles::stored_hash_index(0, index as u64);
                let found = tlog_tiles::HashReader::read_hashes(&hashes, &[at]).unwrap();
                assert_eq!(found[0].0, envelope.leaf().0, "{index} of {size}");
            }
            assert_eq!(reader.entries(size), envelopes);
        }
        let (tree, envelopes) = ledger(3);
        assert!(export_tiles(&tree, &envelopes[..2], "note").is_err());
    }

    struct Files(BTreeMap<String, Vec<u8>>);

    impl Files {
        fn entries(&self, size: u64) -> Vec<Envelope> {
            let mut found = Vec::new();
            for number in 0..size.div_ceil(TILE_WIDTH) {
                let width = (size - number * TILE_WIDTH).min(TILE_WIDTH);
                let mut rest = &self.0[&path("entries", number, width as usize)][..];
                while let Some((length, after)) = rest.split_first_chunk() {
                    let (entry, next) = after.split_at(usize::from(u16::from_be_bytes(*length)));
                    found.push(Envelope::parse(entry).unwrap());
                    rest = next;
                }
            }
            found
        }
    }

    impl tlog_tiles::TileReader for Files {
        fn height(&self) -> u8 {
            8
        }

        fn read_tiles(
            &self,
            tiles: &[tlog_tiles::Tile],
        ) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
            // Theirs have the height in the path: tile/8/0/000; ours is the specification's.
            let ours = |tile: &tlog_tiles::Tile| tile.path().replacen("tile/8/", "tile/", 1);
            Ok(tiles
                .iter()
                .map(|tile| self.0[&ours(tile)].clone())
                .collect())
        }

        fn save_tiles(&self, _: &[tlog_tiles::Tile], _: &[Vec<u8>]) {}
    }
}
