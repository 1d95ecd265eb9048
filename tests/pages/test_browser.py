"""The API pages, as a reader with a browser uses them."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import sys
from pathlib import Path

import pytest
from gevent import subprocess

import toolserver.testing
from tests.pages.test_pages import Mill, Part
from toolserver import StandardTool, register

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@register("inputs")
class Inputs(StandardTool):
    def take(
        self,
        text: str,
        number: int,
        flag: bool,
        octets: bytes,
        day: dt.date | None,
        part: Part,
        left: int | None = None,
    ) -> list:
        return [text, number, flag, octets, day, part, left]


@pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ, reason="Chromium is not installed"
)
def test_a_reader_finds_and_calls_methods():
    assert CHROMIUM is not None, "Chromium is not installed"
    script = Path(__file__).with_name("browser.py")
    with toolserver.testing.serve(Mill, Inputs) as server:
        done = subprocess.run(
            [sys.executable, str(script), server.url("/"), CHROMIUM],
            capture_output=True,
            text=True,
            timeout=55,
        )
    assert done.returncode == 0, done.stderr[-3000:]
