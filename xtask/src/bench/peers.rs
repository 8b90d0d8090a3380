//! The peers of every row, each at its best settings.

use std::path::Path;
use std::process::Command;

use super::measure::{Figure, Side};
use super::rows::{Bits, Shape, Work};
use super::{llama_cpp, models, ours};
use crate::python::{self, Environment};
use crate::shell;

/// Threads both sides are given.
pub fn threads() -> String {
    std::thread::available_parallelism()
        .map_or(1, usize::from)
        .to_string()
}

/// All peers of a row.
pub fn sides(work: Work) -> Result<Vec<Side>, String> {
    match work {
        Work::Prompt(shape, bits, tokens) => prompt(&models::answers(shape, bits)?, bits, tokens),
        Work::Decode(shape, sequences) => decode(&models::answers(shape, Bits::Four)?, sequences),
        Work::Lora(shape) => lora(shape, "tokens_per_s"),
        Work::LoraMemory => {
            let mut sides = lora(Shape::SmolLm2, "peak_mib")?;
            for side in &mut sides {
                // What is kept counts as held.
                KEEP_PAGES.iter().for_each(|(name, _)| {
                    side.command.env_remove(name);
                });
            }
            Ok(sides)
        }
        Work::Full => torch(
            "benches/peers/train_full.py",
            &models::base(Shape::SmolLm2)?,
            "f32 weights, bf16 autocast",
            // Weights and moments in f32, as ours: held in bf16, changes of this size are rounded away
            // and the loss hardly moves.
            &["--steps", "5", "--dtype", "mixed"],
            "tokens_per_s",
        ),
        Work::Sft => trl_sft(),
        Work::Dpo => trl_dpo(),
        Work::Start => Ok(vec![script(
            &python::PEERS,
            "benches/peers/start.py",
            "one second",
            "seconds",
            |it| {
                it.arg("second");
            },
        )?]),
    }
}

/// Reading a prompt: llama.cpp, its fork, and for 8 bits OpenVINO.
fn prompt(model: &Path, bits: Bits, tokens: usize) -> Result<Vec<Side>, String> {
    let (tokens, threads) = (tokens.to_string(), threads());
    let bench = |name: &str, program, extra: &[&str], figure| {
        let mut command = Command::new(program);
        command
            .arg("-m")
            .arg(model)
            .args(["-p", &tokens, "-n", "0", "-t", &threads]);
        command.args(["-fa", "1", "-r", "3"]).args(extra);
        side(name, command, figure)
    };
    let (main, fork) = (
        llama_cpp::program("llama-bench")?,
        llama_cpp::ik_program("llama-bench")?,
    );
    let repacked = ["-rtr", "1", "-o", "json"];
    let mut sides = vec![
        bench(
            llama_cpp::NAME,
            main,
            &["-o", "jsonl"],
            Figure::Key("avg_ts"),
        ),
        bench(
            llama_cpp::IK_NAME,
            fork,
            &repacked,
            Figure::InArray("avg_ts"),
        ),
    ];
    if bits == Bits::Eight {
        let prompt = |it: &mut Command| {
            it.arg(model).args([&tokens, &threads]);
        };
        sides.push(script(
            &python::OPENVINO,
            "benches/peers/openvino_prompt.py",
            "OpenVINO GenAI 2026.4.1",
            "tokens_per_s",
            prompt,
        )?);
    }
    Ok(sides)
}

/// How often a peer writes its answers in a turn: once to warm up, and as often as ours does.
const DECODE_PASSES: usize = 6;

/// Writing answers after prompts of 64 tokens, 48 each.
fn decode(model: &Path, sequences: usize) -> Result<Vec<Side>, String> {
    let sequences = vec![sequences.to_string(); DECODE_PASSES].join(",");
    let threads = threads();
    let bench = |name: &str, program, extra: &[&str], figure| {
        let mut command = Command::new(program);
        command
            .arg("-m")
            .arg(model)
            .args(["-c", "4096", "-npp", "64", "-ntg", "48"]);
        command
            .args(["-npl", &sequences, "-t", &threads])
            .args(extra);
        side(name, command, figure)
    };
    let main = llama_cpp::program("llama-batched-bench")?;
    let fork = llama_cpp::ik_program("llama-batched-bench")?;
    let flags = ["-fa", "on", "--output-format", "jsonl"];
    Ok(vec![
        bench(llama_cpp::NAME, main, &flags, Figure::Keys("speed_tg")),
        bench(
            llama_cpp::IK_NAME,
            fork,
            // With flash attention this program of the fork stops with a failed assertion on these models.
            &["-no-fa", "-rtr"],
            Figure::Column("S_TG t/s"),
        ),
    ])
}

fn lora(shape: Shape, key: &'static str) -> Result<Vec<Side>, String> {
    torch(
        "benches/peers/lora_dense.py",
        &models::base(shape)?,
        "bf16",
        &["--steps", "4", "--dtype", "bf16"],
        key,
    )
}

/// A PyTorch script: eager and compiled, and with Intel's extension; `kept` says in which types.
fn torch(
    path: &str,
    model: &Path,
    kept: &str,
    extra: &[&str],
    key: &'static str,
) -> Result<Vec<Side>, String> {
    let of = |environment, name: &str, flags: &[&str]| {
        script(environment, path, name, key, |it| {
            it.arg(model).args(extra).args(flags);
        })
    };
    Ok(vec![
        of(&python::PEERS, &format!("PyTorch 2.15 {kept}, eager"), &[])?,
        of(
            &python::PEERS,
            &format!("PyTorch 2.15 {kept}, torch.compile"),
            &["--compile"],
        )?,
        of(
            &python::IPEX,
            &format!("PyTorch 2.8 {kept}, IPEX 2.8"),
            &["--ipex"],
        )?,
    ])
}

/// glibc's allocator told to keep what was freed: as it comes it gives large tensors back to the system, which clears their
/// pages anew in every step. PyTorch in eager mode is a tenth to a quarter faster so.
const KEEP_PAGES: [(&str, &str); 3] = [
    ("MALLOC_MMAP_MAX_", "0"),
    ("MALLOC_TRIM_THRESHOLD_", "17179869184"),
    ("MALLOC_TOP_PAD_", "268435456"),
];

/// TRL's SFTTrainer: packed rows, and padded ones grouped by length.
fn trl_sft() -> Result<Vec<Side>, String> {
    let (model, rows) = (models::base(Shape::SmolLm2)?, ours::token_rows()?);
    ["packing", "grouped"]
        .map(|way| {
            let name = format!("TRL 1.16 SFTTrainer, PEFT, bf16, {way}");
            script(
                &python::PEERS,
                "benches/peers/trl_sft.py",
                &name,
                "tokens_per_s",
                |it| {
                    it.arg(&model).arg(&rows).arg(way);
                },
            )
        })
        .into_iter()
        .collect()
}

/// TRL's DPOTrainer.
fn trl_dpo() -> Result<Vec<Side>, String> {
    let (model, pairs) = (models::base(Shape::SmolLm2)?, ours::pairs()?);
    let count = ours::PAIRS.to_string();
    Ok(vec![script(
        &python::PEERS,
        "benches/peers/trl_dpo.py",
        "TRL 1.16 DPOTrainer, PEFT, bf16",
        "tokens_per_s",
        |it| {
            it.arg(model).arg(pairs).arg(count);
        },
    )?])
}

fn script(
    environment: &Environment,
    path: &str,
    name: &str,
    key: &'static str,
    arguments: impl FnOnce(&mut Command),
) -> Result<Side, String> {
    let mut command = environment.command(path)?;
    arguments(&mut command);
    Ok(side(name, command, Figure::Key(key)))
}

fn side(name: &str, mut command: Command, figure: Figure) -> Side {
    command
        .env("OMP_NUM_THREADS", threads())
        .envs(KEEP_PAGES)
        .current_dir(shell::root());
    Side {
        name: name.to_owned(),
        command,
        figure,
    }
}
