//! Keys and values of a sequence, kept as the products of attention read them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::block::Block;
use super::panels::{KEYS, Panels, VECTORS, by_columns_words, by_depth_words};
use crate::Isa;
use crate::bf16::to_bf16;
use crate::buffer::area;
use crate::gemm::{PairUnit, lanes};
use crate::simd::{self, Kernel, Simd};

/// Keys and values of one sequence in one layer, in bfloat16. Cloning is cheap: blocks of 64
/// positions are shared until one side writes to them.
#[derive(Clone)]
pub struct KvLayer {
    isa: Isa,
    kv_heads: usize,
    head_dim: usize,
    len: usize,
    /// Each holds, head after head, the keys by columns and then the values by depth.
    blocks: Vec<Arc<Block>>,
}

impl fmt::Debug for KvLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let KvLayer {
            isa,
            kv_heads,
            head_dim,
            len,
            ..
        } = self;
        write!(
            f,
            "KvLayer({len} positions of {kv_heads} x {head_dim}, {isa})"
        )
    }
}

impl KvLayer {
    /// An empty cache for keys and values of `[rows, kv_heads, head_dim]`.
    pub fn new(isa: Isa, kv_heads: usize, head_dim: usize) -> KvLayer {
        KvLayer {
            isa,
            kv_heads,
            head_dim,
            len: 0,
            blocks: Vec::new(),
        }
    }

    /// Appends rows of keys and values, `[rows, kv_heads, head_dim]` each.
    ///
    /// # Panics
    /// If the two differ in length or are not whole rows.
    pub fn append(&mut self, keys: &[f32], values: &[f32]) {
        let width = area(self.kv_heads, self.head_dim);
        assert_eq!(keys.len(), values.len(), "keys and values differ in length");
        assert!(
            width > 0 && keys.len().is_multiple_of(width),
            "keys are not rows of {width}"
        );
        let rows = keys.len() / width;
        let mut done = 0;
        while done < rows {
            let slot = self.len % KEYS;
            let count = (KEYS - slot).min(rows - done);
            if slot == 0 {
                self.blocks
                    .push(Arc::new(Block::zeroed(self.kv_heads * self.head_words())));
            }
            let here = done * width..(done + count) * width;
            let (keys, values) = (&keys[here.clone()], &values[here]);
            let (head_dim, head_words) = (self.head_dim, self.head_words());
            let block = self
                .blocks
                .last_mut()
                .expect("a block with a free slot is there or was just made");
            let block = &mut Arc::make_mut(block)[..];
            simd::vectorize(
                self.isa,
                Append {
                    block,
                    head_words,
                    head_dim,
                    slot,
                    keys,
                    values,
                    width,
                },
            );
            self.len += count;
            done += count;
        }
    }

    /// Positions held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets all positions from `len` on; nothing happens if there are no more.
    pub fn truncate(&mut self, len: usize) {
        if len >= self.len {
            return;
        }
        self.blocks.truncate(len.div_ceil(KEYS));
        let (kept, used) = (len % KEYS, (self.len - len / KEYS * KEYS).min(KEYS));
        self.len = len;
        if kept > 0 {
            // Values of forgotten positions meet a factor of zero in attention, which would not
            // silence one that is no number: they are cleared.
            let (head_dim, head_words, panel) =
                (self.head_dim, self.head_words(), VECTORS * lanes(self.isa));
            let keys_words = by_columns_words(head_dim, 2);
            let block = self
                .blocks
                .last_mut()
                .expect("the block of the last kept position");
            for head in Arc::make_mut(block).chunks_exact_mut(head_words) {
                (kept..used).for_each(|slot| clear_value(&mut head[keys_words..], slot, panel));
            }
        }
    }

    /// Bytes of memory held, shared blocks counted in full.
    pub fn bytes(&self) -> usize {
        self.blocks
            .iter()
            .map(|block| size_of_val(&block[..]))
            .sum()
    }

    /// Bytes of the blocks that `positions` lie in.
    pub fn span_bytes(&self, positions: Range<usize>) -> usize {
        let blocks = positions.end.div_ceil(KEYS) - positions.start / KEYS;
        blocks * self.kv_heads * self.head_words() * size_of::<u32>()
    }

    /// How many blocks at the beginning are the same memory in both.
    pub(super) fn blocks_shared(&self, other: &KvLayer) -> usize {
        let both = self.blocks.iter().zip(&other.blocks);
        both.take_while(|(a, b)| Arc::ptr_eq(a, b)).count()
    }

    /// Where the blocks lie: the same address in two caches is a block that both share.
    pub fn addresses(&self) -> impl Iterator<Item = usize> {
        self.blocks.iter().map(|block| Arc::as_ptr(block).addr())
    }

    /// Instruction set, heads and head width, for checking against a call's.
    pub(super) fn kind(&self) -> (Isa, usize, usize) {
        (self.isa, self.kv_heads, self.head_dim)
    }

    /// The keys by columns and the values by depth of a head's block.
    pub(super) fn block(&self, block: usize, head: usize) -> (&[u32], &[u32]) {
        let words = self.head_words();
        self.blocks[block][head * words..(head + 1) * words]
            .split_at(by_columns_words(self.head_dim, 2))
    }

    fn head_words(&self) -> usize {
        let panel = VECTORS * lanes(self.isa);
        by_columns_words(self.head_dim, 2) + by_depth_words(self.head_dim, 2, panel)
    }
}

/// Rows for one block, from `slot` on.
struct Append<'a> {
    block: &'a mut [u32],
    head_words: usize,
    head_dim: usize,
    slot: usize,
    keys: &'a [f32],
    values: &'a [f32],
    width: usize,
}

impl Kernel for Append<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let panels = Panels::<S, PairUnit>::new(s, self.head_dim);
        let rows = self.keys.len() / self.width;
        for (index, head) in self.block.chunks_exact_mut(self.head_words).enumerate() {
            let (keys, values) = head.split_at_mut(panels.by_columns_words());
            let part = |of: usize| {
                of * self.width + index * self.head_dim
                    ..of * self.width + (index + 1) * self.head_dim
            };
            (0..rows)
                .for_each(|row| panels.write_column(keys, self.slot + row, &self.keys[part(row)]));
            let mut row = 0;
            while row < rows {
                let (slot, first) = (self.slot + row, &self.values[part(row)]);
                if slot % 2 == 0 && row + 1 < rows {
                    panels.write_depth(values, slot / 2, first, &self.values[part(row + 1)]);
                    row += 2;
                } else {
                    set_value(values, slot, VECTORS * S::LANES, first);
                    row += 1;
                }
            }
        }
    }
}

/// Writes one row of values into a block by depth, leaving the row it shares its words with.
#[inline(always)]
fn set_value(block: &mut [u32], slot: usize, panel: usize, row: &[f32]) {
    let shift = slot % 2 * 16;
    for (columns, part) in row.chunks(panel).enumerate() {
        let at = (columns * (KEYS / 2) + slot / 2) * panel;
        for (word, value) in block[at..at + part.len()].iter_mut().zip(part) {
            *word = *word & !(0xffff << shift) | u32::from(to_bf16(*value)) << shift;
        }
    }
}

/// Zeroes the row of values in `slot`.
fn clear_value(block: &mut [u32], slot: usize, panel: usize) {
    for columns in block.chunks_exact_mut(KEYS / 2 * panel) {
        let words = &mut columns[slot / 2 * panel..][..panel];
        words
            .iter_mut()
            .for_each(|word| *word &= !(0xffff << (slot % 2 * 16)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bf16::from_bf16;
    use crate::testing::random;

    /// The keys and values of a position, read back from the blocks.
    fn row(cache: &KvLayer, position: usize) -> (Vec<f32>, Vec<f32>) {
        let panel = VECTORS * lanes(cache.isa);
        let slot = position % KEYS;
        let half = |word: u32, upper: bool| {
            from_bf16(if upper {
                (word >> 16) as u16
            } else {
                word as u16
            })
        };
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for head in 0..cache.kv_heads {
            let (by_columns, by_depth) = cache.block(position / KEYS, head);
            for i in 0..cache.head_dim {
                let at = (slot / panel * cache.head_dim.div_ceil(2) + i / 2) * panel + slot % panel;
                keys.push(half(by_columns[at], i % 2 == 1));
                let at = (i / panel * (KEYS / 2) + slot / 2) * panel + i % panel;
                values.push(half(by_depth[at], slot % 2 == 1));
            }
        }
        (keys, values)
    }

    fn rounded(values: &[f32]) -> Vec<f32> {
        values
            .iter()
            .map(|value| from_bf16(to_bf16(*value)))
            .collect()
    }

    fn check(cache: &KvLayer, keys: &[f32], values: &[f32]) {
        let width = cache.kv_heads * cache.head_dim;
        for position in 0..cache.len() {
            let at = position * width..(position + 1) * width;
            assert_eq!(
                row(cache, position),
                (rounded(&keys[at.clone()]), rounded(&values[at])),
                "position {position}"
            );
        }
    }

    #[test]
    fn what_is_appended_in_any_pieces_is_held() {
        for isa in Isa::supported() {
            for (kv_heads, head_dim) in [(1, 1), (3, 64), (2, 7), (1, 40)] {
                let width = kv_heads * head_dim;
                let (keys, values) = (random(1, 150 * width), random(2, 150 * width));
                for piece in [1, 2, 3, 7, 64, 65, 150] {
                    let mut cache = KvLayer::new(isa, kv_heads, head_dim);
                    for (keys, values) in
                        keys.chunks(piece * width).zip(values.chunks(piece * width))
                    {
                        cache.append(keys, values);
                    }
                    assert_eq!(cache.len(), 150);
                    check(&cache, &keys, &values);
                }
            }
        }
    }

    #[test]
    fn a_clone_is_independent_and_truncation_forgets() {
        let each = |isa| [7, 8, 40, 64].map(move |dim| (isa, dim));
        for (isa, dim) in Isa::supported().into_iter().flat_map(each) {
            let (keys, values) = (random(1, 100 * dim), random(2, 100 * dim));
            let (other_keys, other_values) = (random(3, 100 * dim), random(4, 100 * dim));
            for len in [0, 1, 63, 64, 65, 99, 100, 200] {
                let mut cache = KvLayer::new(isa, 1, dim);
                cache.append(&keys, &values);
                let kept = len.min(100);
                let mut fork = cache.clone();
                fork.truncate(len);
                assert_eq!(fork.len(), kept);
                check(&fork, &keys, &values);
                let rest = kept * dim..;
                fork.append(&other_keys[rest.clone()], &other_values[rest]);
                let joined = |first: &[f32], second: &[f32]| {
                    [&first[..kept * dim], &second[kept * dim..]].concat()
                };
                let (keys_now, values_now) =
                    (joined(&keys, &other_keys), joined(&values, &other_values));
                check(&fork, &keys_now, &values_now);
                check(&cache, &keys, &values);
            }
        }
    }

    #[test]
    fn what_clones_share_has_one_address_and_no_block_is_left_out() {
        let (keys, values) = (random(1, 150 * 8), random(2, 150 * 8));
        let mut cache = KvLayer::new(Isa::detect(), 1, 8);
        assert_eq!(cache.span_bytes(0..0), 0);
        cache.append(&keys, &values);
        assert_eq!(cache.span_bytes(0..150), cache.bytes());
        assert_eq!(cache.span_bytes(63..65), cache.span_bytes(0..128));
        let mut fork = cache.clone();
        let shared = |a: &KvLayer, b: &KvLayer| {
            let both = a.addresses().zip(b.addresses());
            both.filter(|(a, b)| a == b).count()
        };
        assert_eq!(shared(&cache, &fork), 3);
        // The last block is written to, and so becomes the fork's own.
        fork.append(&keys[..8], &values[..8]);
        assert_eq!((cache.addresses().count(), shared(&cache, &fork)), (3, 2));
    }

    #[test]
    fn truncation_clears_values_that_are_no_numbers() {
        let each = |isa| [7, 8, 40, 64].map(move |dim| (isa, dim));
        for (isa, dim) in Isa::supported().into_iter().flat_map(each) {
            let mut cache = KvLayer::new(isa, 1, dim);
            cache.append(&vec![0.0; 10 * dim], &vec![f32::NAN; 10 * dim]);
            cache.truncate(3);
            let (_, by_depth) = cache.block(0, 0);
            let panel = VECTORS * lanes(isa);
            // By panels of columns: positions 0 and 1, 2 with a cleared one, and the others.
            for columns in by_depth.chunks_exact(KEYS / 2 * panel) {
                let kept = &columns[panel..2 * panel];
                assert!(kept.iter().all(|word| word >> 16 == 0));
                assert!(columns[2 * panel..].iter().all(|&word| word == 0));
            }
            let (_, values) = row(&cache, 2);
            assert!(values.iter().all(|value| value.is_nan()), "{isa} {dim}");
        }
    }
}
