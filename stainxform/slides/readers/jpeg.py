"""Whether the bytes of a JPEG stream hang together, without decoding them."""

from __future__ import annotations

__all__ = ["END", "SCAN", "jpeg_fault"]

END = b"\xff\xd9"
SCAN = 0xDA


def jpeg_fault(data: bytes) -> str | None:
    """What is wrong with the markers of a JPEG stream (ITU-T T.81, annex B), or None. Flipped bits inside stay unseen."""
    if data[:2] != b"\xff\xd8":
        return "its JPEG stream has no beginning"
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return "its JPEG header is broken"
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == SCAN:
            return None if END in data[position:] else "its JPEG stream has no end"
        if marker < 0xC0 or length < 2:
            return "its JPEG header is broken"
        position += 2 + length
    return "its JPEG header is cut off"
