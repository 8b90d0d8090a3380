//! Texts that are read to be embedded: no token is chosen, and the keys and values of a text go as
//! soon as it is read.
//!
//! Callers take turns, a text or a step's worth of short ones each; whose job came first is first among
//! those of one caller. All of it goes on beside the answers, within the prompt tokens of a step and
//! within the memory that answers leave. What is held between two steps is one text that is read in
//! part, whatever waits: turns change where none is. What an embedding is stands in [`MeanPooling`].

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lathe_engine::{Chunk, Config, KvCache, Logits, MeanPooling, Scratch, last_states};
use lathe_kernel::Pool;
use tokio::sync::oneshot;

use super::caller::Caller;
use crate::place::Place;
use crate::served::Served;

/// Texts to be embedded.
pub(crate) struct EmbeddingJob {
    /// The model that reads them.
    pub served: Arc<Served>,
    /// Whose request it is: turns are shared out among callers.
    pub caller: Caller,
    /// Their tokens; at least one each, and no more than the context.
    pub inputs: Vec<Vec<u32>>,
    /// Where the vectors go, in order, or why there are none. Dropping the receiver ends the job.
    pub reply: oneshot::Sender<Result<Vec<Vec<f32>>, Unread>>,
    /// The job's place among the requests the server holds.
    pub place: Place,
}

/// Why there are no vectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unread {
    /// They cannot be made, for the reason given.
    Failed(String),
    /// Nothing was read: so many seconds went by without a turn.
    Overdue(u64),
}

/// The jobs in the order in which they came.
#[derive(Default)]
pub(super) struct Embeddings {
    queue: VecDeque<Reading>,
    /// When each caller who waits had a turn last, or came if that was since. Turns are counted in twos:
    /// who comes after one goes before whoever had it.
    turns: HashMap<Caller, u64>,
    turn: u64,
}

impl Embeddings {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Who comes stands behind those whose last turn is longer ago, however often he was here before.
    pub(super) fn enqueue(&mut self, job: EmbeddingJob) {
        let now = self.turn.saturating_sub(1);
        self.turns.entry(job.caller).or_insert(now);
        self.queue.push_back(Reading {
            done: Vec::with_capacity(job.inputs.len()),
            job,
            open: None,
            begun: false,
            since: Instant::now(),
        });
    }

    /// Drops the jobs that nobody waits for.
    pub(super) fn free(&mut self) {
        self.queue.retain(|it| !it.job.reply.is_closed());
        let queue = &self.queue;
        self.turns
            .retain(|caller, _| queue.iter().any(|it| it.job.caller == *caller));
    }

    /// Refuses the jobs of which nothing was read for longer than `longest`.
    pub(super) fn refuse_overdue(&mut self, longest: Duration) {
        let overdue = |it: &Reading| !it.begun && it.since.elapsed() > longest;
        while let Some(at) = self.queue.iter().position(overdue)
            && let Some(reading) = self.queue.remove(at)
        {
            let waited_s = longest.as_millis().div_ceil(1000) as u64;
            let _ = reading.job.reply.send(Err(Unread::Overdue(waited_s)));
        }
    }

    /// Bytes of keys and values that are held between two steps.
    pub(super) fn held(&self) -> usize {
        let open = self.queue.iter().filter_map(|it| it.open.as_ref());
        open.map(|text| text.cache.bytes()).sum()
    }

    /// Bytes that the text whose turn it is takes beside what is held.
    pub(super) fn needed(&self) -> usize {
        self.next().map_or(0, |at| self.queue[at].needed())
    }

    /// Whose turn it is: a text that is read in part is read on, else the caller goes on who has waited
    /// longest since their last turn.
    fn next(&self) -> Option<usize> {
        let open = self.queue.iter().position(|it| it.open.is_some());
        let last = |it: &Reading| self.turns.get(&it.job.caller).copied().unwrap_or(0);
        let waiting = self.queue.iter().enumerate();
        // Of equals, the first.
        open.or_else(|| waiting.min_by_key(|(_, it)| last(it)).map(|(at, _)| at))
    }

    /// Reads at most `tokens_max` tokens of the job whose turn it is, in texts that take `bytes_max`
    /// together, but at least one.
    pub(super) fn step(
        &mut self,
        pool: &Pool,
        scratch: &mut Scratch,
        tokens_max: usize,
        bytes_max: usize,
    ) {
        let Some(at) = self.next() else {
            return;
        };
        let reading = &mut self.queue[at];
        reading.read(pool, scratch, tokens_max, bytes_max);
        self.turn += 2;
        self.turns.insert(reading.job.caller, self.turn);
        if reading.done.len() == reading.job.inputs.len()
            && let Some(Reading { mut job, done, .. }) = self.queue.remove(at)
        {
            job.place.ended("stop");
            // Nobody listening is no error.
            let _ = job.reply.send(Ok(done));
        }
    }

    /// Ends all jobs with an error.
    pub(super) fn fail_all(&mut self, reason: &str) {
        for reading in self.queue.drain(..) {
            let failed = Unread::Failed(reason.to_owned());
            let _ = reading.job.reply.send(Err(failed));
        }
    }
}

/// A job, the vectors made so far, and the text that is read in part.
struct Reading {
    job: EmbeddingJob,
    done: Vec<Vec<f32>>,
    open: Option<Text>,
    /// Something of it was read.
    begun: bool,
    since: Instant,
}

/// A text as far as it is read.
struct Text {
    cache: KvCache,
    pooling: MeanPooling,
}

impl Text {
    fn new(config: &Config) -> Text {
        Text {
            cache: KvCache::new(config),
            pooling: MeanPooling::new(config.hidden),
        }
    }
}

impl Reading {
    /// Bytes that the next text takes beside what is held of it.
    fn needed(&self) -> usize {
        let held = self.open.as_ref().map_or(0, |text| text.cache.bytes());
        let next = self.job.inputs.get(self.done.len());
        next.map_or(0, |tokens| self.bytes_of(tokens) - held)
    }

    fn bytes_of(&self, tokens: &[u32]) -> usize {
        KvCache::new(&self.job.served.model().config).span_bytes(0..tokens.len())
    }

    /// How many texts, from the next on, a step may read in `bytes_max`; at least one.
    fn texts_max(&self, bytes_max: usize) -> usize {
        let mut left = bytes_max;
        let next = self.job.inputs[self.done.len()..].iter();
        let fitting = next.take_while(|tokens| match left.checked_sub(self.bytes_of(tokens)) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        });
        fitting.count().max(1)
    }

    /// One pass over the next tokens: of several short texts, or of a part of a long one.
    fn read(&mut self, pool: &Pool, scratch: &mut Scratch, tokens_max: usize, bytes_max: usize) {
        if !std::mem::replace(&mut self.begun, true) {
            self.job.place.began(0);
        }
        let texts_max = self.texts_max(bytes_max);
        let Reading {
            job, done, open, ..
        } = self;
        let model = job.served.model();
        let mut room = tokens_max;
        let mut texts: Vec<(Text, &[u32], bool)> = Vec::new();
        for input in job.inputs[done.len()..].iter().take(texts_max) {
            if room == 0 {
                break;
            }
            let text = open.take().unwrap_or_else(|| Text::new(&model.config));
            let left = &input[text.cache.len()..];
            let now = &left[..left.len().min(room)];
            room -= now.len();
            texts.push((text, now, now.len() == left.len()));
        }
        let mut chunks: Vec<Chunk<'_>> = texts
            .iter_mut()
            .map(|(text, tokens, _)| Chunk {
                cache: &mut text.cache,
                tokens,
                logits: Logits::None,
            })
            .collect();
        let adapter = job.served.adapter().map(Arc::as_ref);
        let states = last_states(model, pool, adapter, &mut chunks, scratch);
        let mut states = &states[..];
        for (mut text, tokens, whole) in texts {
            let (own, rest) = states.split_at(tokens.len() * model.config.hidden);
            states = rest;
            text.pooling.add(own);
            if whole {
                done.push(text.pooling.finish());
            } else {
                // Only the last one in a step can be cut: the room ends there.
                *open = Some(text);
            }
        }
        job.place
            .holds(open.as_ref().map_or(0, |text| text.cache.bytes()));
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;
    use crate::limits::Limits;
    use crate::meters::Meters;
    use crate::tests::open_door;

    type Vectors = oneshot::Receiver<Result<Vec<Vec<f32>>, Unread>>;

    struct Setup {
        embeddings: Embeddings,
        served: Arc<Served>,
        places: Arc<Semaphore>,
        scratch: Scratch,
    }

    async fn setup() -> Setup {
        let door = open_door(Limits::default()).await;
        Setup {
            embeddings: Embeddings::default(),
            served: door.inner().catalogue.find("tiny").expect("it is open"),
            places: Arc::new(Semaphore::new(100)),
            scratch: Scratch::default(),
        }
    }

    impl Setup {
        /// Asks for `texts` texts of `tokens` tokens each.
        fn ask(&mut self, caller: &str, texts: u32, tokens: usize) -> Vectors {
            let (reply, vectors) = oneshot::channel();
            let permit = self.places.clone().try_acquire_owned().expect("a place");
            let meters = Arc::new(Meters::new(&Limits::default()));
            self.embeddings.enqueue(EmbeddingJob {
                served: self.served.clone(),
                caller: Caller::of(caller),
                inputs: (0..texts).map(|at| vec![at % 250; tokens]).collect(),
                reply,
                place: Place::new(permit, meters),
            });
            vectors
        }

        fn step(&mut self, tokens_max: usize, bytes_max: usize) {
            let pool = Pool::new(1);
            self.embeddings
                .step(&pool, &mut self.scratch, tokens_max, bytes_max);
        }
    }

    #[tokio::test]
    async fn who_embeds_much_lets_others_have_their_turn() {
        let mut setup = setup().await;
        let mut many = setup.ask("many", 40, 32);
        setup.step(32, usize::MAX);
        let mut more = setup.ask("many", 1, 32);
        let mut one = setup.ask("one", 1, 32);
        setup.step(32, usize::MAX);
        assert!(one.try_recv().is_ok(), "whoever had no turn is next");
        assert!(many.try_recv().is_err() && more.try_recv().is_err());
        // A text that is read in part is read to its end before turns change.
        let mut long = setup.ask("one", 1, 96);
        for _ in ["many", "one"] {
            setup.step(32, usize::MAX);
        }
        let mut other = setup.ask("two", 1, 32);
        for _ in 0..2 {
            assert!(setup.embeddings.held() > 0);
            setup.step(32, usize::MAX);
        }
        assert!(long.try_recv().is_ok() && other.try_recv().is_err());
        // "many" waits since before "two" came.
        for _ in ["many", "two"] {
            setup.step(32, usize::MAX);
        }
        assert!(other.try_recv().is_ok());
        for _ in 0..40 {
            setup.step(32, usize::MAX);
        }
        let vectors = many.try_recv().expect("read to its end").expect("vectors");
        assert_eq!(vectors.len(), 40);
        assert!(more.try_recv().is_ok() && setup.embeddings.is_empty());
    }

    #[tokio::test]
    async fn who_comes_back_again_and_again_keeps_nobody_from_their_turn() {
        let mut setup = setup().await;
        let mut many = setup.ask("many", 10, 32);
        let mut others = ["a", "b"].map(|caller| (caller, setup.ask(caller, 1, 32)));
        for _ in 0..30 {
            setup.embeddings.free();
            setup.step(32, usize::MAX);
            for (caller, vectors) in &mut others {
                if vectors.try_recv().is_ok() {
                    *vectors = setup.ask(caller, 1, 32);
                }
            }
        }
        assert!(many.try_recv().is_ok(), "one turn of three, ten times");
    }

    #[tokio::test]
    async fn a_step_reads_no_more_texts_than_there_is_memory_for() {
        let mut setup = setup().await;
        let one = KvCache::new(&setup.served.model().config).span_bytes(0..4);
        let _vectors = setup.ask("a", 10, 4);
        assert_eq!(setup.embeddings.needed(), one);
        let mut done = Vec::new();
        for bytes_max in [3 * one, one, 0, usize::MAX] {
            setup.step(1000, bytes_max);
            done.push(
                setup
                    .embeddings
                    .queue
                    .front()
                    .map_or(10, |it| it.done.len()),
            );
        }
        // One text always runs.
        assert_eq!(done, [3, 4, 5, 10]);
        assert_eq!(setup.embeddings.held(), 0);
    }

    #[tokio::test]
    async fn who_waits_in_vain_is_told_so_and_what_is_begun_goes_on() {
        let mut setup = setup().await;
        let mut begun = setup.ask("a", 2, 32);
        setup.step(32, usize::MAX);
        let mut waiting = setup.ask("b", 1, 32);
        tokio::time::sleep(Duration::from_millis(5)).await;
        setup.embeddings.refuse_overdue(Duration::from_millis(1));
        assert_eq!(waiting.try_recv(), Ok(Err(Unread::Overdue(1))));
        setup.step(32, usize::MAX);
        assert!(begun.try_recv().is_ok_and(|it| it.is_ok()));
    }
}
