//! JSON objects out of a stream: the items of one list, or one after another, on lines or not.
//!
//! An object is cut out of the bytes by its brackets, up to [`SAMPLE_BYTES_MAX`], and only then
//! parsed: serde_json reads a list as a whole, and its stream of values knows no bound. So an
//! object that is no JSON inside costs itself only.

use std::io::{self, BufRead};

use super::Trouble;
use crate::bounds::{FIELDS_MAX, SAMPLE_BYTES_MAX};
use crate::samples::value::Fields;

/// The objects of a stream.
pub(super) struct Objects<R> {
    source: R,
    /// The object at hand.
    buffer: Vec<u8>,
    /// The line that is read, counted from 1.
    line: u64,
    place: Place,
    bytes_max: usize,
}

/// Where in the file the reader stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before everything.
    Start,
    /// In the list that is the whole file, before its first item.
    ListBegin,
    /// In that list, after an item.
    List,
    /// Among objects one after another.
    Loose,
    /// After everything.
    End,
}

impl<R: BufRead> Objects<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            line: 1,
            place: Place::Start,
            bytes_max: SAMPLE_BYTES_MAX,
        }
    }

    /// Steps to where an object should begin; false at the end of the file or its list.
    fn step(&mut self) -> Result<bool, Trouble> {
        if self.place == Place::Start {
            self.skip_mark()?;
        }
        let next = self.peek_past_space()?;
        match (self.place, next) {
            (Place::End, _) | (Place::Start | Place::Loose, None) => Ok(false),
            (Place::Start, Some(b'[')) => {
                self.bump();
                self.place = Place::ListBegin;
                self.step()
            }
            (Place::Start | Place::Loose, Some(_)) => {
                self.place = Place::Loose;
                Ok(true)
            }
            (Place::ListBegin | Place::List, Some(b']')) => {
                self.bump();
                self.place = Place::End;
                match self.peek_past_space()? {
                    None => Ok(false),
                    Some(_) => Err(self.broken("something follows the list's closing bracket")),
                }
            }
            (Place::ListBegin, Some(_)) => {
                self.place = Place::List;
                Ok(true)
            }
            (Place::List, Some(b',')) => {
                self.bump();
                self.peek_past_space()?;
                Ok(true)
            }
            (Place::List, Some(_)) => Err(self.broken("a comma is missing between two records")),
            (Place::ListBegin | Place::List, None) => {
                Err(self.broken("the list is never closed; the file seems to be cut off"))
            }
        }
    }

    fn object(&mut self) -> Result<Fields, Trouble> {
        let line = self.line;
        if self.peek()? != Some(b'{') {
            return Err(self.no_object()?);
        }
        self.cut_out()?;
        let text = std::str::from_utf8(&self.buffer).map_err(|_| {
            Trouble::Record(format!(
                "the object that begins on line {line} is not UTF-8; save the file as UTF-8"
            ))
        })?;
        let fields: Fields = serde_json::from_str(text).map_err(|error| {
            Trouble::Record(format!(
                "the object that begins on line {line} is not JSON: {error}"
            ))
        })?;
        if fields.len() > FIELDS_MAX {
            return Err(Trouble::Record(format!(
                "it has more than {FIELDS_MAX} fields"
            )));
        }
        Ok(fields)
    }

    /// What stands where an object should. On a line of its own it costs that line.
    fn no_object(&mut self) -> Result<Trouble, Trouble> {
        let found = match self.peek()? {
            Some(byte) if byte.is_ascii_graphic() => format!("`{}`", char::from(byte)),
            Some(_) => "something".to_owned(),
            None => "the end of the file".to_owned(),
        };
        let reason = format!(
            "on line {} {found} stands where a record must begin with `{{`",
            self.line
        );
        if self.place != Place::Loose {
            return Ok(Trouble::File(reason));
        }
        while self.peek()?.is_some_and(|byte| byte != b'\n') {
            self.bump();
        }
        Ok(Trouble::Record(reason))
    }

    /// Moves the object that begins here into the buffer.
    fn cut_out(&mut self) -> Result<(), Trouble> {
        self.buffer.clear();
        let begin = self.line;
        let mut scan = Scan::default();
        loop {
            let block = match self.source.fill_buf() {
                Ok(block) => block,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Trouble::Io(error)),
            };
            if block.is_empty() {
                return Err(Trouble::File(format!(
                    "the record that begins on line {begin} is never closed; the file seems to be cut off"
                )));
            }
            // A line end inside a text is no JSON. Among objects on lines it also says where the
            // next one begins; else one lost quote would take in the rest of the file.
            let (used, end) = scan.advance(block, self.place == Place::Loose);
            if self.buffer.len() + used > self.bytes_max {
                return Err(Trouble::File(format!(
                    "the record that begins on line {begin} has more than {} bytes; split it, or look for a bracket or quote that is never closed",
                    self.bytes_max
                )));
            }
            self.buffer.extend_from_slice(&block[..used]);
            self.line += block[..used].iter().filter(|byte| **byte == b'\n').count() as u64;
            self.source.consume(used);
            match end {
                End::Open => {}
                End::Closed => return Ok(()),
                End::LostQuote => {
                    return Err(Trouble::Record(format!(
                        "a quote on line {} is never closed",
                        self.line - 1
                    )));
                }
            }
        }
    }

    /// Skips UTF-8's byte order mark, and refuses those of other encodings.
    fn skip_mark(&mut self) -> Result<(), Trouble> {
        match self.peek()? {
            Some(0xef) => {
                for expected in [0xef, 0xbb, 0xbf] {
                    if self.peek()? != Some(expected) {
                        return Err(self.broken("it is not UTF-8; save it as UTF-8"));
                    }
                    self.bump();
                }
                Ok(())
            }
            Some(0xfe | 0xff) => Err(self.broken("it is in UTF-16; save it as UTF-8")),
            _ => Ok(()),
        }
    }

    fn peek_past_space(&mut self) -> Result<Option<u8>, Trouble> {
        loop {
            match self.peek()? {
                Some(b' ' | b'\t' | b'\r') => self.bump(),
                Some(b'\n') => {
                    self.line += 1;
                    self.bump();
                }
                other => return Ok(other),
            }
        }
    }

    fn peek(&mut self) -> Result<Option<u8>, Trouble> {
        loop {
            match self.source.fill_buf() {
                Ok(block) => return Ok(block.first().copied()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Trouble::Io(error)),
            }
        }
    }

    fn bump(&mut self) {
        self.source.consume(1);
    }

    fn broken(&self, what: &str) -> Trouble {
        Trouble::File(format!("on line {}: {what}", self.line))
    }
}

impl<R: BufRead> Iterator for Objects<R> {
    type Item = Result<Fields, Trouble>;

    fn next(&mut self) -> Option<Self::Item> {
        let object = match self.step() {
            Ok(false) => {
                self.place = Place::End;
                return None;
            }
            Ok(true) => self.object(),
            Err(trouble) => Err(trouble),
        };
        if matches!(object, Err(Trouble::File(_) | Trouble::Io(_))) {
            self.place = Place::End;
        }
        Some(object)
    }
}

/// Looks for an object's closing bracket.
#[derive(Default)]
struct Scan {
    depth: usize,
    in_text: bool,
    escaped: bool,
}

/// How far a block of bytes led.
enum End {
    Open,
    Closed,
    LostQuote,
}

impl Scan {
    /// Steps through `block`; how many bytes of it belong to the object, and whether it has ended.
    fn advance(&mut self, block: &[u8], on_lines: bool) -> (usize, End) {
        for (place, byte) in block.iter().enumerate() {
            if self.in_text {
                match byte {
                    b'\n' if on_lines => return (place + 1, End::LostQuote),
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_text = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_text = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return (place + 1, End::Closed);
                    }
                }
                _ => {}
            }
        }
        (block.len(), End::Open)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// Reads `text` a few bytes at a time; each object as JSON, each error with its kind.
    fn read(text: &[u8], block_bytes: usize) -> Vec<String> {
        let mut objects = Objects::new(BufReader::with_capacity(block_bytes, text));
        objects.bytes_max = 64;
        let told = objects.map(|item| match item {
            Ok(fields) => serde_json::to_string(&fields).unwrap(),
            Err(Trouble::Record(reason)) => format!("record: {reason}"),
            Err(Trouble::File(reason)) => format!("file: {reason}"),
            Err(Trouble::Io(error)) => format!("io: {error}"),
        });
        told.take(100).collect()
    }

    #[track_caller]
    fn check(text: &[u8], expected: &[&str]) {
        for block_bytes in [1, 2, 3, 7, 1000] {
            let found = read(text, block_bytes);
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.starts_with(expected), "{found} instead of {expected}");
            }
        }
    }

    #[test]
    fn lists_lines_and_bare_objects_give_the_same() {
        let both = [r#"{"a":1}"#, r#"{"b":"}]\"{"}"#];
        check(br#"[{"a":1},{"b":"}]\"{"}]"#, &both);
        check(
            b"\xef\xbb\xbf [ {\"a\" : 1}\r\n,\r\n{\"b\":\"}]\\\"{\"} ]\r\n",
            &both,
        );
        check(b"{\"a\":1}\n{\"b\":\"}]\\\"{\"}", &both);
        check(
            b"\xef\xbb\xbf{\"a\":1}\r\n\r\n{\"b\":\"}]\\\"{\"}\r\n",
            &both,
        );
        check(b"{\n \"a\": 1\n}{\"b\":\"}]\\\"{\"}", &both);
        check(b"", &[]);
        check(b" \n", &[]);
        check(b"[]", &[]);
    }

    #[test]
    fn a_broken_object_costs_itself() {
        check(
            b"{\"a\":1}\n{\"a\":}\n3\n{\"a\":\"x\n{\"b\":2}\n",
            &[
                r#"{"a":1}"#,
                "record: the object that begins on line 2 is not JSON",
                "record: on line 3 `3` stands where",
                "record: a quote on line 4 is never closed",
                r#"{"b":2}"#,
            ],
        );
        check(
            b"[{\"a\":\"\xff\"},{\"a\":1,},{\"b\":2}]",
            &["record: ", "record: ", r#"{"b":2}"#],
        );
    }

    #[test]
    fn a_broken_file_ends() {
        check(
            b"[{\"a\":1}",
            &[r#"{"a":1}"#, "file: on line 1: the list is never closed"],
        );
        check(
            b"[{\"a\":1} {\"a\":1}]",
            &[r#"{"a":1}"#, "file: on line 1: a comma"],
        );
        check(
            b"[{\"a\":1},]",
            &[r#"{"a":1}"#, "file: on line 1 `]` stands where"],
        );
        check(
            b"[{\"a\":1}]]",
            &[r#"{"a":1}"#, "file: on line 1: something follows"],
        );
        check(b"[1]", &["file: on line 1 `1` stands"]);
        check(
            b"{\"a\":1}\n{\"a\":[",
            &[r#"{"a":1}"#, "file: the record that begins on line 2"],
        );
        check(b"\xff\xfe{\0", &["file: on line 1: it is in UTF-16"]);
        check(b"\xefx", &["file: on line 1: it is not UTF-8"]);
    }

    #[test]
    fn records_are_bounded() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(64));
        check(
            long.as_bytes(),
            &["file: the record that begins on line 1 has more than 64 bytes"],
        );
        check(&[b'{'; 60], &["file: the record that begins"]);
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        let mut objects = Objects::new(deep.as_bytes());
        assert!(matches!(objects.next(), Some(Err(Trouble::File(_)))));
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(1000), "]".repeat(1000));
        let mut objects = Objects::new(deep.as_bytes());
        assert!(matches!(objects.next(), Some(Err(Trouble::Record(_)))));
    }
}
