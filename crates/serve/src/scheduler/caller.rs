//! Who asks, as far as fairness needs to know.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::OnceLock;

/// One caller among others. What it was made of is not kept, so that no key lies in a queue; it means
/// nothing after the process has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Caller(u64);

impl Caller {
    /// The caller that `mark` belongs to: a key, an address.
    pub(crate) fn of(mark: &(impl Hash + ?Sized)) -> Caller {
        static STATE: OnceLock<RandomState> = OnceLock::new();
        Caller(STATE.get_or_init(RandomState::new).hash_one(mark))
    }
}
