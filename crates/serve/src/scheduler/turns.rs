//! How the prompt tokens of a step are shared out among those who read.
//!
//! Half of them go to whoever came first, so that every prompt is read in the end; the rest go to those
//! who have least left, so that a short question does not wait until a long document is read.

use super::slot::Slot;

/// Prompt tokens of a step after each of which logits are computed, which a vocabulary makes wide.
const SCORED_TOKENS_MAX: usize = 128;

/// Plans the step of every slot, with no more than `room` prompt tokens in all; returns what of them
/// is left.
pub(crate) fn share_out(slots: &mut [Slot], room: usize) -> usize {
    let mut scored = SCORED_TOKENS_MAX;
    let unread = slots.iter().map(|slot| {
        let unread = slot.unread();
        if !slot.is_to_score() {
            return unread;
        }
        let now = unread.min(scored);
        scored -= now;
        now
    });
    let unread: Vec<usize> = unread.collect();
    let serials: Vec<u64> = slots.iter().map(Slot::serial).collect();
    let granted = grants(&unread, &serials, room);
    let left = room - granted.iter().sum::<usize>();
    for (slot, tokens) in slots.iter_mut().zip(granted) {
        slot.plan(tokens);
    }
    left
}

/// What each of those who have `unread` tokens left gets of `room`; `serials` say who came first.
fn grants(unread: &[usize], serials: &[u64], room: usize) -> Vec<usize> {
    let mut granted = vec![0; unread.len()];
    let mut reading: Vec<usize> = (0..unread.len()).filter(|&at| unread[at] > 0).collect();
    let mut left = room;
    let mut grant = |at: usize, most: usize, left: &mut usize| {
        let more = (unread[at] - granted[at]).min(most);
        granted[at] += more;
        *left -= more;
    };
    if let Some(&first) = reading.iter().min_by_key(|&&at| serials[at]) {
        grant(first, room.div_ceil(2), &mut left);
    }
    reading.sort_by_key(|&at| (unread[at], serials[at]));
    for at in reading {
        let most = left;
        grant(at, most, &mut left);
    }
    granted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_gets_half_and_the_short_the_rest() {
        assert_eq!(
            grants(&[8000, 40, 300, 0], &[0, 1, 2, 3], 256),
            [128, 40, 88, 0]
        );
        // Alone, it gets everything, and no more than it needs.
        assert_eq!(grants(&[8000, 0], &[5, 1], 256), [256, 0]);
        assert_eq!(grants(&[100], &[0], 256), [100]);
        // Whoever came first, wherever its slot.
        assert_eq!(grants(&[500, 900], &[7, 3], 100), [50, 50]);
        assert_eq!(grants(&[3, 3], &[0, 1], 1), [1, 0]);
        assert_eq!(grants(&[], &[], 7), [0; 0]);
    }

    #[test]
    fn equals_are_served_in_the_order_they_came() {
        assert_eq!(
            grants(&[45, 45, 45, 45], &[0, 1, 2, 3], 100),
            [45, 45, 10, 0]
        );
    }
}
