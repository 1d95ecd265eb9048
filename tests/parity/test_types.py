"""Values of each type come back the same through each door."""

from __future__ import annotations

from random import Random

import pytest

from tests.parity.echoes import Answers, Echoes, method_names
from tests.parity.opening import opened, told
from toolserver.parity.differences import DIFFERENCES, refusals
from toolserver.parity.values import values_of

COUNT = 200
#: Types that have fewer values than are asked for.
FEW = {"none", "boolean", "color", "level", "flag", "choice", "percent"}


@pytest.fixture(scope="module")
def server():
    with opened(Echoes, Answers) as running:
        yield running


@pytest.mark.parametrize("name", method_names())
def test_each_type(server, name):
    report = server.check(f"parity.echoes.{name}", count=COUNT)
    assert told(report) == []
    assert not report.skipped
    assert len(report.calls) == 8
    if name not in FEW:
        # Not all calls can be made where some arguments only have names, or places.
        least = COUNT // 2 if name in ("several", "many") else COUNT
        assert min(report.calls.values()) >= least


def test_each_known_difference_is_seen(server):
    seen = set()
    for name in ("anything", "number", "strict", "alike", "pieces", "several", "many"):
        seen |= server.check(f"parity.echoes.{name}", count=60).met
    for name in ("elsewhere", "itself"):
        report = server.check(f"parity.answers.{name}", count=3)
        assert told(report) == []
        seen |= report.met
    assert seen == set(DIFFERENCES)


def test_nearly_all_values_pass_through_all_doors(server):
    # A difference that allowed more than it says would hide faults.
    for name in ("text", "number", "integer"):
        target = server.worker.registry.target(f"parity.echoes.{name}")
        type_ = target.spec.parameters[0].type
        values = values_of(type_, COUNT, Random(1))
        for door in server.doors:
            refused = [value for value in values if refusals(door.name, [value])]
            assert len(refused) < COUNT // 5, door.name
