//! The files that a recipe and an output folder name: brought here, opened.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use lathe_data::Source;
use lathe_data::fetch::{Environment, FetchOptions, fetch};
use lathe_engine::{LoadOptions, Model, RawModel};
use lathe_evidence::Digest;
use lathe_tune::TuneError;
use lathe_tune::recipe::table::Table;
use lathe_tune::recipe::{Recipe, Stage, template};
use lathe_tune::token_stream::Tokenised;
use lathe_workshop::words::Lang;
use lathe_workshop::{Home, Progress};

use crate::bars::Bar;
use crate::fail::Failure;

/// What stands between the parts of one file.
const PARTS: &str = " + ";

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

    /// All that a recipe names, brought here.
    pub fn of_recipe(&self, recipe: &Recipe) -> Result<Brought, Failure> {
        let settings = &recipe.settings;
        let here = Path::new("");
        let base = &settings.model_name_or_path;
        // What LLaMA-Factory calibrates by is named from where one stands.
        let folders = match settings.stage {
            Stage::Quantize => vec![settings.dataset_dir.as_path(), here, &recipe.folder],
            _ => vec![settings.dataset_dir.as_path(), &recipe.folder],
        };
        let bring = |text: &Option<String>, sha256: Option<&str>| match text {
            Some(text) => self.bring(text, &folders, sha256).map(Some),
            None => Ok(None),
        };
        let labelled = settings.label_files.iter().map(|(label, file)| {
            let path = self.bring(file, &folders, None)?;
            Ok((label.clone(), path))
        });
        Ok(Brought {
            base: self.bring(base, &[here, &recipe.folder], None)?,
            train: bring(&settings.train_file, settings.sha256.as_deref())?,
            held: bring(&settings.eval_file, None)?,
            labelled: labelled.collect::<Result<_, Failure>>()?,
        })
    }

    /// Where token rows are kept.
    pub fn tokens(&self) -> PathBuf {
        self.cache.join("tokens")
    }

    /// Where `text` lies: a path below one of `folders`, or a source, which is fetched. Several with
    /// ` + ` between them are the parts of one file.
    pub fn bring(
        &self,
        text: &str,
        folders: &[&Path],
        sha256: Option<&str>,
    ) -> Result<PathBuf, Failure> {
        if text.contains(PARTS) {
            let parts = text.split(PARTS).map(str::trim);
            let parts: Result<Vec<_>, _> =
                parts.map(|part| self.bring(part, folders, None)).collect();
            return self.join(text, &parts?);
        }
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
                memory: None,
            };
            bar.show(progress.what, Some(&shown));
        });
        bar.clear();
        Ok(fetched.map_err(of_data)?.path)
    }

    /// The parts as one file in the cache, written once. Its name goes with what the parts are called
    /// and how large they are, so that other parts are another file.
    fn join(&self, text: &str, parts: &[PathBuf]) -> Result<PathBuf, Failure> {
        let failed = |what: &str, path: &Path, error: &std::io::Error| {
            Failure::new(
                "recipe-file",
                format!("cannot {what} {}: {error}", path.display()),
                "check that the home's cache is writable and the disk not full",
            )
        };
        let mut named = text.to_owned();
        for part in parts {
            let found = std::fs::metadata(part).map_err(|error| failed("read", part, &error))?;
            named.push_str(&format!(" {}", found.len()));
        }
        let extension = if text.contains(".gguf") {
            "gguf"
        } else {
            "bin"
        };
        let folder = self.cache.join("joined");
        let name = Digest::of(named.as_bytes()).to_string();
        let joined = folder.join(format!("{name}.{extension}"));
        if joined.exists() {
            return Ok(joined);
        }
        std::fs::create_dir_all(&folder).map_err(|error| failed("make", &folder, &error))?;
        let unfinished = folder.join(format!(".{name}.{}", std::process::id()));
        let mut out = std::fs::File::create(&unfinished)
            .map_err(|error| failed("write", &unfinished, &error))?;
        for part in parts {
            let mut from =
                std::fs::File::open(part).map_err(|error| failed("read", part, &error))?;
            std::io::copy(&mut from, &mut out)
                .map_err(|error| failed("write", &unfinished, &error))?;
        }
        out.sync_all()
            .and_then(|()| std::fs::rename(&unfinished, &joined))
            .map_err(|error| failed("write", &joined, &error))?;
        Ok(joined)
    }
}

/// The files of a recipe.
pub struct Brought {
    /// The base model.
    pub base: PathBuf,
    /// The file that is learnt from.
    pub train: Option<PathBuf>,
    /// What is measured on.
    pub held: Option<PathBuf>,
    labelled: BTreeMap<String, PathBuf>,
}

impl Brought {
    /// The table that is learnt from, unless datasets are named.
    pub fn table(&self) -> Option<Table<'_>> {
        if !self.labelled.is_empty() {
            return Some(Table::Lines(&self.labelled));
        }
        self.train.as_deref().map(Table::File)
    }
}

/// A bar that shows how tokenising goes on, until it is dropped.
pub fn tokenising_bar() -> impl FnMut(&Path, Tokenised) {
    let (bar, began) = (Bar::new(Lang::from_env(), true), Instant::now());
    move |path, told| {
        let total = std::fs::metadata(path).map_or(0, |it| it.len());
        let share = told.bytes as f64 / total.max(1) as f64;
        let left = began.elapsed().as_secs_f64() * (1.0 / share - 1.0);
        let shown = Progress {
            done: told.bytes,
            total,
            unit: "unit.bytes".to_owned(),
            eta_s: left.is_finite().then_some(left),
            memory: None,
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        bar.show(&name, Some(&shown));
    }
}

/// Opens a model whose weights are not read, and gives it the named template where it has none.
pub fn open_unread(path: &Path, named: Option<&str>) -> Result<RawModel, Failure> {
    let mut model = lathe_engine::open(path).map_err(|error| of_tune(error.into()))?;
    template::give_opened(&mut model, named).map_err(of_tune)?;
    Ok(model)
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
