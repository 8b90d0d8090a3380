//! csv and tsv: rows of cells between delimiters, quoted (RFC 4180) or not.
//!
//! A parser of our own, because the lines of broken rows matter here: a quote that is never closed
//! costs one row, not the rest of the file. Empty lines are no rows. Lines end by LF, CRLF or CR.

use serde_json::Value;

use super::text::Text;
use super::{Columns, Failure, Quote, ReaderSpec, Row, Rows, has_header};

/// The rows of a csv or tsv file, whose `delimiter` the specification may overrule.
pub(super) fn rows(bytes: &[u8], delimiter: char, spec: &ReaderSpec) -> Result<Rows, Failure> {
    let text = Text::decode(bytes, spec)?;
    let mut lines = Lines {
        quoting: spec.quote == Quote::Double,
        ..Lines::new(&text.text, 0, 1, ascii_delimiter(delimiter, spec)?)
    };
    let header = match has_header(spec) {
        false => None,
        true => {
            let (_, row) = lines
                .next()
                .ok_or_else(|| Failure::Format("it is empty".to_owned()))?;
            Some(row.cells.map_err(|reason| {
                Failure::Format(format!("its header cannot be read: {reason}"))
            })?)
        }
    };
    let columns = Columns::new(header, spec)?;
    let rows = lines.map(|(line, row)| Row {
        line,
        fields: match text.damage(row.raw) {
            Some(reason) => Err(reason),
            None => row
                .cells
                .and_then(|cells| columns.fields(cells.into_iter().map(Value::String).collect())),
        },
    });
    Ok(Rows {
        rows: rows.collect(),
        encoding: text.encoding,
    })
}

fn ascii_delimiter(delimiter: char, spec: &ReaderSpec) -> Result<u8, Failure> {
    u8::try_from(spec.delimiter.unwrap_or(delimiter))
        .ok()
        .filter(|byte| byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r'))
        .ok_or_else(|| Failure::Spec {
            key: "delimiter",
            reason: "it must be one ASCII character, neither a quote nor a line end".to_owned(),
        })
}

/// Why a row has no cells whose quote is still open at the end of the text.
pub(crate) const NEVER_CLOSED: &str =
    "a quote on this line is never closed; close it, or set `quote: none`";

/// The rows of a text, with the line each begins on.
pub(crate) struct Lines<'a> {
    text: &'a str,
    /// The byte and the line that come next.
    at: usize,
    line: u64,
    delimiter: u8,
    quoting: bool,
}

/// One row: its cells, or why there are none; and its own text.
pub(crate) struct RawRow<'a> {
    /// The cells, or why there are none.
    pub(crate) cells: Result<Vec<String>, String>,
    /// The row as it stands in the text.
    pub(crate) raw: &'a str,
}

impl<'a> Iterator for Lines<'a> {
    type Item = (u64, RawRow<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        while self.end_line() {}
        if self.at == self.text.len() {
            return None;
        }
        let (start, line) = (self.at, self.line);
        let cells = self.cells();
        if cells.is_err() {
            // What a broken quote took in may be whole rows: only its own line is given up.
            (self.at, self.line) = (start, line);
            self.at += self.plain_bytes(|byte| matches!(byte, b'\n' | b'\r'));
        }
        let raw = &self.text[start..self.at];
        self.end_line();
        Some((line, RawRow { cells, raw }))
    }
}

impl<'a> Lines<'a> {
    /// The rows of `text` from its byte `at` on, which stands on `line`.
    pub(crate) fn new(text: &'a str, at: usize, line: u64, delimiter: u8) -> Self {
        Self {
            text,
            at,
            line,
            delimiter,
            quoting: true,
        }
    }

    /// The byte and the line of what comes next.
    pub(crate) fn place(&self) -> (usize, u64) {
        (self.at, self.line)
    }

    fn cells(&mut self) -> Result<Vec<String>, String> {
        let mut cells = Vec::new();
        loop {
            cells.push(if self.quoting && self.peek() == Some(b'"') {
                self.quoted_cell()?
            } else {
                self.plain_cell()
            });
            match self.peek() {
                Some(byte) if byte == self.delimiter => self.at += 1,
                None | Some(b'\n' | b'\r') => return Ok(cells),
                Some(_) => {
                    return Err(
                        "text follows a closing quote; double the quotes inside a field, or set `quote: none`"
                            .to_owned(),
                    );
                }
            }
        }
    }

    fn plain_cell(&mut self) -> String {
        let delimiter = self.delimiter;
        let length = self.plain_bytes(|byte| byte == delimiter || matches!(byte, b'\n' | b'\r'));
        let start = self.at;
        self.at += length;
        self.text[start..self.at].to_owned()
    }

    /// A cell in quotes, its first quote being next; line ends inside it count.
    fn quoted_cell(&mut self) -> Result<String, String> {
        let mut cell = String::new();
        loop {
            self.at += 1;
            let length = self.plain_bytes(|byte| byte == b'"');
            let piece = &self.text[self.at..self.at + length];
            self.line += piece.bytes().filter(|byte| *byte == b'\n').count() as u64;
            self.at += length;
            cell.push_str(piece);
            if self.peek().is_none() {
                return Err(NEVER_CLOSED.to_owned());
            }
            self.at += 1;
            if self.peek() != Some(b'"') {
                return Ok(cell);
            }
            cell.push('"');
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// How many bytes there are before the next that ends the piece. Every such byte is ASCII, so
    /// the piece is whole characters.
    fn plain_bytes(&self, ends: impl Fn(u8) -> bool) -> usize {
        let rest = &self.text.as_bytes()[self.at..];
        rest.iter()
            .position(|byte| ends(*byte))
            .unwrap_or(rest.len())
    }

    /// Steps over one line end, if one is next.
    fn end_line(&mut self) -> bool {
        let bytes = match &self.text.as_bytes()[self.at..] {
            [b'\r', b'\n', ..] => 2,
            [b'\n' | b'\r', ..] => 1,
            _ => return false,
        };
        self.at += bytes;
        self.line += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows as (line, cells joined by `|`, or the reason's first words).
    #[track_caller]
    fn check(text: &str, quoting: bool, expected: &[(u64, &str)]) {
        let lines = Lines {
            text,
            at: 0,
            line: 1,
            delimiter: b',',
            quoting,
        };
        let rows: Vec<_> = lines
            .map(|(line, row)| (line, row.cells.map(|cells| cells.join("|"))))
            .collect();
        assert_eq!(rows.len(), expected.len(), "{rows:?}");
        for ((line, cells), (expected_line, expected)) in rows.iter().zip(expected) {
            let text = match cells {
                Ok(cells) => cells,
                Err(reason) => reason,
            };
            assert!(
                line == expected_line
                    && text.starts_with(expected)
                    && (cells.is_err() || text == expected),
                "{rows:?}"
            );
        }
    }

    #[test]
    fn rows_end_by_any_line_end_and_empty_lines_are_none() {
        check("a,b\nc,d", true, &[(1, "a|b"), (2, "c|d")]);
        check("a,b\r\n\r\nc,\r\n", true, &[(1, "a|b"), (3, "c|")]);
        check("a\rb", true, &[(1, "a"), (2, "b")]);
        check("\n\n", true, &[]);
    }

    #[test]
    fn quotes_hold_delimiters_line_ends_and_quotes() {
        check(
            "\"a,\"\"1\"\"\",b\nc,d",
            true,
            &[(1, "a,\"1\"|b"), (2, "c|d")],
        );
        check("\"a\r\nb\",c\nd,e", true, &[(1, "a\r\nb|c"), (3, "d|e")]);
        check("\"\",x\n", true, &[(1, "|x")]);
        check("5\" disk,\"x\"", true, &[(1, "5\" disk|x")]);
        check("\"a,b\nc\"", false, &[(1, "\"a|b"), (2, "c\"")]);
    }

    #[test]
    fn a_broken_quote_costs_its_own_line_only() {
        check(
            "a,b\n\"never closed,1\nc,d\ne,f\n",
            true,
            &[
                (1, "a|b"),
                (2, "a quote on this line"),
                (3, "c|d"),
                (4, "e|f"),
            ],
        );
        check(
            "\"Great\" phone,1\nc,d\n",
            true,
            &[(1, "text follows a closing quote"), (2, "c|d")],
        );
    }
}
