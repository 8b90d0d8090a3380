//! A merged model as a GGUF file, with an Ollama `Modelfile` beside it.
//!
//! Matrices have the format that is asked for, but for two cases: in 4 bits the embeddings and the
//! head keep 8, because what they lose is lost at every token; and a matrix whose rows are no whole
//! blocks is F16. Norms and biases are F32, as llama.cpp wants them.

use super::{Export, Written, metadata, modelfile};
use crate::architecture::Architecture;
use crate::config::unsupported;
use crate::error::EngineError;
use crate::gguf::blocks::BlockType;
use crate::gguf::write::{self, Entry};
use crate::weights::{Expected, ROPE_DIVISORS, deinterleaved, expected};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Values of a tensor that are made before they are written.
const SPAN_VALUES: usize = 1 << 24;

pub(super) fn write(
    export: &Export<'_>,
    out: &Path,
    format: BlockType,
) -> Result<Written, EngineError> {
    let config = &export.raw().config;
    let metadata = metadata::of(export, format)?;
    let expected = expected(config);
    let mut entries: Vec<Entry> = expected.iter().map(|it| entry(it, format)).collect();
    let divisors = &config.rope_divisors;
    if !divisors.is_empty() && metadata::linear(config).is_none() {
        if config.architecture != Architecture::Llama {
            let name = "rotary divisors of another family than Llama".to_owned();
            let nearest = "a safetensors folder";
            return Err(unsupported("setting in a GGUF file", name, nearest));
        }
        entries.push(Entry {
            name: ROPE_DIVISORS.to_owned(),
            shape: vec![divisors.len()],
            block_type: BlockType::F32,
        });
    }
    std::fs::create_dir_all(out).map_err(|error| EngineError::io("create", out, error))?;
    let name = format!("model-{format}.gguf");
    let path = out.join(&name);
    let by_name: BTreeMap<_, _> = expected.iter().map(|it| (&it.gguf_name, it)).collect();
    let mut failed = None;
    let mut data = |entry: &Entry, out: &mut dyn Write| -> io::Result<()> {
        let Some(expected) = by_name.get(&entry.name) else {
            let bytes = divisors.iter().flat_map(|it| it.to_le_bytes());
            return out.write_all(&bytes.collect::<Vec<_>>());
        };
        tensor(export, expected, entry, out).map_err(|error| match error {
            EngineError::Io { source, .. } => source,
            other => {
                failed = Some(other);
                io::Error::other("a tensor could not be made")
            }
        })
    };
    let written = File::create(&path).and_then(|file| {
        let mut file = BufWriter::new(file);
        write::write(&mut file, &metadata, &entries, &mut data)?;
        file.into_inner()?.sync_all()
    });
    if let Some(error) = failed {
        return Err(error);
    }
    written.map_err(|error| EngineError::io("write", &path, error))?;
    let in_f16 = |it: &&Entry| it.block_type == BlockType::F16 && format != BlockType::F16;
    Ok(Written {
        tensors: entries.len(),
        in_f16: entries.iter().filter(in_f16).count(),
        modelfile_template: Some(modelfile::write(export, out, &name)?),
    })
}

/// How a tensor is stored.
fn entry(expected: &Expected, format: BlockType) -> Entry {
    let of_ends =
        expected.gguf_name == "token_embd.weight" || expected.gguf_name == "output.weight";
    let wanted = match format {
        _ if expected.shape.len() == 1 => BlockType::F32,
        BlockType::Q4_0 | BlockType::Q4_1 if of_ends => BlockType::Q8_0,
        other => other,
    };
    let row = expected.shape.last().copied().unwrap_or(1);
    Entry {
        name: expected.gguf_name.clone(),
        shape: expected.shape.clone(),
        block_type: match wanted.row_bytes(row) {
            Some(_) => wanted,
            None => BlockType::F16,
        },
    }
}

/// Writes one tensor, its rows where llama.cpp has them.
fn tensor(
    export: &Export<'_>,
    expected: &Expected,
    entry: &Entry,
    out: &mut dyn Write,
) -> Result<(), EngineError> {
    let Export { merged, pool, .. } = export;
    let (rows, name) = (entry.shape[0], &expected.name);
    let inputs = export.importance.and_then(|it| it.inputs(name));
    let (form, offset) = ((entry.block_type, inputs), expected.gguf_offset);
    let add = move |values: &mut [f32]| {
        if offset != 0.0 {
            values.iter_mut().for_each(|value| *value += offset);
        }
    };
    let put = |out: &mut dyn Write, bytes: &[u8]| {
        let written = out.write_all(bytes);
        written.map_err(|error| EngineError::io("write", Path::new(&entry.name), error))
    };
    if let Some(heads) = expected.interleaved_heads {
        let bytes = merged.encoded(pool, name, 0..rows, form, &add)?;
        let row_bytes = bytes.len() / rows;
        let mut moved = vec![0; bytes.len()];
        for (to, bytes) in deinterleaved(heads, rows)
            .into_iter()
            .zip(bytes.chunks(row_bytes))
        {
            moved[to * row_bytes..][..row_bytes].copy_from_slice(bytes);
        }
        return put(out, &moved);
    }
    let row_values = entry.shape[1..].iter().product::<usize>().max(1);
    let span = (SPAN_VALUES / row_values).max(1);
    for start in (0..rows).step_by(span) {
        let part = start..rows.min(start + span);
        put(out, &merged.encoded(pool, name, part, form, &add)?)?;
    }
    Ok(())
}
