"""``openapi`` against a running server."""

import json

from openapi_spec_validator import validate

from tests.client.scripted import Scripted, respond

from .conftest import ask, run, status


def test_print(running):
    done = run(running, "openapi")
    assert (done.code, done.err) == (0, "")
    document = json.loads(done.out)
    validate(document)
    assert "/shop/orders/place" in document["paths"]
    assert document["servers"] == [{"url": status(running)["url"].rstrip("/")}]


def test_write_that_of_one_tool(running, tmp_path):
    file = tmp_path / "system.json"
    url = status(running)["url"]
    done = ask(tmp_path, "openapi", "--url", url, "system", "--output", file)
    assert (done.code, done.out, done.err) == (0, "", "")
    document = json.loads(file.read_text())
    assert {path.split("/")[1] for path in document["paths"]} == {"system"}


def test_there_is_none(running):
    done = ask(running, "openapi", "shop.order")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "Error: NotFound (-32004): no tool 'shop.order', did you mean 'shop.orders'?\n"
    )


def test_what_is_no_document(tmp_path):
    page = respond("200 OK", b"<p>hello", "text/html")
    with Scripted(lambda *_: page) as server:
        done = ask(tmp_path, "openapi", "--url", server.url)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("Error: /openapi.json: got no JSON: ")


def test_no_server(tmp_path):
    ask(tmp_path, "init")
    assert ask(tmp_path, "openapi").code == 3
