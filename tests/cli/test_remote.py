"""``call`` and ``tools`` against a running server."""

import json
import socket

import pytest

import toolserver.testing
from tests.client.protocols import OPEN
from tests.client.test_mcp import Media
from tests.sample import Types
from toolserver import CRAMSettings, OnlyRPCCRAMTool, register
from toolserver.auth.nonces import Nonces

from .conftest import ask, run, status


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (["shop.orders.place", "book"], "1 book\n"),
        (["shop.orders.place", "book", "2"], "2 book\n"),
        (["shop.orders.place", "item=book", "count=3"], "3 book\n"),
        (["shop.orders.place", "item=a=b"], "1 a=b\n"),
        (["shop.orders.place", '"3"'], "1 3\n"),
        (["shop.orders.place", "NaN"], "1 NaN\n"),
        (["shop.orders.place", "-Infinity"], "1 -Infinity\n"),
        (["shop.orders.place", "book", "--json"], '"1 book"\n'),
        (["shop.orders.place", "--protocol", "RPC2", "book", "2"], "2 book\n"),
        (["shop.orders.place", "--protocol", "rest", "item=book"], "1 book\n"),
        (["shop.orders.place", "book", "count=2"], "2 book\n"),
        (["shop.orders.place", "--protocol", "RPC2", "item=a", "count=2"], "2 a\n"),
        (["shop.orders.place", "--protocol", "SOAP", "book", "count=2"], "2 book\n"),
        (["shop.orders.place", "--protocol", "REST", "book"], "1 book\n"),
        (["shop.orders.place", "--protocol", "mcp", "book", "count=2"], "2 book\n"),
    ],
)
def test_call(running, words, out):
    done = ask(running, "call", *words)
    assert (done.code, done.out, done.err) == (0, out, "")


@register("shop.vault")
class Vault(OnlyRPCCRAMTool):
    settings = CRAMSettings(secret="s3cret")

    def look(self, far: bool = False) -> str:
        return "far" if far else "near"


@pytest.fixture(scope="module")
def vault(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    (home / "var").mkdir()
    # As if a server had run here before, which kept its memory.
    Nonces(home / "var/nonces.db", most=1, since=0).close()
    with toolserver.testing.serve(Vault, home=home) as running:
        yield running.url("/")


@pytest.mark.parametrize("protocol", ["RPC2", "JSONRPC", "SOAP", "MCP"])
def test_call_with_a_secret(vault, tmp_path, monkeypatch, protocol):
    words = ["call", "shop.vault.look", "far=true"]
    words += ["--protocol", protocol, "--url", vault]
    refused = ask(tmp_path, *words)
    assert (refused.code, refused.out) == (1, "")
    assert ": token" in refused.err
    file = tmp_path / "secret"
    file.write_text("s3cret\n")
    assert ask(tmp_path, *words, "--secret-file", file).out == "far\n"
    monkeypatch.setenv("TOOLSERVER_SECRET", "s3cret")
    assert ask(tmp_path, *words).out == "far\n"
    file.write_text("another")
    wrong = ask(tmp_path, *words, "--secret-file", file)
    assert (wrong.code, wrong.out) == (1, "")
    assert "token: wrong" in wrong.err
    assert ask(tmp_path, "call", "shop._look", "--url", vault).code == 2
    monkeypatch.delenv("TOOLSERVER_SECRET")
    file.write_bytes(b"\xff")
    assert ask(tmp_path, *words, "--secret-file", file).code == 2


@pytest.mark.parametrize("how", [("--async",), ("--priority", "3"), ("--at", "+0")])
def test_jobs_with_a_secret(vault, tmp_path, monkeypatch, how):
    monkeypatch.setenv("TOOLSERVER_SECRET", "s3cret")
    done = ask(tmp_path, "call", "shop.vault.look", "--url", vault, *how)
    assert (done.code, done.err) == (0, "")
    monkeypatch.delenv("TOOLSERVER_SECRET")
    asked = ["call", "system.jobs.result", done.out.strip(), "30", "--url", vault]
    assert ask(tmp_path, *asked).out == "near\n"


def test_a_key_with_a_secret(vault, tmp_path, monkeypatch):
    monkeypatch.setenv("TOOLSERVER_SECRET", "s3cret")
    words = ["call", "shop.vault.look", "--url", vault, "--idempotency-key", "k1"]
    assert ask(tmp_path, *words).out == "near\n"
    other = ask(tmp_path, *words, "far=true")
    assert (other.code, other.out) == (1, "")


def test_results_that_json_does_not_have(tmp_path):
    with toolserver.testing.serve(Types) as server:
        words = ["call", "--protocol", "SOAP", "--url", server.url()]
        for method, argument, shown in [
            ("decimal", "1.50", '"1.50"\n'),
            ("date", "2026-11-23", '"2026-11-23"\n'),
        ]:
            done = ask(tmp_path, *words, f"sample.types.{method}", f'"{argument}"')
            assert (done.code, done.out) == (0, shown)
        # Nothing is printed for nothing, unless JSON is asked for.
        words += ["sample.types.none"]
        assert ask(tmp_path, *words).out == ""
        assert ask(tmp_path, *words, "--json").out == "null\n"


def test_protocols_are_listed_by_help(tmp_path):
    done = ask(tmp_path, "call", "--help")
    assert "[jsonrpc|rpc2|" in done.out.lower()


def test_call_signed_with_a_secret(vault, tmp_path, monkeypatch):
    words = ["call", "shop.vault.look", "far=true", "--url", vault, "--sign"]
    unknown = ask(tmp_path, *words)
    assert unknown.code == 2
    assert "--sign: expected --secret-file" in unknown.err
    monkeypatch.setenv("TOOLSERVER_SECRET", "s3cret")
    assert ask(tmp_path, *words).out == "far\n"
    assert ask(tmp_path, *words, "--protocol", "SOAP").out == "far\n"
    monkeypatch.setenv("TOOLSERVER_SECRET", "another")
    wrong = ask(tmp_path, *words)
    assert (wrong.code, wrong.out) == (1, "")
    assert "signature: it does not hold" in wrong.err


def test_call_as_a_process(running):
    done = run(running, "call", "shop.orders.place", "item=book")
    assert (done.code, done.out, done.err) == (0, "1 book\n", "")
    failed = run(running, "call", "shop.orders.fail")
    assert (failed.code, failed.out) == (1, "")
    assert failed.err == "Error: ValueError (-32500): no way\n"


@pytest.mark.parametrize("protocol", OPEN)
def test_call_with_a_list_as_result(running, protocol):
    done = ask(running, "call", "shop.orders.sizes", "--protocol", protocol)
    assert json.loads(done.out) == [1, 2]


def test_call_with_a_picture_as_result(tmp_path):
    with toolserver.testing.serve(Media) as server:
        words = ["call", "sample.media.picture", "--protocol", "MCP"]
        done = ask(tmp_path, *words, "--url", server.url())
    assert json.loads(done.out) == {"data": "iVBORw==", "media_type": "image/png"}


@pytest.mark.parametrize("protocol", OPEN)
def test_failure_is_one_line(running, protocol):
    done = ask(running, "call", "shop.orders.fail", "--protocol", protocol)
    assert (done.code, done.out) == (1, "")
    assert done.err.count("\n") == 1
    assert "no way" in done.err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["shop.orders.plac"], 1, "MethodNotFound (-32601): no method"),
        (["shop.orders.place"], 1, "InvalidParams (-32602): item: missing"),
        (["shop.orders.place", "book", "many"], 1, "InvalidParams (-32602): count: "),
        (["shop.orders.place", "a", "item=b"], 1, "given twice, by position and by"),
        (["shop.orders.place", "item=a", "item=b"], 2, "item: given twice"),
        (
            ["shop.orders.place", "--protocol", "RPC2", "itme=a"],
            1,
            "InvalidParams (-32602): itme: given by name, but",
        ),
        (["a.b", "--url", "ftp://h/"], 2, "url: got 'ftp://h/', expected http://"),
        (["a.b", "--ca", "/no/such/file"], 1, "/no/such/file: no file of certificates"),
    ],
)
def test_faults(running, words, code, message):
    done = ask(running, "call", *words)
    assert (done.code, done.out) == (code, "")
    assert message in done.err


def test_call_by_url(running, tmp_path):
    url = status(running)["url"]
    done = ask(tmp_path, "call", "--url", url, "shop.orders.place", "book")
    assert done.out == "1 book\n"


def test_a_call_with_a_key_gives_its_first_result_again(running):
    words = ["call", "--idempotency-key", "order-17", "shop.orders.place"]
    for _ in range(2):
        assert ask(running, *words, "book").out == "1 book\n"
    other = ask(running, *words, "pen")
    assert (other.code, other.out) == (1, "")
    assert "got another request than its first one" in other.err
    for wrong in (["a b"], ["a", "--async"]):
        done = ask(running, *words[:2], *wrong, "shop.orders.place", "book")
        assert done.code == 2
        assert "--idempotency-key" in done.err


def test_no_server(tmp_path):
    ask(tmp_path, "init")
    for words in (["call", "a.b"], ["tools"]):
        done = ask(tmp_path, *words)
        assert done.code == 3
        assert done.err.startswith("Error: not running: ")


def test_refused_and_silent(tmp_path):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        refused = ask(tmp_path, "call", "--url", url, "a.b")
        assert (refused.code, refused.err) == (
            1,
            f"Error: {url}: no server answers there\n",
        )
        listener.listen()
        silent = ask(tmp_path, "call", "--url", url, "--timeout", "0.2", "a.b")
        assert (silent.code, silent.err) == (
            1,
            f"Error: {url}: no answer within 0.2 s\n",
        )


def test_tools(running):
    lines = ask(running, "tools").out.splitlines()
    at = lines.index("shop.orders")
    assert "  place(item: str, count: int = 1) -> str" in lines[at:]
    one = ask(running, "tools", "shop.orders")
    assert "Place an order." in one.out
    found = json.loads(ask(running, "tools", "--json").out)
    assert {method["name"] for method in found["shop.orders"]} >= {"place", "sizes"}
    unknown = ask(running, "tools", "shop.order")
    assert unknown.code == 1
    assert "did you mean 'shop.orders'?" in unknown.err
