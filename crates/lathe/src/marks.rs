//! Token rows for people: in colour on a terminal, with markers anywhere else.
//!
//! ```text
//! plain:  ((^<s>|Say|which)).|…|[[red|^</s>$]]     colour: shared blue, read dim, learnt green
//! ```
//!
//! What stands in the data is shown, never obeyed: control characters and marks of the direction of
//! writing come out escaped.

use lathe_tune::preview::{Marked, Token};

use crate::table::width;

/// Tokens of a row that are shown.
pub const TOKENS_MAX: usize = 4096;
/// Tokens of a soft target that are shown.
const SHARES_MAX: usize = 5;

/// How rows are shown.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// With escape sequences for colours.
    pub colour: bool,
    /// Columns after which a line breaks between two tokens.
    pub columns: usize,
}

/// What is alike for all tokens of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Kind {
    weight: f32,
    shared: bool,
}

impl Kind {
    fn of(token: &Token) -> Kind {
        Kind {
            weight: token.weight,
            shared: token.shared,
        }
    }

    /// The codes of its colour.
    fn codes(self) -> &'static str {
        match (self.weight > 0.0, self.shared) {
            (true, _) => "32",
            (false, true) => "34",
            (false, false) => "2",
        }
    }

    /// What stands around it where there is no colour.
    fn brackets(self) -> [&'static str; 2] {
        match (self.weight > 0.0, self.shared) {
            (true, _) => ["[[", "]]"],
            (false, true) => ["((", "))"],
            (false, false) => ["", ""],
        }
    }
}

impl Look {
    /// The tokens of a row as lines.
    pub fn row(self, row: &Marked) -> String {
        let tokens = &row.tokens[..row.tokens.len().min(TOKENS_MAX)];
        let mut page = Page {
            look: self,
            text: String::new(),
            column: 0,
        };
        for run in tokens.chunk_by(|a, b| Kind::of(a) == Kind::of(b)) {
            page.run(run);
        }
        page.text
    }

    /// `text` in a colour, or as it is.
    pub fn paint(self, codes: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{codes}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// The marks and the keys of the words that say what they mean.
    pub fn legend(self) -> Vec<(String, &'static str)> {
        let marks: [(&str, &str, &str); 7] = [
            ("32", "[[…]]", "cli.preview.learnt"),
            ("34", "((…))", "cli.preview.shared"),
            ("2;7", "^…", "cli.preview.special"),
            ("1;7", "^…$", "cli.preview.end"),
            ("33", "×0.5", "cli.preview.weight"),
            ("36", "~{…}", "cli.preview.soft"),
            ("2", "|", "cli.preview.between"),
        ];
        let mark = |(codes, plain, key): (&str, &str, &'static str)| {
            let brackets = self.colour && matches!(codes, "32" | "34" | "2;7" | "1;7");
            let shown = if brackets { " ■ " } else { plain };
            (self.paint(codes, shown), key)
        };
        let read = self
            .colour
            .then(|| (self.paint("2", " ■ "), "cli.preview.read"));
        marks.into_iter().map(mark).chain(read).collect()
    }
}

/// Lines that are being filled.
struct Page {
    look: Look,
    text: String,
    column: usize,
}

impl Page {
    /// Tokens of one kind.
    fn run(&mut self, run: &[Token]) {
        let Some(first) = run.first() else { return };
        let kind = Kind::of(first);
        let [open, close] = kind.brackets();
        if !self.look.colour {
            self.put("", open);
        }
        if kind.weight != 0.0 && kind.weight != 1.0 {
            self.put("33", &format!("×{} ", kind.weight));
        }
        for (at, token) in run.iter().enumerate() {
            if at > 0 || self.look.colour && !self.text.is_empty() {
                self.put("2", "|");
            }
            self.token(kind, token);
        }
        if !self.look.colour {
            self.put("", close);
        }
    }

    fn token(&mut self, kind: Kind, token: &Token) {
        let text = visible(&token.text);
        if self.column > 0 && self.column + width(&text) > self.look.columns {
            self.text.push('\n');
            self.column = 0;
        }
        let [before, after] = match (token.end, token.special) {
            (true, _) => ["^", "$"],
            (false, true) => ["^", ""],
            (false, false) => ["", ""],
        };
        let codes = match (token.end, token.special) {
            (true, _) => format!("{};1;7", kind.codes()),
            (false, true) => format!("{};7", kind.codes()),
            (false, false) => kind.codes().to_owned(),
        };
        if self.look.colour {
            self.put(&codes, &text);
        } else {
            self.put("", &format!("{before}{text}{after}"));
        }
        self.shares(token);
        if token.text.ends_with('\n') {
            self.text.push('\n');
            self.column = 0;
        }
    }

    fn shares(&mut self, token: &Token) {
        if token.soft.is_empty() {
            return;
        }
        let share =
            |it: &lathe_tune::preview::Share| format!("{} {:.2}", visible(&it.text), it.share);
        let mut shares: Vec<String> = token.soft.iter().take(SHARES_MAX).map(share).collect();
        if token.soft.len() > SHARES_MAX {
            shares.push(format!("+{}", token.soft.len() - SHARES_MAX));
        }
        self.put("36", &format!("~{{{}}}", shares.join(", ")));
    }

    fn put(&mut self, codes: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        self.column += width(text);
        self.text.push_str(&self.look.paint(codes, text));
    }
}

/// A token's text with what cannot be seen made visible.
fn visible(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' => "⏎".to_owned(),
        '\t' => "⇥".to_owned(),
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            c.escape_unicode().to_string()
        }
        c if c.is_control() => c.escape_unicode().to_string(),
        c => c.to_string(),
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lathe_tune::preview::Share;

    fn token(text: &str, weight: f32) -> Token {
        Token {
            id: 7,
            text: text.to_owned(),
            weight,
            special: text.starts_with('<'),
            end: text == "</s>",
            shared: false,
            soft: Vec::new(),
        }
    }

    fn row() -> Marked {
        let mut tokens = vec![
            token("<s>", 0.0),
            token("Which\n", 0.0),
            token("a \x1b[31m", 0.0),
            token("re", 1.0),
            token("d", 0.5),
            token("</s>", 1.0),
        ];
        tokens[0].shared = true;
        let share = |text: &str, share| Share {
            id: 1,
            text: text.to_owned(),
            share,
        };
        tokens[4].soft = vec![share("d", 0.75), share("\u{202e}", 0.25)];
        Marked {
            record: "1".to_owned(),
            leaf: String::new(),
            text: String::new(),
            supervised: 3,
            over_cutoff: false,
            unsupervised: false,
            withdrawn: false,
            tokens,
        }
    }

    #[test]
    fn without_colour_there_are_markers() {
        let look = Look {
            colour: false,
            columns: 100,
        };
        assert_eq!(
            look.row(&row()),
            "((^<s>))Which⏎\n|a \\u{1b}[31m[[re]][[×0.5 d~{d 0.75, \\u{202e} 0.25}]][[^</s>$]]"
        );
    }

    #[test]
    fn in_colour_every_token_has_its_own_and_nothing_of_the_data_is_obeyed() {
        let look = Look {
            colour: true,
            columns: 100,
        };
        let shown = look.row(&row());
        assert!(shown.starts_with("\x1b[34;7m<s>\x1b[0m\x1b[2m|\x1b[0m\x1b[2mWhich⏎\x1b[0m\n"));
        assert!(shown.contains("\x1b[32mre\x1b[0m"), "{shown:?}");
        assert!(shown.ends_with("\x1b[32;1;7m</s>\x1b[0m"), "{shown:?}");
        assert!(!shown.contains("\x1b[31m"), "{shown:?}");
    }

    #[test]
    fn lines_break_between_tokens() {
        let mut row = row();
        row.tokens = (0..50).map(|_| token("wort", 0.0)).collect();
        let look = Look {
            colour: false,
            columns: 20,
        };
        let shown = look.row(&row);
        assert!(shown.lines().count() > 9);
        assert!(shown.lines().all(|line| line.len() <= 21), "{shown}");
        assert_eq!(shown.matches("wort").count(), 50);
        row.tokens = vec![token("x", 0.0); TOKENS_MAX + 5];
        assert_eq!(look.row(&row).matches('x').count(), TOKENS_MAX);
    }
}
