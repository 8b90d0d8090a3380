//! Inference over key-value caches.
//!
//! One call computes a chunk of each of several sequences: a whole prompt, a part of
//! one, or the next token; that is what a scheduler batches continuously. It runs the
//! block that tuning runs. A row's result is the same bits whatever else is in the
//! batch, however its sequence was cut into chunks, and at any number of threads;
//! of [`Logits::Largest`] that holds for the largest alone.

use crate::block::{Activations, AdapterRows, Attend, Block, Heads, Work};
use crate::config::Config;
use crate::error::EngineError;
use crate::head::{Head, HeadWork};
use crate::model::Model;
use crate::packed_adapter::PackedAdapter;
use crate::rows::{Rows, read_and_write};
use crate::standing::Standing;
use lathe_kernel::attention::{self, CachedQuery, KvLayer, Shape};
use lathe_kernel::{Isa, Pool};
use std::collections::HashSet;
use std::ops::Range;

mod mixed;
mod states;

use mixed::Adapters;
pub use mixed::{AdapterRun, forward_mixed};
pub use states::{MeanPooling, last_states};

/// Keys and values of one sequence. Cloning is cheap: what is the same stays shared.
#[derive(Debug, Clone)]
pub struct KvCache {
    layers: Vec<KvLayer>,
}

impl KvCache {
    /// The empty cache of a sequence.
    pub fn new(config: &Config) -> Self {
        let layer = KvLayer::new(Isa::detect(), config.kv_heads, config.head_dim);
        Self {
            layers: vec![layer; config.layers],
        }
    }

    /// Tokens whose keys and values are held.
    pub fn len(&self) -> usize {
        self.layers.first().map_or(0, KvLayer::len)
    }

    /// Whether no token is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all tokens from `len` on; nothing happens if there are fewer.
    pub fn truncate(&mut self, len: usize) {
        for layer in &mut self.layers {
            layer.truncate(len);
        }
    }

    /// Bytes of memory held; what clones share is counted in each.
    pub fn bytes(&self) -> usize {
        self.span_bytes(0..self.len())
    }

    /// Bytes of memory that the blocks of these positions take, whether they are held or not.
    pub fn span_bytes(&self, positions: Range<usize>) -> usize {
        let layers = self.layers.len();
        let first = self.layers.first();
        first.map_or(0, |first| first.span_bytes(positions) * layers)
    }

    /// Bytes of memory held in blocks that are not among `counted`, the addresses of blocks, and
    /// adds them: what several caches share is so counted once.
    pub fn count(&self, counted: &mut HashSet<usize>) -> usize {
        // Layers are appended to, cut and cloned together: the first speaks for all.
        let Some(first) = self.layers.first() else {
            return 0;
        };
        let new = first.addresses().filter(|it| counted.insert(*it));
        new.count() * first.span_bytes(0..1) * self.layers.len()
    }
}

/// The next tokens of one sequence.
#[derive(Debug)]
pub struct Chunk<'a> {
    /// What came before; the chunk is appended.
    pub cache: &'a mut KvCache,
    /// At least one token.
    pub tokens: &'a [u32],
    /// The logits that are wanted.
    pub logits: Logits,
}

/// Which logits of a chunk are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logits {
    /// None: the chunk is not the end of what is known.
    None,
    /// The largest after the last token, for a greedy choice. Of an output matrix kept in 8 bits, half
    /// the bits are read for most tokens: those that may be the largest have exact logits, the others
    /// near ones ([`lathe_kernel::quantised::largest_quantised`]).
    Largest,
    /// All after the last token.
    All,
    /// All after each of the tokens.
    Each,
}

impl Chunk<'_> {
    /// Whether the chunk fits a model.
    ///
    /// # Errors
    /// [`EngineError::Request`] for no token, one the model does not have, or more
    /// than its context holds.
    pub fn check(&self, config: &Config) -> Result<(), EngineError> {
        let refuse = |reason: String| Err(EngineError::Request { reason });
        let end = self.cache.len() + self.tokens.len();
        if self.tokens.is_empty() {
            return refuse("a chunk of no tokens was given".to_owned());
        }
        if end > config.context {
            return refuse(format!(
                "{end} tokens exceed the context of {}",
                config.context
            ));
        }
        match self
            .tokens
            .iter()
            .find(|&&token| token as usize >= config.vocab)
        {
            Some(token) => refuse(format!("token {token} is not among the {}", config.vocab)),
            None => Ok(()),
        }
    }

    /// The tokens, counted from the first, after which logits are wanted.
    fn wanted(&self) -> Range<usize> {
        let end = self.tokens.len();
        match self.logits {
            Logits::None => end..end,
            Logits::Largest | Logits::All => end - 1..end,
            Logits::Each => 0..end,
        }
    }
}

/// Buffers of [`forward`], kept from call to call.
#[derive(Default)]
pub struct Scratch {
    standing: Standing,
    starts: Vec<usize>,
    streams: [Rows; 2],
    activations: Activations,
    work: Work,
    head: HeadWork,
    /// The last block's rows that are wanted, and their inputs.
    ends: (Standing, Rows),
}

/// Appends every chunk to its cache and returns the logits of those that want them:
/// rows of the vocabulary's width, in order, one after the chunk's last token or after each of its
/// tokens.
///
/// # Panics
/// If [`Chunk::check`] would refuse a chunk.
pub fn forward(
    model: &Model,
    pool: &Pool,
    adapter: Option<&PackedAdapter>,
    chunks: &mut [Chunk<'_>],
    scratch: &mut Scratch,
) -> Vec<f32> {
    through((model, pool, Adapters::One(adapter)), chunks, scratch)
}

/// A model with the threads that compute it, and the adapters beside it.
type Through<'a> = (&'a Model, &'a Pool, Adapters<'a>);

/// [`forward`] with whatever the rows go through.
fn through(through: Through<'_>, chunks: &mut [Chunk<'_>], scratch: &mut Scratch) -> Vec<f32> {
    let (model, pool, _) = through;
    let rows = scratch.enter(model, pool, chunks);
    let ends = scratch.starts.iter().zip(&*chunks);
    let mut last: Vec<(usize, bool)> = ends
        .flat_map(|(start, chunk)| {
            let largest = chunk.logits == Logits::Largest;
            chunk.wanted().map(move |row| (start + row, largest))
        })
        .collect();
    let layers = model.layers.len();
    // The shortcut of the last block knows one row of a chunk.
    let each = chunks.iter().any(|chunk| chunk.logits == Logits::Each);
    let whole = if each || last.len() == rows {
        layers
    } else {
        layers - 1
    };
    run_blocks(through, chunks, scratch, 0..whole, &mut |_| ());
    if whole < layers {
        let rows: Vec<usize> = last.iter().map(|(row, _)| *row).collect();
        last_block(through, chunks, scratch, &rows);
        last.iter_mut().enumerate().for_each(|(at, it)| it.0 = at);
    }
    let stream = &scratch.streams[layers % 2];
    Head { model, pool }.logits(stream, &last, &mut scratch.head)
}

/// The last block, of which nothing but keys and values is computed for the rows that nobody reads;
/// the others, `rows`, are left side by side.
fn last_block(
    through: Through<'_>,
    chunks: &mut [Chunk<'_>],
    scratch: &mut Scratch,
    rows: &[usize],
) {
    let (model, pool, adapters) = through;
    let (layer, width) = (model.layers.len() - 1, model.config.hidden);
    let (input, output) = read_and_write(&mut scratch.streams, layer % 2, (layer + 1) % 2);
    let (saved, work) = (&mut scratch.activations, &mut scratch.work);
    let all = adapters.rows(chunks, |chunk| chunk.tokens.len());
    let read = adapters.rows(chunks, |chunk| chunk.wanted().len());
    let whole = block(through, layer, &scratch.standing, &all);
    whole.keys_and_values(input, saved, work);
    let mut attend = Cached {
        shape: model.attention_shape(layer),
        layer,
        chunks,
        starts: &scratch.starts,
    };
    attend.append(&saved.heads);
    if rows.is_empty() {
        return;
    }
    let (standing, inputs) = &mut scratch.ends;
    let positions = scratch.standing.positions();
    standing.set(model, pool, rows.iter().map(|&row| positions[row]));
    let inputs = inputs.fit(rows.len(), width);
    for (to, row) in inputs.chunks_exact_mut(width).zip(rows) {
        to.copy_from_slice(&input[row * width..][..width]);
    }
    let output = output.fit(rows.len(), width);
    let ends = block(through, layer, standing, &read);
    ends.look_back(&mut Ends(attend), inputs, saved, work, output);
}

/// A block for some rows; `mixed` says what they go through where that differs.
fn block<'a>(
    (model, pool, adapters): Through<'a>,
    layer: usize,
    standing: &'a Standing,
    mixed: &[AdapterRows<'a>],
) -> Block<'a> {
    Block::new(model, pool, adapters.one(), layer, standing).mixed(mixed, layer)
}

/// The residual stream of a prompt after each block, `[tokens, hidden]` each: for comparing one
/// arithmetic with another.
///
/// # Panics
/// If [`Chunk::check`] would refuse the prompt.
pub fn hidden_states(model: &Model, pool: &Pool, tokens: &[u32]) -> Vec<Vec<f32>> {
    let mut states = Vec::with_capacity(model.layers.len());
    let mut cache = KvCache::new(&model.config);
    let chunk = Chunk {
        cache: &mut cache,
        tokens,
        logits: Logits::None,
    };
    let mut scratch = Scratch::default();
    let mut keep = |state: &[f32]| states.push(state.to_vec());
    let chunks = &mut [chunk];
    scratch.enter(model, pool, chunks);
    let layers = 0..model.layers.len();
    let through = (model, pool, Adapters::One(None));
    run_blocks(through, chunks, &mut scratch, layers, &mut keep);
    states
}

/// Takes the chunks through some blocks, shows each block's output, and leaves the last in the scratch.
fn run_blocks(
    through: Through<'_>,
    chunks: &mut [Chunk<'_>],
    scratch: &mut Scratch,
    layers: Range<usize>,
    each: &mut dyn FnMut(&[f32]),
) {
    let (model, _, adapters) = through;
    let (rows, width) = (scratch.standing.rows(), model.config.hidden);
    let mixed = adapters.rows(chunks, |chunk| chunk.tokens.len());
    for layer in layers {
        let block = block(through, layer, &scratch.standing, &mixed);
        let mut attend = Cached {
            shape: model.attention_shape(layer),
            layer,
            chunks: &mut *chunks,
            starts: &scratch.starts,
        };
        let (input, output) = read_and_write(&mut scratch.streams, layer % 2, (layer + 1) % 2);
        let output = output.fit(rows, width);
        block.forward(
            &mut attend,
            input,
            &mut scratch.activations,
            &mut scratch.work,
            output,
        );
        each(output);
    }
}

impl Scratch {
    /// Takes back what [`forward`] returned, as room for the next.
    pub fn give_back(&mut self, logits: Vec<f32>) {
        self.head.spare = logits;
    }

    /// Looks up the chunks' tokens; returns the rows in all.
    fn enter(&mut self, model: &Model, pool: &Pool, chunks: &[Chunk<'_>]) -> usize {
        let rows = self.place(model, pool, chunks);
        let tokens = chunks.iter().flat_map(|chunk| chunk.tokens.iter().copied());
        model.look_up(tokens, self.streams[0].fit(rows, model.config.hidden));
        rows
    }

    /// Gives every chunk its rows and every row its position; returns the rows in all.
    fn place(&mut self, model: &Model, pool: &Pool, chunks: &[Chunk<'_>]) -> usize {
        self.starts.clear();
        let mut rows = 0;
        for chunk in chunks {
            chunk
                .check(&model.config)
                .expect("the caller sends chunks that fit");
            self.starts.push(rows);
            rows += chunk.tokens.len();
        }
        let positions = chunks.iter().flat_map(|chunk| {
            let before = chunk.cache.len();
            before..before + chunk.tokens.len()
        });
        let positions = positions.map(|position| position as u32);
        self.standing.set(model, pool, positions);
        rows
    }
}

/// Attention of every chunk over its own cache.
struct Cached<'a, 'c> {
    shape: Shape,
    layer: usize,
    chunks: &'a mut [Chunk<'c>],
    starts: &'a [usize],
}

impl Cached<'_, '_> {
    fn append(&mut self, heads: &Heads) {
        let width = self.shape.kv_heads * self.shape.head_dim;
        for (chunk, start) in self.chunks.iter_mut().zip(self.starts) {
            let rows = start * width..(start + chunk.tokens.len()) * width;
            let layer = &mut chunk.cache.layers[self.layer];
            layer.append(&heads.key[rows.clone()], &heads.value[rows]);
        }
    }
}

/// Attention of the last rows of those chunks whose logits are wanted, which lie side by side; the
/// caches know them already.
struct Ends<'a, 'c>(Cached<'a, 'c>);

impl Attend for Ends<'_, '_> {
    fn attend(&mut self, pool: &Pool, heads: &Heads, out: &mut [f32]) {
        let Cached {
            shape,
            layer,
            chunks,
            ..
        } = &self.0;
        let wanted = chunks.iter().filter(|chunk| chunk.logits != Logits::None);
        let queries: Vec<CachedQuery<'_>> = wanted
            .enumerate()
            .map(|(row, chunk)| {
                let cache = &chunk.cache.layers[*layer];
                CachedQuery {
                    row,
                    rows: 1,
                    cache,
                    visible: cache.len(),
                }
            })
            .collect();
        attention::cached(pool, shape, &queries, &heads.query, out);
    }
}

impl Attend for Cached<'_, '_> {
    fn attend(&mut self, pool: &Pool, heads: &Heads, out: &mut [f32]) {
        self.append(heads);
        let queries: Vec<CachedQuery<'_>> = self
            .chunks
            .iter()
            .zip(self.starts)
            .map(|(chunk, &row)| {
                let cache = &chunk.cache.layers[self.layer];
                let rows = chunk.tokens.len();
                CachedQuery {
                    row,
                    rows,
                    cache,
                    visible: cache.len() - rows + 1,
                }
            })
            .collect();
        attention::cached(pool, &self.shape, &queries, &heads.query, out);
    }
}
