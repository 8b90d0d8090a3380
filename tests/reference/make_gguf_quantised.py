"""Makes gguf-quantised.safetensors: what the gguf package makes of numbers in each format written.

    pip install numpy==2.4.6 safetensors==0.8.0 gguf==0.19.0
    python tests/reference/make_gguf_quantised.py

The numbers are random (seed 8) over eleven powers of ten, with blocks of zeros, of one magnitude with
both signs, and of steps that end on halves:
  values   the numbers, a whole number of blocks
  TYPE     their bytes in that format; the engine must give these
"""

import pathlib

import gguf
import numpy as np
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).parent
FORMATS = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1"]


def main():
    rng = np.random.default_rng(8)
    blocks = rng.standard_normal((64, 32)) * 10.0 ** rng.integers(-8, 3, (64, 1))
    blocks[0] = 0.0
    blocks[1] = np.where(np.arange(32) % 2 == 0, 1.5, -1.5)
    blocks[2] = (np.arange(32) - 16) * 0.5 * 127 / 16
    blocks[3] = -(np.arange(32) - 16) * 0.5
    values = blocks.astype(np.float32).reshape(-1)
    tensors = {"values": values}
    for name in FORMATS:
        data = gguf.quants.quantize(values.reshape(-1, 32), gguf.GGMLQuantizationType[name])
        tensors[name] = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
    save_file(tensors, HERE / "gguf-quantised.safetensors")


if __name__ == "__main__":
    main()
