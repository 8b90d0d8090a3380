//! One row as bytes and back; what is no row is told from one, never read past its end.
//!
//! ```text
//! leaf (32 bytes), id, tokens, runs of (tokens, weight), soft places of (place, (token, share) …)
//! ```
//!
//! A text, a list and a run begin with their length; numbers are LEB128, weights and shares f32,
//! little end first.

use lathe_evidence::Digest;
use lathe_evidence::digest::DIGEST_BYTES;

use crate::pack::Row;
use crate::soft_number::Soft;

/// Adds the bytes of `row`.
pub fn encode(row: &Row, out: &mut Vec<u8>) {
    out.extend_from_slice(&row.leaf.0);
    push(row.id.len() as u64, out);
    out.extend_from_slice(row.id.as_bytes());
    push(row.tokens.len() as u64, out);
    for &token in &row.tokens {
        push(u64::from(token), out);
    }
    let same = |a: &f32, b: &f32| a.to_bits() == b.to_bits();
    for run in row.weights.chunk_by(same) {
        push(run.len() as u64, out);
        out.extend_from_slice(&run[0].to_le_bytes());
    }
    push(row.soft.len() as u64, out);
    for (place, soft) in &row.soft {
        push(*place as u64, out);
        push(soft.len() as u64, out);
        for (token, share) in soft {
            push(u64::from(*token), out);
            out.extend_from_slice(&share.to_le_bytes());
        }
    }
}

/// The leaf and the id of a row.
pub fn head(bytes: &[u8]) -> Option<(Digest, &str)> {
    Reader(bytes).head()
}

/// The row that `bytes` are; `None` where they are none, or more than one.
pub fn decode(bytes: &[u8]) -> Option<Row> {
    let mut reader = Reader(bytes);
    let (leaf, id) = reader.head()?;
    let tokens: Vec<u32> = (0..reader.count()?)
        .map(|_| reader.number())
        .collect::<Option<_>>()?;
    let mut weights = Vec::with_capacity(tokens.len());
    while weights.len() < tokens.len() {
        let run = reader.length()?;
        let weight = reader.float()?;
        if run == 0 || run > tokens.len() - weights.len() {
            return None;
        }
        weights.resize(weights.len() + run, weight);
    }
    let mut soft = Vec::new();
    for _ in 0..reader.count()? {
        let place = reader.length()?;
        let shares = (0..reader.count()?).map(|_| Some((reader.number()?, reader.float()?)));
        let shares: Soft = shares.collect::<Option<_>>()?;
        soft.push((place, shares));
    }
    let row = Row {
        id: id.to_owned(),
        leaf,
        tokens,
        weights,
        soft,
    };
    reader.0.is_empty().then_some(row)
}

fn push(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn head(&mut self) -> Option<(Digest, &'a str)> {
        let leaf = self.take(DIGEST_BYTES)?.try_into().ok()?;
        let len = self.length()?;
        let id = std::str::from_utf8(self.take(len)?).ok()?;
        Some((Digest(leaf), id))
    }

    fn number(&mut self) -> Option<u32> {
        let mut number = 0_u64;
        for shift in (0..35).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(number).ok();
            }
        }
        None
    }

    fn length(&mut self) -> Option<usize> {
        self.number().map(|number| number as usize)
    }

    /// How many things follow; each takes a byte at least.
    fn count(&mut self) -> Option<usize> {
        self.length().filter(|&count| count <= self.0.len())
    }

    fn float(&mut self) -> Option<f32> {
        let four = self.take(4)?.try_into().ok()?;
        Some(f32::from_le_bytes(four))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_row_is_told_from_one() {
        let row = Row {
            id: "seven".to_owned(),
            leaf: Digest::of(b"7"),
            tokens: vec![1, 200, 70_000, u32::MAX],
            weights: vec![0.0, 1.0, 1.0, 0.5],
            soft: vec![(2, vec![(9, 0.5), (8, 0.5)])],
        };
        let mut bytes = Vec::new();
        encode(&row, &mut bytes);
        assert_eq!(decode(&bytes), Some(row));
        for len in 0..bytes.len() {
            assert_eq!(decode(&bytes[..len]), None, "cut at {len}");
        }
        bytes.push(0);
        assert_eq!(decode(&bytes), None, "something follows");
        // A list longer than what is there, and a number that never ends.
        let mut long = vec![0; DIGEST_BYTES + 1];
        long.extend([0xff, 0xff, 0xff, 0x7f]);
        assert_eq!(decode(&long), None);
        assert_eq!(Reader(&[0xff; 9]).number(), None);
    }
}
