//! What an answer goes on with where it repeats what stood there before.
//!
//! Answers quote: a name from the prompt, a line of a table, the form of the item before. Where the last
//! tokens stood before, those that followed then are guessed to follow again (prompt lookup decoding,
//! Saxena 2023), and all of them are computed in one step. For few rows a step takes little longer than
//! for one, since it is weights that it reads. Every token is still chosen from the bits that it would be
//! chosen from without a guess, whatever the temperature; what was guessed wrong is forgotten.
//!
//! Deliberately absent: a second, smaller model that guesses, and trees of guesses.

/// So many last tokens have to have stood there before.
const LOOKED_UP: usize = 3;
/// Steps without a guess at most, after several that were wrong from the first token on.
const REST_STEPS_MAX: u32 = 32;

/// The guesses for one answer.
#[derive(Debug, Default)]
pub(crate) struct Guesses {
    /// How many in a row were wrong from their first token on.
    wrong: u32,
    /// Steps to go before the next.
    rest: u32,
}

impl Guesses {
    /// What may follow `tokens`, no more than `most`; nothing where they do not repeat, or where guesses
    /// were wrong lately.
    pub(crate) fn next(&mut self, tokens: &[u32], most: usize) -> Vec<u32> {
        if self.rest > 0 {
            self.rest -= 1;
            return Vec::new();
        }
        let Some((_, before)) = tokens.split_last() else {
            return Vec::new();
        };
        let end = &tokens[tokens.len().saturating_sub(LOOKED_UP)..];
        // The latest place: what is near is more alike.
        let found = before.windows(LOOKED_UP).rposition(|it| it == end);
        let follows = found.map_or(&[][..], |at| &tokens[at + LOOKED_UP..]);
        // Where it ends, what it began with follows once more.
        follows.iter().copied().cycle().take(most).collect()
    }

    /// The first `right` of the last guess were so chosen.
    pub(crate) fn were(&mut self, right: usize) {
        if right > 0 {
            self.wrong = 0;
            return;
        }
        self.rest = (1 << self.wrong.min(16)).min(REST_STEPS_MAX);
        self.wrong += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_followed_last_is_guessed_to_follow_again() {
        let guess = |tokens: &[u32], most| Guesses::default().next(tokens, most);
        assert_eq!(guess(&[1, 2, 3, 4, 1, 2, 3, 5, 6, 1, 2, 3], 2), [5, 6]);
        assert_eq!(guess(&[1, 2, 3, 4, 1, 2, 3], 6), [4, 1, 2, 3, 4, 1]);
        assert_eq!(guess(&[7, 7, 7, 7], 3), [7, 7, 7]);
        for new in [&[][..], &[1], &[1, 2, 3], &[1, 2, 3, 4, 2, 3]] {
            assert_eq!(guess(new, 3), [0; 0], "{new:?}");
        }
    }

    #[test]
    fn who_was_wrong_rests_ever_longer_until_once_right() {
        let mut guesses = Guesses::default();
        let tokens = [1, 2, 3, 1, 2, 3];
        let rests = |guesses: &mut Guesses| {
            (0..100)
                .take_while(|_| guesses.next(&tokens, 1).is_empty())
                .count()
        };
        for expected in [0, 1, 2, 4, 8, 16, 32, 32] {
            assert_eq!(rests(&mut guesses), expected);
            guesses.were(0);
        }
        assert_eq!(rests(&mut guesses), 32);
        guesses.were(1);
        assert_eq!(rests(&mut guesses), 0);
    }
}
