"""The numbers by which answers in JSON-RPC belong to their calls.

Who sends a call again numbers it anew: that makes it no other call, and the answer to
the first one has to carry the new number.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from toolserver import strictjson

__all__ = ["essence_of", "renumbered"]

#: How deep an answer may be nested, which was written here.
_MAX_DEPTH = 1000


def essence_of(message: Any, *, has_meta: bool = False) -> bytes:
    """What tells calls from others, without their numbers.

    Args:
        message: A call or a batch of calls, plain values.
        has_meta: Whether the parameters have a member that belongs to the protocol.

    Returns:
        The same for the same calls, whatever the order of their members.
    """
    calls = message if type(message) is list else [message]
    essence = [_essence(call, has_meta) for call in calls]
    return json.dumps([type(message) is list, essence], sort_keys=True).encode()


def renumbered(body: bytes, numbers: Sequence[Any]) -> bytes:
    """Write other numbers into an answer.

    Args:
        body: The answer, as it was written once; it may be empty.
        numbers: Those of the calls that are answered, in their order.

    Returns:
        The answer with these numbers.
    """
    if not body:
        return body
    answer = strictjson.decode(body, max_depth=_MAX_DEPTH)
    answers = answer if type(answer) is list else [answer]
    if len(answers) != len(numbers):
        # One failure for all of them, which has no number.
        return body
    if [each["id"] for each in answers] == list(numbers):
        return body
    for each, number in zip(answers, numbers, strict=True):
        each["id"] = number
    return strictjson.encode(answer)


def _essence(call: Any, has_meta: bool) -> Any:
    if type(call) is not dict:
        return call
    # A call without a number is another one: nobody wants its answer.
    found = {**call, "id": "id" in call}
    params = found.get("params")
    if has_meta and type(params) is dict:
        found["params"] = {key: params[key] for key in params if key != "_meta"}
    return found
