//! How much memory keys and values really take: blocks that several caches share count once.

use std::collections::HashSet;

use lathe_engine::KvCache;

use super::prefixes::Prefixes;

/// Bytes that `caches` hold together.
pub(crate) fn held<'a>(caches: impl Iterator<Item = &'a KvCache>) -> usize {
    let mut counted = HashSet::new();
    caches.map(|cache| cache.count(&mut counted)).sum()
}

/// Bytes that `caches` and what is kept hold together.
pub(crate) fn held_with<'a>(
    prefixes: &Prefixes,
    caches: impl Iterator<Item = &'a KvCache>,
) -> usize {
    let mut counted = HashSet::new();
    let own: usize = caches.map(|cache| cache.count(&mut counted)).sum();
    own + prefixes.count(&mut counted)
}

/// Tokens beyond those that are known for which memory is left, so that who is let in is not interrupted
/// at once.
const AHEAD_TOKENS: usize = 64;

/// Bytes that are taken from the token at `begin` to somewhat past the `tokens` that are known; of a
/// cache like `like`.
pub(crate) fn unread_bytes(like: &KvCache, begin: usize, tokens: usize) -> usize {
    like.span_bytes(begin..tokens + AHEAD_TOKENS)
}
