//! Prompts with one or two answers, as tokens: what preference stages learn from.

use lathe_engine::{AnswerBatch, Tokenizer};
use lathe_evidence::Digest;
use lathe_evidence::digest::Hasher;

use crate::TuneError;

/// A prompt and the answers that follow it.
pub(crate) trait Answers {
    /// The record's id.
    fn id(&self) -> &str;
    /// What the record is committed to by.
    fn leaf(&self) -> Digest;
    /// What the answers follow.
    fn prompt(&self) -> &[u32];
    /// Each with the token that ends it.
    fn answers(&self) -> Vec<&[u32]>;

    /// Tokens of the longest sequence.
    fn longest(&self) -> usize {
        let answers = self.answers().into_iter().map(<[u32]>::len);
        self.prompt().len() + answers.max().unwrap_or(0)
    }
}

/// Tokenises a rendered prompt and answers; `end` ends each.
///
/// # Errors
/// [`TuneError::Boundary`] when the prompt's tokens change where an answer follows.
pub(crate) fn split<const N: usize>(
    tokenizer: &Tokenizer,
    end: u32,
    id: &str,
    prompt: &str,
    answers: [&str; N],
) -> Result<(Vec<u32>, [Vec<u32>; N]), TuneError> {
    let served = tokenizer.encode(prompt);
    let mut tokens: [Vec<u32>; N] = std::array::from_fn(|_| Vec::new());
    for (tokens, text) in tokens.iter_mut().zip(answers) {
        let whole = tokenizer.encode(&format!("{prompt}{text}"));
        match whole.strip_prefix(&served[..]) {
            Some(answer) if !served.is_empty() => *tokens = [answer, &[end]].concat(),
            _ => return Err(TuneError::Boundary { id: id.to_owned() }),
        }
    }
    Ok((served, tokens))
}

/// Those of at most `tokens_max` tokens, and the ids of the others.
pub(crate) fn within<T: Answers>(all: Vec<T>, tokens_max: usize) -> (Vec<T>, Vec<String>) {
    let (kept, over): (Vec<T>, Vec<T>) = all.into_iter().partition(|it| it.longest() <= tokens_max);
    (kept, over.iter().map(|it| it.id().to_owned()).collect())
}

/// Tokens of all sequences, a prompt counted in each of its answers'.
pub(crate) fn tokens<T: Answers>(all: &[T]) -> u64 {
    let of = |record: &T| {
        let answers = record.answers();
        let prompts = answers.len() * record.prompt().len();
        (prompts + answers.into_iter().map(<[u32]>::len).sum::<usize>()) as u64
    };
    all.iter().map(of).sum()
}

/// Feeds the records in, for a run's identity.
pub(crate) fn identify<T: Answers>(hasher: &mut Hasher, all: &[T]) {
    for record in all {
        hasher.update(&record.leaf().0);
        for tokens in [record.prompt()].into_iter().chain(record.answers()) {
            hasher.update(&(tokens.len() as u64).to_le_bytes());
            tokens
                .iter()
                .for_each(|it| hasher.update(&it.to_le_bytes()));
        }
    }
}

/// The records with the given indices as a batch after `common` tokens.
pub(crate) fn batch<T: Answers>(all: &[T], records: &[usize], common: usize) -> AnswerBatch {
    let mut batch = AnswerBatch::after(&all[records[0]].prompt()[..common]);
    for &at in records {
        batch.push(all[at].prompt(), &all[at].answers());
    }
    batch
}

/// Cuts a step into parts of at most `rows_max` rows; a larger record is a part of its own.
pub(crate) fn parts<'r, T: Answers>(
    all: &[T],
    records: &'r [usize],
    common: usize,
    rows_max: usize,
) -> Vec<&'r [usize]> {
    let (mut parts, mut start, mut rows) = (Vec::new(), 0, common);
    for (at, &record) in records.iter().enumerate() {
        let more = rows_of(&all[record], common);
        if at > start && rows + more > rows_max {
            parts.push(&records[start..at]);
            (start, rows) = (at, common);
        }
        rows += more;
    }
    parts.push(&records[start..]);
    parts
}

fn rows_of<T: Answers>(record: &T, common: usize) -> usize {
    AnswerBatch::rows_of(common, record.prompt(), &record.answers())
}

/// How many first tokens a batch should share: those that all prompts begin with, or none where
/// answers sharing their prompt leaves fewer rows. One choice for all batches of a run.
pub(crate) fn common<T: Answers>(all: &[T], batch_records: usize) -> usize {
    let [first, rest @ ..] = all else { return 0 };
    let first = first.prompt();
    let common = rest.iter().fold(first.len(), |common, record| {
        let same = first.iter().zip(record.prompt());
        same.take(common).take_while(|(a, b)| a == b).count()
    });
    // Every prompt keeps a row of its own, which predicts its answers' first tokens.
    let shortest = all.iter().map(|record| record.prompt().len()).min();
    let common = common.min(shortest.unwrap_or(0).saturating_sub(1));
    let batches = all.len().div_ceil(batch_records);
    let rows = |common: usize| {
        let records = all.iter().map(|record| rows_of(record, common));
        batches * common + records.sum::<usize>()
    };
    if rows(common) < rows(0) { common } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpo::DpoPair;

    #[test]
    fn the_cheaper_way_of_sharing_is_taken() {
        let pair = |own: u32, own_len: usize| DpoPair {
            id: String::new(),
            leaf: Digest::of(b"pair"),
            prompt: [vec![9; 10], vec![own; own_len]].concat(),
            chosen: vec![1, 2],
            rejected: vec![3, 2],
        };
        let short = [pair(4, 3), pair(5, 3), pair(6, 3), pair(7, 3)];
        assert_eq!(common(&short, 4), 10);
        assert_eq!(common(&short, 1), 0, "alone, a pair shares its prompt");
        let long = [pair(4, 30), pair(5, 30), pair(6, 30)];
        assert_eq!(common(&long, 3), 0);
        let same = [pair(4, 3), pair(4, 3), pair(4, 3)];
        assert_eq!(common(&same, 3), 12, "a row of its own is left");
    }
}
