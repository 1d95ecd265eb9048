"""What is sealed for one receiver, and opened by that one alone."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.hashes import SHA256

from toolserver.auth.keys import generate
from toolserver.auth.sealing import associated_data, open_request, seal_request

KEY = generate("rsa")
PARTS = ("POST", "localhost", "/PYRPC", "", "ann", "nonce")
BOUND = associated_data(PARTS)
WRAPPED, BODY, SENDER = seal_request(b"text", KEY.public_key(), "salt", BOUND)


def opened(wrapped=WRAPPED, body=BODY, salt="salt", bound=BOUND):
    return open_request(wrapped, body, KEY, salt, bound)


def test_who_has_the_key_opens_it():
    content, receiver = opened()
    assert content == b"text"
    answer = receiver.seal(b"answer")
    assert b"answer" not in base64.b64decode(answer)
    assert SENDER.open(answer) == b"answer"
    assert receiver.session_secret() == SENDER.session_secret()


def encoded(octets):
    return base64.b64encode(octets)


OCTETS = base64.b64decode(BODY)
OAEP_SHA256 = OAEP(MGF1(SHA256()), SHA256(), None)
SHORT = KEY.public_key().encrypt(b"short", OAEP_SHA256)


@pytest.mark.parametrize(
    "changed",
    [
        {"wrapped": "no base64!"},
        {"wrapped": encoded(b"x" * 384).decode()},
        {"wrapped": encoded(SHORT).decode()},
        {"wrapped": "é" * 12},
        {"body": b"no base64!"},
        {"body": b""},
        {"body": encoded(b"\xff" + OCTETS[1:])},
        {"body": encoded(OCTETS[:-1])},
        {"body": encoded(OCTETS[:5])},
        {"body": encoded(OCTETS[:-1] + bytes([OCTETS[-1] ^ 1]))},
        {"bound": associated_data(("GET", *PARTS[1:]))},
        # Lengths are told: nothing moves from one part to the next.
        {"bound": associated_data((*PARTS[:4], "an", "nnonce"))},
    ],
)
def test_what_was_changed_is_not_opened(changed):
    with pytest.raises(ValueError, match=r"\Acannot be opened\Z"):
        opened(**changed)


def test_an_answer_to_another_request_is_not_opened():
    _, receiver = opened()
    _, _, other = seal_request(b"text", KEY.public_key(), "salt", BOUND)
    with pytest.raises(ValueError, match="cannot be opened"):
        other.open(receiver.seal(b"answer"))
