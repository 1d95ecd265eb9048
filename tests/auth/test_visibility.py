"""What a caller may not use, it is not told of."""

from __future__ import annotations

import pytest
import requests

import toolserver.testing
from tests.auth.test_access import FILES, Anybody, Club, Named, Who, write

ANN = ("ann", "ann's")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    write(home, **FILES)
    with toolserver.testing.serve(Who, Club, Named, Anybody, home=home) as running:
        yield running


def ask(server, path, auth=None):
    return requests.get(server.url(path), auth=auth, timeout=10)


def call(server, method, *params, auth=None):
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return requests.post(
        server.url("/JSONRPC"), json=body, auth=auth, timeout=10
    ).json()


LISTS = {
    "tools": lambda server, auth: call(server, "system.listTools", auth=auth)["result"],
    "methods": lambda server, auth: [
        name.rpartition(".")[0]
        for name in call(server, "system.listMethods", auth=auth)["result"]
    ],
    "pages": lambda server, auth: ask(server, "/API/", auth).text.replace("/", " "),
    "search": lambda server, auth: ask(server, "/API/?q=come", auth).text,
    "OpenAPI": lambda server, auth: [
        path.split("/")[1]
        for path in ask(server, "/openapi.json", auth).json()["paths"]
    ],
    "OpenRPC": lambda server, auth: str(call(server, "rpc.discover", auth=auth)),
    "WSDL": lambda server, auth: ask(server, "/WSDL/", auth).text,
}


@pytest.mark.parametrize("found", LISTS.values(), ids=LISTS)
def test_lists_are_of_what_the_caller_may_use(server, found):
    # Twice each, in turn: what is kept for one is not shown to another.
    for _ in range(2):
        anonymous = found(server, None)
        assert "anybody" in anonymous
        assert "club" not in anonymous
        assert "named" not in anonymous
        known = found(server, ANN)
        assert "anybody" in known
        assert "club" in known
        assert "named" in known


@pytest.mark.parametrize(
    "path", ["/API/club/", "/WSDL/club", "/SOAP/club?wsdl", "/openapi.json?tool=club"]
)
def test_documents_are_for_those_who_may_use_the_tool(server, path):
    answer = ask(server, path)
    assert answer.status_code == 401
    assert "Come in" not in answer.text
    assert ask(server, path, ANN).status_code == 200


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("system.describe", ["club"]),
        ("system.methodHelp", ["club.enter"]),
        ("system.methodSignature", ["club.enter"]),
        ("rpc.discover", ["club"]),
        ("WSDL.document", ["club"]),
    ],
)
def test_introspection_is_for_those_who_may_use_the_tool(server, method, params):
    assert call(server, method, *params)["error"]["code"] == -32001
    assert "result" in call(server, method, *params, auth=ANN)
