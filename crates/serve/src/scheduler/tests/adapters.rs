//! Several adapters over one base, and the base itself.

use std::sync::Arc;

use lathe_workshop::Door as _;

use super::{Asked, Setup, prompt, setup};
use crate::Door;
use crate::limits::Limits;
use crate::served::Served;
use crate::tests::door_with_two_adapters;

/// The base and two adapters over it, and the door that has them open.
async fn opened() -> (Door, [Arc<Served>; 3]) {
    let folder = tempfile::tempdir().expect("a folder");
    let door = door_with_two_adapters(folder.path()).await;
    let find = |name| door.inner().catalogue.find(name).expect("it is open");
    let models = ["tiny", "one", "two"].map(find);
    (door, models)
}

impl Setup {
    fn ask_model(&mut self, model: &Arc<Served>, prompt: Vec<u32>, tokens_max: usize) -> Asked {
        self.served = model.clone();
        self.ask("one", prompt, tokens_max)
    }

    fn alone_model(&mut self, model: &Arc<Served>, prompt: Vec<u32>, tokens_max: usize) -> String {
        self.served = model.clone();
        self.alone(prompt, tokens_max)
    }
}

#[tokio::test]
async fn one_pass_answers_for_all_adapters_what_each_answers_alone() {
    let mut setup = setup(Limits::default()).await;
    let (_door, models) = opened().await;
    let other_base = setup.served.clone();
    let question = |own: u32| prompt(20, own, 12 + own);
    let mut all: Vec<Asked> = (0..11)
        .map(|own| setup.ask_model(&models[own as usize % 3], question(own), 20))
        .collect();
    setup.batch.step();
    assert_eq!(setup.batch.weights_by_pass(), [3]);
    let mut apart = setup.ask_model(&other_base, question(0), 20);
    setup.batch.step();
    assert_eq!(setup.batch.weights_by_pass(), [3, 1]);
    setup.run();
    apart.finished();
    for (own, asked) in (0..).zip(&mut all) {
        assert_eq!(asked.finished().answer_tokens, 20);
        let alone = setup.alone_model(&models[own as usize % 3], question(own), 20);
        assert_eq!(asked.text, alone, "request {own}");
    }
}

#[tokio::test]
async fn a_beginning_is_shared_by_neither_another_adapter_nor_the_base() {
    let mut setup = setup(Limits {
        prefill_tokens_max: 64,
        ..Limits::default()
    })
    .await;
    let (_door, models) = opened().await;
    let alone = models
        .each_ref()
        .map(|it| setup.alone_model(it, prompt(200, 0, 12), 6));
    assert!(alone[0] != alone[1] && alone[1] != alone[2] && alone[0] != alone[2]);
    // The same prompt at the same instant, and then again, where only the own one is kept.
    for cached in [0, 211] {
        let mut all = models
            .each_ref()
            .map(|it| setup.ask_model(it, prompt(200, 0, 12), 6));
        setup.run();
        for (asked, alone) in all.iter_mut().zip(&alone) {
            assert_eq!(asked.finished().cached_tokens, cached);
            assert_eq!(asked.text, *alone);
        }
    }
    // Nor where nothing of its own is kept.
    let mut own = setup.ask_model(&models[0], prompt(100, 3, 12), 6);
    setup.run();
    assert_eq!(own.finished().cached_tokens, 100);
    let mut other = setup.ask_model(&models[1], prompt(100, 3, 12), 6);
    setup.run();
    assert_eq!(other.finished().cached_tokens, 100, "of its own, not 111");
}

#[tokio::test]
async fn a_hundred_requests_to_one_adapter_do_not_starve_who_asks_another() {
    let mut setup = setup(Limits {
        slots_max: 4,
        ..Limits::default()
    })
    .await;
    let (_door, models) = opened().await;
    setup.served = models[1].clone();
    let many: Vec<Asked> = (0..100)
        .map(|own| setup.ask("many", prompt(0, own, 20), 100))
        .collect();
    (0..10).for_each(|_| setup.batch.step());
    setup.served = models[2].clone();
    let mut one = setup.ask("one", prompt(0, 7, 30), 5);
    (0..5).for_each(|_| setup.batch.step());
    assert_eq!(one.finished().answer_tokens, 5);
    drop(many);
}

#[tokio::test]
async fn what_is_closed_ends_its_answers_then_leaves_the_memory_and_the_base_with_its_last_user() {
    let mut setup = setup(Limits::default()).await;
    let (door, [tiny, one, two]) = opened().await;
    let expected = setup.alone_model(&one, prompt(0, 1, 40), 50);
    let mut asked = setup.ask_model(&one, prompt(0, 1, 40), 50);
    setup.served = tiny.clone();
    let adapter = Arc::downgrade(one.adapter().expect("it was tuned"));
    let base = Arc::downgrade(tiny.model());
    drop(one);
    setup.batch.step();
    door.close("one").await;
    assert!(door.inner().catalogue.find("one").is_none());
    assert!(adapter.upgrade().is_some(), "its answer is not at its end");
    setup.run();
    assert_eq!(asked.finished().answer_tokens, 50);
    assert_eq!(asked.text, expected);
    assert!(adapter.upgrade().is_none(), "nobody asks it any more");
    assert_eq!(setup.batch.held(), 0, "what was kept of it went with it");
    // The base stays for the others, and goes with the last of them.
    for name in ["tiny", "two"] {
        assert!(base.upgrade().is_some());
        door.close(name).await;
    }
    drop((setup, tiny, two));
    assert!(base.upgrade().is_none());
}
