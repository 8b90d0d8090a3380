//! The rows: what is measured, what ratio is the goal, what ratio passes.

/// Shapes of the models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The real SmolLM2-135M-Instruct.
    SmolLm2,
    /// Random weights in the shapes of Qwen2.5-0.5B.
    Qwen05,
    /// Random weights in the shapes of Qwen2.5-1.5B.
    Qwen15,
}

/// Bits of the weights of a file for answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    /// Q4_0.
    Four,
    /// Q8_0.
    Eight,
}

/// The work of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// LoRA on records of customer-care under a short instruction.
    Sft,
    /// Forward and backward of an adapter, 2 × 256 tokens, all supervised.
    Lora(Shape),
    /// The memory of the same.
    LoraMemory,
    /// DPO with an adapter on pairs.
    Dpo,
    /// A step of full tuning.
    Full,
    /// Reading a prompt of so many tokens.
    Prompt(Shape, Bits, usize),
    /// Writing so many answers together.
    Decode(Shape, usize),
    /// From the start of the program to the first token.
    Start,
}

/// One line of the results.
#[derive(Debug)]
pub struct Row {
    /// Its name on the command line.
    pub name: String,
    /// What is done.
    pub work: Work,
    /// The ratio to reach.
    pub goal: f64,
    /// The ratio to reach at least.
    pub passes_at: f64,
}

impl Row {
    /// Whether `--only NAME` means this row: by its whole name or by a beginning that ends at a dash.
    pub fn matches(&self, name: &str) -> bool {
        self.name == name
            || self
                .name
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('-'))
    }
}

/// All rows, in the order they run.
pub fn all() -> Vec<Row> {
    let row = |name: &str, work, goal, passes_at| Row {
        name: name.to_owned(),
        work,
        goal,
        passes_at,
    };
    let mut rows = vec![
        row("sft", Work::Sft, 3.0, 2.0),
        row("lora", Work::Lora(Shape::SmolLm2), 2.0, 1.5),
        row("dpo", Work::Dpo, 5.0, 3.0),
        row("full", Work::Full, 1.6, 1.3),
        row("lora-memory", Work::LoraMemory, 2.2, 1.65),
    ];
    rows.extend(answers(
        "",
        Shape::SmolLm2,
        [(2.5, 1.6), (1.4, 1.0), (2.0, 1.5), (3.5, 2.2)],
    ));
    for (name, shape, goal, passes_at) in [
        ("qwen05-", Shape::Qwen05, 1.8, 1.3),
        ("qwen15-", Shape::Qwen15, 1.5, 1.15),
    ] {
        rows.push(row(
            &format!("{name}lora"),
            Work::Lora(shape),
            goal,
            passes_at,
        ));
        // Prompts by 8 bits pass when they are no slower, in every shape.
        let same = (goal, passes_at);
        rows.extend(answers(name, shape, [same, (goal, 1.0), same, same]));
    }
    rows.push(row("start", Work::Start, 2.5, 1.25));
    rows
}

/// Rows of reading and writing: goals of prompts by 4 and by 8 bits, of one answer, and of many.
fn answers(prefix: &str, shape: Shape, goals: [(f64, f64); 4]) -> Vec<Row> {
    let [four, eight, one, many] = goals;
    let row = |name: String, work, (goal, passes_at)| Row {
        name: format!("{prefix}{name}"),
        work,
        goal,
        passes_at,
    };
    let prompt = |bits, tokens| Work::Prompt(shape, bits, tokens);
    vec![
        row("prompt4-512".into(), prompt(Bits::Four, 512), four),
        row("prompt4-900".into(), prompt(Bits::Four, 900), four),
        row("prompt8-512".into(), prompt(Bits::Eight, 512), eight),
        row("prompt8-900".into(), prompt(Bits::Eight, 900), eight),
        row("decode-1".into(), Work::Decode(shape, 1), one),
        row("decode-8".into(), Work::Decode(shape, 8), many),
        row("decode-16".into(), Work::Decode(shape, 16), many),
    ]
}
