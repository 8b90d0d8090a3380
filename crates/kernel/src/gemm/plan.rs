//! Products cut into tasks: by runs of rows and, within each product, by runs of panels.
//!
//! The cut has no influence on the result, because the depth is never cut.

use super::Precision;
use super::micro::{FloatUnit, PairUnit, Term, TileProduct};
use super::pack::PackedMatrix;
use crate::parallel::{Grid, SharedMut};
use crate::simd::{self, Kernel, Simd};
use crate::{Isa, Pool};

/// Rows and the weights they are multiplied with; the rows are in the words of the weights' kind.
#[derive(Clone, Copy)]
pub(super) struct Operand<'a> {
    pub(super) words: &'a [u32],
    pub(super) weights: &'a PackedMatrix,
}

/// One product as its tasks see it: `out (+)= first (+ second)`. Both are of one kind.
pub(super) struct Job<'a> {
    pub(super) first: Operand<'a>,
    pub(super) second: Option<Operand<'a>>,
    pub(super) out: SharedMut<'a, f32>,
    pub(super) accumulate: bool,
}

/// The instruction set that all weights are packed for; none where there are no jobs.
///
/// # Panics
/// If they are packed for different ones: those of another would be read past their ends.
fn isa_of<'j, 'a: 'j>(jobs: impl Iterator<Item = &'j Job<'a>>) -> Option<Isa> {
    let operands = jobs.flat_map(|job| std::iter::once(&job.first).chain(&job.second));
    let mut sets = operands.map(|operand| operand.weights.isa);
    let first = sets.next()?;
    sets.for_each(|isa| assert_eq!(isa, first, "weights of a call differ in instruction set"));
    Some(first)
}

/// Computes all `jobs`, whose inputs and outputs have `m` rows.
pub(super) fn run(pool: &Pool, m: usize, jobs: Vec<Job<'_>>) {
    let Some(isa) = isa_of(jobs.iter()) else {
        return;
    };
    if m > 0 {
        let plan = Plan::new(pool, m, m.min(TASK_ROWS), &jobs);
        pool.run(plan.grid.tasks(), &|task| {
            simd::vectorize(isa, plan.tile(task, &jobs))
        });
    }
}

/// Computes jobs that have rows of their own, so many each, in one call of the pool.
pub(super) fn run_each(pool: &Pool, jobs: Vec<(usize, Job<'_>)>) {
    let Some(isa) = isa_of(jobs.iter().map(|(_, job)| job)) else {
        return;
    };
    let mut tasks = 0;
    let jobs = jobs.into_iter().filter(|(m, _)| *m > 0);
    let parts = jobs.map(|(m, job)| {
        let jobs = [job];
        let plan = Plan::new(pool, m, even_rows(pool, m), &jobs);
        let first = tasks;
        tasks += plan.grid.tasks();
        (first, plan, jobs)
    });
    let parts: Vec<(usize, Plan, [Job<'_>; 1])> = parts.collect();
    pool.run(tasks, &|task| {
        let part = parts.partition_point(|(first, ..)| *first <= task) - 1;
        let (first, plan, jobs) = &parts[part];
        simd::vectorize(isa, plan.tile(task - first, jobs));
    });
}

/// Rows in a task where little else is computed beside them: as many tasks for every thread.
fn even_rows(pool: &Pool, m: usize) -> usize {
    /// Fewer read the weights too often.
    const ROWS_MIN: usize = 24;
    let runs = m.div_ceil(TASK_ROWS).next_multiple_of(pool.threads());
    m.div_ceil(runs).max(ROWS_MIN).min(m)
}

struct Plan {
    m: usize,
    rows: usize,
    panels: usize,
    /// Tasks of the products before each one, in one run of rows.
    starts: Vec<usize>,
    grid: Grid,
}

/// Rows in a task: few enough that the input of one fits the second-level cache.
const TASK_ROWS: usize = 96;
/// Work in a task, in words times rows: about 100 µs for many rows, about 10 µs of reading for one.
const TASK_WORDS_MIN: usize = 64 * 1024;

impl Plan {
    /// Tasks of `rows` rows each.
    fn new(pool: &Pool, m: usize, rows: usize, jobs: &[Job<'_>]) -> Plan {
        let words = |job: &Job<'_>| job.first.weights.panel_words();
        let panel_work = jobs.iter().map(words).max().unwrap_or(0).max(1);
        let panels = (TASK_WORDS_MIN / panel_work)
            .max(TASK_WORDS_MIN * 64 / (panel_work * rows))
            .max(1);
        let mut per_run = 0;
        let starts = jobs
            .iter()
            .map(|job| {
                let (start, w) = (per_run, job.first.weights);
                per_run += w.columns.div_ceil(w.panel_columns()).div_ceil(panels);
                start
            })
            .collect();
        Plan {
            m,
            rows,
            panels,
            starts,
            grid: Grid::new(pool, m.div_ceil(rows), per_run),
        }
    }

    fn tile<'a>(&self, task: usize, jobs: &'a [Job<'a>]) -> TileTask<'a> {
        let (run, within) = self.grid.at(task);
        let job = self.starts.partition_point(|&start| start <= within) - 1;
        TileTask {
            job: &jobs[job],
            row: run * self.rows,
            rows: self.rows.min(self.m - run * self.rows),
            panel: (within - self.starts[job]) * self.panels,
            panels: self.panels,
        }
    }
}

/// Some rows of some panels of one product.
struct TileTask<'a> {
    job: &'a Job<'a>,
    row: usize,
    rows: usize,
    panel: usize,
    panels: usize,
}

impl TileTask<'_> {
    fn term(&self, operand: Operand<'_>) -> Term {
        let Operand { words, weights } = operand;
        let units = weights.units();
        Term {
            x: words[self.row * units..(self.row + self.rows) * units].as_ptr(),
            x_row_stride: units,
            x_unit_stride: 1,
            w: weights.words[self.panel * weights.panel_words()..].as_ptr(),
            w_panel_stride: weights.panel_words(),
            units,
        }
    }
}

impl Kernel for TileTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let w = self.job.first.weights;
        let column = self.panel * w.panel_columns();
        let product = TileProduct {
            terms: [
                self.term(self.job.first),
                self.job
                    .second
                    .map_or(Term::NONE, |second| self.term(second)),
            ],
            out: self.job.out.address(self.row * w.columns + column),
            out_stride: w.columns,
            rows: self.rows,
            columns: (self.panels * w.panel_columns()).min(w.columns - column),
            accumulate: self.job.accumulate,
        };
        // SAFETY: the inputs have these rows, the weights these panels, and no other task writes to
        // these rows and columns of the output.
        unsafe {
            match (w.precision, w.vectors) {
                (Precision::Bf16, 1) => product.run::<S, PairUnit, 1>(s),
                (Precision::Bf16, _) => product.run::<S, PairUnit, 2>(s),
                (Precision::F32, 1) => product.run::<S, FloatUnit, 1>(s),
                (Precision::F32, _) => product.run::<S, FloatUnit, 2>(s),
            }
        }
    }
}
