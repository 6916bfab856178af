"""What a RAW file of a camera looks like from outside, made by hand."""

import io
import struct

import numpy as np
from PIL import Image


def raw_file(
    preview: bytes, *, start: bytes = b"", maker: bytes = b"NIKON CORPORATION\0", orientation: int = 1
) -> bytes:
    """Return what a RAW file looks like from outside: a directory, a thumbnail, sensor data, a preview."""
    out = io.BytesIO()
    Image.new("RGB", (16, 12), "blue").save(out, "JPEG")
    small = out.getvalue()
    values = 8 + len(start) + 2 + 4 * 12 + 4
    entries = [
        struct.pack("<HHII", 0x010F, 2, len(maker), values),
        struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0),
        struct.pack("<HHII", 0x014A, 4, 1, 8),
        struct.pack("<HHII", 0xC612, 1, 4, 1) if start == b"DNG!" else struct.pack("<HHII", 0xC5D8, 4, 1, 1),
    ]
    directory = struct.pack("<H", 4) + b"".join(entries) + bytes(4)
    sensor = np.random.default_rng(0).integers(0, 256, 3000, dtype=np.uint8).tobytes()
    return b"II*\0" + struct.pack("<I", 8 + len(start)) + start + directory + maker + small + sensor + preview + sensor
