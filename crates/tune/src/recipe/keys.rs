//! Every key a recipe may hold: what is honoured, what is accepted and has no meaning here, and
//! what is refused, each refusal with the nearest way that there is.
//!
//! The names are LLaMA-Factory's; the last group is Lathe's own.

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text, a flag or a structure.
    Plain,
    /// A number, which may be written as a text: PyYAML reads 1e-4 as one.
    Number,
    /// Accepted, listed once, without effect.
    Ignored,
    /// Refused unless the value is the one that changes nothing; then what to do instead.
    Refused(&'static str),
}

use Kind::{Ignored, Number, Plain, Refused};

/// The table.
pub(super) const KEYS: &[(&str, Kind)] = &[
    ("model_name_or_path", Plain),
    ("adapter_name_or_path", Plain),
    ("stage", Plain),
    ("finetuning_type", Plain),
    ("lora_rank", Number),
    ("lora_alpha", Number),
    ("lora_target", Plain),
    ("lora_dropout", Number),
    ("use_rslora", Plain),
    ("use_dora", Plain),
    ("freeze_trainable_layers", Number),
    ("freeze_trainable_modules", Plain),
    ("quantization_bit", Number),
    ("quantization_method", Plain),
    ("export_dir", Plain),
    ("export_quantization_bit", Number),
    ("export_quantization_dataset", Plain),
    ("export_quantization_nsamples", Number),
    ("export_quantization_maxlen", Number),
    ("dataset", Plain),
    ("dataset_dir", Plain),
    ("mix_strategy", Plain),
    ("interleave_probs", Plain),
    ("eval_dataset", Plain),
    ("template", Plain),
    ("cutoff_len", Number),
    ("max_samples", Number),
    ("val_size", Number),
    ("train_on_prompt", Plain),
    ("mask_history", Plain),
    ("pref_beta", Number),
    ("pref_ftx", Number),
    ("pref_loss", Plain),
    ("kto_chosen_weight", Number),
    ("kto_rejected_weight", Number),
    ("output_dir", Plain),
    ("logging_steps", Number),
    ("save_steps", Number),
    ("save_total_limit", Number),
    ("resume_from_checkpoint", Plain),
    ("plot_loss", Plain),
    ("eval_strategy", Plain),
    ("eval_steps", Number),
    ("load_best_model_at_end", Plain),
    ("early_stopping_steps", Number),
    ("per_device_train_batch_size", Number),
    ("gradient_accumulation_steps", Number),
    ("learning_rate", Number),
    ("num_train_epochs", Number),
    ("max_steps", Number),
    ("lr_scheduler_type", Plain),
    ("warmup_ratio", Number),
    ("warmup_steps", Number),
    ("weight_decay", Number),
    ("adam_beta1", Number),
    ("adam_beta2", Number),
    ("adam_epsilon", Number),
    ("max_grad_norm", Number),
    ("seed", Number),
    // Meaningless here.
    ("do_train", Ignored),
    // Nothing is ever padded, and no row sees another.
    ("packing", Ignored),
    ("neat_packing", Ignored),
    ("bf16", Ignored),
    ("fp16", Ignored),
    ("pure_bf16", Ignored),
    ("flash_attn", Ignored),
    ("gradient_checkpointing", Ignored),
    ("overwrite_output_dir", Ignored),
    ("overwrite_cache", Ignored),
    ("preprocessing_num_workers", Ignored),
    ("dataloader_num_workers", Ignored),
    ("save_only_model", Ignored),
    ("report_to", Ignored),
    ("ddp_timeout", Ignored),
    ("trust_remote_code", Ignored),
    ("use_fast_tokenizer", Ignored),
    ("per_device_eval_batch_size", Ignored),
    ("include_num_input_tokens_seen", Ignored),
    ("optim", Ignored),
    ("low_cpu_mem_usage", Ignored),
    ("enable_thinking", Ignored),
    ("double_quantization", Ignored),
    ("enable_liger_kernel", Ignored),
    ("use_unsloth", Ignored),
    ("use_unsloth_gc", Ignored),
    ("disable_gradient_checkpointing", Ignored),
    ("upcast_layernorm", Ignored),
    ("tokenized_path", Ignored),
    ("ray_run_name", Ignored),
    ("save_strategy", Ignored),
    ("logging_strategy", Ignored),
    ("push_to_hub", Ignored),
    ("include_tokens_per_second", Ignored),
    ("remove_unused_columns", Ignored),
    ("predict_with_generate", Ignored),
    ("do_eval", Ignored),
    // A GGUF file is one file of no device.
    ("export_size", Ignored),
    ("export_device", Ignored),
    ("export_legacy_format", Ignored),
    (
        "pissa_init",
        Refused("leave it out: adapters start as PEFT starts them"),
    ),
    ("lora_bias", Refused("leave it out: biases are not tuned")),
    (
        "additional_target",
        Refused("leave it out: only linear layers of blocks carry adapters"),
    ),
    (
        "dpo_label_smoothing",
        Refused("leave it out: pairs are taken as they are labelled"),
    ),
    (
        "ref_model",
        Refused("leave it out: the model without its adapter is the reference"),
    ),
    (
        "reward_model",
        Refused("use stage: dpo or stage: kto, which need none"),
    ),
    (
        "freeze_extra_modules",
        Refused("use finetuning_type: full for embeddings and head, or leave it out"),
    ),
    (
        "loraplus_lr_ratio",
        Refused("leave it out: both matrices have one learning rate"),
    ),
    ("use_galore", Refused("use finetuning_type: lora")),
    ("use_badam", Refused("use finetuning_type: freeze")),
    ("do_predict", Refused("score a file with lathe eval")),
    (
        "export_hub_model_id",
        Refused("leave it out: nothing is uploaded"),
    ),
    ("deepspeed", Refused("leave it out: one machine computes")),
    (
        "neftune_noise_alpha",
        Refused("leave it out: no noise is added"),
    ),
    ("streaming", Refused("leave it out")),
    (
        "tool_format",
        Refused("leave it out: the model's own chat template writes tools and calls"),
    ),
    (
        "default_system",
        Refused(
            "put the system message into the data, in messages or in a column that dataset_info.json names",
        ),
    ),
    // Lathe's own.
    ("train_file", Plain),
    ("eval_file", Plain),
    ("sha256", Plain),
    ("reader", Plain),
    ("label_files", Plain),
    ("input", Plain),
    ("output", Plain),
    ("system", Plain),
    ("answer", Plain),
    ("rows_max", Number),
    ("search", Plain),
];

/// Values that switch a key off.
pub(super) fn is_off(value: &serde_json::Value) -> bool {
    use serde_json::Value;
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => matches!(text.as_str(), "" | "none" | "no" | "null"),
        Value::Number(number) => number.as_f64() == Some(0.0),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_tools_are_written_is_the_templates_and_no_key_says_otherwise() {
        let head = "model_name_or_path: m\noutput_dir: o\ntrain_file: t.jsonl\n";
        let parse = |extra: &str| {
            let folder = std::path::Path::new("");
            super::super::Recipe::parse(&format!("{head}{extra}"), &[], folder)
        };
        for (key, value, instead) in [
            ("tool_format", "qwen", "chat template"),
            ("default_system", "Be kind.", "dataset_info.json"),
        ] {
            let error = parse(&format!("{key}: {value}\n")).expect_err("refused");
            let error = error.to_string();
            assert!(error.contains(key) && error.contains(instead), "{error}");
            parse(&format!("{key}: null\n")).expect("nothing is asked for");
        }
    }

    #[test]
    fn no_key_stands_twice() {
        let mut names: Vec<&str> = KEYS.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!(names.len(), before);
    }
}
