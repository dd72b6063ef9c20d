"""Read and write the safetensors format: eight bytes with the length of a JSON header, the header, then the arrays.

The header is {name: {"dtype", "shape", "data_offsets": [first, last + 1]}}, little-endian arrays in order
(github.com/huggingface/safetensors, "Format"). The package's reader for NumPy takes no bfloat16, and its errors don't
say what a damaged file lacks.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from expressnet_jax.errors import UserError
from expressnet_jax.io import write_bytes

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": ml_dtypes.bfloat16, "I64": "<i8", "I32": "<i4"}
DTYPES |= {"I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?"}
_LARGEST_HEADER = 100_000_000  # bytes, the format's own limit


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file by name; nothing in it is executed.

    Raises:
      UserError: it is no such file, or a part is missing.
    """
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    try:
        if len(content) < 8 or length > min(_LARGEST_HEADER, len(content) - 8):
            raise ValueError("its header is not whole")
        header, data = json.loads(content[8 : 8 + length]), memoryview(content)[8 + length :]
        header.pop("__metadata__", None)
        return {name: _read_array(name, entry, data) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: no whole safetensors file ({error}); download it again") from error


def _read_array(name: str, entry: Mapping[str, Any], data: memoryview) -> np.ndarray:
    first, last = entry["data_offsets"]
    dtype = np.dtype(DTYPES[entry["dtype"]])
    if not 0 <= first <= last <= len(data):
        raise ValueError(f"{name} ends at byte {last:,} of {len(data):,}")
    if last - first != math.prod(entry["shape"]) * dtype.itemsize:
        raise ValueError(f"{name} has {last - first:,} bytes, which are no {entry['shape']} of {entry['dtype']}")
    return np.frombuffer(data[first:last], dtype).reshape(entry["shape"])


def write_safetensors(path: Path, tensors: Mapping[str, np.ndarray]) -> Path:
    """Write float32 arrays by name, as PyTorch's loaders expect them.

    Raises:
      UserError: if it can't be written.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors.items():
        first, end = end, end + tensor.size * 4
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [first, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # arrays begin at a multiple of eight bytes
    arrays = b"".join(np.ascontiguousarray(tensor, "<f4").tobytes() for tensor in tensors.values())
    return write_bytes(path, len(text).to_bytes(8, "little") + text + arrays)
