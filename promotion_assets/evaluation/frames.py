"""The words that parent and child exchange: length-prefixed frames of JSON and raw bytes.

A frame is two little-endian lengths (header 4 bytes, payload 8 bytes), a JSON object and a
payload. The child is not trusted: whoever reads says how much is accepted, and nothing is
unpickled, on either side.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

LENGTHS = struct.Struct("<IQ")
MAX_HEADER_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Frame:
    """One message: a JSON object and the bytes that belong to it."""

    header: dict[str, Any]
    payload: bytes = b""

    def encode(self) -> bytes:
        """Return the frame as it goes over the pipe."""
        header = json.dumps(self.header).encode()
        return LENGTHS.pack(len(header), len(self.payload)) + header + self.payload


class FrameReader:
    """Puts frames together from the pieces that a pipe delivers.

    Args:
        max_payload: a larger payload is refused before it is read.
    """

    def __init__(self, max_payload: int) -> None:
        self.max_payload = max_payload
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Add bytes that were read."""
        self._buffer += data

    def take(self) -> Frame | None:
        """Return the next whole frame, or ``None`` until more bytes are fed.

        Raises:
            ValueError: what was read is not a frame, or is larger than accepted.
        """
        if len(self._buffer) < LENGTHS.size:
            return None
        header_size, payload_size = LENGTHS.unpack_from(self._buffer)
        if header_size > MAX_HEADER_BYTES or payload_size > self.max_payload:
            raise ValueError(f"a frame of {header_size} and {payload_size} bytes is too large")
        start, end = LENGTHS.size + header_size, LENGTHS.size + header_size + payload_size
        if len(self._buffer) < end:
            return None
        try:
            header = json.loads(self._buffer[LENGTHS.size : start])
        except RecursionError:
            raise ValueError("a frame's header is nested too deep") from None
        payload = bytes(self._buffer[start:end])
        del self._buffer[:end]
        if not isinstance(header, dict):
            raise ValueError("a frame's header is not an object")
        return Frame(header, payload)
