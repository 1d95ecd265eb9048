"""What of trusted proxies is believed, refused and written down."""

import contextlib

import pytest
import requests

from tests.passwords import quick_hash
from tests.test_logs import wait_for
from toolserver import StandardTool, context, register
from toolserver.declarations import declared
from toolserver.home import Home
from toolserver.logs import AccessLog
from toolserver.message import Request
from toolserver.settings import ServerSettings, Settings
from toolserver.testing import serve
from toolserver.web.proxies import Proxies
from toolserver.worker import Worker


@register("behindproxies")
class BehindProxies(StandardTool):
    def told(self) -> list[str]:
        request = context.request
        return [request.peer, request.scheme, request.host]


TRUSTED = {"server": {"trusted_proxies": ["127.0.0.1"], "hosts": ["example.org"]}}
CLIENT = "192.0.2.7"


@pytest.fixture(scope="module")
def server():
    with serve(BehindProxies, config=TRUSTED) as running:
        yield running


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": CLIENT, "Forwarded": "for=192.0.2.8"},
        {"X-Forwarded-For": CLIENT, "Forwarded": "for=_hidden"},
        {"X-Forwarded-For": CLIENT, "Forwarded": "proto=https"},
        {"X-Forwarded-For": "unknown", "Forwarded": f"for={CLIENT}"},
        {
            "X-Forwarded-For": CLIENT,
            "X-Forwarded-Proto": "https",
            "Forwarded": f"for={CLIENT};proto=http",
        },
        {
            "X-Forwarded-For": CLIENT,
            "X-Forwarded-Host": "example.org",
            "Forwarded": f"for={CLIENT};host=localhost",
        },
    ],
)
def test_two_kinds_of_fields_may_not_contradict_each_other(server, headers):
    answer = server.http.get("/behindproxies/told", headers=headers)
    assert answer.status_code == 400
    assert "contradicts" in answer.json()["detail"]


def test_two_kinds_of_fields_that_agree_are_believed(server):
    headers = {
        "X-Forwarded-For": f"198.51.100.1, {CLIENT}",
        "X-Forwarded-Proto": "https",
        "Forwarded": f"for={CLIENT};host=example.org",
    }
    told = server.http.get("/behindproxies/told", headers=headers).json()
    assert told == [CLIENT, "https", "example.org"]


@pytest.mark.parametrize("form", ["combined", "json"])
def test_the_access_log_names_the_client_behind_the_proxy(tmp_path, form):
    lines = []

    class Writer:
        write = staticmethod(lines.append)

    home = Home(tmp_path)
    home.create()
    (home.config / "passwd").write_text(f"ann:{quick_hash('secret')}\n")
    worker = Worker(
        Settings(server=ServerSettings(port=0, trusted_proxies=("127.0.0.1",))),
        home,
        tools=[each for each in declared if each.cls is BehindProxies],
        access_log=AccessLog(Writer(), form).write,
    )
    worker.start()
    with contextlib.ExitStack() as stack:
        stack.callback(worker.stop, 1.0)
        session = stack.enter_context(requests.Session())
        session.trust_env = False
        session.headers["X-Forwarded-For"] = CLIENT
        url = f"{worker.url}/behindproxies/told"
        assert session.get(url, auth=("ann", "secret")).json()[0] == CLIENT
        wait_for(lambda: lines)
    if form == "json":
        assert f'"peer":"{CLIENT}","client":"ann",' in lines[0]
    else:
        assert lines[0].startswith(f"{CLIENT} - ann [")


def test_a_proxy_may_open_any_number_of_connections():
    config = {"server": {"trusted_proxies": ["192.0.2.0/24"]}}
    with serve(config=config) as running:
        is_exempt = running.worker.http._exempt
        assert is_exempt("192.0.2.1")
        assert is_exempt("127.0.0.1")
        assert not is_exempt("198.51.100.1")


def test_the_unix_socket_is_a_proxy_where_it_is_named():
    request = Request(headers={"x-forwarded-for": CLIENT}, peer="")
    assert Proxies(["unix"]).believe(request).peer == CLIENT
    assert Proxies(["127.0.0.1"]).believe(request).peer == ""
