//! Dequantisation of GGUF block formats to f32.
