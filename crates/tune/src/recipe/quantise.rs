//! The stage that rounds a model to few bits, in LLaMA-Factory's keys for an export.
//!
//! Theirs quantises by GPTQ and has no stage of this name: their file runs with `stage=quantize` after it.
//! What is written is a GGUF file, its blocks chosen by the records ([`crate::calibrate`]).

use std::path::PathBuf;

use lathe_engine::gguf::blocks::BlockType;

use super::refuse;
use super::settings::{Settings, Stage};
use crate::TuneError;
use crate::calibrate::{CalibrationSpec, RECORDS, TOKENS_MAX};

/// Bits where nothing is said.
const BITS: u32 = 4;

impl Settings {
    /// Puts the keys of an export into the places that all stages have for what they say.
    ///
    /// # Errors
    /// [`TuneError::Recipe`] for such a key in another stage, and for what this stage cannot honour.
    pub(super) fn settle_export(&mut self) -> Result<(), TuneError> {
        let say = |key: &str, reason: &str| Err(refuse(Some(key), reason.to_owned()));
        if self.stage != Stage::Quantize {
            return self.no_export();
        }
        if let Some(folder) = self.export_dir.take() {
            if self.output_dir != PathBuf::new() && self.output_dir != folder {
                return say(
                    "export_dir",
                    "output_dir names another folder: give one of both",
                );
            }
            self.output_dir = folder;
        }
        if let Some(file) = self.export_quantization_dataset.take() {
            let named = self.dataset.is_some() || !self.label_files.is_empty();
            if named || self.train_file.as_ref().is_some_and(|it| *it != file) {
                return say(
                    "export_quantization_dataset",
                    "other data are named beside it: give one of both",
                );
            }
            self.train_file = Some(file);
        }
        if !matches!(self.export_quantization_bit, None | Some(4 | 8)) {
            return say(
                "export_quantization_bit",
                "4 or 8: blocks of these are written",
            );
        }
        if self.quantization_bit.is_some() {
            return say(
                "quantization_bit",
                "this rounds a base that is tuned on: what is written has export_quantization_bit",
            );
        }
        if self.search.is_some() {
            return say("search", "nothing is learnt by stage: quantize");
        }
        if self.resume_from_checkpoint.is_some() {
            return say(
                "resume_from_checkpoint",
                "leave it out: stage: quantize has no checkpoints, it writes its folder whole or not at all",
            );
        }
        if self.val_size > 0.0 || self.eval_file.is_some() || self.eval_dataset.is_some() {
            return say(
                "val_size",
                "leave it and other held-out data out: stage: quantize holds a fifth of its records out by \
                 itself",
            );
        }
        let longest = self.cutoff_len.min(TOKENS_MAX);
        self.cutoff_len = self.export_quantization_maxlen.unwrap_or(longest);
        Ok(())
    }

    /// Refuses the keys of an export where nothing is exported.
    fn no_export(&self) -> Result<(), TuneError> {
        const ROUND: &str = "stage: quantize rounds a model by a dataset, and lathe merge --calibrate one that was tuned";
        let keys = [
            (
                "export_dir",
                self.export_dir.is_some(),
                "write a merged model with lathe merge; stage: quantize writes one in 4 or 8 bits",
            ),
            (
                "export_quantization_bit",
                self.export_quantization_bit.is_some(),
                ROUND,
            ),
            (
                "export_quantization_dataset",
                self.export_quantization_dataset.is_some(),
                ROUND,
            ),
            (
                "export_quantization_nsamples",
                self.export_quantization_nsamples.is_some(),
                ROUND,
            ),
            (
                "export_quantization_maxlen",
                self.export_quantization_maxlen.is_some(),
                ROUND,
            ),
        ];
        match keys.into_iter().find(|(_, set, _)| *set) {
            Some((key, _, way)) => Err(refuse(
                Some(key),
                format!("this is not supported in this stage: {way}"),
            )),
            None => Ok(()),
        }
    }

    /// The type of the blocks that are written.
    pub fn block_type(&self) -> BlockType {
        match self.export_quantization_bit.unwrap_or(BITS) {
            8 => BlockType::Q8_0,
            _ => BlockType::Q4_0,
        }
    }

    /// How records are taken that calibrate.
    pub fn calibration(&self) -> CalibrationSpec {
        CalibrationSpec {
            records: self.export_quantization_nsamples.unwrap_or(RECORDS),
            tokens_max: self.cutoff_len,
            seed: self.seed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;
    use std::path::Path;

    /// LLaMA-Factory's example of a quantised export.
    const THEIRS: &str = "\
### model
model_name_or_path: meta-llama/Meta-Llama-3-8B-Instruct
template: llama3
trust_remote_code: true

### export
export_dir: output/llama3_gptq
export_quantization_bit: 4
export_quantization_dataset: data/c4_demo.jsonl
export_size: 5
export_device: cpu  # choices: [cpu, auto]
export_legacy_format: false
";

    fn settings(extra: &[&str]) -> Result<Settings, TuneError> {
        let extra: Vec<String> = extra.iter().map(|&text| text.to_owned()).collect();
        Recipe::parse(THEIRS, &extra, Path::new(".")).map(|it| it.settings)
    }

    #[test]
    fn an_export_of_theirs_is_a_stage_of_its_own() {
        let found = settings(&["stage=quantize"]).expect("is understood");
        assert_eq!(found.output_dir, Path::new("output/llama3_gptq"));
        assert_eq!(found.train_file.as_deref(), Some("data/c4_demo.jsonl"));
        assert_eq!(found.block_type(), BlockType::Q4_0);
        let spec = found.calibration();
        assert_eq!(
            (spec.records, spec.tokens_max),
            (128, 1024),
            "LLaMA-Factory's"
        );
        let more = [
            "stage=quantize",
            "export_quantization_bit=8",
            "export_quantization_nsamples=16",
            "export_quantization_maxlen=4096",
            "seed=7",
        ];
        let found = settings(&more).expect("is understood");
        assert_eq!(found.block_type(), BlockType::Q8_0);
        let spec = found.calibration();
        assert_eq!((spec.records, spec.tokens_max, spec.seed), (16, 4096, 7));
    }

    #[test]
    fn what_the_stage_cannot_honour_is_refused_by_name_with_a_way() {
        for (extra, key, wanted) in [
            (
                "export_quantization_bit=3",
                "export_quantization_bit",
                "4 or 8",
            ),
            (
                "quantization_bit=4",
                "quantization_bit",
                "export_quantization_bit",
            ),
            ("val_size=0.1", "val_size", "a fifth"),
            ("eval_file=x.csv", "val_size", "a fifth"),
            (
                "train_file=x.csv",
                "export_quantization_dataset",
                "one of both",
            ),
            ("output_dir=elsewhere", "export_dir", "one of both"),
            ("export_hub_model_id=a/b", "export_hub_model_id", "uploaded"),
        ] {
            let error = settings(&["stage=quantize", extra]).expect_err("is refused");
            let text = error.to_string();
            assert!(
                text.contains(key) && text.contains(wanted),
                "{extra}: {text}"
            );
        }
    }

    #[test]
    fn an_export_in_another_stage_is_refused_with_the_way_there() {
        let text = settings(&[]).expect_err("is refused").to_string();
        assert!(
            text.contains("export_dir") && text.contains("lathe merge"),
            "{text}"
        );
        for key in ["bit=4", "dataset=a", "nsamples=4", "maxlen=9"] {
            let off = [
                "export_dir=null",
                "export_quantization_bit=null",
                "export_quantization_dataset=null",
            ];
            let key = format!("export_quantization_{key}");
            let text = settings(&[&off[..], &[&key[..]]].concat()).expect_err("is refused");
            let text = text.to_string();
            assert!(text.contains("merge --calibrate"), "{key}: {text}");
        }
    }
}
