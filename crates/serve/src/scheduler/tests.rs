//! The scheduler's steps, taken one by one without its thread.

use std::sync::Arc;

use lathe_engine::{KvCache, Sampling};
use lathe_kernel::Pool;
use tokio::sync::{Semaphore, mpsc};

use super::batch::Batch;
use super::{Bias, Caller, Event, Finished, Job, Outlet, Penalties, Plan, Wanted};
use crate::limits::Limits;
use crate::meters::Meters;
use crate::place::Place;
use crate::served::Served;
use crate::tests::open_door;

mod adapters;

/// Steps after which a test gives up.
const STEPS_MAX: usize = 100_000;

/// A batch and what it is asked with.
struct Setup {
    batch: Batch,
    served: Arc<Served>,
    places: Arc<Semaphore>,
    meters: Arc<Meters>,
}

/// An answer as its caller sees it.
struct Asked {
    events: mpsc::UnboundedReceiver<(usize, Event)>,
    text: String,
    end: Option<Event>,
}

async fn setup(limits: Limits) -> Setup {
    // What a step computes is not to depend on how fast this machine is.
    let limits = Limits {
        step_ms_max: 1_000_000,
        ..limits
    };
    let door = open_door(Limits::default()).await;
    Setup {
        batch: Batch::new(Pool::new(1), limits),
        served: door.inner().catalogue.find("tiny").expect("it is open"),
        places: Arc::new(Semaphore::new(1000)),
        meters: Arc::new(Meters::new(&Limits::default())),
    }
}

/// Tokens that follow from `seed`.
fn tokens(seed: u32, count: u32) -> Vec<u32> {
    (0..count).map(|at| (seed * 37 + at * 11) % 250).collect()
}

/// A beginning that all share, and an end of one's own.
fn prompt(shared: u32, own: u32, count: u32) -> Vec<u32> {
    [tokens(1, shared), tokens(own + 2, count)].concat()
}

impl Setup {
    fn ask(&mut self, caller: &str, prompt: Vec<u32>, answer_tokens_max: usize) -> Asked {
        self.ask_at(0, caller, prompt, answer_tokens_max)
    }

    fn ask_at(
        &mut self,
        priority: u8,
        caller: &str,
        prompt: Vec<u32>,
        answer_tokens_max: usize,
    ) -> Asked {
        let (to, received) = mpsc::unbounded_channel();
        let plan = Plan {
            sampling: Sampling {
                temperature: 0.0,
                top_p: 1.0,
                top_k: 0,
                seed: 0,
            },
            penalties: Penalties::default(),
            stop: Vec::new(),
            answer_tokens_max,
            ignore_eos: true,
            priority,
            grammar: None,
            bias: Bias::default(),
            continues: false,
            scores: Wanted::default(),
        };
        let permit = self.places.clone().try_acquire_owned();
        self.batch.enqueue(Job {
            served: self.served.clone(),
            caller: Caller::of(caller),
            prompt,
            plan,
            events: Outlet { answer: 0, to },
            permit: Place::new(permit.expect("a place"), self.meters.clone()),
        });
        Asked {
            events: received,
            text: String::new(),
            end: None,
        }
    }

    /// Steps until nothing is left; how many it took.
    fn run(&mut self) -> usize {
        for step in 0..STEPS_MAX {
            if self.batch.is_idle() {
                return step;
            }
            self.batch.step();
        }
        panic!("no end after {STEPS_MAX} steps");
    }

    /// The text of an answer that is alone, from nothing that is kept.
    fn alone(&self, prompt: Vec<u32>, answer_tokens_max: usize) -> String {
        let limits = Limits {
            prefix_bytes_max: 0,
            guessed_tokens_max: 0,
            ..Limits::default()
        };
        let mut setup = Setup {
            batch: Batch::new(Pool::new(1), limits),
            served: self.served.clone(),
            meters: self.meters.clone(),
            places: Arc::new(Semaphore::new(1)),
        };
        let mut asked = setup.ask("alone", prompt, answer_tokens_max);
        setup.run();
        asked.finished();
        asked.text
    }
}

impl Asked {
    /// Reads what has come; whether the end has.
    fn look(&mut self) -> bool {
        while let Ok((_, event)) = self.events.try_recv() {
            match event {
                Event::Text { text, .. } => self.text.push_str(&text),
                end => self.end = Some(end),
            }
        }
        self.end.is_some()
    }

    /// How it ended, which must be well.
    fn finished(&mut self) -> Finished {
        self.look();
        match self.end.take() {
            Some(Event::Finished(finished)) => finished,
            other => panic!("{other:?} after '{}'", self.text),
        }
    }
}

#[tokio::test]
async fn a_beginning_that_many_share_is_computed_once_though_they_come_at_once() {
    let mut setup = setup(Limits {
        prefill_tokens_max: 64,
        ..Limits::default()
    })
    .await;
    let mut all: Vec<Asked> = (0..8)
        .map(|own| setup.ask("one", prompt(200, own, 12), 6))
        .collect();
    setup.run();
    for (own, asked) in all.iter_mut().enumerate() {
        let finished = asked.finished();
        let computed = finished.prompt_tokens - finished.cached_tokens;
        assert_eq!(
            computed,
            if own == 0 { 212 } else { 12 },
            "request {own}: {finished:?}"
        );
        let alone = setup.alone(prompt(200, own as u32, 12), 6);
        assert_eq!(asked.text, alone, "request {own}");
    }
}

#[tokio::test]
async fn who_waits_for_what_another_computes_goes_on_when_that_one_vanishes() {
    let mut setup = setup(Limits {
        prefill_tokens_max: 16,
        ..Limits::default()
    })
    .await;
    let vanishing = setup.ask("one", prompt(200, 0, 12), 6);
    let mut waiting = setup.ask("one", prompt(200, 1, 12), 6);
    setup.batch.step();
    setup.batch.step();
    drop(vanishing);
    setup.run();
    assert_eq!(waiting.finished().prompt_tokens, 212);
    assert_eq!(waiting.text, setup.alone(prompt(200, 1, 12), 6));
}

#[tokio::test]
async fn a_caller_with_a_hundred_requests_does_not_starve_another() {
    let mut setup = setup(Limits {
        slots_max: 4,
        ..Limits::default()
    })
    .await;
    let mut many: Vec<Asked> = (0..100)
        .map(|own| setup.ask("many", prompt(0, own, 20), 100))
        .collect();
    (0..10).for_each(|_| setup.batch.step());
    let mut one = setup.ask("one", prompt(0, 7, 30), 5);
    // A step to read the prompt, which gives the first token, and one for each of the others.
    (0..5).for_each(|_| setup.batch.step());
    assert_eq!(one.finished().answer_tokens, 5);
    assert!(many.iter_mut().all(|asked| !asked.look()));
    // Who made way is answered all the same, as if nothing had happened.
    setup.run();
    for own in [0, 1, 2, 3, 4, 99] {
        let asked = &mut many[own as usize];
        assert_eq!(asked.finished().answer_tokens, 100);
        assert_eq!(asked.text, setup.alone(prompt(0, own, 20), 100));
    }
}

#[tokio::test]
async fn what_is_more_urgent_goes_first_and_what_made_way_goes_on_from_the_same_bits() {
    let mut setup = setup(Limits {
        slots_max: 2,
        guessed_tokens_max: 0,
        ..Limits::default()
    })
    .await;
    let mut patient: Vec<Asked> = (0..4)
        .map(|own| setup.ask_at(9, "batch", prompt(0, own, 20), 40))
        .collect();
    (0..10).for_each(|_| setup.batch.step());
    // The same caller, and though another of his is under way: urgency goes before turns.
    let mut urgent: Vec<Asked> = (10..12)
        .map(|own| setup.ask_at(0, "batch", prompt(0, own, 20), 5))
        .collect();
    // A step to read the prompt, which gives the first token, and one for each of the others.
    (0..5).for_each(|_| setup.batch.step());
    for asked in &mut urgent {
        assert_eq!(asked.finished().answer_tokens, 5);
    }
    assert!(patient.iter_mut().all(|asked| !asked.look()));
    // Who lets others past gets no slot of theirs.
    let mut first = setup.ask_at(0, "other", prompt(0, 20, 20), 60);
    let mut second = setup.ask_at(0, "other", prompt(0, 21, 20), 60);
    setup.batch.step();
    let mut late = setup.ask_at(1, "third", prompt(0, 22, 20), 5);
    (0..50).for_each(|_| setup.batch.step());
    assert!(!late.look() && late.text.is_empty());
    setup.run();
    for asked in [&mut first, &mut second] {
        assert_eq!(asked.finished().answer_tokens, 60);
    }
    assert_eq!(late.finished().answer_tokens, 5);
    for (own, asked) in patient.iter_mut().enumerate() {
        assert_eq!(asked.finished().answer_tokens, 40);
        assert_eq!(asked.text, setup.alone(prompt(0, own as u32, 20), 40));
    }
}

#[tokio::test]
async fn memory_is_counted_by_what_is_held_and_stays_within_its_bound() {
    let setup_of = setup(Limits::default()).await;
    let block = KvCache::new(&setup_of.served.model().config).span_bytes(0..1);
    // Of the answers below, four could be held at their longest.
    let cache_bytes_max = 16 * block;
    let mut setup = setup(Limits {
        cache_bytes_max,
        ..Limits::default()
    })
    .await;
    let mut all: Vec<Asked> = (0..12)
        .map(|own| setup.ask("one", prompt(0, own, 100), 150))
        .collect();
    let mut most = 0;
    for _ in 0..STEPS_MAX {
        if setup.batch.is_idle() {
            break;
        }
        setup.batch.step();
        most = most.max(setup.batch.under_way());
        let held = setup.batch.held();
        assert!(held <= cache_bytes_max, "{held} of {cache_bytes_max} bytes");
    }
    assert!(most > 4, "{most} at once");
    for (own, asked) in all.iter_mut().enumerate() {
        assert_eq!(asked.finished().answer_tokens, 150);
        let alone = setup.alone(prompt(0, own as u32, 100), 150);
        assert_eq!(asked.text, alone, "request {own}");
    }
}

#[tokio::test]
async fn a_request_that_waits_too_long_is_told_so_and_one_that_has_its_slot_is_not() {
    let mut setup = setup(Limits {
        slots_max: 1,
        wait_ms_max: 0,
        ..Limits::default()
    })
    .await;
    let mut first = setup.ask("one", prompt(0, 0, 20), 5);
    let mut second = setup.ask("one", prompt(0, 1, 20), 5);
    setup.run();
    assert_eq!(first.finished().answer_tokens, 5);
    assert!(second.look());
    assert_eq!(second.end, Some(Event::Overdue(0)));
    assert_eq!(setup.places.available_permits(), 1000);
}

#[tokio::test]
async fn what_is_guessed_changes_nothing_but_the_number_of_steps() {
    let steps = async |guessed_tokens_max, answers: u32| {
        let limits = Limits {
            guessed_tokens_max,
            ..Limits::default()
        };
        let mut setup = setup(limits).await;
        let mut all: Vec<Asked> = (0..answers)
            .map(|own| setup.ask("one", prompt(0, own, 40), 200))
            .collect();
        let steps = setup.run();
        for (own, asked) in all.iter_mut().enumerate() {
            assert_eq!(asked.finished().answer_tokens, 200);
            assert_eq!(asked.text, setup.alone(prompt(0, own as u32, 40), 200));
        }
        steps
    };
    for answers in [1, 2] {
        let (plain, guessing) = (steps(0, answers).await, steps(5, answers).await);
        // A model of random weights soon goes round in circles.
        assert!(guessing * 3 < plain * 2, "{guessing} steps of {plain}");
    }
    // With more it is rows that a step's time goes by.
    assert_eq!(steps(5, 3).await, steps(0, 3).await);
}
