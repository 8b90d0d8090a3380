//! llama.cpp and ik_llama.cpp, built for this machine from the sources inside their Python packages.

use std::path::{Path, PathBuf};

use crate::python;
use crate::shell::{self, Outcome};

/// A build that is made once.
struct Build {
    package: &'static str,
    version: &'static str,
    /// Where the sources lie in the package.
    sources: &'static str,
    options: &'static [&'static str],
    programs: &'static [&'static str],
}

const MAIN: Build = Build {
    package: "llama-cpp-python",
    version: "0.3.36",
    sources: "vendor/llama.cpp",
    options: &[
        "-DGGML_NATIVE=ON",
        "-DLLAMA_CURL=OFF",
        "-DLLAMA_OPENSSL=OFF",
        "-DLLAMA_BUILD_TESTS=OFF",
        "-DBUILD_SHARED_LIBS=OFF",
    ],
    programs: &[
        "llama-bench",
        "llama-batched-bench",
        "llama-perplexity",
        "llama-quantize",
        "llama-server",
    ],
};

const IK: Build = Build {
    package: "ik-llama-cpp-python",
    version: "0.1.5",
    sources: "vendor/ik_llama.cpp",
    options: &[
        "-DGGML_NATIVE=ON",
        "-DLLAMA_CURL=OFF",
        "-DLLAMA_BUILD_TESTS=OFF",
        "-DBUILD_SHARED_LIBS=OFF",
    ],
    programs: &["llama-bench", "llama-batched-bench"],
};

/// The versions, for naming the peers.
pub const NAME: &str = "llama.cpp (llama-cpp-python 0.3.36)";
/// The same of the fork.
pub const IK_NAME: &str = "ik_llama.cpp (ik-llama-cpp-python 0.1.5)";

/// A program of llama.cpp.
pub fn program(name: &str) -> Result<PathBuf, String> {
    MAIN.program(name)
}

/// A program of ik_llama.cpp.
pub fn ik_program(name: &str) -> Result<PathBuf, String> {
    IK.program(name)
}

impl Build {
    fn program(&self, name: &str) -> Result<PathBuf, String> {
        let folder = shell::target_dir()
            .join("peers")
            .join(format!("{}-{}", self.package, self.version));
        let path = folder.join("build/bin").join(name);
        if !path.exists() {
            self.make(&folder)?;
        }
        Ok(path)
    }

    fn make(&self, folder: &PathBuf) -> Outcome {
        std::fs::create_dir_all(folder)
            .map_err(|error| format!("making {}: {error}", folder.display()))?;
        let python = python::BUILD.interpreter()?;
        let wanted = format!("{}=={}", self.package, self.version);
        let download = [
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--no-binary",
            self.package,
            &wanted,
            "-d",
        ];
        shell::run(shell::command(&python, &download).arg(folder))?;
        let unpacked = format!("{}-{}", self.package.replace('-', "_"), self.version);
        let archive = folder.join(format!("{unpacked}.tar.gz"));
        shell::run(
            shell::command(&python, &["-m", "tarfile", "-e"])
                .arg(&archive)
                .arg(folder),
        )?;
        let sources = folder.join(&unpacked).join(self.sources);
        mend(&sources)?;
        let (tools, build) = (python.with_file_name("cmake"), folder.join("build"));
        let ninja = format!(
            "-DCMAKE_MAKE_PROGRAM={}",
            python.with_file_name("ninja").display()
        );
        let mut configure = shell::command(
            &tools,
            &["-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", &ninja],
        );
        configure.args(self.options).arg("-S").arg(&sources);
        shell::run(configure.arg("-B").arg(&build))?;
        let mut compile = shell::command(&tools, &["--build"]);
        shell::run(compile.arg(&build).arg("--target").args(self.programs))
    }
}

/// The fork's package leaves out the script that writes its version into the program: without one,
/// nothing builds.
fn mend(sources: &Path) -> Outcome {
    const SCRIPT: &str = "set(BUILD_NUMBER 0)\nset(BUILD_COMMIT unknown)\nset(BUILD_COMPILER unknown)\nset(BUILD_TARGET unknown)\n\
        configure_file(common/build-info.cpp.in ${CMAKE_SOURCE_DIR}/common/build-info.cpp)\n";
    let folder = sources.join("common/cmake");
    let path = folder.join("build-info-gen-cpp.cmake");
    if !sources.join("common/build-info.cpp.in").exists() || path.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&path, SCRIPT))
        .map_err(|error| format!("writing {}: {error}", path.display()))
}
