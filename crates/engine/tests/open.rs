//! Opens the fixtures: a Hugging Face folder and a GGUF file of the same model.

use lathe_engine::{RawModel, open};
use std::path::{Path, PathBuf};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

fn folder() -> RawModel {
    open(&fixtures().join("tiny-model")).expect("the folder opens")
}

fn gguf() -> RawModel {
    open(&fixtures().join("tiny-model.gguf")).expect("the GGUF file opens")
}

#[test]
fn the_folder_and_the_gguf_file_are_the_same_model() {
    let (folder, gguf) = (folder(), gguf());
    assert_eq!(folder.config, gguf.config);
    assert_eq!(folder.config.eos, [2]);
    assert_eq!(folder.format_name(), "safetensors BF16");
    assert_eq!(gguf.format_name(), "GGUF Q8_0");
    let names: Vec<_> = folder.tensor_names().collect();
    assert_eq!(names, gguf.tensor_names().collect::<Vec<_>>());
    assert_eq!(names.len(), 2 + 9 * folder.config.layers);
}

/// Quantised values differ by no more than the format's step; a row in the wrong place would.
#[test]
fn every_tensor_of_the_gguf_file_is_close_to_the_folders() {
    let (folder, gguf) = (folder(), gguf());
    for name in folder.tensor_names() {
        let (shape, exact) = folder.tensor_f32(name).expect("is there");
        let (gguf_shape, close) = gguf.tensor_f32(name).expect("is there");
        assert_eq!(shape, gguf_shape, "{name}");
        let largest = exact
            .iter()
            .fold(0.0f32, |most, value| most.max(value.abs()));
        for (a, b) in exact.iter().zip(&close) {
            assert!((a - b).abs() <= largest / 8.0, "{name}: {a} and {b}");
        }
        let dot: f32 = exact.iter().zip(&close).map(|(a, b)| a * b).sum();
        let norms =
            exact.iter().map(|a| a * a).sum::<f32>() * close.iter().map(|b| b * b).sum::<f32>();
        assert!(
            dot / norms.sqrt() > 0.995,
            "{name}: cosine {}",
            dot / norms.sqrt()
        );
    }
}

#[test]
fn both_tokenizers_give_the_same_ids_and_the_text_back() {
    let (folder, gguf) = (folder(), gguf());
    for text in [
        "<|im_start|>user\nThe camera is great, 4.5!<|im_end|>\n",
        "你好 👩‍🚀\t  end  ",
        "",
    ] {
        let ids = folder.tokenizer.encode(text);
        assert_eq!(ids, gguf.tokenizer.encode(text), "{text:?}");
        assert_eq!(folder.tokenizer.decode(&ids, false), text);
        assert_eq!(gguf.tokenizer.decode(&ids, false), text);
    }
    assert_eq!(folder.tokenizer.vocab_size(), 416);
    assert_eq!(folder.tokenizer.token_id("<|im_end|>"), Some(2));
    assert_eq!(folder.tokenizer.decode(&[1, 336, 264, 2], true), "user");
}
