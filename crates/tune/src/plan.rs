//! Which records make up which step: a seeded shuffle per epoch, cut into batches.
//!
//! The order of an epoch is a function of (seed, epoch) alone and the only randomness of a run
//! after the adapter's initial values. So the step number is the whole state of the generator and
//! the data cursor at once: a resumed run works its way to the same batches without having stored
//! any of them. Every epoch sees every record once; its last batch may be smaller, none is dropped.

use lathe_engine::random::Random;

/// The steps of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    records: usize,
    batch_records: usize,
    steps: u64,
    seed: u64,
}

impl Plan {
    /// `epochs` passes over `records` records, `batch_records` in each step. A fraction of an epoch
    /// is rounded up to whole steps.
    ///
    /// # Panics
    /// If `records` or `batch_records` is 0, or `epochs` is not positive.
    pub fn new(records: usize, batch_records: usize, epochs: f64, seed: u64) -> Self {
        assert!(
            records > 0 && batch_records > 0,
            "a plan needs records and a batch"
        );
        assert!(epochs > 0.0, "a plan needs a positive number of epochs");
        let steps = (records.div_ceil(batch_records) as f64 * epochs).ceil() as u64;
        Self {
            records,
            batch_records,
            steps,
            seed,
        }
    }

    /// Steps of the whole run.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Steps of one epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.records.div_ceil(self.batch_records) as u64
    }

    /// The batches from step `from` (counted from 0) on: indices of records, in training order.
    pub fn batches(&self, from: u64) -> Batches {
        Batches {
            plan: *self,
            step: from,
            order: None,
        }
    }

    /// The order of `epoch`.
    fn order(&self, epoch: u64) -> Vec<usize> {
        let stream = Random::new(self.seed).next_u64() ^ epoch;
        Random::new(stream).order(self.records)
    }
}

/// Iterator over the batches of a [`Plan`].
#[derive(Clone, Debug)]
pub struct Batches {
    plan: Plan,
    step: u64,
    /// The epoch last asked for, with its order.
    order: Option<(u64, Vec<usize>)>,
}

impl Iterator for Batches {
    type Item = Vec<usize>;

    fn next(&mut self) -> Option<Vec<usize>> {
        if self.step >= self.plan.steps {
            return None;
        }
        let epoch = self.step / self.plan.steps_per_epoch();
        let batch = (self.step % self.plan.steps_per_epoch()) as usize;
        if self.order.as_ref().is_none_or(|(of, _)| *of != epoch) {
            self.order = Some((epoch, self.plan.order(epoch)));
        }
        let (_, order) = self.order.as_ref()?;
        let start = batch * self.plan.batch_records;
        let end = (start + self.plan.batch_records).min(order.len());
        self.step += 1;
        Some(order[start..end].to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_sees_every_record_once() {
        let plan = Plan::new(23, 5, 3.0, 1);
        assert_eq!((plan.steps(), plan.steps_per_epoch()), (15, 5));
        let batches: Vec<_> = plan.batches(0).collect();
        assert_eq!(batches.len(), 15);
        for epoch in batches.chunks(5) {
            let mut seen: Vec<usize> = epoch.concat();
            assert_ne!(seen, (0..23).collect::<Vec<_>>(), "shuffled");
            seen.sort_unstable();
            assert_eq!(seen, (0..23).collect::<Vec<_>>());
        }
        assert_ne!(batches[..5], batches[5..10], "epochs differ");
    }

    #[test]
    fn starts_anywhere() {
        let plan = Plan::new(23, 5, 2.5, 7);
        assert_eq!(plan.steps(), 13);
        let all: Vec<_> = plan.batches(0).collect();
        for from in 0..=plan.steps() {
            let rest: Vec<_> = plan.batches(from).collect();
            assert_eq!(rest, all[from as usize..]);
        }
    }

    #[test]
    fn the_seed_decides() {
        let order = |seed| Plan::new(50, 50, 1.0, seed).batches(0).next();
        assert_eq!(order(3), order(3));
        assert_ne!(order(3), order(4));
    }
}
