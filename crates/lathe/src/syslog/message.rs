//! One message as RFC 5424 writes it: header, structured data, a text in plain ASCII.
//!
//! What was decided stands in the structured data, a member a fact; values are UTF-8, escaped (6.3.3) and cut,
//! so that no value makes a second line and every receiver takes the whole (6.1: 2,048 bytes). The enterprise
//! number is the one for examples (RFC 5612): Lathe has none of its own.

use std::time::{SystemTime, UNIX_EPOCH};

use lathe_evidence::moment;

/// "log audit" (6.2.1).
const FACILITY: u8 = 13;
/// The name of the application.
const APPLICATION: &str = "lathe";
/// The element that holds what was decided.
const ELEMENT: &str = "lathe@32473";
/// The longest message.
const MESSAGE_BYTES_MAX: usize = 2048;
/// The longest value.
const VALUE_BYTES_MAX: usize = 256;
/// The longest name of a host (6.2.4).
const HOST_BYTES_MAX: usize = 255;
/// The longest id of a message (6.2.7).
const ID_BYTES_MAX: usize = 32;

/// How grave it is (6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Something was refused, or got lost.
    Warning = 4,
    /// Something was decided.
    Notice = 5,
}

/// Who sends.
#[derive(Debug, Clone)]
pub struct Sender {
    host: String,
    process: u32,
}

/// What is sent.
#[derive(Debug, Clone)]
pub struct Message {
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// How grave it is.
    pub severity: Severity,
    /// Its kind.
    pub id: String,
    /// The facts; their names stand in the sources.
    pub members: Vec<(&'static str, String)>,
    /// The same in words, ASCII.
    pub text: String,
}

impl Sender {
    /// This process.
    pub fn this() -> Sender {
        let name = rustix::system::uname();
        let name = name.nodename().to_string_lossy().into_owned();
        Sender {
            host: word(&name, HOST_BYTES_MAX),
            process: std::process::id(),
        }
    }
}

impl Message {
    /// One without content, at this moment.
    pub fn now(severity: Severity) -> Message {
        let age = SystemTime::now().duration_since(UNIX_EPOCH);
        let at_ms = age.map_or(0, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        Message {
            at_ms,
            severity,
            id: String::new(),
            members: Vec::new(),
            text: String::new(),
        }
    }

    /// As it goes out. What does not fit is left out, and `cut` says so.
    pub fn written(&self, sender: &Sender) -> String {
        let priority = FACILITY * 8 + self.severity as u8;
        let mut written = format!(
            "<{priority}>1 {} {} {APPLICATION} {} {} [{ELEMENT}",
            timestamp(self.at_ms),
            sender.host,
            sender.process,
            word(&self.id, ID_BYTES_MAX),
        );
        let text = cut(&self.text, VALUE_BYTES_MAX).replace(|c: char| !is_plain(c), " ");
        let mark = " cut=\"1\"";
        let room = MESSAGE_BYTES_MAX - text.len() - mark.len() - "] ".len();
        let mut left_out = false;
        for (name, value) in &self.members {
            let member = format!(" {name}=\"{}\"", escaped(cut(value, VALUE_BYTES_MAX)));
            if written.len() + member.len() <= room {
                written.push_str(&member);
            } else {
                left_out = true;
            }
        }
        if left_out {
            written.push_str(mark);
        }
        written.push_str("] ");
        written.push_str(&text);
        written
    }
}

/// RFC 3339, in UTC, to the millisecond (6.2.3).
fn timestamp(at_ms: i64) -> String {
    let whole = moment::utc(at_ms);
    let whole = whole.trim_end_matches('Z');
    format!("{whole}.{:03}Z", at_ms.rem_euclid(1000))
}

fn is_plain(c: char) -> bool {
    c == ' ' || c.is_ascii_graphic()
}

/// A field of the header: printable ASCII without spaces, `-` where nothing is left.
fn word(text: &str, bytes_max: usize) -> String {
    let plain = text.chars().filter(char::is_ascii_graphic);
    let word: String = plain.take(bytes_max).collect();
    if word.is_empty() {
        return "-".to_owned();
    }
    word
}

/// The beginning of a text, so many bytes at most.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// A value between its quotes: the three characters escaped, control characters are spaces.
fn escaped(value: &str) -> String {
    let mut written = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '"' | '\\' | ']' => written.extend(['\\', c]),
            c if c.is_control() => written.push(' '),
            c => written.push(c),
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender() -> Sender {
        Sender {
            host: "works".to_owned(),
            process: 7,
        }
    }

    fn message(members: Vec<(&'static str, String)>) -> Message {
        Message {
            at_ms: 1_795_640_905_042,
            severity: Severity::Notice,
            id: "said".to_owned(),
            members,
            text: "a statement".to_owned(),
        }
    }

    #[test]
    fn a_message_is_written_as_the_standard_has_it() {
        let written = message(vec![
            ("kind", "breaker".to_owned()),
            ("reason", "投诉 \"a]b\\c\"\nd".to_owned()),
        ]);
        assert_eq!(
            written.written(&sender()),
            "<109>1 2026-11-25T21:08:25.042Z works lathe 7 said [lathe@32473 kind=\"breaker\" \
             reason=\"投诉 \\\"a\\]b\\\\c\\\" d\"] a statement"
        );
    }

    #[test]
    fn what_is_too_long_is_cut_and_what_is_too_much_is_left_out() {
        let long = "长".repeat(1000);
        let one = message(vec![("reason", long.clone())]).written(&sender());
        assert!(one.contains(&"长".repeat(VALUE_BYTES_MAX / 3)) && !one.contains("cut="));
        let many = message(vec![("reason", "\"".repeat(1000)); 40]).written(&sender());
        assert!(many.len() <= MESSAGE_BYTES_MAX, "{}", many.len());
        assert!(many.contains(" cut=\"1\"] a statement"), "{many}");
        let mut odd = message(Vec::new());
        odd.id = "two words\n".repeat(9);
        odd.text = "line\nbreak ]".repeat(100);
        let odd = odd.written(&sender());
        assert!(
            !odd.contains('\n') && odd.len() <= MESSAGE_BYTES_MAX,
            "{odd}"
        );
        assert!(
            odd.contains(" 7 twowordstwowordstwowordstwowords [lathe@32473] "),
            "{odd}"
        );
    }

    #[test]
    fn this_process_has_a_name_that_fits() {
        let this = Sender::this();
        assert!(!this.host.is_empty() && this.host.chars().all(|c| c.is_ascii_graphic()));
        assert_eq!(word(" \t中", 9), "-");
    }
}
