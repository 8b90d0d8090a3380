//! Many rows in little memory.
//!
//! A row is kept as bytes and made whole where it is needed: tokens as LEB128 numbers (two bytes
//! each, mostly), weights as runs, and beside them an index of fixed entries that answers how long
//! a row is and where its answer starts without reading it. The bytes lie in memory, or in a file
//! that is mapped, of which no more stays in memory than was read lately.
//! See [`crate::token_cache`], which
//! writes such files. A choice of rows shares the bytes.
//!
//! Not here: what a row is ([`crate::pack`]), and how files are made and named.

use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lathe_evidence::Digest;
use lathe_kernel::mmap::Mmap;

use crate::pack::Row;

mod coding;

use coding::{decode, encode, head};

/// Bytes of one entry of the index.
pub(crate) const ENTRY_BYTES: usize = 24;
/// Rows read from a mapped file before its pages are given back: each may have brought 64 KiB.
const ROWS_READ_MAX: usize = 512;

/// What the index says of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Where the row's bytes begin.
    pub offset: u64,
    /// Its tokens.
    pub tokens: u32,
    /// Its first supervised token.
    pub answer_start: u32,
    /// How many of its tokens are supervised.
    pub supervised: u32,
    /// The record that it comes from, counted from 0.
    pub record: u32,
}

impl Entry {
    fn of(row: &Row, offset: u64, record: u32) -> Entry {
        let supervised = row.weights.iter().filter(|&&weight| weight > 0.0).count();
        Entry {
            offset,
            tokens: row.tokens.len() as u32,
            answer_start: row.answer_start() as u32,
            supervised: supervised as u32,
            record,
        }
    }

    pub(crate) fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        let numbers = [self.tokens, self.answer_start, self.supervised, self.record];
        for (place, number) in bytes[8..].chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Entry {
        let number = |at: usize| {
            let four = bytes[at..at + 4].try_into().expect("four bytes");
            u32::from_le_bytes(four)
        };
        Entry {
            offset: u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")),
            tokens: number(8),
            answer_start: number(12),
            supervised: number(16),
            record: number(20),
        }
    }
}

/// Writes rows one after the other, and remembers their index.
pub(crate) struct RowWriter<W> {
    out: W,
    written: u64,
    index: Vec<u8>,
    scratch: Vec<u8>,
}

impl<W: Write> RowWriter<W> {
    pub fn new(out: W) -> Self {
        Self {
            out,
            written: 0,
            index: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Adds a row of record number `record`, counted from 0.
    pub fn push(&mut self, row: &Row, record: u32) -> io::Result<()> {
        self.scratch.clear();
        encode(row, &mut self.scratch);
        let entry = Entry::of(row, self.written, record);
        self.index.extend_from_slice(&entry.to_bytes());
        self.written += self.scratch.len() as u64;
        self.out.write_all(&self.scratch)
    }

    /// How many there are.
    pub fn rows(&self) -> usize {
        self.index.len() / ENTRY_BYTES
    }

    /// Writes the index behind the rows; returns what was written to and where the index begins.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        self.out.write_all(&self.index)?;
        Ok((self.out, self.written))
    }
}

impl RowWriter<Vec<u8>> {
    /// The rows, in memory, of `records` records.
    pub fn into_rows(self, records: u32) -> Rows {
        let rows = self.rows();
        let (bytes, index_at) = self.finish().expect("memory takes all");
        let mut all = Rows::default();
        all.append(Store {
            bytes: Bytes::Memory(bytes),
            index_at: index_at as usize,
            rows,
            records,
            read: AtomicUsize::new(0),
        });
        all
    }
}

#[derive(Debug)]
enum Bytes {
    Memory(Vec<u8>),
    Mapped(Mmap),
}

impl Bytes {
    fn all(&self) -> &[u8] {
        match self {
            Bytes::Memory(bytes) => bytes,
            Bytes::Mapped(map) => map,
        }
    }

    fn let_go(&self, end: usize) {
        if let Bytes::Mapped(map) = self {
            map.let_go(0..end);
        }
    }
}

/// Rows and their index as bytes.
#[derive(Debug)]
pub(crate) struct Store {
    bytes: Bytes,
    /// Where the rows end and the index begins.
    index_at: usize,
    rows: usize,
    records: u32,
    read: AtomicUsize,
}

impl Store {
    /// What a file holds: rows, from its beginning to where the `index` of `rows` rows begins. `None`
    /// where that is not so in every row, or a token is none of the first `vocabulary`.
    pub fn mapped(
        map: Mmap,
        index: Range<usize>,
        rows: usize,
        records: u32,
        vocabulary: usize,
    ) -> Option<Store> {
        let is_index = map.get(index.clone())?.len() == rows.checked_mul(ENTRY_BYTES)?;
        let store = Store {
            bytes: is_index.then_some(Bytes::Mapped(map))?,
            index_at: index.start,
            rows,
            records,
            read: AtomicUsize::new(0),
        };
        store.is_sound(vocabulary).then_some(store)
    }

    /// Whether every row is what the index says of it.
    fn is_sound(&self, vocabulary: usize) -> bool {
        let mut record = 0;
        (0..self.rows).all(|at| {
            let entry = self.entry(at);
            let ordered = entry.offset <= self.end(at) as u64 && entry.record >= record;
            record = entry.record;
            let decoded = || {
                let bytes = self.bytes.all().get(entry.offset as usize..self.end(at))?;
                self.count_read();
                decode(bytes)
            };
            let fits = |row: Row| {
                let known = row
                    .tokens
                    .iter()
                    .all(|&token| (token as usize) < vocabulary);
                let soft = row.soft.iter().flat_map(|(_, soft)| soft);
                let soft_known = soft
                    .into_iter()
                    .all(|&(token, _)| (token as usize) < vocabulary);
                known && soft_known && Entry::of(&row, entry.offset, entry.record) == entry
            };
            ordered && entry.record < self.records && decoded().is_some_and(fits)
        })
    }

    fn entry(&self, at: usize) -> Entry {
        let start = self.index_at + at * ENTRY_BYTES;
        Entry::from_bytes(&self.bytes.all()[start..start + ENTRY_BYTES])
    }

    /// Where the bytes of row `at` end.
    fn end(&self, at: usize) -> usize {
        if at + 1 == self.rows {
            return self.index_at;
        }
        (self.entry(at + 1).offset as usize).min(self.index_at)
    }

    fn row_bytes(&self, at: usize) -> &[u8] {
        self.count_read();
        &self.bytes.all()[self.entry(at).offset as usize..self.end(at)]
    }

    fn count_read(&self) {
        if self.read.fetch_add(1, Ordering::Relaxed) % ROWS_READ_MAX == ROWS_READ_MAX - 1 {
            self.bytes.let_go(self.index_at);
        }
    }
}

/// Where a row lies: which of the stores, which row of it.
#[derive(Clone, Copy, Debug)]
struct Place {
    store: u32,
    row: u32,
}

/// Rows in an order; a clone shares their bytes.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// The stores, each with the number of its first record.
    stores: Vec<(Arc<Store>, u64)>,
    places: Vec<Place>,
}

const SOUND: &str = "rows are checked where they are written or opened";

impl Rows {
    /// How many.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The row at `at`, made whole.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn get(&self, at: usize) -> Row {
        decode(self.bytes(at)).expect(SOUND)
    }

    /// All rows, one after the other.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Row> + '_ {
        (0..self.len()).map(|at| self.get(at))
    }

    /// The leaf of the row at `at`.
    pub fn leaf(&self, at: usize) -> Digest {
        head(self.bytes(at)).expect(SOUND).0
    }

    /// The id of the row at `at`.
    pub fn id(&self, at: usize) -> String {
        head(self.bytes(at)).expect(SOUND).1.to_owned()
    }

    /// How many tokens the row at `at` has.
    pub fn tokens_len(&self, at: usize) -> usize {
        self.entry(at).tokens as usize
    }

    /// How many of them are supervised.
    pub fn supervised_len(&self, at: usize) -> usize {
        self.entry(at).supervised as usize
    }

    /// Index of the first of these; the row's length if there is none.
    pub fn answer_start(&self, at: usize) -> usize {
        self.entry(at).answer_start as usize
    }

    /// The record that the row at `at` comes from, counted from 0 over all that were read.
    pub fn record(&self, at: usize) -> u64 {
        let first = self.stores[self.places[at].store as usize].1;
        first + u64::from(self.entry(at).record)
    }

    /// How many records were read, those of rows that are not among these too.
    pub fn records(&self) -> u64 {
        let last = self.stores.last();
        last.map_or(0, |(store, first)| first + u64::from(store.records))
    }

    /// The rows for which `wanted`.
    #[must_use]
    pub fn filter(&self, wanted: impl Fn(usize) -> bool) -> Rows {
        self.pick((0..self.len()).filter(|&at| wanted(at)))
    }

    /// The rows at these places, in this order; one may stand there several times.
    ///
    /// # Panics
    /// If there are not so many.
    #[must_use]
    pub fn pick(&self, places: impl IntoIterator<Item = usize>) -> Rows {
        Rows {
            stores: self.stores.clone(),
            places: places.into_iter().map(|at| self.places[at]).collect(),
        }
    }

    /// Adds other rows behind these; their records are counted on.
    pub fn join(&mut self, other: Rows) {
        let (stores, first) = (self.stores.len() as u32, self.records());
        self.stores.extend(
            other
                .stores
                .into_iter()
                .map(|(store, at)| (store, first + at)),
        );
        self.places
            .extend(other.places.into_iter().map(|place| Place {
                store: stores + place.store,
                ..place
            }));
    }

    /// The places of each record's rows, by the source that the record is of, in their order.
    pub fn by_record(&self) -> Vec<Vec<Vec<usize>>> {
        let mut sources = vec![Vec::new(); self.stores.len()];
        let mut last = None;
        for at in 0..self.len() {
            let (store, record) = (self.places[at].store, self.entry(at).record);
            let records: &mut Vec<Vec<usize>> = &mut sources[store as usize];
            match records.last_mut() {
                Some(rows) if last == Some((store, record)) => rows.push(at),
                _ => records.push(vec![at]),
            }
            last = Some((store, record));
        }
        sources
    }

    /// Adds all rows of a store behind these.
    pub(crate) fn append(&mut self, store: Store) {
        let number = self.stores.len() as u32;
        let first = self.records();
        let place = |row| Place { store: number, row };
        self.places.extend((0..store.rows as u32).map(place));
        self.stores.push((Arc::new(store), first));
    }

    fn entry(&self, at: usize) -> Entry {
        let place = self.places[at];
        self.stores[place.store as usize]
            .0
            .entry(place.row as usize)
    }

    fn bytes(&self, at: usize) -> &[u8] {
        let place = self.places[at];
        self.stores[place.store as usize]
            .0
            .row_bytes(place.row as usize)
    }
}

impl FromIterator<Row> for Rows {
    /// Each row is taken for a record of its own.
    fn from_iter<I: IntoIterator<Item = Row>>(rows: I) -> Rows {
        let mut writer = RowWriter::new(Vec::new());
        let mut count = 0;
        for row in rows {
            writer.push(&row, count).expect("memory takes all");
            count += 1;
        }
        writer.into_rows(count)
    }
}

impl From<Vec<Row>> for Rows {
    fn from(rows: Vec<Row>) -> Rows {
        rows.into_iter().collect()
    }
}

impl<'a> IntoIterator for &'a Rows {
    type Item = Row;
    type IntoIter = Box<dyn Iterator<Item = Row> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.iter())
    }
}

impl PartialEq for Rows {
    fn eq(&self, other: &Rows) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, tokens: Vec<u32>, weights: Vec<f32>) -> Row {
        Row {
            id: id.to_owned(),
            leaf: Digest::of(id.as_bytes()),
            tokens,
            weights,
            soft: Vec::new(),
        }
    }

    #[test]
    fn rows_come_back_as_they_went_in() {
        let mut soft = row("b", vec![7, 300, 262_143], vec![0.0, 1.0, 0.5]);
        soft.soft = vec![(1, vec![(300, 0.25), (41, 0.75)])];
        let all = vec![
            row("a", vec![1, 2, 3, 4], vec![0.0, 0.0, 1.0, 1.0]),
            soft,
            row("名", Vec::new(), Vec::new()),
        ];
        let rows = Rows::from(all.clone());
        assert_eq!(rows.iter().collect::<Vec<_>>(), all);
        for (at, row) in all.iter().enumerate() {
            assert_eq!((rows.id(at), rows.leaf(at)), (row.id.clone(), row.leaf));
            assert_eq!(rows.tokens_len(at), row.tokens.len());
            assert_eq!(rows.answer_start(at), row.answer_start());
        }
        assert_eq!(rows.supervised_len(0), 2);
        assert_eq!((rows.records(), rows.record(2)), (3, 2));
    }

    #[test]
    fn a_choice_keeps_its_order_and_shares_the_bytes() {
        let all: Rows = (0..5_u32)
            .map(|at| row(&at.to_string(), vec![at, 9], vec![0.0, 1.0]))
            .collect();
        let odd = all.filter(|at| at % 2 == 1);
        let ids: Vec<String> = (0..odd.len()).map(|at| odd.id(at)).collect();
        assert_eq!(ids, ["1", "3"]);
        assert_eq!((odd.record(1), odd.records()), (3, 5));
        assert_ne!(odd, all);
        assert_eq!(odd.get(0), all.get(1));
        let twice = odd.pick([1, 0, 1]);
        let ids: Vec<String> = (0..twice.len()).map(|at| twice.id(at)).collect();
        assert_eq!(ids, ["3", "1", "3"]);
    }

    #[test]
    fn joined_rows_count_their_records_on() {
        let some = |count: u32| -> Rows {
            let rows = (0..count).map(|at| row(&at.to_string(), vec![at, 9], vec![0.0, 1.0]));
            rows.collect()
        };
        let mut all = some(3).filter(|at| at > 0);
        all.join(some(2));
        let records: Vec<u64> = (0..all.len()).map(|at| all.record(at)).collect();
        assert_eq!((records, all.records()), (vec![1, 2, 3, 4], 5));
        assert_eq!(all.get(2), some(2).get(0));
    }

    #[test]
    fn a_token_takes_two_bytes_and_a_run_of_weights_six() {
        let long = row(&"i".repeat(4), vec![40_000; 1000], vec![0.0; 1000]);
        let mut bytes = Vec::new();
        encode(&long, &mut bytes);
        assert!(bytes.len() < 3100, "{} bytes", bytes.len());
    }
}
