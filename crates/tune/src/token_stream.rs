//! Samples to rows in a stream: one thread reads, the pool tokenises, rows leave in order.
//!
//! Three lots of samples are held at most: one being read, one waiting, one being tokenised. What
//! becomes of the rows is the writer's affair; the order and the bytes do not depend on the number
//! of threads.

use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};

use lathe_data::DataError;
use lathe_data::samples::{Sample, SampleSource, Samples, Turn};
use lathe_kernel::Pool;

use crate::TuneError;
use crate::dialogue::Dialogues;
use crate::pack::Row;
use crate::rows::RowWriter;

/// Samples of a lot.
const LOT_SAMPLES_MAX: usize = 256;
/// Bytes of text after which a lot ends; a sample of any size may be its last.
const LOT_BYTES_MAX: usize = 1 << 20;

/// How far a file is tokenised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tokenised {
    /// Bytes of the file that were read; 0 where that cannot be told.
    pub bytes: u64,
    /// Records whose rows are made.
    pub records: u64,
}

/// Some samples with their record numbers, and how far the file was read for them.
struct Lot {
    samples: Vec<(u64, Sample)>,
    bytes_read: u64,
}

/// Writes the rows of all samples of `source`, in order, and returns how many records there were.
///
/// # Errors
/// The first record that cannot be read or is no row; what writing to `path` reports.
pub(crate) fn tokenise<W: Write>(
    source: &SampleSource,
    dialogues: &Dialogues<'_>,
    pool: &Pool,
    writer: &mut RowWriter<W>,
    path: &Path,
    on: &mut dyn FnMut(Tokenised),
) -> Result<u32, TuneError> {
    let samples = source.read()?;
    std::thread::scope(|scope| {
        let (sender, lots) = sync_channel(1);
        scope.spawn(move || read(samples, &sender));
        let mut records = 0;
        for lot in lots {
            let lot: Lot = lot?;
            for rows in rows(&lot.samples, dialogues, pool) {
                for row in rows? {
                    let written = writer.push(&row, records);
                    written.map_err(TuneError::file("write", path))?;
                }
                records += 1;
            }
            on(Tokenised {
                bytes: lot.bytes_read,
                records: u64::from(records),
            });
        }
        Ok(records)
    })
}

/// Sends lots until the file ends, a record is broken or nobody listens any more.
fn read(mut samples: Samples, sender: &SyncSender<Result<Lot, DataError>>) {
    loop {
        let (mut lot, mut bytes) = (Vec::new(), 0);
        let mut ended = None;
        while lot.len() < LOT_SAMPLES_MAX && bytes < LOT_BYTES_MAX {
            match samples.next() {
                Some(Ok((number, sample))) => {
                    bytes += text_bytes(&sample);
                    lot.push((number, sample));
                }
                other => {
                    ended = Some(other.and_then(Result::err));
                    break;
                }
            }
        }
        let lot = Lot {
            samples: lot,
            bytes_read: samples.bytes_read(),
        };
        let heard = lot.samples.is_empty() || sender.send(Ok(lot)).is_ok();
        if let Some(Some(error)) = ended {
            // Where nobody listens, an earlier record was refused already.
            let _heard = sender.send(Err(error));
            return;
        }
        if ended.is_some() || !heard {
            return;
        }
    }
}

fn text_bytes(sample: &Sample) -> usize {
    let turn = |turn: &Turn| turn.text().len() + turn.reasoning.as_ref().map_or(0, String::len);
    match sample {
        Sample::Text(text) => text.len(),
        Sample::Chat { turns, .. } | Sample::Pair { turns, .. } | Sample::Judged { turns, .. } => {
            turns.iter().map(turn).sum()
        }
    }
}

type Made = Result<Vec<Row>, TuneError>;

/// The rows of each sample, made on all threads of the pool.
fn rows(
    samples: &[(u64, Sample)],
    dialogues: &Dialogues<'_>,
    pool: &Pool,
) -> impl Iterator<Item = Made> {
    let made: Vec<OnceLock<Made>> = samples.iter().map(|_| OnceLock::new()).collect();
    pool.run(samples.len(), &|at| {
        let (number, sample) = &samples[at];
        made[at].get_or_init(|| dialogues.rows(*number, sample));
    });
    let taken = |slot: OnceLock<Made>| slot.into_inner().expect("the pool runs every task");
    made.into_iter().map(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialogue::Masking;
    use crate::testing;

    fn bytes(records: &[String], threads: usize) -> Result<(Vec<u8>, u32, Tokenised), TuneError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lines.jsonl");
        std::fs::write(&path, records.concat()).expect("written");
        let model = testing::model();
        let dialogues = Dialogues::new(&model, Masking::default()).expect("a way to write");
        let source = SampleSource::detect(&path).expect("alpaca");
        let mut writer = RowWriter::new(Vec::new());
        let pool = Pool::new(threads);
        let mut last = Tokenised {
            bytes: 0,
            records: 0,
        };
        let mut on = |told| last = told;
        let records = tokenise(&source, &dialogues, &pool, &mut writer, &path, &mut on)?;
        let (bytes, _) = writer.finish().expect("memory takes all");
        Ok((bytes, records, last))
    }

    fn record(at: usize) -> String {
        format!("{{\"instruction\":\"Number {at}?\",\"output\":\"It is {at}.\"}}\n")
    }

    #[test]
    fn rows_are_the_same_on_any_number_of_threads() {
        let records: Vec<String> = (0..700).map(record).collect();
        let one = bytes(&records, 1).expect("rows");
        assert_eq!(one, bytes(&records, 3).expect("rows"));
        assert_eq!((one.1, one.2.records), (700, 700));
        let all: usize = records.iter().map(String::len).sum();
        assert_eq!(one.2.bytes, all as u64, "read to its end");
    }

    #[test]
    fn the_first_broken_record_ends_it_by_its_number() {
        let mut records: Vec<String> = (0..600).map(record).collect();
        records[300] = "{\"instruction\":\"What?\",\"output\":\"\"}\n".to_owned();
        records[500] = "{".to_owned();
        let error = bytes(&records, 2).expect_err("an empty answer").to_string();
        assert!(error.contains("record 301"), "{error}");
    }
}
