//! Texts that are read to be embedded: no token is chosen, and the keys and values of a text go as
//! soon as it is read.
//!
//! Strictly in order, beside the answers and within the prompt tokens of a step. What is held at a
//! time is one text that is read in part, whatever waits. What an embedding is stands in
//! [`MeanPooling`].

use std::collections::VecDeque;
use std::sync::Arc;

use lathe_engine::{Chunk, Config, KvCache, Logits, MeanPooling, Scratch, last_states};
use lathe_kernel::Pool;
use tokio::sync::oneshot;

use crate::place::Place;
use crate::served::Served;

/// Texts to be embedded.
pub(crate) struct EmbeddingJob {
    /// The model that reads them.
    pub served: Arc<Served>,
    /// Their tokens; at least one each, and no more than the context.
    pub inputs: Vec<Vec<u32>>,
    /// Where the vectors go, in order, or why there are none. Dropping the receiver ends the job.
    pub reply: oneshot::Sender<Result<Vec<Vec<f32>>, String>>,
    /// The job's place among the requests the server holds.
    pub place: Place,
}

/// The jobs, first come first served.
#[derive(Default)]
pub(super) struct Embeddings {
    queue: VecDeque<Reading>,
}

impl Embeddings {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn enqueue(&mut self, job: EmbeddingJob) {
        self.queue.push_back(Reading {
            done: Vec::with_capacity(job.inputs.len()),
            job,
            open: None,
            begun: false,
        });
    }

    /// Drops the jobs that nobody waits for.
    pub(super) fn free(&mut self) {
        self.queue.retain(|it| !it.job.reply.is_closed());
    }

    /// Reads at most `tokens_max` tokens of the first job.
    pub(super) fn step(&mut self, pool: &Pool, scratch: &mut Scratch, tokens_max: usize) {
        let Some(reading) = self.queue.front_mut() else {
            return;
        };
        reading.read(pool, scratch, tokens_max);
        if reading.done.len() == reading.job.inputs.len()
            && let Some(Reading { mut job, done, .. }) = self.queue.pop_front()
        {
            job.place.ended("stop");
            // Nobody listening is no error.
            let _ = job.reply.send(Ok(done));
        }
    }

    /// Ends all jobs with an error.
    pub(super) fn fail_all(&mut self, reason: &str) {
        for reading in self.queue.drain(..) {
            let _ = reading.job.reply.send(Err(reason.to_owned()));
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
    /// One pass over the next tokens: of several short texts, or of a part of a long one.
    fn read(&mut self, pool: &Pool, scratch: &mut Scratch, tokens_max: usize) {
        if !std::mem::replace(&mut self.begun, true) {
            self.job.place.began(0);
        }
        let Reading {
            job, done, open, ..
        } = self;
        let model = job.served.model();
        let mut room = tokens_max;
        let mut texts: Vec<(Text, &[u32], bool)> = Vec::new();
        for input in &job.inputs[done.len()..] {
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
    }
}
