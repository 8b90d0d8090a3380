"""Makes gguf-blocks.safetensors: what the gguf package says random GGUF blocks stand for.

    pip install numpy==2.4.6 safetensors==0.8.0 gguf==0.19.0
    python tests/reference/make_gguf_blocks.py

The bytes are random (seed 7) but for the half-precision scales, which are drawn so
that they are finite: normal, subnormal, negative and zero. For every type:
  TYPE.bytes    the blocks as they would stand in a file
  TYPE.values   their values; the engine must give these bits
"""

import pathlib

import gguf
import numpy as np
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).parent
BLOCKS = 6
# Where the half-precision numbers stand in a block.
SCALES = {
    "F32": [], "F16": [], "BF16": [], "Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0],
    "Q4_K": [0, 2], "Q6_K": [208], "Q5_K": [0, 2],
}


def scales(rng, count):
    values = rng.standard_normal(count) * 10.0 ** rng.integers(-8, 2, count)
    values[0] = 0.0
    return values.astype(np.float16)


def blocks(rng, name):
    """Random blocks of a quantised type, one per row."""
    _, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    rows = rng.integers(0, 256, (BLOCKS, size), dtype=np.uint8)
    for at in SCALES[name]:
        rows[:, at : at + 2] = scales(rng, BLOCKS).reshape(-1, 1).view(np.uint8)
    return rows


def plain(rng, name):
    """Finite numbers of a floating-point type, as bytes."""
    values = np.concatenate([rng.standard_normal(96), [0.0, -0.0, 6e-8, -3e-5, 65504.0, 1.0]])
    values = values.astype(np.float32)
    if name == "F32":
        return values.view(np.uint8)
    if name == "F16":
        return values.astype(np.float16).view(np.uint8)
    return (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)


def main():
    rng = np.random.default_rng(7)
    tensors = {}
    for name, at in SCALES.items():
        data = blocks(rng, name) if at else plain(rng, name)
        values = gguf.quants.dequantize(data, gguf.GGMLQuantizationType[name])
        tensors[f"{name}.bytes"] = data.reshape(-1)
        tensors[f"{name}.values"] = values.reshape(-1).astype(np.float32)
    save_file(tensors, HERE / "gguf-blocks.safetensors")


if __name__ == "__main__":
    main()
