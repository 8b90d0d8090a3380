//! Which tokens of conversations and texts are learnt from.

use super::*;
use crate::testing;
use lathe_data::samples::Role;
use lathe_engine::Model;

mod tools;

fn turn(role: Role, content: &str) -> Turn {
    Turn {
        role,
        content: Some(content.to_owned()),
        reasoning: None,
        tool_calls: None,
        tool_call_id: None,
        name: None,
        weight: if role == Role::Assistant { 1.0 } else { 0.0 },
    }
}

fn chat(contents: &[(Role, &str)]) -> Sample {
    Sample::Chat {
        turns: contents
            .iter()
            .map(|&(role, text)| turn(role, text))
            .collect(),
        tools: None,
    }
}

const TWO_ROUNDS: [(Role, &str); 5] = [
    (Role::System, "Be brief."),
    (Role::User, "Is it good?"),
    (Role::Assistant, "Yes, it is."),
    (Role::User, "And cheap?"),
    (Role::Assistant, "No."),
];

/// What the supervised tokens say, one string for each run of them.
fn supervised(model: &Model, row: &Row) -> Vec<String> {
    let mut runs: Vec<Vec<u32>> = Vec::new();
    let mut open = false;
    for (&token, &weight) in row.tokens.iter().zip(&row.weights) {
        if weight > 0.0 && !open {
            runs.push(Vec::new());
        }
        open = weight > 0.0;
        if open {
            runs.last_mut().expect("a run is open").push(token);
        }
    }
    runs.iter()
        .map(|run| model.tokenizer.decode(run, false))
        .collect()
}

fn rows(model: &Model, masking: Masking, sample: &Sample) -> Vec<Row> {
    let dialogues = Dialogues::new(model, masking).expect("a way to write");
    dialogues.rows(7, sample).expect("rows")
}

/// Pain 4: only the last turn was trained (axolotl 1761).
#[test]
fn pain_4_every_turn_of_the_assistant_is_learnt_with_its_end() {
    let model = testing::model();
    let rows = rows(&model, Masking::default(), &chat(&TWO_ROUNDS));
    assert_eq!(rows.len(), 1);
    assert_eq!(
        supervised(&model, &rows[0]),
        ["Yes, it is.<|im_end|>", "No.<|im_end|>"]
    );
    assert_eq!(rows[0].id, "7");
}

#[test]
fn what_is_read_before_an_answer_is_what_serving_sends() {
    let model = testing::model();
    let row = &rows(&model, Masking::default(), &chat(&TWO_ROUNDS))[0];
    let Sample::Chat { turns, .. } = chat(&TWO_ROUNDS) else {
        unreachable!("a chat")
    };
    let messages = messages(&turns[..4], None, Skills::default()).expect("plain turns");
    let template = model.template.as_ref().expect("a template");
    let served = template.render(&messages, true).expect("renders");
    assert!(row.tokens.starts_with(&model.tokenizer.encode(&served)));
}

/// Pain 4: labels masked against what was asked (axolotl 3088).
#[test]
fn pain_4_masks_follow_weights_history_and_prompts() {
    let model = testing::model();
    let only_last = Masking {
        mask_history: true,
        ..Masking::default()
    };
    let row = &rows(&model, only_last, &chat(&TWO_ROUNDS))[0];
    assert_eq!(supervised(&model, row), ["No.<|im_end|>"]);
    let all = Masking {
        train_on_prompt: true,
        ..Masking::default()
    };
    let row = &rows(&model, all, &chat(&TWO_ROUNDS))[0];
    assert!(row.weights[1..].iter().all(|&weight| weight == 1.0));
    assert_eq!(row.weights[0], 0.0);
    let Sample::Chat { mut turns, tools } = chat(&TWO_ROUNDS) else {
        unreachable!("a chat")
    };
    turns[4].weight = 0.0;
    let sample = Sample::Chat { turns, tools };
    let row = &rows(&model, Masking::default(), &sample)[0];
    assert_eq!(supervised(&model, row), ["Yes, it is.<|im_end|>"]);
    assert_eq!(
        row.tokens.last(),
        model.config.eos.first(),
        "nothing after it is read"
    );
}

/// Pain 4: turns looked for by their text were found in the wrong place, or not at all, where a
/// template has no marks of its own around an answer (axolotl 2089).
#[test]
fn pain_4_equal_texts_and_bare_templates_do_not_move_the_mask() {
    let mut model = testing::model();
    let source = "{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]{% elif m['role'] == 'assistant' %} {{ m['content'] }}<|im_end|>{% endif %}{% endfor %}";
    model.template = Some(ChatTemplate::new(source, Default::default()).expect("compiles"));
    let turns = [
        (Role::User, "Yes."),
        (Role::Assistant, "Yes."),
        (Role::User, "[INST] Yes. [/INST] Yes."),
        (Role::Assistant, "Yes."),
    ];
    let rows = rows(&model, Masking::default(), &chat(&turns));
    assert_eq!(rows.len(), 1);
    let (row, tokens) = (&rows[0], &rows[0].tokens);
    assert_eq!(supervised(&model, row), [" Yes.<|im_end|>"; 2]);
    let learnt = |at: usize| row.weights[at] > 0.0;
    let before = |at: usize| model.tokenizer.decode(&tokens[..at], false);
    let starts = (1..tokens.len()).filter(|&at| learnt(at) && !learnt(at - 1));
    for start in starts {
        assert!(before(start).ends_with("[/INST]"), "{}", before(start));
    }
}

/// Pain 5: a model that pads with its end token never learnt to stop (unsloth 416).
#[test]
fn pain_5_the_end_is_learnt_after_every_answer_and_nowhere_else() {
    let model = testing::model();
    let end = model.config.eos[0];
    let row = &rows(&model, Masking::default(), &chat(&TWO_ROUNDS))[0];
    let ends = (0..row.tokens.len()).filter(|&at| row.tokens[at] == end);
    let weights: Vec<f32> = ends.map(|at| row.weights[at]).collect();
    assert_eq!(weights, [0.0, 0.0, 1.0, 0.0, 1.0]);
    let packed = crate::pack::Packed::of(vec![row.clone(); 2], &Default::default());
    let packed = packed.expect("packs");
    let batch = crate::batching::micro_batches(&packed, &[0, 1], 1000).remove(0);
    let targets = batch.targets.iter();
    let learnt = targets.filter(|it| it.token == end && it.weight == 1.0);
    assert_eq!(
        learnt.count(),
        4,
        "two ends of each row are targets of the loss"
    );
}

#[test]
fn a_template_that_rewrites_history_gives_a_row_a_turn() {
    let mut model = testing::model();
    let source = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['role'] == 'assistant' and not loop.last %}(earlier){% else %}{{ m['content'] }}{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    model.template = Some(ChatTemplate::new(source, Default::default()).expect("compiles"));
    let rows = rows(&model, Masking::default(), &chat(&TWO_ROUNDS));
    let said: Vec<_> = rows.iter().map(|row| supervised(&model, row)).collect();
    assert_eq!(said, [["Yes, it is.<|im_end|>"], ["No.<|im_end|>"]]);
}

#[test]
fn a_text_is_learnt_whole_and_ends() {
    let model = testing::model();
    let row = &rows(
        &model,
        Masking::default(),
        &Sample::Text("Good morning.".into()),
    )[0];
    let (end, text) = row.tokens.split_last().expect("tokens");
    assert_eq!(model.tokenizer.decode(text, false), "Good morning.");
    assert!(model.config.eos.contains(end));
    assert_eq!(row.weights[0], 0.0);
    assert!(row.weights[1..].iter().all(|&weight| weight == 1.0));
}

#[test]
fn samples_of_other_stages_are_refused_with_the_stage() {
    let model = testing::model();
    let dialogues = Dialogues::new(&model, Masking::default()).expect("a way to write");
    let pair = Sample::Pair {
        turns: vec![turn(Role::User, "q")],
        chosen: turn(Role::Assistant, "a"),
        rejected: turn(Role::Assistant, "b"),
    };
    let error = dialogues.rows(3, &pair).expect_err("a pair").to_string();
    assert!(
        error.contains("record 3") && error.contains("dpo"),
        "{error}"
    );
}
