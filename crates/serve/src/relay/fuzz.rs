//! What the fuzz target and the seeded tests call: an upstream's stream, cut anywhere, is parsed and
//! gathered, and nothing panics, grows beyond its bound or depends on the cuts.

use serde_json::Value;

use super::events::{EVENT_BYTES_MAX, Parsed};
use super::gathered::{ANSWER_BYTES_MAX, Gathered};

/// The longest piece that bytes are cut into.
const PIECE_BYTES_MAX: u8 = 32;

/// What was made of a stream.
#[derive(Debug, Default, PartialEq)]
struct Read {
    events: Vec<String>,
    /// Why it ended early.
    wrong: Option<String>,
    text: String,
    is_complete: bool,
}

/// Reads bytes as an upstream's stream: whole, and in pieces whose length the first byte says.
///
/// # Panics
/// The pieces made a difference, or something is longer than its bound.
pub fn stream(bytes: &[u8]) {
    let Some((length, sent)) = bytes.split_first() else {
        return;
    };
    let length = usize::from(length % PIECE_BYTES_MAX) + 1;
    assert_eq!(read([sent]), read(sent.chunks(length)), "cut at {length}");
}

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Read {
    let mut parsed = Parsed::default();
    let mut read = Read::default();
    for piece in pieces {
        read.wrong = parsed.take(piece).err();
        // A line and the event before it, each within the bound.
        assert!(parsed.pending_bytes() <= 2 * EVENT_BYTES_MAX + 1);
        if read.wrong.is_some() {
            break;
        }
    }
    read.events = parsed.ready.into();
    let mut gathered = Gathered::default();
    for event in &read.events {
        assert!(event.len() <= EVENT_BYTES_MAX);
        let Ok(chunk) = serde_json::from_str::<Value>(event) else {
            continue;
        };
        if let Err(why) = gathered.take(&chunk) {
            read.wrong.get_or_insert(why);
            break;
        }
        assert!(gathered.bytes() <= ANSWER_BYTES_MAX);
    }
    read.text = gathered.text();
    read.is_complete = gathered.is_complete();
    read
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Streams as upstreams send them: words, calls, reasoning, several choices, an error, a comment.
    const SEEDS: [&str; 4] = [
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"h\u{e9}\"}}]}\n\n: ping\n\n\
         data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}]}\n\n\
         data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n",
        "event: x\r\nid: 7\r\ndata: {\"choices\":[{\"index\":1,\"delta\":{\"tool_calls\":[{\"index\":0,\
         \"id\":\"c\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},\"finish_reason\":\"tool_calls\"}]}\r\n\r\n",
        "data: {\"choices\":\ndata: [{\"index\":1023,\"text\":\"a\"},{\"index\":0,\"delta\":\
         {\"reasoning\":\"r\"}}]}\n\n",
        "data: {\"error\":{\"message\":\"no\"}}\n\ndata:[1,2]\n\ndata\n\n",
    ];

    #[test]
    fn real_streams_say_what_was_said() {
        let said = |seed: usize| read([SEEDS[seed].as_bytes()]);
        let plain = said(0);
        assert_eq!(
            (plain.text.as_str(), plain.is_complete, plain.events.len()),
            ("h\u{e9}", true, 4)
        );
        assert!(said(1).text.contains("tool_calls"));
        assert!(said(2).text.contains("reasoning_content"));
        assert_eq!(said(3).text, "");
        for seed in SEEDS {
            for length in 0..PIECE_BYTES_MAX {
                stream(&[&[length][..], seed.as_bytes()].concat());
            }
        }
    }

    #[test]
    fn what_never_ends_is_refused_within_its_bound() {
        let endless = vec![b'x'; 2 * EVENT_BYTES_MAX];
        assert!(read(endless.chunks(1 << 14)).wrong.is_some());
        let lines = b"data: x\n".repeat(EVENT_BYTES_MAX);
        assert!(read(lines.chunks(1 << 14)).wrong.is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn changed_streams_never_panic(
            which in 0..SEEDS.len(),
            length in any::<u8>(),
            edits in prop::collection::vec((any::<prop::sample::Index>(), 0u8..5, any::<u8>()), 1..6),
        ) {
            let mut bytes = SEEDS[which].as_bytes().to_vec();
            for (at, how, byte) in edits {
                if bytes.is_empty() {
                    break;
                }
                let at = at.index(bytes.len());
                match how {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    2 => drop(bytes.remove(at)),
                    // Said again: chunks repeat, and so do their ends.
                    3 => bytes.extend_from_within(at..),
                    _ => bytes.truncate(at),
                }
            }
            bytes.insert(0, length);
            stream(&bytes);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            stream(&bytes);
        }
    }
}
