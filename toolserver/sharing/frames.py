"""Messages on a stream: a length, and so many bytes of MessagePack.

====== ==== ==============================================
offset size meaning
====== ==== ==============================================
0      4    number of bytes that follow, big-endian
4      n    an array: the kind of the message, and its parts
====== ==== ==============================================
"""

from __future__ import annotations

from typing import Any

import msgspec

from toolserver.sharing.values import MAX_SIZE

__all__ = ["MAX_FRAME", "FrameReader", "frame"]

#: Size of a message at most, bytes: a value, and what stands beside it.
MAX_FRAME = MAX_SIZE + 2**20
_HEAD = 4

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode


def frame(message: tuple[Any, ...]) -> bytes:
    """Write a message.

    Args:
        message: Its kind and its parts: plain values.

    Raises:
        ValueError: It is too large.
    """
    content = _encode(message)
    if len(content) > MAX_FRAME:
        raise ValueError(
            f"got a message of {len(content)} bytes, expected at most {MAX_FRAME}"
        )
    return len(content).to_bytes(_HEAD, "big") + content


class FrameReader:
    """Finds the messages in what arrives of a stream."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[list[Any]]:
        """Take what has arrived.

        Args:
            data: The next bytes of the stream.

        Returns:
            The messages that are complete by now.

        Raises:
            ValueError: It is no stream of messages; nothing more can be read from it.
        """
        rest = self._rest
        rest += data
        messages: list[list[Any]] = []
        start = 0
        while len(rest) - start >= _HEAD:
            size = int.from_bytes(rest[start : start + _HEAD], "big")
            if size > MAX_FRAME:
                raise ValueError(f"got a message of {size} bytes")
            end = start + _HEAD + size
            if len(rest) < end:
                break
            try:
                message = _decode(rest[start + _HEAD : end])
            except (msgspec.DecodeError, RecursionError) as error:
                raise ValueError(f"got no message: {error}") from error
            if not message or not isinstance(message[0], int):
                raise ValueError("got a message of no kind")
            messages.append(message)
            start = end
        if start:
            del rest[:start]
        return messages
