//! Where a run goes on from: `resume_from_checkpoint`.
//!
//! A run goes on from its newest checkpoint in `output_dir` by itself, as LLaMA-Factory's does where the key
//! is left out. So `true` asks for one to be there, `false` for none, and a folder has to be that newest one;
//! what would lose checkpoints unasked is refused with the way to it.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::refuse;
use super::settings::Settings;
use crate::TuneError;
use crate::checkpoint;
use crate::learn::{self, Job};
use crate::learner::Learner;

const KEY: &str = "resume_from_checkpoint";

/// What a recipe may ask for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Resume {
    /// The newest checkpoint in `output_dir`, or the beginning.
    Newest(bool),
    /// This one.
    Folder(PathBuf),
}

impl Settings {
    /// The step of the checkpoint that the recipe names, if it names one.
    ///
    /// # Errors
    /// [`TuneError::Recipe`] where what is asked for is not what `output_dir` holds.
    pub fn resumes_at(&self) -> Result<Option<u64>, TuneError> {
        let Some(resume) = &self.resume_from_checkpoint else {
            return Ok(None);
        };
        let out = &self.output_dir;
        let (steps, shown) = (checkpoint::steps(out)?, out.display());
        let say = |reason: String| Err(refuse(Some(KEY), reason));
        match (resume, steps.last()) {
            (Resume::Newest(true), Some(_)) | (Resume::Newest(false), None) => Ok(None),
            (Resume::Newest(true), None) => say(format!(
                "there is no checkpoint in {shown}: leave the key out to begin; a run goes on from its newest \
                 one by itself"
            )),
            (Resume::Newest(false), Some(step)) => say(format!(
                "{shown} holds checkpoint-{step}, from which a run goes on: take its checkpoints away to begin \
                 again, or name another output_dir"
            )),
            (Resume::Folder(asked), newest) => {
                let named = |step: &&u64| is_same(asked, &checkpoint::folder(out, **step));
                let asked = asked.display();
                match (steps.iter().find(named), newest) {
                    (None, _) => say(format!(
                        "{asked} is no checkpoint in {shown}, where a run goes on from: set output_dir to its \
                         folder, or take up what another run learnt by adapter_name_or_path"
                    )),
                    (Some(step), Some(newest)) if step < newest => say(format!(
                        "a run goes on from its newest checkpoint, which is checkpoint-{newest}: take those \
                         after {asked} away to go on from it"
                    )),
                    (Some(step), _) => Ok(Some(*step)),
                }
            }
        }
    }

    /// Refuses to begin afresh where the recipe names a checkpoint to go on from.
    ///
    /// # Errors
    /// [`TuneError::Recipe`] where the checkpoint is another run's, or as [`Settings::resumes_at`].
    pub fn check_resume(&self, job: &Job<'_>, learner: &dyn Learner) -> Result<(), TuneError> {
        match self.resumes_at()? {
            Some(step) if !learn::goes_on_from(job, learner, step)? => Err(refuse(
                Some(KEY),
                format!(
                    "checkpoint-{step} is of another run: its base, data, settings or kind of processor are not \
                     these; set them as they were, or name another output_dir"
                ),
            )),
            _ => Ok(()),
        }
    }
}

fn is_same(a: &Path, b: &Path) -> bool {
    a == b || matches!((fs::canonicalize(a), fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;
    use serde_json::json;

    /// What comes of asking so in a folder with the checkpoints of these steps.
    fn asked(steps: &[u64], ask: impl Fn(&Path) -> String) -> Result<Option<u64>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("out");
        for &step in steps {
            fs::create_dir_all(checkpoint::folder(&out, step)).expect("makes");
        }
        let text = json!({"model_name_or_path": "m", "train_file": "t", "output_dir": out});
        let ask = format!("{KEY}={}", ask(&out));
        let recipe = Recipe::parse(&text.to_string(), &[ask], Path::new(""));
        let settings = recipe.expect("a recipe").settings;
        settings.resumes_at().map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_there_is_gone_on_from() {
        let newest = |out: &Path| out.join("checkpoint-20").display().to_string();
        assert_eq!(asked(&[5, 20], newest), Ok(Some(20)));
        assert_eq!(asked(&[5, 20], |out| newest(out) + "/"), Ok(Some(20)));
        for (steps, ask) in [
            (vec![5], "true"),
            (vec![], "false"),
            (vec![5], "null"),
            (vec![], "null"),
        ] {
            assert_eq!(asked(&steps, |_| ask.to_owned()), Ok(None), "{ask}");
        }
    }

    #[test]
    fn what_is_not_there_or_would_be_lost_is_refused_by_name_with_a_way() {
        let check = |steps: &[u64], ask: &str, wanted: &str| {
            let refused = asked(steps, |out| ask.replace("OUT", &out.display().to_string()));
            let text = refused.expect_err(ask);
            assert!(text.contains(KEY) && text.contains(wanted), "{ask}: {text}");
        };
        check(&[], "true", "there is no checkpoint");
        check(&[20], "false", "holds checkpoint-20");
        check(
            &[5, 20],
            "OUT/checkpoint-5",
            "newest checkpoint, which is checkpoint-20",
        );
        check(&[5], "OUT/checkpoint-6", "set output_dir");
        check(&[5], "elsewhere/checkpoint-5", "adapter_name_or_path");
    }
}
