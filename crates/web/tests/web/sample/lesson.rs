//! What the sample orders learn from.

use lathe_workshop::preview::{Counts, Found, Marked, Preview, Share, Token};

use super::trace::leaf;

/// Two records: one learnt with a soft number, one over the cutoff.
pub fn lesson() -> Preview {
    let prompt = "<s>|Say |how |the |customer |feels|.|\n|The |camera |broke |after |a |week|.|\n";
    let mut first = row(&format!("{prompt}|Feeling|: |-2|.5|</s>"), 16);
    first[18].soft = vec![share("-2", 0.62), share("-1", 0.21), share("-3", 0.17)];
    let mut second = row(&format!("{prompt}|Feeling|: |3|</s>"), 16);
    second[16].weight = 0.5;
    let rows = vec![marked("r_12", first, false), marked("r_13", second, true)];
    let tokens: usize = rows.iter().map(|row| row.tokens.len()).sum();
    let supervised: usize = rows.iter().map(|row| row.supervised).sum();
    Preview {
        counts: Counts {
            records: 2,
            rows: rows.len(),
            tokens: tokens as u64,
            supervised: supervised as u64,
            shared_prefix: 8,
            tokens_max: 19,
            over_cutoff: Found {
                rows: 1,
                first: vec!["r_13".to_owned()],
            },
            unsupervised: Found::default(),
            endless: Found::default(),
        },
        rows,
    }
}

/// The same with `text` in every place that a record can write to.
pub fn write_over(lesson: &mut Preview, text: &str) {
    for row in &mut lesson.rows {
        row.record = text.to_owned();
        for token in &mut row.tokens {
            token.text = text.to_owned();
            for share in &mut token.soft {
                share.text = text.to_owned();
            }
        }
    }
}

fn row(pieces: &str, answer_start: usize) -> Vec<Token> {
    let token = |(at, text): (usize, &str)| Token {
        id: 100 + at as u32,
        text: text.to_owned(),
        weight: if at < answer_start { 0.0 } else { 1.0 },
        special: text.starts_with('<'),
        end: text == "</s>",
        shared: at < 8,
        soft: Vec::new(),
    };
    pieces.split('|').enumerate().map(token).collect()
}

fn share(text: &str, share: f32) -> Share {
    Share {
        id: 7,
        text: text.to_owned(),
        share,
    }
}

fn marked(record: &str, tokens: Vec<Token>, over_cutoff: bool) -> Marked {
    Marked {
        record: record.to_owned(),
        leaf: leaf().to_string(),
        text: tokens.iter().map(|it| &it.text[..]).collect(),
        supervised: tokens.iter().filter(|it| it.weight > 0.0).count(),
        over_cutoff,
        unsupervised: false,
        withdrawn: false,
        tokens,
    }
}
