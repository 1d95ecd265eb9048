"""The plug-in for pytest, in a pytest of its own."""

import subprocess
import sys

TESTS = """
import socket

import gevent.socket
import pytest
from toolserver import StandardTool, register
from toolserver.testing import serve


@register("shop.orders")
class Orders(StandardTool):
    def place(self, item: str) -> str:
        return item


@pytest.mark.parametrize("item", ["book", "pen", "ink"])
def test_an_order_is_placed(item):
    assert socket.socket is gevent.socket.socket
    with serve(Orders) as server:
        assert server.http.get(f"/shop/orders/place?item={item}").text == item
"""


def test_workers_of_xdist_are_patched_and_get_their_tests(tmp_path):
    for name in ("test_one.py", "test_two.py", "test_three.py"):
        (tmp_path / name).write_text(TESTS)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "toolserver.pytest_plugin"),
            *("-p", "no:cacheprovider", "-W", "error"),
            *("--numprocesses", "2", "--dist", "loadfile"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 passed" in done.stdout
