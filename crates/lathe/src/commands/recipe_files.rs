//! The files that a recipe and an output folder name: brought here, opened.

use std::path::{Path, PathBuf};

use lathe_data::Source;
use lathe_data::fetch::{Environment, FetchOptions, fetch};
use lathe_engine::{LoadOptions, Model};
use lathe_tune::TuneError;
use lathe_tune::recipe::template;
use lathe_workshop::words::Lang;
use lathe_workshop::{Home, Progress};

use crate::bars::Bar;
use crate::fail::Failure;

/// The files of one command.
pub struct Files {
    /// The home's cache, where sources go.
    pub cache: PathBuf,
}

impl Files {
    /// Those of a home.
    pub fn of(home: &Home) -> Files {
        Files {
            cache: home.cache(),
        }
    }

    /// Where `text` lies: a path below one of `folders`, or a source, which is fetched.
    pub fn bring(
        &self,
        text: &str,
        folders: &[&Path],
        sha256: Option<&str>,
    ) -> Result<PathBuf, Failure> {
        let paths = folders.iter().map(|folder| folder.join(text));
        if let Some(found) = paths.into_iter().find(|path| path.exists()) {
            return Ok(found);
        }
        if !text.contains(':') {
            let tried: Vec<String> = folders
                .iter()
                .map(|folder| folder.join(text).display().to_string())
                .collect();
            return Err(Failure::new(
                "recipe-file",
                format!("there is no {}", tried.join(" and no ")),
                "give its path, or a source such as pypi:NAME==VERSION#path or hf:OWNER/NAME",
            ));
        }
        let source: Source = text.parse().map_err(of_data)?;
        let sha256 = sha256.map(str::parse).transpose().map_err(|error| {
            Failure::new(
                "recipe-file",
                format!("sha256: {error}"),
                "give 64 hexadecimal digits",
            )
        })?;
        let options = FetchOptions {
            cache: self.cache.clone(),
            offline: false,
            sha256,
            base_dir: folders
                .last()
                .copied()
                .unwrap_or(Path::new(""))
                .to_path_buf(),
            environment: Environment::of_process(),
        };
        let bar = Bar::new(Lang::from_env(), true);
        let fetched = fetch(&source, &options, &mut |progress| {
            let shown = Progress {
                done: progress.done,
                total: progress.total.unwrap_or(0),
                unit: "unit.bytes".to_owned(),
                eta_s: None,
            };
            bar.show(progress.what, Some(&shown));
        });
        bar.clear();
        Ok(fetched.map_err(of_data)?.path)
    }
}

/// The base model that an adapter's folder names.
pub fn base_named(folder: &Path) -> Option<String> {
    let bytes = std::fs::read(folder.join("adapter_config.json")).ok()?;
    let config: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    Some(config["base_model_name_or_path"].as_str()?.to_owned())
}

/// Opens a model and gives it the named template where it has none.
pub fn open(path: &Path, options: LoadOptions, named: Option<&str>) -> Result<Model, Failure> {
    let mut model = Model::load(path, options).map_err(|error| of_tune(error.into()))?;
    template::give(&mut model, named).map_err(of_tune)?;
    Ok(model)
}

/// An error of tuning, as the command line shows it.
pub fn of_tune(error: TuneError) -> Failure {
    Failure::new(error.code(), error.to_string(), "")
}

fn of_data(error: lathe_data::DataError) -> Failure {
    of_tune(error.into())
}
