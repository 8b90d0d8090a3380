//! Greedy generation for many prompts at once.
//!
//! Prompts wait in order for one of a bounded number of slots; every pass computes
//! the next token of the running answers and the prompts that move in. What all
//! prompts begin with is computed once. Because a row's result does not depend on
//! its batch, an answer is the same whatever was generated beside it.
//!
//! Not here: sampling, streaming and stop texts; those are the server's.

use crate::infer::{Chunk, KvCache, Logits, Scratch, forward};
use crate::model::Model;
use crate::packed_adapter::PackedAdapter;
use crate::sampling::argmax;
use lathe_kernel::Pool;

/// Prompt rows that enter one pass.
const PROMPT_ROWS_MAX: usize = 512;

/// Bounds of a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerateSpec {
    /// Longest answer in tokens, the stop token included.
    pub tokens_max: usize,
    /// Tokens that end an answer.
    pub stop: Vec<u32>,
    /// Answers computed together.
    pub batch_max: usize,
}

/// The greedy answer to every prompt, without the stop token, in the order of the
/// prompts; `on_done` hears how many are finished.
///
/// An answer ends at a stop token, at `tokens_max`, or where the context ends. A
/// prompt that is empty or leaves no room in the context has the empty answer.
///
/// # Panics
/// If a prompt holds a token the model does not have.
pub fn generate_greedy(
    model: &Model,
    pool: &Pool,
    adapter: Option<&PackedAdapter>,
    prompts: &[Vec<u32>],
    spec: &GenerateSpec,
    on_done: &mut dyn FnMut(usize),
) -> Vec<Vec<u32>> {
    let mut run = Run::new(model, pool, adapter, prompts, spec);
    let mut reported = 0;
    loop {
        let more = run.step();
        if run.done > reported {
            reported = run.done;
            on_done(reported);
        }
        if !more {
            return run.answers;
        }
    }
}

/// One sequence that is being read or answered.
struct Slot {
    prompt: usize,
    cache: KvCache,
    /// Prompt tokens that are in the cache or in this pass.
    read: usize,
    /// Tokens of this pass.
    tokens: Vec<u32>,
}

struct Run<'a> {
    model: &'a Model,
    pool: &'a Pool,
    adapter: Option<&'a PackedAdapter>,
    prompts: &'a [Vec<u32>],
    spec: &'a GenerateSpec,
    scratch: Scratch,
    /// The cache of what all prompts begin with.
    shared: KvCache,
    slots: Vec<Slot>,
    /// The next prompt that waits.
    next: usize,
    done: usize,
    answers: Vec<Vec<u32>>,
}

impl<'a> Run<'a> {
    fn new(
        model: &'a Model,
        pool: &'a Pool,
        adapter: Option<&'a PackedAdapter>,
        prompts: &'a [Vec<u32>],
        spec: &'a GenerateSpec,
    ) -> Self {
        let mut run = Self {
            model,
            pool,
            adapter,
            prompts,
            spec,
            scratch: Scratch::default(),
            shared: KvCache::new(&model.config),
            slots: Vec::new(),
            next: 0,
            done: 0,
            answers: vec![Vec::new(); prompts.len()],
        };
        run.read_shared();
        run
    }

    /// Computes the cache of the beginning that all prompts share. At least the last
    /// token of each stays to be read for itself.
    fn read_shared(&mut self) {
        let shared = common_prefix(self.prompts).min(self.model.config.context);
        for tokens in self
            .prompts
            .first()
            .map_or(&[][..], |first| &first[..shared])
            .chunks(PROMPT_ROWS_MAX)
        {
            let chunk = Chunk {
                cache: &mut self.shared,
                tokens,
                logits: Logits::None,
            };
            forward(
                self.model,
                self.pool,
                self.adapter,
                &mut [chunk],
                &mut self.scratch,
            );
        }
    }

    /// One pass; false when nothing is left to do.
    fn step(&mut self) -> bool {
        self.admit();
        if self.slots.is_empty() {
            return false;
        }
        self.plan_prompts();
        let mut chunks: Vec<Chunk<'_>> = Vec::with_capacity(self.slots.len());
        for slot in self.slots.iter_mut().filter(|slot| !slot.tokens.is_empty()) {
            let logits = if slot.read == self.prompts[slot.prompt].len() {
                Logits::Largest
            } else {
                Logits::None
            };
            chunks.push(Chunk {
                cache: &mut slot.cache,
                tokens: &slot.tokens,
                logits,
            });
        }
        let logits = forward(
            self.model,
            self.pool,
            self.adapter,
            &mut chunks,
            &mut self.scratch,
        );
        self.take_tokens(&logits);
        true
    }

    /// Moves waiting prompts into free slots.
    fn admit(&mut self) {
        while self.slots.len() < self.spec.batch_max.max(1) && self.next < self.prompts.len() {
            let prompt = self.next;
            self.next += 1;
            let len = self.prompts[prompt].len();
            if len == 0 || len >= self.model.config.context || self.spec.tokens_max == 0 {
                self.done += 1;
                continue;
            }
            let cache = self.shared.clone();
            self.slots.push(Slot {
                prompt,
                read: cache.len(),
                cache,
                tokens: Vec::new(),
            });
        }
    }

    /// Hands out this pass's prompt rows, oldest prompt first.
    fn plan_prompts(&mut self) {
        let mut room = PROMPT_ROWS_MAX;
        for slot in &mut self.slots {
            let rest = &self.prompts[slot.prompt][slot.read..];
            if rest.is_empty() {
                continue;
            }
            let taken = rest.len().min(room);
            slot.tokens.clear();
            slot.tokens.extend_from_slice(&rest[..taken]);
            slot.read += taken;
            room -= taken;
        }
    }

    /// Appends the best token to every answer that asked for logits and frees the
    /// slots of those that end.
    fn take_tokens(&mut self, logits: &[f32]) {
        let mut rows = logits.chunks_exact(self.model.config.vocab);
        let (spec, context) = (self.spec, self.model.config.context);
        self.slots.retain_mut(|slot| {
            let waiting = slot.tokens.is_empty();
            slot.tokens.clear();
            if waiting || slot.read < self.prompts[slot.prompt].len() {
                return true;
            }
            let token = argmax(rows.next().expect("a row of logits for every answer"));
            let answer = &mut self.answers[slot.prompt];
            let stop = spec.stop.contains(&token);
            if !stop {
                answer.push(token);
                slot.tokens.push(token);
            }
            let goes_on = !stop && answer.len() < spec.tokens_max && slot.cache.len() < context;
            self.done += usize::from(!goes_on);
            goes_on
        });
    }
}

/// How many tokens all prompts begin with, short of the last token of the shortest.
pub(crate) fn common_prefix(prompts: &[Vec<u32>]) -> usize {
    let [first, others @ ..] = prompts else {
        return 0;
    };
    if others.is_empty() {
        return 0;
    }
    let mut len = first.len().saturating_sub(1);
    for other in others {
        len = len.min(other.len().saturating_sub(1));
        len = first[..len]
            .iter()
            .zip(other)
            .take_while(|(a, b)| a == b)
            .count();
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_prefix_leaves_a_token_of_every_prompt() {
        assert_eq!(common_prefix(&[]), 0);
        assert_eq!(common_prefix(&[vec![1, 2, 3]]), 0);
        assert_eq!(common_prefix(&[vec![1, 2, 3], vec![1, 2, 4]]), 2);
        assert_eq!(common_prefix(&[vec![1, 2], vec![1, 2, 3]]), 1);
        assert_eq!(common_prefix(&[vec![1, 2], vec![], vec![1, 2]]), 0);
        assert_eq!(common_prefix(&[vec![7, 2], vec![1, 2]]), 0);
    }
}
