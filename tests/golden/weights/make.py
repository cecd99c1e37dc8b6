"""Makes the golden blocks: seeded random ones, dequantised and quantised by the package gguf.

Run as: python make.py, with gguf and numpy installed. For each format F:
- F.blocks: blocks of random bytes with finite scales (little-endian, as in a file);
- F.values: their values, as f32.
values.f32 are values to quantise, and F.quantized is what comes of them, for the formats that
Pellucid quantises to.
"""

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import quants

HERE = Path(__file__).parent
BLOCKS = 12
# Bytes of a block, how many f16 numbers it has, and at which byte.
FORMATS = {
    Type.Q8_0: (34, 1, 0),
    Type.Q4_0: (18, 1, 0),
    Type.Q4_1: (20, 2, 0),
    Type.F16: (2, 1, 0),
    Type.BF16: (2, 0, 0),
    Type.Q5_0: (22, 1, 0),
    Type.Q5_1: (24, 2, 0),
    Type.Q2_K: (84, 2, 80),
    Type.Q3_K: (110, 1, 108),
    Type.Q4_K: (144, 2, 0),
    Type.Q5_K: (176, 2, 0),
    Type.Q6_K: (210, 1, 208),
    Type.IQ4_NL: (18, 1, 0),
    Type.IQ4_XS: (136, 1, 0),
}
QUANTIZED = [Type.Q8_0, Type.Q4_0, Type.Q4_1, Type.F16, Type.BF16]


def values(random: np.random.Generator) -> np.ndarray:
    """Blocks of all magnitudes, ties, signs and zeros, some of them subnormal as f16 scales."""
    rows = random.standard_normal((10, 32)) * np.logspace(-7, 3, 10)[:, None]
    rows[1, 5] = rows[1, 9] = np.abs(rows[1]).max() * 1.5  # The first of equal extremes counts.
    rows[2, 3], rows[2, 20] = -2.0, 2.0
    halves = np.arange(-16, 16) * 0.5  # Ties, rounded away from zero.
    halves[0] = 127.0
    return np.concatenate([rows, halves[None], np.zeros((1, 32))]).astype("<f4")


def main() -> None:
    random = np.random.default_rng(20240607)
    inputs = values(random)
    inputs.tofile(HERE / "values.f32")
    for kind, (size, halves, first) in FORMATS.items():
        name = kind.name.lower()
        count = BLOCKS * 16 if size == 2 else BLOCKS
        blocks = random.integers(0, 256, (count, size), dtype=np.uint8)
        if halves:
            scales = random.standard_normal((len(blocks), halves)) * 0.1
            scales[0] = 6e-8  # The least f16 above zero.
            blocks[:, first : first + 2 * halves] = scales.astype("<f2").view(np.uint8)
        else:
            # The upper halves of f32 numbers: random bytes would hold infinities.
            floats = random.standard_normal(len(blocks)).astype("<f4")
            blocks = floats.view("<u2")[1::2].copy().view(np.uint8).reshape(-1, size)
        blocks.tofile(HERE / f"{name}.blocks")
        rows = blocks.reshape(1, -1)
        quants.dequantize(rows, kind).astype("<f4").tofile(HERE / f"{name}.values")
        if kind in QUANTIZED:
            quants.quantize(inputs, kind).tofile(HERE / f"{name}.quantized")


main()
