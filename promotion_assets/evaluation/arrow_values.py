"""Numbers between child and parent as an Arrow stream that is read without being parsed.

An Arrow stream from an untrusted writer can announce buffers of any size, compressed ones too.
So an answer must be byte for byte the stream that we would write ourselves, but for the values.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pyarrow as pa

from promotion_assets.evaluation.scores import Floats

SCHEMA = pa.schema([pa.field("value", pa.float64(), nullable=False)])


def encode_values(values: Floats) -> bytes:
    """Return ``values``, flattened, as an Arrow IPC stream with one float64 column."""
    column = pa.array(np.ascontiguousarray(values, dtype=np.float64).ravel())
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, SCHEMA) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays([column], schema=SCHEMA))
    return bytes(sink.getvalue().to_pybytes())


def decode_values(payload: bytes, count: int) -> Floats:
    """Return the ``count`` values of a stream from :func:`encode_values`.

    Raises:
        ValueError: the payload is anything else.
    """
    head, tail = _frame_of(count)
    end = len(head) + 8 * count
    if payload[: len(head)] != head or payload[end:] != tail:
        raise ValueError(f"not an Arrow stream of {count} float64 values")
    return np.frombuffer(payload, dtype="<f8", count=count, offset=len(head)).astype(np.float64)


@lru_cache(maxsize=16)
def _frame_of(count: int) -> tuple[bytes, bytes]:
    """Return what stands before and after the values in a stream of ``count`` of them."""
    mark = np.frombuffer(b"\xa5promot\x40", dtype="<f8")
    stream = encode_values(np.repeat(mark, count))
    start = stream.find(mark.tobytes()) if count else len(stream)
    return stream[:start], stream[start + 8 * count :]
