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
    ("dataset", Plain),
    ("dataset_dir", Plain),
    ("template", Plain),
    ("cutoff_len", Number),
    ("max_samples", Number),
    ("val_size", Number),
    ("train_on_prompt", Plain),
    ("mask_history", Plain),
    ("output_dir", Plain),
    ("logging_steps", Number),
    ("save_steps", Number),
    ("save_total_limit", Number),
    ("plot_loss", Plain),
    ("per_device_train_batch_size", Number),
    ("gradient_accumulation_steps", Number),
    ("learning_rate", Number),
    ("num_train_epochs", Number),
    ("lr_scheduler_type", Plain),
    ("warmup_ratio", Number),
    ("weight_decay", Number),
    ("adam_beta1", Number),
    ("adam_beta2", Number),
    ("adam_epsilon", Number),
    ("max_grad_norm", Number),
    ("seed", Number),
    // Meaningless here.
    ("do_train", Ignored),
    // A run always goes on from its own newest checkpoint, and from no other.
    ("resume_from_checkpoint", Ignored),
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
    // Not yet.
    (
        "quantization_bit",
        Refused("leave it out: a base in 4 or 8 bits is read as it is and computed in bf16"),
    ),
    (
        "quantization_method",
        Refused("leave it out: a base in 4 or 8 bits is read as it is and computed in bf16"),
    ),
    (
        "use_dora",
        Refused("leave it out: plain LoRA is what is tuned"),
    ),
    (
        "use_rslora",
        Refused("leave it out and set lora_alpha to alpha * sqrt(rank): the same scale"),
    ),
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
        "freeze_trainable_layers",
        Refused("use finetuning_type: lora"),
    ),
    (
        "freeze_trainable_modules",
        Refused("use finetuning_type: lora"),
    ),
    (
        "mix_strategy",
        Refused("put the records into one file in the order of your choice"),
    ),
    (
        "interleave_probs",
        Refused("put the records into one file in the share of your choice"),
    ),
    (
        "pref_beta",
        Refused("preference stages do not run from a recipe yet; use stage: sft"),
    ),
    (
        "pref_loss",
        Refused("preference stages do not run from a recipe yet; use stage: sft"),
    ),
    (
        "pref_ftx",
        Refused("preference stages do not run from a recipe yet; use stage: sft"),
    ),
    ("deepspeed", Refused("leave it out: one machine computes")),
    (
        "max_steps",
        Refused("use num_train_epochs, which may be a fraction"),
    ),
    ("warmup_steps", Refused("use warmup_ratio")),
    (
        "neftune_noise_alpha",
        Refused("leave it out: no noise is added"),
    ),
    ("streaming", Refused("leave it out")),
    ("eval_dataset", Refused("use eval_file, or val_size")),
    (
        "eval_strategy",
        Refused("leave it out: what val_size or eval_file holds back is measured at the end"),
    ),
    (
        "eval_steps",
        Refused("leave it out: what val_size or eval_file holds back is measured at the end"),
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
    fn no_key_stands_twice() {
        let mut names: Vec<&str> = KEYS.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!(names.len(), before);
    }
}
