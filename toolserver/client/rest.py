"""REST, as clients speak it: JSON by POST, and a result by its media type."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from toolserver import strictjson
from toolserver.client.codecs import (
    JSON_DEPTH,
    Answer,
    Outgoing,
    Style,
    bad_answer,
    refusal,
    sendable,
)
from toolserver.errors import ParseError

__all__ = ["RESTCodec"]

_HEADERS = {
    "Content-Type": "application/json",
    # Text as JSON is told from markup and from files.
    "Accept": "application/json, */*;q=0.5",
}
_CHARSET = re.compile(r""";\s*charset\s*=\s*["']?([^\s"';]+)""", re.IGNORECASE)
_XML = ("/xml", "+xml")


class RESTCodec:
    """A request to the URL of the method."""

    style = Style.EITHER

    def write(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Outgoing:
        """Write a call."""
        path = "/".join(quote(part, safe="~") for part in name.split("."))
        params = dict(kwargs) if kwargs else list(args)
        body = sendable(lambda: strictjson.encode(params))
        return Outgoing(f"/{path}", body, _HEADERS)

    def read(self, answer: Answer) -> Any:
        """Read a result: JSON, text, or bytes."""
        if answer.status == 204:
            return None
        if not 200 <= answer.status < 300:
            raise refusal(answer)
        media_type = answer.media_type
        try:
            if media_type == "application/json":
                return strictjson.decode(answer.body, max_depth=JSON_DEPTH)
            if media_type == "application/x-ndjson":
                return [
                    strictjson.decode(line, max_depth=JSON_DEPTH)
                    for line in answer.body.splitlines()
                ]
        except ParseError as error:
            raise bad_answer(answer, error.message) from error
        if media_type.startswith("text/") or media_type.endswith(_XML):
            return _read_text(answer)
        return answer.body


def _read_text(answer: Answer) -> str:
    found = _CHARSET.search(answer.content_type)
    try:
        return answer.body.decode(found[1] if found is not None else "utf-8")
    except (UnicodeDecodeError, LookupError) as error:
        raise bad_answer(answer, str(error)) from error
