//! Shingles: hashes by which a text is known again when it is quoted in part or lightly edited.
//!
//! A shingle is three words, or four ideographs, one after the other; case, punctuation and white
//! space do not count. Of a long text the smallest hashes are kept, the same of every text, so that
//! two samples can be compared (Broder 1997). The hashes do not give the text back; who guesses
//! three words can see whether they stand in it.

use lathe_evidence::Digest;

use crate::tokens::{Kind, tokens};

/// The most hashes kept of one text.
pub const SHINGLES_MAX: usize = 256;

/// How much of a text is looked at, in bytes.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// What a shingle has to weigh.
const WEIGHT_MIN: u32 = 12;

/// The hashes of a text's shingles: each once, the smallest first, at most [`SHINGLES_MAX`].
pub fn shingles(text: &str) -> Vec<u64> {
    let text = &text[..text.floor_char_boundary(TEXT_BYTES_MAX)];
    let words: Vec<(String, u32)> = tokens(text)
        .into_iter()
        .filter_map(|token| match token.kind {
            Kind::Word => Some((token.text.to_lowercase(), 4)),
            Kind::Ideograph => Some((token.text.to_owned(), 3)),
            Kind::Gap => None,
        })
        .collect();
    let mut hashes: Vec<u64> = (0..words.len())
        .filter_map(|first| shingle(&words[first..]))
        .collect();
    hashes.sort_unstable();
    hashes.dedup();
    hashes.truncate(SHINGLES_MAX);
    hashes
}

/// The hash of the shingle that `words` begin with.
fn shingle(words: &[(String, u32)]) -> Option<u64> {
    let (mut said, mut weight) = (String::new(), 0);
    for (word, more) in words {
        said.push_str(word);
        said.push('\n');
        weight += more;
        if weight >= WEIGHT_MIN {
            let Digest(bytes) = Digest::of(said.as_bytes());
            return Some(
                bytes
                    .iter()
                    .take(8)
                    .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
            );
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share of a quotation's shingles that a text has.
    fn share(quoted: &str, text: &str) -> f64 {
        let (asked, kept) = (shingles(quoted), shingles(text));
        let common = asked.iter().filter(|it| kept.contains(it)).count();
        common as f64 / asked.len() as f64
    }

    const ENGLISH: &str =
        "After two weeks the buttons stopped responding, and support never called back.";
    const CHINESE: &str = "用了两个星期按键就失灵了，客服一直没有回电话。";

    #[test]
    fn a_quotation_is_known_again_and_another_text_is_not() {
        assert_eq!(
            share("the BUTTONS stopped   responding and Support", ENGLISH),
            1.0
        );
        assert_eq!(share("按键就失灵了客服", CHINESE), 1.0);
        assert_eq!(
            share(CHINESE, "客服态度很好，电话一打就通，非常满意。"),
            0.0
        );
        assert_eq!(
            share(ENGLISH, "The zoom is superb and the battery lasts."),
            0.0
        );
    }

    #[test]
    fn a_light_edit_leaves_most_of_it() {
        assert!(share(&ENGLISH.replace("never", "has never"), ENGLISH) > 0.7);
        assert!(share(&CHINESE.replace("失灵", "坏"), CHINESE) > 0.6);
    }

    #[test]
    fn a_long_text_keeps_a_bounded_sample_of_itself() {
        let text: String = (0..5_000).map(|n| format!("word{n} ")).collect();
        let kept = shingles(&text);
        assert_eq!(kept.len(), SHINGLES_MAX);
        assert!(kept.is_sorted());
        assert!(shingles("too short").is_empty());
    }
}
