//! How text is cut into words before merging, by the name GGUF files give it.
//!
//! A GGUF file only names its pre-tokenizer; what the name means is agreed with
//! llama.cpp's table (`src/llama-vocab.cpp`). A name that is not in this table
//! is refused: a guess would cut words differently from what the model learnt,
//! and nobody would notice but the figures.

use serde_json::Value;
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior};

/// GPT-2's words: contractions, then runs of letters, digits, others, each with a leading space.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)";
/// Llama 3's words: digits in threes, line ends with the punctuation before them.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 2's words: as Llama 3's, but digits one by one.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// What llama.cpp falls back to: punctuation apart, digits in threes.
const DEFAULT: [&str; 4] = [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"];

/// One row of the table.
struct Row {
    names: &'static [&'static str],
    words: Words,
    ignore_merges: bool,
    /// Canonical composition first, as the published tokenizer does it.
    nfc: bool,
}

enum Words {
    /// Digits one by one, then GPT-2's words.
    DigitsThenGpt2,
    Gpt2,
    Pattern(&'static str),
    Patterns(&'static [&'static str]),
}

const TABLE: [Row; 6] = [
    Row {
        names: &["smollm", "starcoder", "refact", "command-r", "codeshell"],
        words: Words::DigitsThenGpt2,
        ignore_merges: false,
        nfc: false,
    },
    Row {
        names: &["gpt-2", "phi-2", "mpt", "olmo"],
        words: Words::Gpt2,
        ignore_merges: false,
        nfc: false,
    },
    Row {
        names: &["llama-bpe", "llama3", "llama-v3"],
        words: Words::Pattern(LLAMA3),
        ignore_merges: true,
        nfc: false,
    },
    Row {
        names: &["dbrx", "smaug-bpe"],
        words: Words::Pattern(LLAMA3),
        ignore_merges: false,
        nfc: false,
    },
    Row {
        names: &["qwen2", "deepseek-r1-qwen"],
        words: Words::Pattern(QWEN2),
        ignore_merges: false,
        nfc: true,
    },
    Row {
        names: &["default"],
        words: Words::Patterns(&DEFAULT),
        ignore_merges: false,
        nfc: false,
    },
];

/// What a name stands for.
pub(super) struct Named {
    pub(super) normalizer: Option<NormalizerWrapper>,
    pub(super) pre_tokenizer: PreTokenizerWrapper,
    pub(super) ignore_merges: bool,
}

/// Looks a name up; the error is the list of the names there are.
pub(super) fn by_name(name: &str) -> Result<Named, String> {
    let row = TABLE.iter().find(|row| row.names.contains(&name));
    let Some(row) = row else {
        let known: Vec<_> = TABLE.iter().flat_map(|row| row.names).copied().collect();
        return Err(known.join(", "));
    };
    Ok(Named {
        normalizer: row.nfc.then(|| NormalizerWrapper::from(NFC)),
        pre_tokenizer: words(&row.words),
        ignore_merges: row.ignore_merges,
    })
}

/// The name of a file's own way, if the table has it.
pub(super) fn name_of(json: &Value) -> Result<&'static str, String> {
    let wanted = ways(&json["normalizer"], &json["pre_tokenizer"]);
    let ignores = json.pointer("/model/ignore_merges") == Some(&Value::Bool(true));
    let is_it = |row: &&Row| {
        let normalizer = row.nfc.then(|| NormalizerWrapper::from(NFC));
        let found = [
            serde_json::to_value(normalizer).unwrap_or_default(),
            serde_json::to_value(words(&row.words)).unwrap_or_default(),
        ];
        row.ignore_merges == ignores && ways(&found[0], &found[1]) == wanted
    };
    match TABLE.iter().find(is_it) {
        Some(row) => Ok(row.names[0]),
        None => Err(TABLE.map(|row| row.names[0]).join(", ")),
    }
}

/// Two components without what changes no word: a sequence of one, and the places that the encoder
/// reports.
fn ways(normalizer: &Value, pre_tokenizer: &Value) -> [Value; 2] {
    [normalizer, pre_tokenizer].map(|it| {
        let mut it = it.clone();
        for key in ["normalizers", "pretokenizers"] {
            let only = it.get(key).and_then(Value::as_array);
            if let Some([only]) = only.map(Vec::as_slice) {
                it = only.clone();
            }
        }
        let mut parts = vec![&mut it];
        while let Some(part) = parts.pop() {
            if let Some(part) = part.as_object_mut() {
                part.remove("trim_offsets");
            }
            let within = part.get_mut("pretokenizers").and_then(Value::as_array_mut);
            parts.extend(within.into_iter().flatten());
        }
        it
    })
}

fn words(words: &Words) -> PreTokenizerWrapper {
    let steps = match words {
        Words::DigitsThenGpt2 => {
            vec![
                Digits::new(true).into(),
                ByteLevel::new(false, true, true).into(),
            ]
        }
        Words::Gpt2 => return ByteLevel::new(false, true, true).into(),
        Words::Pattern(pattern) => {
            vec![split(pattern), ByteLevel::new(false, true, false).into()]
        }
        Words::Patterns(patterns) => patterns
            .iter()
            .map(|pattern| split(pattern))
            .chain([ByteLevel::new(false, true, false).into()])
            .collect(),
    };
    Sequence::new(steps).into()
}

fn split(pattern: &str) -> PreTokenizerWrapper {
    Split::new(
        SplitPattern::Regex(pattern.to_owned()),
        SplitDelimiterBehavior::Isolated,
        false,
    )
    .expect("the table's patterns compile, which a test checks")
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_one_row_that_compiles() {
        let mut seen = Vec::new();
        for name in TABLE.iter().flat_map(|row| row.names) {
            assert!(!seen.contains(name), "{name} occurs twice");
            assert!(by_name(name).is_ok());
            seen.push(*name);
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known() {
        let known = by_name("superbpe").err().expect("unknown");
        assert!(
            known.contains("smollm") && known.contains("default"),
            "{known}"
        );
    }
}
