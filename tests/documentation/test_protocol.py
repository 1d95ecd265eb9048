"""The protocol of the documentation, as a file of tools in a server."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import requests

from toolserver import daemon
from toolserver.home import Home

ROOT = Path(__file__).parents[2]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.M | re.S)


def test_the_protocol_of_the_documentation_is_a_file_in_tools(tmp_path):
    (codec,) = [
        block
        for block in blocks(ROOT / "docs" / "protocols.md", "python")
        if "register_protocol" in block
    ]
    assert codec.count("\n") < 60
    home = Home(tmp_path)
    home.create()
    (home.tools / "msgpack_rpc.py").write_text(codec)
    (home.tools / "sums.py").write_text(
        "from toolserver import StandardTool, register\n"
        "@register('sums')\n"
        "class Sums(StandardTool):\n"
        "    def add(self, a: int, b: int) -> int:\n"
        "        return a + b\n"
    )
    home.settings_file.touch()
    url = daemon.start(home, ["--port=0"]).url
    try:

        def ask(message, path="/MSGPACK", kind="application/vnd.msgpack"):
            return requests.post(
                url.rstrip("/") + path,
                data=msgspec.msgpack.encode(message),
                headers={"Content-Type": kind},
                timeout=10,
            )

        def answer(*sent):
            return msgspec.msgpack.decode(ask(*sent).content)

        assert answer([0, 7, "sums.add", [1, 2]]) == [1, 7, None, 3]
        assert answer([0, 8, "add", [1, 2]], "/MSGPACK/sums") == [1, 8, None, 3]
        assert answer([0, 9, "sums.add", [1, "x"]])[2][0] == -32602
        assert answer([0, 9, "sums.nope", []])[2][0] == -32601
        assert answer("nonsense")[2][0] == -32600
        assert not ask([2, "sums.add", [1, 2]]).content
        assert ask([0, 1, "sums.add", []], kind="text/xml").status_code == 415
        assert requests.get(f"{url}/MSGPACK", timeout=10).status_code == 405
    finally:
        daemon.stop(home)
