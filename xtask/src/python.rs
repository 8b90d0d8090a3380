//! Python environments for the tests that talk to real Python packages.
//!
//! Each environment is a venv under the target folder with pinned requirements, made once and
//! remade when the list changes. Nothing of the product needs Python.

use std::path::PathBuf;
use std::process::Command;

use crate::apt;
use crate::shell::{self, Outcome};

/// What the client tests of `cargo xtask ci` need.
pub const CLIENT: Environment = Environment {
    name: "client",
    requirements: &[
        "openai==3.57.0",
        "mlflow-skinny==3.17.2",
        "huggingface_hub==2.4.0",
        "openapi-spec-validator==0.9.0",
        "schemathesis==4.32.5",
        "oidc-provider-mock==0.3.4",
    ],
};

/// What drives a browser through the pages. Its own download of one is not used.
pub const BROWSER: Environment = Environment {
    name: "browser",
    requirements: &["playwright==1.65.2"],
};

/// What the references and peers of training need, and the harness that models are measured with elsewhere
/// (several gigabytes: beside PyTorch from its registry comes a graphics card's library).
pub const PEERS: Environment = Environment {
    name: "peers",
    requirements: &[
        "torch==2.15.0",
        "transformers==5.24.0",
        "peft==0.21.2",
        "safetensors==0.8.0",
        "gguf==0.19.0",
        "openai==3.57.0",
        "trl==1.16.0",
        "datasets==5.2.0",
        "lm-eval[api]==0.4.13",
    ],
};

/// PyTorch with Intel's extension, which asks for an older release.
pub const IPEX: Environment = Environment {
    name: "ipex",
    requirements: &[
        "torch==2.8.0",
        "intel-extension-for-pytorch==2.8.0",
        "transformers==4.51.3",
        "peft==0.15.2",
        "gguf==0.19.0",
    ],
};

/// OpenVINO's peers of serving.
pub const OPENVINO: Environment = Environment {
    name: "openvino",
    requirements: &["openvino-genai==2026.4.1.0", "numpy"],
};

/// What builds llama.cpp from the sources in its Python package.
pub const BUILD: Environment = Environment {
    name: "build",
    requirements: &["cmake==4.4.5", "ninja==1.13.2"],
};

/// The packages that others verify evidence with.
pub const VALIDATORS: Environment = Environment {
    name: "validators",
    requirements: &[
        "model-signing==1.1.1",
        // model-signing imports it without asking for it.
        "pyOpenSSL==26.4.0",
        "in-toto-attestation==0.9.3",
        "securesystemslib==1.6.0",
        "cyclonedx-python-lib[validation]==11.12.0",
    ],
};

/// A named list of pinned packages.
pub struct Environment {
    name: &'static str,
    requirements: &'static [&'static str],
}

impl Environment {
    /// Makes the environment if it is not there yet and returns its interpreter.
    pub fn interpreter(&self) -> Result<PathBuf, String> {
        let folder = shell::target_dir().join("python").join(self.name);
        let interpreter = folder.join("bin/python");
        let stamp = folder.join("requirements.txt");
        let wanted = self.requirements.join("\n");
        if std::fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
            return Ok(interpreter);
        }
        make(&folder, &interpreter, self.requirements)?;
        std::fs::write(&stamp, wanted)
            .map_err(|error| format!("writing {}: {error}", stamp.display()))?;
        Ok(interpreter)
    }

    /// Runs a script of the checkout in the environment.
    pub fn command(&self, script: &str) -> Result<Command, String> {
        let mut command = shell::command(self.interpreter()?, &[script]);
        // Variables that pin an old BLAS kernel slow numpy and torch down.
        command
            .env_remove("OPENBLAS_CORETYPE")
            .env_remove("OPENBLAS_L2_SIZE");
        Ok(command)
    }
}

fn make(folder: &PathBuf, interpreter: &PathBuf, requirements: &[&str]) -> Outcome {
    let _ = std::fs::remove_dir_all(folder);
    let venv = shell::run(shell::command("python3", &["-m", "venv"]).arg(folder));
    if venv.is_err() && apt::is_here() {
        apt::install(&["python3-venv"])?;
        shell::run(shell::command("python3", &["-m", "venv"]).arg(folder))?;
    } else {
        venv.map_err(|why| format!("{why}; install Python 3 with its venv module and try again"))?;
    }
    shell::run(shell::command(interpreter, &["-m", "pip", "install", "-q"]).args(requirements))
}
