//! Other servers behind the same door, on the page that asks: marked as what they are, in both languages.

use axum::http::StatusCode;
use lathe_workshop::upstream::UpstreamState;

use crate::pages::{app, get, post};
use crate::sample::SampleDesk;

/// The badge and the group of the list, in both languages.
const MARKS: [(&str, &str, &str); 2] = [
    (
        "en",
        ">Weights not verified</span>",
        "<optgroup label=\"Other servers, weights not verified\">",
    ),
    (
        "zh",
        ">权重未经核验</span>",
        "<optgroup label=\"上游服务（权重未经核验）\">",
    ),
];

#[tokio::test]
async fn an_upstream_is_offered_and_marked() {
    let app = app(SampleDesk::new());
    for (lang, badge, group) in MARKS {
        let own = get(&app, "/try", lang).await.text;
        assert!(own.contains(group) && !own.contains(badge), "{lang}: {own}");
        let chosen = get(&app, "/try?model=big", lang).await.text;
        assert!(chosen.contains(badge), "{lang}: {chosen}");
        assert!(chosen.contains("<option selected>big</option>"), "{lang}");
    }
    let leaves = get(&app, "/try?model=big", "en").await.text;
    assert!(leaves.contains("leave this machine"), "{leaves}");
    let asked = post(&app, "/try", "model=big&user=Lovely.&system=").await;
    assert_eq!(asked.status, StatusCode::OK, "{}", asked.text);
    assert!(asked.text.contains(MARKS[0].1), "beside its answer too");
}

#[tokio::test]
async fn one_that_is_down_says_so_and_one_that_is_refused_is_not_offered() {
    let mut desk = SampleDesk::new();
    desk.upstreams[0].state = UpstreamState::Down;
    desk.upstreams[0].reason = "it cannot be reached".to_owned();
    let page = get(&app(desk.clone()), "/try?model=big", "en").await.text;
    assert!(page.contains("It does not answer now: it cannot be reached"));
    desk.upstreams[0].state = UpstreamState::Refused;
    let page = get(&app(desk), "/try?model=big", "en").await.text;
    assert!(!page.contains("big</option>") && !page.contains("<optgroup"));
}

#[tokio::test]
async fn a_workshop_that_has_nothing_but_an_upstream_asks_that() {
    let mut desk = SampleDesk::empty();
    desk.upstreams = SampleDesk::new().upstreams;
    let page = get(&app(desk), "/try", "en").await.text;
    assert!(page.contains("<option selected>big</option>"), "{page}");
    assert!(page.contains(MARKS[0].1), "{page}");
}
