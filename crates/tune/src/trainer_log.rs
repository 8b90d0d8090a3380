//! trainer_log.jsonl: one line per step, in the words of LLaMA-Factory, so that its users' plotting
//! scripts work.
//!
//! The file holds times and therefore stays in the work folder, outside everything that is hashed.
//! A resumed run keeps the lines up to its checkpoint and goes on from there.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::TuneError;

/// Name of the file in the work folder.
pub const TRAINER_LOG: &str = "trainer_log.jsonl";

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// Steps done.
    pub current_steps: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// Mean loss per supervised token of this step.
    pub loss: f64,
    /// Mean loss on records that are not learnt from, where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_loss: Option<f64>,
    /// Another metric of these, more of which is better, where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_metric: Option<f64>,
    /// Learning rate of this step.
    pub lr: f64,
    /// Epochs done.
    pub epoch: f64,
    /// Share of the steps done, in percent.
    pub percentage: f64,
    /// Since this process began, as `h:mm:ss`.
    pub elapsed_time: String,
    /// Expected until the end, as `h:mm:ss`.
    pub remaining_time: String,
    /// Tokens per second since this process began.
    pub throughput: f64,
    /// Tokens through the model so far.
    pub total_tokens: u64,
}

/// The open file.
#[derive(Debug)]
pub struct TrainerLog {
    path: PathBuf,
    file: File,
}

impl TrainerLog {
    /// Opens the log of a run that has done `steps` steps; later lines, and a torn last one, go.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(work_dir: &Path, steps: u64) -> Result<Self, TuneError> {
        let path = work_dir.join(TRAINER_LOG);
        let before = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            other => other.map_err(TuneError::file("read", &path))?,
        };
        let keep = |line: &&str| {
            serde_json::from_str::<LogLine>(line).is_ok_and(|line| line.current_steps <= steps)
        };
        let kept: String = before
            .lines()
            .filter(keep)
            .flat_map(|line| [line, "\n"])
            .collect();
        fs::write(&path, kept).map_err(TuneError::file("write", &path))?;
        let file = OpenOptions::new().append(true).open(&path);
        Ok(Self {
            file: file.map_err(TuneError::file("open", &path))?,
            path,
        })
    }

    /// Appends `line`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&mut self, line: &LogLine) -> Result<(), TuneError> {
        let mut text = serde_json::to_string(line).expect("a log line is plain JSON");
        text.push('\n');
        self.file
            .write_all(text.as_bytes())
            .map_err(TuneError::file("write", &self.path))
    }
}

/// `h:mm:ss`, as Python prints a timedelta below a day.
pub(crate) fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    format!(
        "{}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: u64) -> LogLine {
        LogLine {
            eval_loss: None,
            eval_metric: None,
            current_steps: step,
            total_steps: 10,
            loss: 0.5,
            lr: 1e-4,
            epoch: 0.1,
            percentage: 10.0,
            elapsed_time: clock(Duration::from_secs(61)),
            remaining_time: clock(Duration::from_secs(3_599)),
            throughput: 100.0,
            total_tokens: 1_000,
        }
    }

    #[test]
    fn a_resumed_log_has_every_step_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = TrainerLog::open(folder.path(), 0).expect("opens");
        (1..=5).for_each(|step| log.write(&line(step)).expect("writes"));
        log.file
            .write_all(b"{\"current_steps\": 6, \"tot")
            .expect("writes");
        let mut log = TrainerLog::open(folder.path(), 3).expect("opens");
        log.write(&line(4)).expect("writes");
        let text = fs::read_to_string(folder.path().join(TRAINER_LOG)).expect("reads");
        let steps: Vec<u64> = text
            .lines()
            .map(|line| {
                serde_json::from_str::<LogLine>(line)
                    .expect("a line")
                    .current_steps
            })
            .collect();
        assert_eq!(steps, [1, 2, 3, 4]);
        assert!(text.contains("\"elapsed_time\":\"0:01:01\",\"remaining_time\":\"0:59:59\""));
    }
}
