"""``stubs`` against a running server."""

import subprocess
import sys

from tests.client.scripted import Scripted, result

from .conftest import ask, run, status

USE = """
import sys, toolserver
from shop_orders import ShopOrders

server = toolserver.connect(sys.argv[1])
print(server.get_tool("shop.orders", ShopOrders).place("book", count=2))
"""


def test_one_tool_is_printed(running):
    done = ask(running, "stubs", "shop.orders")
    assert (done.code, done.err) == (0, "")
    assert "class ShopOrders(Protocol):" in done.out
    assert "def place(self, item: str, count: int = 1) -> str:" in done.out
    assert '"""Place an order."""' in done.out
    assert "class System(Protocol):" in ask(running, "stubs", "system").out


def test_modules_for_all_tools(running, tmp_path):
    folder = tmp_path / "new" / "stubs"
    done = run(running, "stubs", "--output", folder)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{folder / 'shop_orders.py'}\n"
    script = folder / "use.py"
    script.write_text(USE)
    command = [sys.executable, script, status(running)["url"]]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (ran.stdout, ran.stderr) == ("2 book\n", "")


def test_a_server_that_describes_nothing(tmp_path):
    with Scripted(lambda *_: result([{"name": "a", "parameters": 5}])) as server:
        done = ask(tmp_path, "stubs", "shop", "--url", server.url)
    assert (done.code, done.out) == (1, "")
    assert done.err == "Error: shop: got no description of a tool\n"


def test_wrong_use(running):
    assert ask(running, "stubs").code == 2
    unknown = ask(running, "stubs", "shop.order")
    assert unknown.code == 1
    assert "did you mean 'shop.orders'?" in unknown.err
