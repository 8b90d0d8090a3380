//! Stop sequences: an answer ends before the first of them.
//!
//! Sequences are matched on text, not tokens, so that it does not matter how the
//! model happened to cut them. Text that may still turn out to be the beginning
//! of a sequence is held back until that is decided.

use super::text::Piece;

/// Watches one answer for its stop sequences.
#[derive(Debug)]
pub(crate) struct StopMatcher {
    sequences: Vec<String>,
    /// Not yet given out: it ends with what may become a stop sequence.
    held: String,
}

impl StopMatcher {
    /// Watches for `sequences`, none of them empty.
    pub(crate) fn new(sequences: Vec<String>) -> Self {
        StopMatcher {
            sequences,
            held: String::new(),
        }
    }

    /// Takes the next piece of the answer; returns what may be given out and
    /// whether a stop sequence was found. After that nothing may be pushed.
    pub(crate) fn push(&mut self, piece: &str) -> Piece {
        self.held.push_str(piece);
        if let Some(at) = self.first_match() {
            self.held.truncate(at);
            let text = std::mem::take(&mut self.held);
            return Piece {
                text,
                stopped: true,
            };
        }
        let kept = self.undecided();
        let rest = self.held.split_off(self.held.len() - kept);
        let text = std::mem::replace(&mut self.held, rest);
        Piece {
            text,
            stopped: false,
        }
    }

    /// The answer ended otherwise: what was held back belongs to it.
    pub(crate) fn finish(self) -> String {
        self.held
    }

    /// Where the sequence begins that is complete first, so that the result does
    /// not depend on where the pieces were cut.
    fn first_match(&self) -> Option<usize> {
        let found = self.sequences.iter().filter_map(|sequence| {
            let start = self.held.find(sequence)?;
            Some((start + sequence.len(), start))
        });
        found.min().map(|(_end, start)| start)
    }

    /// Bytes at the end that are a proper beginning of some sequence: the most.
    fn undecided(&self) -> usize {
        let longest = |sequence: &String| {
            let most = self.held.len().min(sequence.len() - 1);
            (1..=most)
                .rev()
                .find(|&len| self.held.as_bytes().ends_with(&sequence.as_bytes()[..len]))
                .unwrap_or(0)
        };
        let undecided = self.sequences.iter().map(longest).max().unwrap_or(0);
        // A sequence may share only some bytes of a character with the text; the
        // cut must lie between characters, so the whole character is held.
        (undecided..=self.held.len())
            .find(|&len| self.held.is_char_boundary(self.held.len() - len))
            .unwrap_or(self.held.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `pieces` and returns what came out, and whether it was stopped.
    fn check(sequences: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut matcher = StopMatcher::new(sequences.iter().map(|s| s.to_string()).collect());
        let mut out = String::new();
        for piece in pieces {
            let piece = matcher.push(piece);
            out.push_str(&piece.text);
            if piece.stopped {
                return (out, true);
            }
        }
        out.push_str(&matcher.finish());
        (out, false)
    }

    #[test]
    fn stops_inside_one_piece_and_across_pieces() {
        assert_eq!(check(&["END"], &["one END two"]), ("one ".into(), true));
        assert_eq!(
            check(&["END"], &["one E", "N", "D two"]),
            ("one ".into(), true)
        );
    }

    #[test]
    fn gives_back_what_only_looked_like_a_stop() {
        assert_eq!(check(&["END"], &["E", "N", "E"]), ("ENE".into(), false));
        assert_eq!(
            check(&["aab"], &["a", "a", "a", "b", "c"]),
            ("a".into(), true)
        );
    }

    #[test]
    fn takes_the_one_that_is_complete_first() {
        assert_eq!(
            check(&["two", "one"], &["zero one two"]),
            ("zero ".into(), true)
        );
        for pieces in [&["abcd"][..], &["abc", "d"], &["a", "b", "c", "d"]] {
            assert_eq!(check(&["abcd", "c"], pieces), ("ab".into(), true));
        }
    }

    #[test]
    fn holds_whole_characters_only() {
        // é is C3 A9, à is C3 A0: they share their first byte.
        assert_eq!(
            check(&["é!"], &["caf", "à", "é", "?"]),
            ("cafàé?".into(), false)
        );
        assert_eq!(check(&["é!"], &["caf", "é", "!"]), ("caf".into(), true));
    }

    #[test]
    fn agrees_with_a_search_in_the_whole_text_for_every_cut() {
        let text = "ab aab abab 中文 aabb";
        let sequences = ["abb", "b 中", "bab "];
        let ends = sequences
            .iter()
            .filter_map(|s| text.find(s).map(|at| (at + s.len(), at)));
        let whole = ends.min().map(|(_, at)| &text[..at]);
        let cuts: Vec<usize> = (0..=text.len())
            .filter(|&at| text.is_char_boundary(at))
            .collect();
        for &first in &cuts {
            for &second in cuts.iter().filter(|&&second| second >= first) {
                let pieces = [&text[..first], &text[first..second], &text[second..]];
                let (out, stopped) = check(&sequences, &pieces);
                assert!(stopped);
                assert_eq!(Some(out.as_str()), whole);
            }
        }
    }
}
