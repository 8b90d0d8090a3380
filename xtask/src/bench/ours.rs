//! This project's side of every row.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::measure::{Figure, Side};
use super::models;
use super::rows::{Bits, Shape, Work};
use crate::acceptance::{FreshHome, PACK};
use crate::shell;

/// Records of the sft row.
pub const RECORDS: usize = 256;
/// Pairs of the dpo row: steps of eight.
pub const PAIRS: usize = 8 * STEPS;
const STEPS: usize = 8;
/// The instruction that all records of the sft row share.
const INSTRUCTION: &str = "Rate the feeling from -4 to 4 and name its class, as JSON.";

/// Our command for a row.
pub fn side(work: Work) -> Result<Side, String> {
    let (program, key, arguments): (_, _, Vec<String>) = match work {
        Work::Lora(shape) => (example("speed")?, "tokens_per_s", lora(shape)?),
        Work::LoraMemory => (example("speed")?, "peak_mib", lora(Shape::SmolLm2)?),
        Work::Prompt(shape, bits, tokens) => {
            let path = text(&models::answers(shape, bits)?);
            (
                example("speed")?,
                "tokens_per_s",
                vec!["prompt".into(), path, tokens.to_string()],
            )
        }
        Work::Decode(shape, sequences) => (
            example("speed")?,
            "tokens_per_s",
            decode("decode", shape, sequences)?,
        ),
        Work::Full => {
            let path = text(&models::base(Shape::SmolLm2)?);
            (
                example("full_speed")?,
                "tokens_per_s",
                vec![path, "5".into()],
            )
        }
        Work::Sft => (example("tune_bench")?, "tokens_per_s", sft("speed")?),
        Work::Dpo => {
            let path = text(&models::base(Shape::SmolLm2)?);
            (
                example("dpo_speed")?,
                "tokens_per_s",
                vec![path, text(pairs()?), STEPS.to_string()],
            )
        }
        Work::Start => return start(),
    };
    Ok(engine("lathe", program, arguments, key))
}

/// Our engine another way, for the reader to compare: what a peer computes and we do not need.
pub fn beside(work: Work) -> Result<Vec<Side>, String> {
    let Work::Decode(shape, sequences) = work else {
        return Ok(Vec::new());
    };
    // A greedy choice needs the largest logit alone; llama.cpp computes all in either case.
    let arguments = decode("decode-all", shape, sequences)?;
    let name = "lathe, all logits exact";
    Ok(vec![engine(
        name,
        example("speed")?,
        arguments,
        "tokens_per_s",
    )])
}

fn engine(name: &str, program: PathBuf, arguments: Vec<String>, key: &'static str) -> Side {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("LATHE_THREADS", super::peers::threads())
        .current_dir(shell::root());
    Side {
        name: name.to_owned(),
        command,
        figure: Figure::Key(key),
    }
}

fn decode(mode: &str, shape: Shape, sequences: usize) -> Result<Vec<String>, String> {
    let path = text(&models::answers(shape, Bits::Four)?);
    Ok(vec![mode.into(), path, sequences.to_string()])
}

fn lora(shape: Shape) -> Result<Vec<String>, String> {
    Ok(vec![
        "lora".into(),
        text(&models::base(shape)?),
        "2".into(),
        "256".into(),
    ])
}

fn sft(mode: &str) -> Result<Vec<String>, String> {
    let order = order()?;
    Ok([
        mode,
        PACK,
        &text(&order.model),
        &text(&order.dataset),
        &RECORDS.to_string(),
        INSTRUCTION,
    ]
    .map(str::to_owned)
    .to_vec())
}

/// The token rows of the sft row, for its peers.
pub fn token_rows() -> Result<PathBuf, String> {
    let path = order()?.home.path().join("rows.jsonl");
    let mut command = Command::new(example("tune_bench")?);
    command.args(sft("rows")?).current_dir(shell::root());
    write(&path, &shell::output(&mut command)?)?;
    Ok(path)
}

/// The pairs of the dpo row.
pub fn pairs() -> Result<&'static Path, String> {
    static PATH: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = PATH.get_or_init(|| {
        let order = order()?;
        let path = order.home.path().join("pairs.jsonl");
        let mut script = crate::python::PEERS.command("benches/peers/dpo_pairs.py")?;
        write(
            &path,
            &shell::output(
                script
                    .arg(order.dataset.join("records.jsonl"))
                    .arg(&order.model)
                    .args(["--count", &PAIRS.to_string()]),
            )?,
        )?;
        Ok(path)
    });
    made.as_deref().map_err(Clone::clone)
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("writing {}: {error}", path.display()))
}

/// A finished order of the pack, of which rows take model, records and home.
pub struct Order {
    pub home: FreshHome,
    pub model: PathBuf,
    pub dataset: PathBuf,
    pub deployment: String,
}

/// Runs the order once.
pub fn order() -> Result<&'static Order, String> {
    static ORDER: OnceLock<Result<Order, String>> = OnceLock::new();
    let made = ORDER.get_or_init(|| {
        build()?;
        let home = FreshHome::new("bench")?;
        let finished = home.run_order(&["--quick"])?;
        let deployment = finished.step("deploy")?["figures"]["name"].as_str();
        Ok(Order {
            model: home.file_of(&finished, "model", "gguf")?,
            dataset: home.object_of(&finished, "prepare")?,
            deployment: deployment
                .ok_or("the step deploy names no model")?
                .to_owned(),
            home,
        })
    });
    made.as_ref().map_err(Clone::clone)
}

/// From `lathe up` to the first token of the admitted model of a finished order.
fn start() -> Result<Side, String> {
    let order = order()?;
    let mut command = crate::python::PEERS.command("benches/peers/start.py")?;
    command.args(["ours", &text(&shell::target_dir().join("release/lathe"))]);
    command.args([&text(order.home.path()), &order.deployment]);
    Ok(Side {
        name: "lathe".to_owned(),
        command,
        figure: Figure::Key("seconds"),
    })
}

/// Builds the program and the examples, once.
fn build() -> Result<(), String> {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    let packages = ["lathe", "lathe-engine", "lathe-tune", "lathe-workshop"];
    let built = BUILT.get_or_init(|| {
        let mut cargo = shell::cargo(&["build", "--release", "--locked", "--bins", "--examples"]);
        shell::run(cargo.args(packages.iter().flat_map(|package| ["--package", package])))
    });
    built.clone()
}

pub fn example(name: &str) -> Result<PathBuf, String> {
    build()?;
    Ok(shell::target_dir().join("release/examples").join(name))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
