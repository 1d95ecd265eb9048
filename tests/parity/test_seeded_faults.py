"""A codec that is broken on purpose is found out, and only that one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.parity.echoes import Echoes
from tests.parity.opening import opened
from tests.parity.test_failures import Failing
from toolserver import register_protocol
from toolserver.parity.calls import Asked
from toolserver.protocols import base
from toolserver.protocols.jsonrpc import JSONRPC
from toolserver.protocols.soap import SOAP
from toolserver.protocols.xmlrpc import XMLRPC
from toolserver.services import services
from toolserver.settings import Limits, XMLRPCSettings


class NoNegativeZero(JSONRPC):
    def encode(self, request, outcomes):
        return changed(super().encode(request, outcomes), rb"-0\.0\b", b"0.0")


class Composing(JSONRPC):
    def decode(self, request):
        calls = super().decode(request)
        for call in calls:
            call.args = [composed(value) for value in call.args]
            call.kwargs = {key: composed(call.kwargs[key]) for key in call.kwargs}
        return calls


class NoFractions(XMLRPC):
    def encode(self, request, outcomes):
        answer = super().encode(request, outcomes)
        return changed(answer, rb"(:\d\d)\.\d+", rb"\1")


class OneNumber(XMLRPC):
    def encode(self, request, outcomes):
        return changed(super().encode(request, outcomes), rb"-32004", b"-32500")


class NoZones(SOAP):
    def encode(self, request, outcomes):
        return changed(super().encode(request, outcomes), rb"\+05:30<", b"<")


class OtherClass(SOAP):
    def encode(self, request, outcomes):
        answer = super().encode(request, outcomes)
        return changed(answer, b"<type>NotFound<", b"<type>Conflict<")


def changed(answer, pattern, text):
    """The same answer with a fault in its body."""
    if isinstance(answer, bytes):
        return re.sub(pattern, text, answer)
    answer.body = re.sub(pattern, text, answer.body)
    return answer


def composed(value):
    return unicodedata.normalize("NFC", value) if isinstance(value, str) else value


@dataclass
class Seeded:
    codec: Callable[[], object]
    method: str
    doors: set[str]


def soap(cls):
    return lambda: cls(Limits(), lambda name: services().registry.target(name))


SEEDED = {
    "zeros": Seeded(lambda: NoNegativeZero(Limits()), "number", {"JSON-RPC", "job"}),
    "marks": Seeded(lambda: Composing(Limits()), "text", {"JSON-RPC"}),
    "fractions": Seeded(
        lambda: NoFractions(Limits(), XMLRPCSettings()), "moment", {"XML-RPC"}
    ),
    "zones": Seeded(
        soap(NoZones), "moment", {"SOAP rpc/encoded", "SOAP document/literal"}
    ),
}
#: Of errors: the codec, and the doors whose failures it changes.
FAILING = {
    "number": Seeded(
        lambda: OneNumber(Limits(), XMLRPCSettings()), "missing", {"XML-RPC"}
    ),
    "class": Seeded(
        soap(OtherClass), "missing", {"SOAP rpc/encoded", "SOAP document/literal"}
    ),
}


@pytest.fixture
def seed():
    """Put a broken codec in the place of the shipped one."""

    def put(codec):
        register_protocol(codec)
        made.append(codec)

    made = []
    yield put
    for codec in made:
        base.registered.remove(codec)


@pytest.mark.parametrize("fault", SEEDED)
def test_a_broken_value_is_found(fault, seed):
    seeded = SEEDED[fault]
    seed(seeded.codec())
    with opened(Echoes) as server:
        report = server.check(f"parity.echoes.{seeded.method}", count=60)
    assert {found.door for found in report.faults} == seeded.doors
    for found in report.faults:
        # What was sent, what came back, and what should have.
        assert found.asked.values
        assert str(found.expected) != str(found.told)


@pytest.mark.parametrize("fault", FAILING)
def test_a_broken_error_is_found(fault, seed):
    seeded = FAILING[fault]
    seed(seeded.codec())
    name = f"parity.failing.{seeded.method}"
    with opened(Failing) as server:
        asked = Asked(name, (), {}, server.worker.registry.target(name))
        report = server.judge(name, [asked, asked])
    # A multicall tells numbers by itself.
    assert {found.door for found in report.faults} == seeded.doors
