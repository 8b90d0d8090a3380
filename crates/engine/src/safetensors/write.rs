//! Writes a `model.safetensors`, one tensor in memory at a time.
//!
//! The container is the `safetensors` crate's. It asks for each tensor's bytes while it writes and
//! takes no for no answer, so an error on the way is kept and reported after it.

use crate::error::EngineError;
use crate::gguf::blocks::BlockType;
use safetensors::{Dtype, SafeTensorError, View};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

/// Tensors that are made when they are asked for.
pub(crate) trait Tensors {
    /// Their names.
    fn names(&self) -> Vec<String>;
    /// The row-major shape of one.
    fn shape(&self, name: &str) -> Result<Vec<usize>, EngineError>;
    /// The bytes of one.
    fn bytes(&self, name: &str) -> Result<Vec<u8>, EngineError>;
}

/// One tensor on its way.
struct Lazy<'a> {
    tensors: &'a dyn Tensors,
    name: &'a str,
    shape: Vec<usize>,
    format: BlockType,
    failed: &'a RefCell<Option<EngineError>>,
}

impl View for Lazy<'_> {
    fn dtype(&self) -> Dtype {
        match self.format {
            BlockType::F32 => Dtype::F32,
            BlockType::F16 => Dtype::F16,
            _ => Dtype::BF16,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let made = match self.failed.borrow().is_some() {
            true => Ok(vec![0; self.data_len()]),
            false => self.tensors.bytes(self.name),
        };
        Cow::Owned(made.unwrap_or_else(|error| {
            self.failed.replace(Some(error));
            vec![0; self.data_len()]
        }))
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.format.block_bytes()
    }
}

/// Writes all of `tensors` in one of F32, F16 and BF16; gives how many there were.
///
/// # Errors
/// What making a tensor reports, [`EngineError::Io`], and [`EngineError::Unsupported`] for another
/// format.
pub(crate) fn write(
    path: &Path,
    tensors: &dyn Tensors,
    format: BlockType,
) -> Result<usize, EngineError> {
    if format.block_values() != 1 {
        return Err(EngineError::Unsupported {
            what: "safetensors type",
            name: format.name().to_owned(),
            supported: "F32, F16, BF16; blocks of fewer bits are GGUF's".to_owned(),
        });
    }
    let (names, failed) = (tensors.names(), RefCell::new(None));
    let lazy = |name| -> Result<_, EngineError> {
        let shape = tensors.shape(name)?;
        Ok((
            name,
            Lazy {
                tensors,
                name,
                shape,
                format,
                failed: &failed,
            },
        ))
    };
    let views: Vec<(&str, Lazy<'_>)> = names
        .iter()
        .map(|name| lazy(name.as_str()))
        .collect::<Result<_, _>>()?;
    let made_for = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let written = safetensors::serialize_to_file(views, Some(made_for), path);
    if let Some(error) = failed.into_inner() {
        return Err(error);
    }
    written.map_err(|error| match error {
        SafeTensorError::IoError(error) => EngineError::io("write", path, error),
        other => EngineError::io("write", path, std::io::Error::other(other.to_string())),
    })?;
    Ok(names.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Two {
        broken: bool,
    }

    impl Tensors for Two {
        fn names(&self) -> Vec<String> {
            vec!["b".to_owned(), "a".to_owned()]
        }

        fn shape(&self, name: &str) -> Result<Vec<usize>, EngineError> {
            Ok(if name == "a" { vec![3] } else { vec![2, 2] })
        }

        fn bytes(&self, name: &str) -> Result<Vec<u8>, EngineError> {
            if self.broken {
                return Err(EngineError::damaged(name, "it is broken"));
            }
            let len = self.shape(name)?.iter().product::<usize>();
            let values: Vec<f32> = (0..len).map(|it| it as f32).collect();
            let mut bytes = Vec::new();
            BlockType::F16.quantize(&values, &mut bytes)?;
            Ok(bytes)
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("m.safetensors");
        let count = write(&path, &Two { broken: false }, BlockType::F16).expect("writes");
        assert_eq!(count, 2);
        let file = std::fs::read(&path).expect("is there");
        let entries = crate::safetensors::parse(&file).expect("the reader takes it");
        let values = |name: &str| entries[name].values(&file, name).expect("reads");
        assert_eq!(values("a"), [0.0, 1.0, 2.0]);
        assert_eq!(values("b"), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(entries["b"].shape, [2, 2]);
    }

    #[test]
    fn what_goes_wrong_on_the_way_is_reported() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("m.safetensors");
        let error = write(&path, &Two { broken: true }, BlockType::F16).expect_err("fails");
        assert!(error.to_string().contains("it is broken"), "{error}");
        let nowhere = folder.path().join("none/m.safetensors");
        assert!(write(&nowhere, &Two { broken: false }, BlockType::F16).is_err());
    }

    #[test]
    fn blocks_are_refused_by_name() {
        let error = write(Path::new("never"), &Two { broken: false }, BlockType::Q8_0);
        assert!(error.expect_err("is refused").to_string().contains("Q8_0"));
    }
}
