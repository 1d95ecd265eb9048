"""What the garbage collector passes over in a running server."""

import pytest

from tests.processes.servers import server

TOOL = """
import gc

from toolserver import StandardTool, register


@register("heap")
class Heap(StandardTool):
    def kept(self) -> int:
        return gc.get_freeze_count()
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_what_was_loaded_is_passed_over(tmp_path, workers):
    with server(tmp_path, workers=workers, tools=TOOL) as running:
        assert running.call("heap.kept") > 20_000
