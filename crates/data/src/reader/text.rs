//! From a file's bytes to text: which encoding they are in, and which lines are not in it.

use std::borrow::Cow;

use encoding_rs::{Encoding, GB18030, UTF_8};

use super::{Failure, ReaderSpec};

/// A file as text.
pub(super) struct Text<'a> {
    /// The text, without a byte order mark.
    pub text: Cow<'a, str>,
    /// The encoding's WHATWG name.
    pub encoding: &'static str,
    /// Whether bytes outside the encoding were replaced by U+FFFD.
    replaced: bool,
}

impl<'a> Text<'a> {
    /// Decodes `bytes`: by the specification, else by byte order mark, else UTF-8 or GB18030.
    pub(super) fn decode(bytes: &'a [u8], spec: &ReaderSpec) -> Result<Self, Failure> {
        let encoding = match &spec.encoding {
            Some(label) => labelled(label)?,
            None => recognise(bytes),
        };
        // `decode` lets a byte order mark overrule the encoding and takes it off.
        let (text, encoding, replaced) = encoding.decode(bytes);
        Ok(Self {
            text,
            encoding: encoding.name(),
            replaced,
        })
    }

    /// Why `piece` of the text cannot be used, if it cannot.
    pub(super) fn damage(&self, piece: &str) -> Option<String> {
        (self.replaced && piece.contains('\u{FFFD}')).then(|| {
            format!(
                "it holds bytes that are not {}; save the file as UTF-8 or name its `encoding`",
                self.encoding
            )
        })
    }
}

fn labelled(label: &str) -> Result<&'static Encoding, Failure> {
    Encoding::for_label(label.as_bytes()).ok_or_else(|| Failure::Spec {
        key: "encoding",
        reason: format!(
            "`{label}` is no known encoding; write utf-8, gb18030 or another WHATWG name"
        ),
    })
}

/// UTF-8 where the bytes are UTF-8 or mostly so; else GB18030 where they are that; else UTF-8, with
/// the odd lines reported by [`Text::damage`].
pub(crate) fn recognise(bytes: &[u8]) -> &'static Encoding {
    if std::str::from_utf8(bytes).is_ok() {
        return UTF_8;
    }
    let (sound, unsound) = utf8_sequences(bytes);
    if sound > unsound || !looks_like_gb18030(bytes) {
        return UTF_8;
    }
    GB18030
}

/// How many multi-byte characters are sound UTF-8, and how many places are not.
fn utf8_sequences(bytes: &[u8]) -> (usize, usize) {
    bytes.utf8_chunks().fold((0, 0), |(sound, unsound), chunk| {
        let multi_byte = chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        let broken = usize::from(!chunk.invalid().is_empty());
        (sound + multi_byte, unsound + broken)
    })
}

/// Whether the bytes decode as GB18030 and most of its pairs are of two high bytes, as Chinese
/// text's are. Western single-byte text also decodes now and then, an accent followed by an ASCII
/// letter making a pair; such pairs have a low second byte.
fn looks_like_gb18030(bytes: &[u8]) -> bool {
    let (mut high, mut low) = (0usize, 0usize);
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first < 0x80 {
            continue;
        }
        if let [second, tail @ ..] = rest {
            rest = tail;
            if *second >= 0x80 {
                high += 1;
            } else {
                low += 1;
            }
        }
    }
    high > low
        && GB18030
            .decode_without_bom_handling_and_without_replacement(bytes)
            .is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], text: &str, encoding: &str) {
        let spec = ReaderSpec::default();
        let decoded = Text::decode(bytes, &spec).unwrap_or_else(|_| panic!("decodes"));
        assert_eq!((&*decoded.text, decoded.encoding), (text, encoding));
        assert_eq!(decoded.damage(&decoded.text), None);
    }

    #[test]
    fn encodings_are_recognised() {
        check(b"plain", "plain", "UTF-8");
        check("é好".as_bytes(), "é好", "UTF-8");
        check(b"\xef\xbb\xbfmarked", "marked", "UTF-8");
        check(b"\xff\xfeh\0i\0", "hi", "UTF-16LE");
        let chinese = "价格便宜，质量也不错！𠀀";
        check(&GB18030.encode(chinese).0, chinese, "gb18030");
        check(b"", "", "UTF-8");
    }

    #[test]
    fn what_is_neither_is_damage_on_its_own_line() {
        for bytes in [
            &b"good\ncaf\xe9s\n"[..],
            "好的\n价\n\u{4e00}".as_bytes().split_at(9).0,
        ] {
            let spec = ReaderSpec::default();
            let text = Text::decode(bytes, &spec).unwrap_or_else(|_| panic!("decodes"));
            let damaged: Vec<_> = text
                .text
                .lines()
                .map(|line| text.damage(line).is_some())
                .collect();
            assert_eq!(damaged, [false, true]);
        }
    }

    #[test]
    fn a_named_encoding_is_used_and_an_unknown_one_refused() {
        let spec = |label: &str| ReaderSpec {
            encoding: Some(label.to_owned()),
            ..ReaderSpec::default()
        };
        let latin = spec("windows-1252");
        let text = Text::decode(b"caf\xe9s", &latin).unwrap_or_else(|_| panic!("decodes"));
        assert_eq!(&*text.text, "cafés");
        assert!(matches!(
            Text::decode(b"", &spec("klingon")),
            Err(Failure::Spec { .. })
        ));
    }
}
