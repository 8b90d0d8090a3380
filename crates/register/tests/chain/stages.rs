//! A model tuned in several stages: every one of them counts as the last one does.

use std::collections::BTreeSet;

use lathe_evidence::statement::*;
use lathe_register::chain;
use lathe_register::dossier::{Value, dossier};
use lathe_register::ml_bom::ml_bom;

use super::home::*;
use super::mutation::{ONLY_SIGNED, changed, leaves};

const STAGES: [&str; 3] = ["pt", "sft", "dpo"];

/// A home in which a model of one stage had the name before.
fn before() -> (Home, Made) {
    let mut home = Home::new(ApprovalPolicy::Itself);
    let other = make(&mut home, "other", &|_| {}).expect("another model");
    (home, other)
}

fn whole() -> (Home, Made) {
    let (mut home, _) = before();
    let made = make_in(&mut home, "one", &STAGES, &|_| {}).expect("whole");
    (home, made)
}

/// Whether a model whose statements go through the tweak is refused, by the ledger or the chain.
fn refused(tweak: Tweak<'_>) -> bool {
    let (mut home, _) = before();
    match make_in(&mut home, "one", &STAGES, tweak) {
        Err(_) => true,
        Ok(made) => !codes(&home, &made, home.at_ms).is_empty(),
    }
}

fn training_of<'s>(statement: &'s mut Statement, stage: &str) -> Option<&'s mut Training> {
    match &mut statement.predicate {
        Predicate::Training(said) if said.stage == stage => Some(said),
        _ => None,
    }
}

#[test]
fn the_chain_names_all_stages_and_what_each_was_tuned_on() {
    let (home, made) = whole();
    let chain =
        chain::verify(&home.history, &made.deployment(), &home.files, home.at_ms).expect("whole");
    let stages: Vec<_> = made.stages.iter().map(|it| (it.0, it.1)).collect();
    assert_eq!(chain.stages, stages);
    assert_eq!(chain.training, Some(stages[2].0));
    assert_eq!(chain.model(), stages[2].1);
    // The one measured on comes first: its records are what the task is about.
    assert_eq!(chain.dataset_artifacts.len(), 3);
    assert_eq!(chain.dataset_artifacts[0], made.dataset);
}

#[test]
fn dossier_and_bill_of_materials_show_all_stages() {
    let (home, made) = whole();
    let history = &home.history;
    let dossier = dossier(history, NUMBER, history.len(), None).expect("a dossier");
    let named = dossier.sections.iter().filter(|it| it.key == "training");
    let named: Vec<_> = named.map(|it| it.rows[0].value.clone()).collect();
    assert_eq!(named, STAGES.map(|it| Value::Text(it.to_owned())));
    let chain = chain::verify(history, &made.deployment(), &home.files, home.at_ms);
    let bom = ml_bom(history, &chain.expect("whole")).to_string();
    for (link, _, _) in &made.stages {
        assert!(bom.contains(&link.to_string()), "{bom}");
    }
}

#[test]
fn every_member_of_every_stage_counts() {
    let (home, made) = whole();
    let mut unnoticed = BTreeSet::new();
    let mut cases = 0;
    for (place, stage) in STAGES.into_iter().enumerate() {
        let entry = home.history.get(&made.stages[place].0).expect("said");
        let bytes = entry.statement.to_bytes().expect("bytes");
        let value: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        let mut pointers = Vec::new();
        leaves(&value["predicate"], "", &mut pointers);
        for pointer in pointers {
            cases += 1;
            let noticed = refused(&|statement| {
                if training_of(statement, stage).is_none() {
                    return;
                }
                match changed(statement, &pointer) {
                    Some(other) => *statement = other,
                    None => statement.subjects.clear(),
                }
            });
            if !noticed {
                unnoticed.insert(format!("training{pointer}"));
            }
        }
    }
    assert!(cases > 40, "{cases}");
    let expected = ONLY_SIGNED.iter().filter(|it| it.starts_with("training/"));
    let expected: BTreeSet<String> = expected.map(|it| (*it).to_owned()).collect();
    assert_eq!(unnoticed, expected);
}

#[test]
fn every_file_of_every_stage_counts() {
    let (mut home, made) = whole();
    for (place, (_, adapter, _)) in made.stages.iter().enumerate() {
        let before = home.files.clone();
        for path in ["adapter_model.safetensors", "training.json"] {
            let files = home.files.0.get_mut(adapter).expect("kept");
            *files
                .get_mut(path)
                .and_then(|it| it.last_mut())
                .expect("bytes") ^= 1;
            let denied = chain::verify(&home.history, &made.deployment(), &home.files, home.at_ms);
            let denied = denied.expect_err("altered");
            let what = match place {
                2 => "the adapter ".to_owned(),
                _ => format!("the adapter of the stage {}", STAGES[place]),
            };
            let text = denied[0].to_string();
            assert!(
                denied[0].code == "chain-altered" && text.contains(&what),
                "{text}"
            );
            home.files = before.clone();
        }
        home.files.0.remove(adapter);
        assert!(codes(&home, &made, home.at_ms).contains(&"chain-unreadable"));
        home.files = before;
    }
    assert!(codes(&home, &made, home.at_ms).is_empty());
}

#[test]
fn a_stage_cannot_be_left_out_or_exchanged() {
    assert!(!refused(&|_| {}));
    // The same is said at the same moments, so the links are those of the homes that are refused.
    let (made, other) = (whole().1, before().1);
    let (first, other) = (&made.stages[0], &other.stages[0]);
    assert!(refused(&|it| {
        if let Some(said) = training_of(it, "dpo") {
            said.previous = None;
        }
    }));
    // Over the supervised stage's head, by its own right name and by that of the one left out.
    for named in [first.1, made.stages[1].1] {
        assert!(refused(&|it| {
            if let Some(said) = training_of(it, "dpo") {
                said.previous = Some(PreviousStage {
                    statement: first.0,
                    model: named,
                });
            }
        }));
    }
    assert!(refused(&|it| {
        if let Some(said) = training_of(it, "sft") {
            said.previous = Some(PreviousStage {
                statement: other.0,
                model: other.1,
            });
        }
    }));
}

#[test]
fn a_record_of_an_earlier_stage_that_is_withdrawn_is_named() {
    for place in 0..3 {
        let (mut home, made) = whole();
        let leaf = made.stages[place].2[3];
        let at_ms = home.now();
        let said = Withdrawal {
            what: Withdrawn::Leaf(leaf),
            reason: "asked".to_owned(),
            at_ms,
        };
        home.tell(leaf, said);
        assert_eq!(
            codes(&home, &made, home.at_ms),
            ["chain-withdrawn"],
            "{place}"
        );
    }
}
