"""Tools that are called with the answer to a challenge."""

from __future__ import annotations

import hashlib
import hmac
import xmlrpc.client
from dataclasses import dataclass
from typing import ClassVar

import pytest
import zeep
from hypothesis import given
from hypothesis import strategies as st

import toolserver.testing
from toolserver import (
    CRAMSettings,
    CRAMTool,
    FactoryTool,
    OnlyRPCCRAMTool,
    Request,
    StandardTool,
    TransientTool,
    call,
    context,
    register,
    rest,
)
from toolserver.auth.challenges import Challenges, respond
from toolserver.auth.nonces import Nonces
from toolserver.auth.profile import AHEAD
from toolserver.errors import (
    InvalidParams,
    Overload,
    StartError,
    ToolserverError,
    Unauthenticated,
)

SECRET = "s3cret"


@dataclass(frozen=True)
class StatusSettings(CRAMSettings):
    depth: int = 3


@register("status")
class Status(OnlyRPCCRAMTool):
    settings = StatusSettings()
    calls = 0

    def add(self, a: int, b: int = 0) -> int:
        """Add numbers."""
        Status.calls += 1
        return a + b

    def how(self) -> list:
        return [context.auth_type, self.settings.depth]

    @rest("GET")
    def page(self, request: Request) -> str:
        return "page"


@register("vault")
class Vault(CRAMTool):
    def look(self) -> str:
        return "closed"

    def open(self, token: list[str]) -> str:
        self.check_token(token)
        return "open"


@register("neighbour")
class Neighbour(StandardTool):
    def ask(self) -> int:
        return call("status.add", 1, 2)


SETTINGS = {"status": {"secret": SECRET}, "vault": {"secret": "other"}}


@pytest.fixture(scope="module")
def server():
    tools = (Status, Vault, Neighbour)
    with toolserver.testing.serve(*tools, settings=SETTINGS) as running:
        yield running


@pytest.fixture
def proxy(server):
    url = server.url("/RPC2")
    with xmlrpc.client.ServerProxy(url, allow_none=True) as made:
        yield made


def token(proxy, tool="status", secret=SECRET):
    (challenge,) = getattr(proxy, tool).get_challenges()
    return [challenge, respond(challenge, secret)]


def fault(function, *args):
    with pytest.raises(xmlrpc.client.Fault) as caught:
        function(*args)
    return caught.value.faultCode, caught.value.faultString


def test_the_response_is_a_plain_hmac():
    made = hmac.new(b"s3cret", b"abc", hashlib.sha256).hexdigest()
    assert respond("abc", SECRET) == made


def test_a_right_token_opens_each_method(proxy):
    assert proxy.status.add(token(proxy), 1, 2) == 3
    assert proxy.status.how(token(proxy)) == ["CRAM", 3]
    assert proxy.vault.look() == "closed"
    assert proxy.vault.open(token(proxy, "vault", "other")) == "open"
    assert fault(proxy.vault.open, ["a", "b"]) == (-32001, "token: wrong")


def test_a_token_opens_once(proxy):
    used = token(proxy)
    assert proxy.status.add(used, 1) == 1
    assert fault(proxy.status.add, used, 1) == (-32001, "token: used before")


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        ["x"],
        ["x", "y"],
        ["x", 3],
        "text",
        7,
        None,
        {"challenge": "x"},
        ["x" * 300, "y"],
        ["ä.ö.ü", "ß"],
        ["..", ""],
        ["1.2.3", ""],
    ],
)
def test_wrong_tokens_open_nothing(proxy, wrong):
    before = Status.calls
    code, text = fault(proxy.status.add, wrong, "no number", {})
    assert code == -32001
    assert text.startswith("token: ")
    assert Status.calls == before


def test_no_argument_is_looked_at_before_the_token_holds(proxy):
    challenge, response = token(proxy)
    wrong = [challenge, response[::-1]]
    assert fault(proxy.status.add, wrong, "no number") == (-32001, "token: wrong")
    assert fault(proxy.status.add)[0] == -32001
    # A wrong answer leaves the challenge to who knows the right one.
    code, _ = fault(proxy.status.add, [challenge, response], "no number")
    assert code == -32602
    # A right one has used it, whatever came of the call.
    assert fault(proxy.status.add, [challenge, response], 1)[1] == "token: used before"


def test_challenges_of_another_tool_do_not_hold(proxy):
    (challenge,) = proxy.vault.get_challenges()
    assert fault(proxy.status.add, [challenge, respond(challenge, SECRET)], 1) == (
        -32001,
        "token: wrong",
    )


def test_named_arguments_name_the_token_too(server, proxy):
    def ask(**params):
        body = {"jsonrpc": "2.0", "id": 1, "method": "status.add", "params": params}
        return server.http.post("/JSONRPC", json=body).json()

    assert ask(token=token(proxy), a=1, b=2)["result"] == 3
    assert ask(a=1, b=2)["error"]["code"] == -32001


def test_soap_knows_the_token(server, proxy):
    client = zeep.Client(server.url("/WSDL/status"))
    challenge = client.service.get_challenges(count=1)
    challenge = getattr(challenge, "item", challenge)[0]
    given = [challenge, respond(challenge, SECRET)]
    kind = client.wsdl.types
    operation = client.service._binding._operations["add"]
    element = dict(operation.input.body.type.elements)["token"]
    parts = [name for name, _ in element.type.elements]
    packed = element.type(**dict(zip(parts, given, strict=True))) if kind else None
    assert client.service.add(token=packed, a=1, b=2) == 3


def test_rest_is_refused(server):
    for path in ("/status/add?a=1", "/status/page", "/status/get_challenges"):
        assert server.http.get(path).status_code == 403
    assert server.http.get("/vault/look").text == "closed"


def test_other_tools_need_no_token(server):
    assert server.call("neighbour.ask") == 3


def test_introspection_shows_the_token(proxy):
    described = {each["name"]: each for each in proxy.system.describe("status")}
    names = [each["name"] for each in described["add"]["parameters"]]
    assert names == ["token", "a", "b"]
    assert described["add"]["signature"].startswith("(token: tuple[str, str], a: int")
    assert not described["list_methods"]["parameters"]
    assert proxy.status.list_methods() == [
        "add",
        "get_challenges",
        "how",
        "list_methods",
    ]


def test_challenges_are_asked_for_by_tens(proxy):
    assert len(set(proxy.status.get_challenges(10))) == 10
    for count in (0, 11, -1):
        assert fault(proxy.status.get_challenges, count)[0] == InvalidParams.code


@pytest.mark.parametrize("settings", [{}, {"status": {"secret": ""}}])
def test_without_a_secret_the_server_does_not_start(settings):
    problem = r'\[tool\."status"\]: there is no secret'
    with (
        pytest.raises(StartError, match=problem),
        toolserver.testing.serve(Status, settings=settings),
    ):
        pass


class Door(OnlyRPCCRAMTool, TransientTool):
    def open(self, times: int = 1) -> str:
        return f"{self.key} {times}"


@register("doors")
class Doors(FactoryTool):
    """Doors with a secret each, but one that has none."""

    children = (Door,)
    secrets: ClassVar = {"a": "of a", "b": "of b", "open": ""}

    def child_exists(self, key: str) -> bool:
        return key in self.secrets

    def make_child(self, key: str) -> Door:
        made = Door()
        made.settings = CRAMSettings(secret=self.secrets[key])
        return made


@pytest.mark.parametrize("protocol", ["RPC2", "JSONRPC"])
def test_tools_of_factories_have_secrets_of_their_own(protocol):
    with toolserver.testing.serve(Doors) as running:
        remote = running.remote(protocol)
        assert remote.get_tool("doors.a", secret="of a").open(2) == "a 2"
        assert remote.get_tool("doors.b", secret="of b").open() == "b 1"
        # What was made for one is not for another, and a new tool knows what is used.
        (challenge,) = remote.call("doors.a.get_challenges")
        for wrong in (respond(challenge, "of a"), respond(challenge, "of b")):
            with pytest.raises(Unauthenticated, match="token: wrong"):
                remote.call("doors.b.open", [challenge, wrong], 1)
        token = [challenge, respond(challenge, "of a")]
        running.worker.registry.entry("doors").tool.forget("a")
        assert remote.call("doors.a.open", token, 3) == "a 3"
        running.worker.registry.entry("doors").tool.forget("a")
        with pytest.raises(Unauthenticated, match="used before"):
            remote.call("doors.a.open", token, 3)
        with pytest.raises(ToolserverError) as caught:
            remote.call("doors.open.get_challenges")
        assert not isinstance(caught.value, Unauthenticated)


# challenges alone


@pytest.fixture
def clock():
    return [1_000_000.0]


@pytest.fixture
def memory(tmp_path, clock):
    """Opens the memory in which a server keeps what was answered."""
    opened = []

    def memory(name="nonces.db", since=0, most=1000):
        opened.append(
            Nonces(tmp_path / name, most=most, since=since, clock=lambda: clock[0])
        )
        return opened[-1]

    yield memory
    for each in opened:
        each.close()


@pytest.fixture
def make(memory, clock):
    """Makes challenges as each process of one server does."""

    def make(secret=SECRET, scope="a", *, known=None, **options):
        known = known or memory()
        return Challenges(
            secret, scope, lambda: known, clock=lambda: clock[0], **options
        )

    return make


@pytest.fixture
def made(make):
    return make()


def answered(made, secret=SECRET):
    challenge = made.make()
    return challenge, respond(challenge, secret)


def test_a_challenge_expires(made, clock):
    first, second = answered(made), answered(made)
    clock[0] += 299
    made.check(first)
    clock[0] += 2
    with pytest.raises(Unauthenticated, match="expired"):
        made.check(second)


def test_used_challenges_are_remembered_until_they_expire(make, memory, clock):
    made = make(known=memory(most=3))
    used = [answered(made) for _ in range(4)]
    for each in used[:3]:
        made.check(each)
    with pytest.raises(Overload, match="too many challenges"):
        made.check(used[3])
    clock[0] += 302
    made.check(answered(made))


def test_a_challenge_holds_once_in_all_processes_and_after_a_restart(make, memory):
    first, second = make(known=memory()), make(known=memory())
    token = answered(first)
    second.check(token)
    for process in (first, second, make(known=memory())):
        with pytest.raises(Unauthenticated, match="used before"):
            process.check(token)


def test_challenges_from_before_the_memory_do_not_hold(make, memory, clock):
    """Who has lost the memory knows not which of them were answered."""
    made = make()
    before = answered(made)
    made.check(before)
    clock[0] += 1
    new = make(known=memory("another.db", since=int(clock[0]) + AHEAD))
    with pytest.raises(Unauthenticated, match="expired"):
        new.check(before)
    new.check(answered(new))


def test_challenges_hold_in_any_process_that_knows_the_secret(made, make):
    make().check(answered(made))
    for stranger in (make(scope="b"), make("another")):
        with pytest.raises(Unauthenticated, match="wrong"):
            stranger.check(answered(made))


def test_sha1_is_for_those_who_allow_it(made, make):
    challenge = made.make()
    old = hmac.new(b"s3cret", challenge.encode(), hashlib.sha1).hexdigest()
    with pytest.raises(Unauthenticated, match="wrong"):
        made.check((challenge, old))
    lax = make(allows_sha1=True)
    lax.check((challenge, old))
    lax.check(answered(made))


def test_a_restarted_server_remembers(tmp_path):
    token, settings = None, {"vault": {"secret": "other"}}
    for _ in range(2):
        with toolserver.testing.serve(Vault, settings=settings, home=tmp_path) as run:
            if token is None:
                challenge = run.call("vault.get_challenges")[0]
                token = [challenge, respond(challenge, "other")]
                assert run.call("vault.open", token) == "open"
            with pytest.raises(Unauthenticated, match="used before"):
                run.call("vault.open", token)


@given(
    st.recursive(
        st.none() | st.text() | st.integers() | st.binary(), st.lists, max_leaves=4
    )
    | st.tuples(st.text(), st.text())
)
def test_no_other_token_holds(token):
    with pytest.raises(Unauthenticated):
        # It is refused before anything is looked up.
        Challenges(SECRET, "a", pytest.fail).check(token)
