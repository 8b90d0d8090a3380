//! Every GGUF block format, bit for bit against the `gguf` Python package.
//!
//! The expected numbers come from `tests/reference/make_gguf_blocks.py` and, for what is written,
//! `make_gguf_quantised.py`.

use lathe_engine::gguf::blocks::BlockType;
use lathe_engine::safetensors;
use std::path::Path;

#[test]
fn every_format_gives_the_bits_of_the_reference() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/gguf-blocks.safetensors");
    let file = std::fs::read(path).expect("the vectors are there");
    let entries = safetensors::parse(&file).expect("the vectors are sound");
    assert_eq!(entries.len(), 2 * BlockType::ALL.len());
    for format in BlockType::ALL {
        let bytes = &file[entries[&format!("{format}.bytes")].bytes.clone()];
        let name = format!("{format}.values");
        let expected = entries[&name].values(&file, &name).expect("F32");
        let found = format.dequantize(bytes).expect("whole blocks");
        assert_eq!(found.len(), expected.len(), "{format}");
        assert!(found.len() >= 96, "{format}");
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(
                found.to_bits(),
                expected.to_bits(),
                "{format}[{index}]: {found} and {expected}"
            );
        }
    }
}

#[test]
fn every_format_is_written_to_the_bits_of_the_reference() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/reference/gguf-quantised.safetensors");
    let file = std::fs::read(path).expect("the vectors are there");
    let entries = safetensors::parse(&file).expect("the vectors are sound");
    let values = entries["values"].values(&file, "values").expect("F32");
    assert!(values.len() >= 1024);
    for format in BlockType::WRITTEN {
        let expected = &file[entries[format.name()].bytes.clone()];
        let mut found = Vec::new();
        format.quantize(&values, &mut found).expect("is written");
        let differ = found.iter().zip(expected).position(|(a, b)| a != b);
        assert_eq!((found.len(), differ), (expected.len(), None), "{format}");
    }
}

#[test]
fn half_a_block_is_refused() {
    for format in BlockType::ALL {
        let bytes = vec![0; 2 * format.block_bytes() - 1];
        assert!(format.dequantize(&bytes).is_err(), "{format}");
    }
}
