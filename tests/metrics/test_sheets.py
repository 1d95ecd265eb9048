"""Where processes count, and what becomes of it when they end."""

import os
import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from toolserver.metrics.sheets import COUNTER, GAUGE, CountSheet
from toolserver.metrics.totals import Totals, sum_series

WORDS = st.text(max_size=20)


@given(
    st.dictionaries(
        st.lists(WORDS, min_size=1, max_size=4).map(tuple),
        st.lists(st.floats(allow_nan=False), min_size=1, max_size=20),
        max_size=20,
    )
)
@settings(max_examples=50)
def test_what_is_counted_is_read(counted):
    sheet = CountSheet()
    for key, values in counted.items():
        place = sheet.open(COUNTER, *key, count=len(values))
        for number, value in enumerate(values):
            sheet.values[place + number] = value
        assert sheet.open(COUNTER, *key, count=len(values)) == place
    found = {series.key[1:]: series.values for series in sheet.series()}
    assert found == counted


def test_a_full_sheet_says_so_and_keeps_what_it_has():
    sheet = CountSheet()
    number = 0
    while (place := sheet.open(COUNTER, "calls", f"{number:0200}")) is not None:
        sheet.values[place] = number
        number += 1
    assert number > 5000
    found = list(sheet.series())
    assert [each.values for each in found] == [[float(each)] for each in range(number)]


COUNTING = """
import os, signal, sys
from toolserver.metrics.sheets import COUNTER, GAUGE, CountSheet
sheet = CountSheet(int(sys.argv[1]))
calls = sheet.open(COUNTER, "calls", "shop")
sheet.values[sheet.open(GAUGE, "connections", "0")] = 5.0
for number in range(12345):
    sheet.values[calls] += 1.0
os.kill(os.getpid(), signal.SIGKILL)
"""


def count_and_be_killed(sheet):
    found = subprocess.run(
        [sys.executable, "-c", COUNTING, str(sheet.file.fileno())],
        pass_fds=[sheet.file.fileno()],
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert found.returncode == -9


def test_a_killed_process_leaves_every_count_and_no_state():
    totals = Totals()
    own, other = totals.open(), totals.open()
    count_and_be_killed(own)
    count_and_be_killed(other)
    calls, connections = ("c", "calls", "shop"), ("g", "connections", "0")
    assert dict(totals.series()) == {calls: [24690.0], connections: [10.0]}
    totals.close(own)
    assert dict(totals.series()) == {calls: [24690.0], connections: [5.0]}
    totals.close(other)
    totals.close(other)
    assert dict(totals.series()) == {calls: [24690.0]}


def test_series_of_a_key_are_summed_up():
    sheet = CountSheet()
    for name in ("a", "b"):
        sheet.values[sheet.open(GAUGE, name)] = 2.0
    twice = [*sheet.series(), *sheet.series()]
    assert dict(sum_series(twice)) == {("g", "a"): [4.0], ("g", "b"): [4.0]}
