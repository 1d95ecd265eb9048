"""PickleRPC, as clients speak it: sealed and signed, with Python's own values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolserver.client.codecs import (
    Answer,
    Outgoing,
    Style,
    bad_answer,
    refusal,
    sendable,
)
from toolserver.client.faults import make_error
from toolserver.errors import ParseError
from toolserver.protocols.pickles import KNOWN, read_pickle, write_pickle

__all__ = ["PickleCodec"]

_KIND = "application/vnd.toolserver.pickle"
_HEADERS = {"Content-Type": _KIND, "Accept": _KIND}
#: Bytes of an answer without compression.
_LARGEST = 256 * 1024 * 1024


class PickleCodec:
    """One call in each request; both are sealed where they are signed."""

    style = Style.MIXED

    def write(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Outgoing:
        """Write a call."""
        call = {"method": name, "args": tuple(args), "kwargs": dict(kwargs)}
        body = sendable(lambda: write_pickle(call, KNOWN))
        return Outgoing("/PYRPC", body, _HEADERS, is_sealed=True)

    def read(self, answer: Answer) -> Any:
        """Read a response."""
        if answer.status != 200 or answer.media_type != _KIND:
            raise refusal(answer)
        try:
            response = read_pickle(answer.body, KNOWN, _LARGEST)
        except ParseError as error:
            raise bad_answer(answer, error.message) from error
        match response:
            case {"value": value}:
                return value
            case {"exception": Exception() as exception}:
                raise exception
            case {"error": {"code": int(code), "type": kind, "message": text, **more}}:
                raise make_error(
                    str(text), code=code, kind=str(kind), data=more.get("data")
                )
        raise bad_answer(answer)
