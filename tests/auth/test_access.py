"""Who may come, and who it is: over HTTP, with the files of a home."""

from __future__ import annotations

import base64
import hashlib
import json
import time
import xmlrpc.client

import gevent
import pytest
import requests

import toolserver.testing
from toolserver import (
    AuthenticatedTool,
    Request,
    StandardTool,
    context,
    read_only,
    register,
    register_wsgi,
    require_client,
    require_group,
    rest,
)
from toolserver.auth import base
from toolserver.errors import Forbidden, StartError, Unauthenticated
from toolserver.web import gateway


def cheap_hash(password):
    """A hash like any other, made in no time."""
    salt = base64.b64encode(b"salty-").decode()
    made = hashlib.scrypt(password.encode(), salt=b"salty-", n=2, r=8, p=1, dklen=30)
    return f"$scrypt$ln=1,r=8,p=1${salt}${base64.b64encode(made).decode()}"


ANN, BOB = cheap_hash("ann's"), cheap_hash("bob's")


@register("who")
class Who(StandardTool):
    calls = 0

    @read_only
    def am_i(self) -> list:
        """Who calls."""
        Who.calls += 1
        return [context.client, sorted(context.groups), context.auth_type]

    @read_only
    def peer(self) -> list:
        request = context.request
        return [request.peer, request.scheme, request.host]

    def edit(self) -> str:
        require_group("editors")
        return "edited"

    def own(self) -> str:
        require_client("bob")
        return "bob's"


@register("club")
class Club(AuthenticatedTool):
    groups = "editors"
    clients = ("bob",)

    @read_only
    def enter(self, number: int = 0) -> str:
        """Come in."""
        return "welcome"

    @rest("GET")
    def door(self, request: Request) -> str:
        return "open"


@register("named")
class Named(AuthenticatedTool):
    clients = "*"

    @read_only
    def enter(self) -> str:
        """Come in."""
        return "welcome"


@register("anybody")
class Anybody(AuthenticatedTool):
    @read_only
    def enter(self) -> str:
        """Come in."""
        return "welcome"


FILES = {
    "passwd": f"ann:{ANN}\nbob:{BOB}\n",
    "groups": "editors:ann\nwriters:ann,bob\n",
}


def write(home, **files):
    (home / "config").mkdir(exist_ok=True)
    for name, text in files.items():
        (home / "config" / name.replace("hosts_", "hosts.")).write_text(text)


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Serves with some files in the home; what is registered goes with the test."""
    monkeypatch.setattr(base, "registered", [])
    monkeypatch.setattr("toolserver.worker.authenticators", base.registered)
    monkeypatch.setattr(gateway, "registered", [])
    monkeypatch.setattr("toolserver.assembly.applications", gateway.registered)

    def serve(config=None, **files):
        write(tmp_path, **files)
        return toolserver.testing.serve(
            Who, Club, Named, Anybody, home=tmp_path, config=config
        )

    return serve


def ask(server, path, auth=None, **options):
    # Not the session's: nothing of an earlier answer may help.
    return requests.get(server.url(path), auth=auth, timeout=10, **options)


def wait_until(condition):
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, "nothing has changed"
        gevent.sleep(0.02)


def test_a_right_password_names_the_client(serve):
    with serve(**FILES) as server:
        assert ask(server, "/who/am_i").json() == [None, [], None]
        found = ask(server, "/who/am_i", ("ann", "ann's")).json()
        assert found == ["ann", ["editors", "writers"], "Basic"]
        found = ask(server, "/who/am_i", ("bob", "bob's")).json()
        assert found == ["bob", ["writers"], "Basic"]


@pytest.mark.parametrize(
    "field",
    [
        "Basic " + base64.b64encode(b"ann:bob's").decode(),
        "Basic " + base64.b64encode(b"ann:").decode(),
        "Basic " + base64.b64encode(b"nobody:ann's").decode(),
        "Basic " + base64.b64encode(b"ann").decode(),
        "Basic " + base64.b64encode(b"\xff:x").decode(),
        "Basic ???",
        "Basic",
        "basic " + base64.b64encode(b"ann:wrong").decode(),
    ],
)
def test_wrong_credentials_are_refused_everywhere(serve, tmp_path, field):
    (tmp_path / "www").mkdir()
    (tmp_path / "www/file.txt").write_text("text")
    before = Who.calls
    with serve(**FILES) as server:
        for path in ("/who/am_i", "/API/", "/nothing", "/file.txt"):
            answer = ask(server, path, headers={"Authorization": field})
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Basic realm=")
    assert Who.calls == before


def test_wrong_credentials_are_refused_before_anything_is_decoded(serve):
    with serve(**FILES) as server:
        for path, kind in (
            ("/RPC2", "text/xml"),
            ("/JSONRPC", "application/json"),
            ("/SOAP/who", "text/xml"),
            ("/who/am_i", "application/json"),
        ):
            answer = requests.post(
                server.url(path),
                data=b"no such thing",
                headers={"Content-Type": kind},
                auth=("ann", "wrong"),
                timeout=10,
            )
            assert answer.status_code == 401, path


def test_rpc_knows_the_client(serve):
    with serve(**FILES) as server:
        url = server.url("/RPC2").replace("://", "://ann:ann's@")
        with xmlrpc.client.ServerProxy(url, allow_none=True) as proxy:
            assert proxy.who.am_i() == ["ann", ["editors", "writers"], "Basic"]
        call = {"jsonrpc": "2.0", "id": 1, "method": "club.enter"}
        answer = server.http.post("/JSONRPC", json=call).json()
        assert answer["error"]["code"] == -32001
        answer = server.http.post("/JSONRPC", json=call, auth=("bob", "bob's")).json()
        assert answer["result"] == "welcome"


@pytest.mark.parametrize(
    ("path", "anonymous", "ann", "bob"),
    [
        ("/club/enter", 401, 200, 200),
        # The arguments are none of their business.
        ("/club/enter?number=x", 401, 400, 400),
        ("/club/door", 401, 200, 200),
        ("/club/list_methods", 401, 200, 200),
        ("/named/enter", 401, 200, 200),
        ("/anybody/enter", 200, 200, 200),
        ("/club/plan.txt", 401, 200, 200),
        ("/who/edit", 401, 200, 403),
        ("/who/own", 401, 403, 200),
    ],
)
def test_tools_are_for_some(serve, tmp_path, path, anonymous, ann, bob):
    (tmp_path / "www/club").mkdir(parents=True)
    (tmp_path / "www/club/plan.txt").write_text("the plan")
    with serve(**FILES) as server:
        assert ask(server, path).status_code == anonymous
        assert ask(server, path, ("ann", "ann's")).status_code == ann
        assert ask(server, path, ("bob", "bob's")).status_code == bob


def test_an_address_can_name_the_client(serve):
    with serve(hosts_allow="here:127.0.0.0/8", **FILES) as server:
        assert ask(server, "/who/am_i").json() == ["here", [], "Host"]
        # It never restricts, and credentials go before it.
        assert ask(server, "/who/am_i", ("bob", "bob's")).json()[0] == "bob"
        assert ask(server, "/who/am_i", ("bob", "wrong")).status_code == 401
        assert ask(server, "/named/enter").status_code == 200


def test_denied_addresses_reach_nothing(serve, tmp_path):
    (tmp_path / "www").mkdir()
    (tmp_path / "www/file.txt").write_text("text")
    files = {**FILES, "hosts_allow": "here:127.0.0.1"}
    before = Who.calls
    with serve(hosts_deny="everybody:0.0.0.0/0", **files) as server:
        for path in ("/", "/who/am_i", "/file.txt", "/API/", "/RPC2", "/nothing"):
            assert ask(server, path, ("ann", "ann's")).status_code == 403
    assert Who.calls == before


def test_files_are_read_again_when_they_change(serve, tmp_path, caplog):
    with serve() as server:
        assert ask(server, "/who/am_i").json() == [None, [], None]
        write(tmp_path, hosts_allow="here:127.0.0.1", groups="locals:here")
        expected = ["here", ["locals"], "Host"]
        wait_until(lambda: ask(server, "/who/am_i").json() == expected)
        write(tmp_path, hosts_allow="here:127.0.0.300")
        wait_until(lambda: "hosts.allow:1: got '127.0.0.300'" in caplog.text)
        assert ask(server, "/who/am_i").json() == expected
        (tmp_path / "config/hosts.allow").unlink()
        wait_until(lambda: ask(server, "/who/am_i").json() == [None, [], None])
        write(tmp_path, hosts_deny="all:127.0.0.1")
        wait_until(lambda: ask(server, "/who/am_i").status_code == 403)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"hosts_deny": "a:1.2.3.4\nb"}, r"hosts\.deny:2: expected name:value"),
        ({"hosts_allow": "a:nowhere"}, r"hosts\.allow:1: got 'nowhere'"),
        ({"passwd": "ann:geheim"}, r"passwd:1: .*tsctl passwd ann"),
        ({"groups": "a b:ann"}, r"groups:1: got the name 'a b'"),
    ],
)
def test_a_server_does_not_start_with_what_it_cannot_read(serve, files, problem):
    with pytest.raises(StartError, match=problem), serve(**files):
        pass


class Badge:
    """Believes what a header says; for tests alone."""

    def authenticate(self, request):
        badge = request.headers.get("x-badge")
        if badge is None:
            return None
        if badge == "forged":
            raise Unauthenticated("a forged badge", challenge="Badge")
        if badge == "expired":
            raise Forbidden("an expired badge")
        return base.Identity(badge, "Badge", frozenset({"badged"}))


def test_authenticators_can_be_added(serve):
    base.register_authenticator(Badge())
    with serve(**FILES) as server:
        found = ask(server, "/who/am_i", headers={"X-Badge": "ann"}).json()
        assert found == ["ann", ["badged", "editors", "writers"], "Badge"]
        answer = ask(server, "/who/am_i", headers={"X-Badge": "forged"})
        assert (answer.status_code, answer.headers["www-authenticate"]) == (
            401,
            "Badge",
        )
        answer = ask(server, "/who/am_i", headers={"X-Badge": "expired"})
        assert answer.status_code == 403
        # All that is sent has to hold and to name the same client.
        ann = ("ann", "ann's")
        found = ask(server, "/who/am_i", ann, headers={"X-Badge": "ann"}).json()
        assert found == ["ann", ["badged", "editors", "writers"], "Basic"]
        for auth, badge in ((ann, "bob"), (("ann", "no"), "ann"), (ann, "forged")):
            answer = ask(server, "/who/am_i", auth, headers={"X-Badge": badge})
            assert answer.status_code == 401
    with pytest.raises(TypeError, match="method authenticate"):
        base.register_authenticator(object())


def test_basic_credentials_can_be_left_to_an_application(serve):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        seen = [environ.get("HTTP_AUTHORIZATION"), environ.get("REMOTE_USER")]
        return [json.dumps(seen).encode()]

    register_wsgi("app", app)
    with serve(**FILES) as server:
        found = ask(server, "/WSGI/app/", ("ann", "ann's")).json()
        assert found[1] == "ann"
        assert ask(server, "/WSGI/app/", ("its", "own")).status_code == 401
    with serve(config={"auth": {"basic": False}}) as server:
        found = ask(server, "/WSGI/app/", ("its", "own")).json()
        assert found[0].startswith("Basic ")
        assert found[1] is None


def test_refusals_are_written_down(serve, caplog):
    with serve(**FILES) as server:
        ask(server, "/who/am_i", ("ann", "wrong\r\nsecret"))
    assert "refused 127.0.0.1: wrong name or password" in caplog.text
    assert "secret" not in caplog.text


def test_refused_calls_are_written_down(serve, caplog):
    with serve(**FILES) as server:
        ask(server, "/club/enter")
        ask(server, "/who/edit", ("bob", "bob's"))
        # Being left out of a list is no refusal.
        ask(server, "/API/")
    refusals = [
        record.getMessage()
        for record in caplog.records
        if record.name == "toolserver.audit"
    ]
    assert refusals == [
        "refused club.enter: authentication needed",
        "refused who.edit: bob may not do this",
    ]


def test_changed_accounts_are_written_down(serve, tmp_path, caplog):
    caplog.set_level("INFO", "toolserver.audit")
    with serve(**FILES):
        write(tmp_path, passwd=f"ann:{BOB}\ncat:{ANN}\n", groups="all:cat\n")
        wait_until(lambda: "groups of cat: added" in caplog.text)
    told = [record.getMessage() for record in caplog.records]
    for expected in (
        "account ann: changed",
        "account bob: deleted",
        "account cat: added",
        "groups of ann: deleted",
    ):
        assert expected in told
    assert ANN not in caplog.text


def test_without_files_nothing_is_judged(serve):
    with serve() as server:
        assert not server.worker._access.is_active
        assert ask(server, "/who/am_i", ("ann", "x")).json() == [None, [], None]


# proxies


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, ["127.0.0.1", "http", "SERVER"]),
        ({"X-Forwarded-For": "192.0.2.7"}, ["192.0.2.7", "http", "SERVER"]),
        (
            {
                "X-Forwarded-For": "198.51.100.1, 192.0.2.7, 10.0.0.2",
                "X-Forwarded-Proto": "https",
                "X-Forwarded-Host": "example.org",
            },
            ["192.0.2.7", "https", "example.org"],
        ),
        (
            {"Forwarded": 'for="[2001:db8::1]:4711";proto=https;host=example.org'},
            ["2001:db8::1", "https", "example.org"],
        ),
        (
            {"Forwarded": "for=198.51.100.1;host=evil.test, for=192.0.2.7"},
            ["192.0.2.7", "http", "SERVER"],
        ),
        ({"Forwarded": 'for="192.0.2.7:4711"'}, ["192.0.2.7", "http", "SERVER"]),
        ({"Forwarded": "for=_hidden;proto=https"}, ["127.0.0.1", "https", "SERVER"]),
        ({"X-Forwarded-Proto": "https"}, ["127.0.0.1", "https", "SERVER"]),
    ],
)
def test_trusted_proxies_tell_of_the_client(serve, headers, expected):
    config = {
        "server": {
            "trusted_proxies": ["127.0.0.1", "10.0.0.0/8"],
            "hosts": ["example.org"],
        }
    }
    with serve(config=config) as server:
        found = ask(server, "/who/peer", headers=headers).json()
        address = server.url("/").split("/")[2]
    assert found == [part.replace("SERVER", address) for part in expected]


@pytest.mark.parametrize(
    "headers",
    [
        {"Forwarded": "for=1.2.3.4;proto=gopher"},
        {"Forwarded": "for=1.2.3.4;host=a/b"},
        {"Forwarded": "for=1.2.3.4;for=1.2.3.5"},
        {"Forwarded": 'for="unfinished'},
        {"X-Forwarded-Proto": "x"},
        {"X-Forwarded-For": ",".join(["10.0.0.1"] * 40)},
    ],
)
def test_what_a_proxy_says_has_to_be_readable(serve, headers):
    config = {"server": {"trusted_proxies": ["127.0.0.1"]}}
    with serve(config=config) as server:
        assert ask(server, "/who/peer", headers=headers).status_code == 400


def test_nobody_else_is_believed(serve):
    headers = {"X-Forwarded-For": "192.0.2.7", "Forwarded": "for=192.0.2.8"}
    with serve() as server:
        assert ask(server, "/who/peer", headers=headers).json()[0] == "127.0.0.1"
    config = {"server": {"trusted_proxies": ["192.0.2.0/24"]}}
    with serve(config=config) as server:
        assert ask(server, "/who/peer", headers=headers).json()[0] == "127.0.0.1"


def test_hosts_are_judged_behind_proxies(serve):
    config = {"server": {"trusted_proxies": ["127.0.0.1"]}}
    with serve(config=config, hosts_deny="bad:192.0.2.7") as server:
        headers = {"X-Forwarded-For": "192.0.2.7"}
        assert ask(server, "/who/am_i", headers=headers).status_code == 403
        headers = {"X-Forwarded-For": "192.0.2.7, 192.0.2.8"}
        assert ask(server, "/who/am_i", headers=headers).status_code == 200


def test_an_unreadable_proxy_is_refused_at_the_start(serve):
    config = {"server": {"trusted_proxies": ["proxy.example"]}}
    problem = r"server\.trusted_proxies: got 'proxy\.example'"
    with pytest.raises(StartError, match=problem), serve(config=config):
        pass
