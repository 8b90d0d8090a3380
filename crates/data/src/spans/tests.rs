//! The index against a search that tries every passage, and what the spans say.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::tokens::{Kind, tokens};

fn leaf(record: usize) -> Digest {
    Digest::of(&record.to_le_bytes())
}

fn index(records: &[Vec<String>]) -> SpanIndex {
    let leaves = (0..).map(leaf);
    SpanIndex::new(leaves.zip(records.iter().cloned()))
}

/// Whether `passage` stands in `text` between the borders of tokens: nothing cleverer than trying
/// every place.
fn stands_in(text: &str, passage: &str) -> bool {
    let borders: BTreeSet<usize> = tokens(text)
        .iter()
        .flat_map(|token| [token.start, token.start + token.text.len()])
        .collect();
    let at_borders = |at: usize| borders.contains(&at) && borders.contains(&(at + passage.len()));
    (0..text.len())
        .any(|at| text.as_bytes()[at..].starts_with(passage.as_bytes()) && at_borders(at))
}

/// Every passage long enough that a record holds and that no longer one holds: (start, end).
fn naive(records: &[Vec<String>], text: &str) -> BTreeSet<(usize, usize)> {
    let tokens = tokens(text);
    let mut held = BTreeSet::new();
    for (first, begin) in tokens.iter().enumerate() {
        let mut weight = 0;
        for last in &tokens[first..] {
            weight += last.kind.weight();
            let end = last.start + last.text.len();
            let whole = begin.kind != Kind::Gap && last.kind != Kind::Gap;
            let held_by = |record: &Vec<String>| {
                record
                    .iter()
                    .any(|it| stands_in(it, &text[begin.start..end]))
            };
            if whole && weight >= WEIGHT_MIN && records.iter().any(held_by) {
                held.insert((begin.start, end));
            }
        }
    }
    let longer = |a: &(usize, usize), b: &(usize, usize)| a != b && b.0 <= a.0 && a.1 <= b.1;
    let all = held.clone();
    held.retain(|it| !all.iter().any(|other| longer(it, other)));
    held
}

/// Few different words, so that passages are shared; joiners and gaps of several kinds.
fn texts() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "a", "b", "ab", "it's", "2.5", "中", "文", "很", "é", "è", "{\"", "\":", ".",
    ]);
    let gap = prop::sample::select(vec![" ", " ", " ", "", ", "]);
    let tokens = prop::collection::vec((word, gap), 0..24);
    tokens.prop_map(|it| it.into_iter().flat_map(|(word, gap)| [word, gap]).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_passages_are_those_of_a_naive_search(
        records in prop::collection::vec(prop::collection::vec(texts(), 1..3), 0..8),
        text in texts(),
    ) {
        let index = index(&records);
        let passages = index.passages(Part::Answer, &text);
        let found: BTreeSet<_> = passages.iter().map(|it| (it.start, it.end)).collect();
        prop_assert_eq!(&found, &naive(&records, &text));
        for passage in &passages {
            let said = &text[passage.start..passage.end];
            let holders: Vec<u32> = (0..records.len() as u32)
                .filter(|it| records[*it as usize].iter().any(|text| stands_in(text, said)))
                .collect();
            prop_assert_eq!(&passage.records, &holders);
        }
    }

    #[test]
    fn spans_are_bounded_ordered_and_say_what_stands_there(
        records in prop::collection::vec(prop::collection::vec(texts(), 1..3), 0..8),
        prompt in texts(),
        answer in texts(),
    ) {
        let spans = index(&records).find(&prompt, &answer);
        prop_assert!(spans.len() <= SPANS_MAX);
        prop_assert!(spans.is_sorted_by_key(|it| Reverse(it.bytes)));
        for span in spans {
            let text = if span.part == Part::Prompt { &prompt } else { &answer };
            let said = &text[span.start as usize..(span.start + span.bytes) as usize];
            prop_assert_eq!(span.text, Digest::of(said.as_bytes()));
            let record = (0..records.len()).find(|it| leaf(*it) == span.leaf).unwrap();
            prop_assert!(records[record].iter().any(|it| stands_in(it, said)));
            let told = records[record].iter().find_map(|it| passage_in(it, &span));
            prop_assert_eq!(told, Some(said));
        }
    }
}

fn records(texts: &[&str]) -> Vec<Vec<String>> {
    texts.iter().map(|text| vec![(*text).to_owned()]).collect()
}

#[test]
fn the_longest_comes_first_and_a_border_inside_a_word_is_none() {
    let index = index(&records(&[
        "the zoom of this camera is superb",
        "of this cameras",
        "电池续航时间非常长，值得买",
    ]));
    let text = |span: &Span, whole: &str| {
        whole[span.start as usize..(span.start + span.bytes) as usize].to_owned()
    };
    let asked = "I like the zoom of this camera. 电池续航时间非常短";
    let spans = index.find(asked, "of this camera");
    let found: Vec<_> = spans
        .iter()
        .map(|it| {
            (
                it.leaf,
                text(
                    it,
                    if it.part == Part::Prompt {
                        asked
                    } else {
                        "of this camera"
                    },
                ),
            )
        })
        .collect();
    let expected = [
        (leaf(0), "the zoom of this camera".to_owned()),
        (leaf(2), "电池续航时间非常".to_owned()),
        (leaf(0), "of this camera".to_owned()),
    ];
    // 24 bytes of Chinese are longer than 23 of English.
    assert_eq!(
        found,
        [
            expected[1].clone(),
            expected[0].clone(),
            expected[2].clone()
        ]
    );
    assert!(index.find("zoom of", "电池续航时间非").is_empty());
}

#[test]
fn of_equal_records_those_with_more_in_common_are_named() {
    let texts = (0..20).map(|n| {
        let sentence = if n == 13 {
            "the sound is thin".to_owned()
        } else {
            format!("sentence {n}")
        };
        vec![
            sentence,
            format!("say it is {}", if n < 18 && n > 8 { "bad" } else { "good" }),
        ]
    });
    let index = index(&texts.collect::<Vec<_>>());
    let spans = index.find("oh, the sound is thin!", "say it is bad");
    let leaves: Vec<_> = spans.iter().map(|span| span.leaf).collect();
    assert_eq!(leaves, [leaf(13), leaf(13), leaf(9), leaf(10), leaf(11)]);
}

#[test]
fn what_most_records_say_is_their_form() {
    let texts: Vec<_> = (0..40)
        .map(|n| format!("Rate this review: number {n} of them"))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let index = index(&records(&texts));
    assert!(index.find("Rate this review: something", "").is_empty());
    let spans = index.find("Rate this review: number 7 of us", "");
    assert_eq!(
        spans.iter().map(|it| it.leaf).collect::<Vec<_>>(),
        [leaf(7)]
    );
}

#[test]
fn a_record_without_room_is_left_out_and_counted() {
    let texts = records(&[
        "one two three",
        "a record that is too long for what is left",
        "one two",
    ]);
    let leaves = (0..).map(leaf);
    let index = SpanIndex::bounded(leaves.zip(texts), 12);
    assert_eq!((index.records(), index.left_out()), (2, 1));
    assert_eq!(index.find("one two three", "").len(), 1);
}

#[test]
fn a_text_that_repeats_itself_is_found_piece_by_piece_and_else_is_form() {
    let (short, long) = ("la ".repeat(1_000), "lo ".repeat(20_000));
    let index = index(&records(&[&short, &long]));
    let spans = index.find(&short, &long);
    assert_eq!(spans.len(), SPANS_MAX);
    assert!(
        spans
            .iter()
            .all(|it| it.part == Part::Prompt && it.leaf == leaf(0))
    );
    assert!(
        spans
            .iter()
            .all(|it| it.bytes as usize <= 3 * PASSAGE_TOKENS_MAX)
    );
}
