//! A text as tokens: words, ideographs one by one, and the gaps between them.
//!
//! Nothing is folded or left out: the tokens one after the other are the text.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Letters and digits of scripts that put words apart.
    Word,
    /// One character of a script that does not: Chinese, and Japanese kana.
    Ideograph,
    /// Everything else.
    Gap,
}

impl Kind {
    /// What it adds to a passage: eight ideographs are as good as three words.
    pub(crate) fn weight(self) -> u32 {
        match self {
            Kind::Word => 8,
            Kind::Ideograph => 3,
            Kind::Gap => 0,
        }
    }

    fn of(character: char) -> Self {
        match character {
            '\u{3005}'..='\u{3007}'
            | '\u{3040}'..='\u{30ff}'
            | '\u{3400}'..='\u{4dbf}'
            | '\u{4e00}'..='\u{9fff}'
            | '\u{f900}'..='\u{faff}'
            | '\u{20000}'..='\u{3ffff}' => Kind::Ideograph,
            _ if character.is_alphanumeric() => Kind::Word,
            _ => Kind::Gap,
        }
    }
}

/// A token and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    /// Its bytes.
    pub(crate) text: &'a str,
    /// Its first byte in the text.
    pub(crate) start: usize,
    /// What it is.
    pub(crate) kind: Kind,
}

/// The tokens of a text.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let (length, kind) = first(&text[start..]);
        tokens.push(Token {
            text: &text[start..start + length],
            start,
            kind,
        });
        start += length;
    }
    tokens
}

/// The length and kind of the first token of a text that is not empty.
fn first(text: &str) -> (usize, Kind) {
    let mut characters = text.char_indices().peekable();
    let Some((_, character)) = characters.next() else {
        return (0, Kind::Gap);
    };
    let kind = Kind::of(character);
    if kind == Kind::Ideograph {
        return (character.len_utf8(), kind);
    }
    while let Some((at, character)) = characters.next() {
        // "don't" and "2.5" are one word each.
        let joins = kind == Kind::Word
            && matches!(character, '\'' | '’' | '.')
            && characters
                .peek()
                .is_some_and(|(_, next)| Kind::of(*next) == Kind::Word);
        if Kind::of(character) != kind && !joins {
            return (at, kind);
        }
    }
    (text.len(), kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_words_ideographs_and_gaps() {
        let check = |text: &str, expected: &[&str]| {
            let found: Vec<_> = tokens(text).iter().map(|token| token.text).collect();
            assert_eq!(found, expected);
            assert_eq!(found.concat(), text);
        };
        check("", &[]);
        check("It's 2.5, ok.", &["It's", " ", "2.5", ", ", "ok", "."]);
        check("电池pro很好！", &["电", "池", "pro", "很", "好", "！"]);
        check("{\"a\":-4.0}", &["{\"", "a", "\":-", "4.0", "}"]);
        check("'a' .5", &["'", "a", "' .", "5"]);
        check("naïve café", &["naïve", " ", "café"]);
    }
}
