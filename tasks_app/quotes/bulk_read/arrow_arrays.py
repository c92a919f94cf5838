"""Arrow arrays from numpy's buffers, and from texts.

Not by `pa.array`: its first call imports pandas where it is installed, which takes 40 MB and half a second.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa


def from_numpy(values: "np.ndarray[Any, Any]", kind: pa.DataType, valid: Any = None) -> pa.Array:
    """Returns values of a fixed size as an array, without a copy; null where `valid` is False."""
    bitmap = None if valid is None or valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))
    values = np.packbits(values, bitorder="little") if pa.types.is_boolean(kind) else values
    length = len(values) if valid is None else len(valid)
    return pa.Array.from_buffers(kind, length, [bitmap, pa.py_buffer(np.ascontiguousarray(values))])


def from_texts(texts: Iterable[str | None]) -> pa.Array:
    """Returns texts, or None, as an array of strings."""
    builder = pa.lib.StringBuilder()
    builder.append_values(texts)
    return builder.finish()
