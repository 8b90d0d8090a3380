//! The memory of a block of keys and values, handed on from one sequence to the next.
//!
//! Blocks come and go with every answer, thousands a second, between allocations that stay. Given back to
//! the allocator each time, they leave holes that it fills with other things, and a server's memory creeps
//! up for hours at the same load. What is dropped here waits for the next block of its size instead. Of one
//! size, what is in use and what waits are never more than what was once in use; of sizes that no model has
//! any more, [`WAITING_BYTES_MAX`] stay.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use crate::buffer::Words;

/// Bytes that wait at most; what is dropped beyond goes back to the allocator.
const WAITING_BYTES_MAX: usize = 256 << 20;

/// Blocks that nobody uses.
static WAITING: Mutex<Waiting> = Mutex::new(Waiting {
    blocks: Vec::new(),
    bytes: 0,
});

struct Waiting {
    blocks: Vec<Words>,
    bytes: usize,
}

impl Waiting {
    /// One of this length, what it holds left in it. The models of a process have few lengths, and the one
    /// that was dropped last is the likeliest.
    fn take(&mut self, len: usize) -> Option<Words> {
        let at = self.blocks.iter().rposition(|block| block.len() == len)?;
        let block = self.blocks.swap_remove(at);
        self.bytes -= size_of_val(&block[..]);
        Some(block)
    }

    fn give(&mut self, block: Words) {
        let bytes = size_of_val(&block[..]);
        if self.bytes + bytes <= WAITING_BYTES_MAX {
            self.bytes += bytes;
            self.blocks.push(block);
        }
    }
}

fn take(len: usize) -> Option<Words> {
    let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    waiting.take(len)
}

/// Words of a block.
#[derive(Debug)]
pub(super) struct Block(Words);

impl Block {
    /// `len` zeros.
    pub(super) fn zeroed(len: usize) -> Block {
        Block(match take(len) {
            Some(mut words) => {
                words.fill(0);
                words
            }
            None => Words::zeroed(len),
        })
    }
}

impl Clone for Block {
    fn clone(&self) -> Block {
        Block(match take(self.0.len()) {
            Some(mut words) => {
                words.copy_from_slice(&self.0);
                words
            }
            None => self.0.clone(),
        })
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let words = std::mem::take(&mut self.0);
        let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.give(words);
    }
}

impl Deref for Block {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        &self.0
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut [u32] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_taken_again_and_bounded() {
        let mut waiting = Waiting {
            blocks: Vec::new(),
            bytes: 0,
        };
        assert!(waiting.take(16).is_none());
        let (one, other) = (Words::zeroed(16), Words::zeroed(32));
        let places = [one.as_ptr(), other.as_ptr()];
        waiting.give(one);
        waiting.give(other);
        assert_eq!(waiting.bytes, 48 * 4);
        assert!(waiting.take(8).is_none());
        let again = [16, 32].map(|len| waiting.take(len).expect("it waits"));
        assert_eq!(again.each_ref().map(|it| it.as_ptr()), places);
        assert_eq!((waiting.bytes, waiting.blocks.len()), (0, 0));
        waiting.bytes = WAITING_BYTES_MAX;
        waiting.give(Words::zeroed(16));
        assert!(waiting.take(16).is_none());
    }

    #[test]
    fn nothing_of_the_sequence_before_is_seen() {
        // A length that no other test has.
        const LEN: usize = 12_345;
        let mut block = Block::zeroed(LEN);
        block.fill(7);
        let copy = block.clone();
        drop(block);
        assert!(Block::zeroed(LEN).iter().all(|word| *word == 0));
        assert!(copy.clone().iter().all(|word| *word == 7));
    }
}
