//! Server-sent events out of an upstream's bytes: the `data` of each, one after the other.
//!
//! As the HTML standard parses them (9.2.6), with bounds: a line and an event are only so long. Comments
//! are passed over, other fields too, since OpenAI's interface says everything in `data`.

use std::collections::VecDeque;

use super::http::{Body, Trouble};

/// The longest event, and so the longest line.
pub(super) const EVENT_BYTES_MAX: usize = 1 << 20;

/// The events of an answer.
pub(super) struct Events {
    body: Body,
    parsed: Parsed,
    /// What is wrong after all that was parsed before it.
    wrong: Option<String>,
}

impl Events {
    /// Of this body.
    pub(super) fn new(body: Body) -> Events {
        Events {
            body,
            parsed: Parsed::default(),
            wrong: None,
        }
    }

    /// The `data` of the next event; none at the end. What is no event is silence, however much comes.
    ///
    /// # Errors
    /// What the body has, an event that is too long, text that is not UTF-8.
    pub(super) async fn next(&mut self) -> Result<Option<String>, Trouble> {
        let deadline = self.body.patience();
        loop {
            if let Some(event) = self.parsed.ready.pop_front() {
                return Ok(Some(event));
            }
            if let Some(wrong) = self.wrong.take() {
                return Err(Trouble::Unreadable(wrong));
            }
            match self.body.next(deadline).await? {
                Some(piece) => self.wrong = self.parsed.take(&piece).err(),
                None => return Ok(None),
            }
        }
    }
}

/// What was parsed so far.
#[derive(Default)]
pub(super) struct Parsed {
    line: Vec<u8>,
    data: Option<String>,
    /// Events that nobody has taken yet.
    pub(super) ready: VecDeque<String>,
    /// The last byte was a CR, which ends a line with a LF after it or without.
    after_cr: bool,
    /// A line was read: only the first may begin with a byte order mark.
    begun: bool,
}

impl Parsed {
    /// Takes the next piece of the bytes; its events are ready then.
    ///
    /// # Errors
    /// An event that is too long, or text that is not UTF-8.
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<(), String> {
        for &byte in piece {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => self.end_line()?,
                _ if self.line.len() >= EVENT_BYTES_MAX => return Err(too_long()),
                _ => self.line.push(byte),
            }
        }
        Ok(())
    }

    /// Bytes of the event that has not ended yet.
    pub(super) fn pending_bytes(&self) -> usize {
        self.line.len() + self.data.as_ref().map_or(0, String::len)
    }

    fn end_line(&mut self) -> Result<(), String> {
        let line = std::mem::take(&mut self.line);
        let mut line = &line[..];
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if line.is_empty() {
            self.ready.extend(self.data.take());
            return Ok(());
        }
        // Without a colon all of it is the field's name, and the value is empty.
        let colon = line.iter().position(|byte| *byte == b':');
        let (field, value) = line.split_at(colon.unwrap_or(line.len()));
        if field != b"data" {
            return Ok(());
        }
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let value = std::str::from_utf8(value)
            .map_err(|_| "it sends an event that is not UTF-8".to_owned())?;
        match &mut self.data {
            None => self.data = Some(value.to_owned()),
            Some(data) => {
                if data.len() + value.len() >= EVENT_BYTES_MAX {
                    return Err(too_long());
                }
                data.push('\n');
                data.push_str(value);
            }
        }
        Ok(())
    }
}

fn too_long() -> String {
    format!("it sends an event of more than {EVENT_BYTES_MAX} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pieces: &[&[u8]]) -> Result<Vec<String>, String> {
        let mut parsed = Parsed::default();
        for piece in pieces {
            parsed.take(piece)?;
        }
        Ok(parsed.ready.into())
    }

    #[test]
    fn events_come_apart_wherever_the_bytes_were_cut() {
        let sent = "data: {\"a\": \"é\"}\n\n: ping\n\nid: 7\nevent: x\ndata:b\r\ndata: c\r\n\r\ndata: late";
        let expected = ["{\"a\": \"é\"}", "b\nc"];
        for cut in 0..=sent.len() {
            let (head, tail) = sent.as_bytes().split_at(cut);
            assert_eq!(
                parse(&[head, tail]).expect("events"),
                expected,
                "cut at {cut}"
            );
        }
    }

    /// The examples of the standard, 9.2.6, and what ends its lines.
    #[test]
    fn lines_end_and_fields_stand_as_the_standard_has_them() {
        for (sent, expected) in [
            ("data: a\r\rdata: b\r\r", &["a", "b"][..]),
            ("data: a\n\rdata: b\r\n\r\n", &["a", "b"][..]),
            ("\u{feff}data: a\n\n", &["a"][..]),
            ("\ndata: a\n\n\u{feff}data: b\n\n", &["a"][..]),
            ("data\n\ndata\ndata\n\ndata:", &["", "\n"][..]),
            ("data:a\n\ndata: a\n\ndata:  a\n\n", &["a", "a", " a"][..]),
            ("database: a\ndat: b\n\n", &[][..]),
        ] {
            for cut in 0..=sent.len() {
                let (head, tail) = sent.as_bytes().split_at(cut);
                let events = parse(&[head, tail]).expect("events");
                assert_eq!(events, expected, "{sent:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn what_is_too_long_or_no_text_is_refused() {
        let long = vec![b'x'; EVENT_BYTES_MAX + 1];
        assert!(parse(&[b"data: ", &long]).is_err());
        assert!(parse(&[&long]).is_err(), "a line without a field");
        let line = [
            b"data: ".as_slice(),
            &vec![b'x'; EVENT_BYTES_MAX / 2],
            b"\n",
        ]
        .concat();
        assert!(
            parse(&[&line, &line, &line]).is_err(),
            "one event of many lines"
        );
        assert!(parse(&[b"data: \xff\n\n"]).is_err());
    }
}
