"""What the log of calls tells, and what it keeps to itself."""

import contextlib
import xmlrpc.client
from dataclasses import dataclass

import pytest

from toolserver import StandardTool, register
from toolserver.errors import ApplicationError
from toolserver.testing import serve

SECRET = "hunter2"


@dataclass
class Account:
    name: str
    password: str


class Torn(list):
    def __iter__(self):
        raise SystemExit(3)


class Silent(ApplicationError):
    def __repr__(self):
        raise SystemExit(4)


@register("acct")
class Accounts(StandardTool):
    def login(self, name: str, password: str) -> bool:
        return True

    def save(self, account: Account, note: str = "") -> Account:
        return account

    def several(self, accounts: list[Account]) -> dict[str, list[Account]]:
        return {"kept": accounts}

    def store(self, facts: dict[str, str]) -> dict[str, str]:
        return facts

    def make_token(self) -> str:
        return SECRET

    def number(self, password: int) -> int:
        return password

    def rows(self):
        return (number for number in range(3))

    def tables(self):
        return {"kept": [iter([1, 2])]}

    def pairs(self):
        return [("a", iter([1, 2]))]

    def pair(self):
        return ("a", 1)

    def circle(self):
        circle: list = []
        circle += [circle, circle]
        return circle

    def torn(self):
        return Torn([1])

    def silent(self):
        raise Silent

    def fail(self, name: str) -> None:
        raise ValueError(f"the password {SECRET} is wrong")


@pytest.fixture
def proxy(caplog):
    with (
        caplog.at_level("INFO"),
        serve(Accounts, config={"log": {"rpc": True}}) as server,
        xmlrpc.client.ServerProxy(server.url("/RPC2")) as proxy,
    ):
        yield proxy


@pytest.mark.parametrize(
    ("call", "logged"),
    [
        (
            lambda proxy: proxy.acct.login("ann", SECRET),
            "acct.login('ann', ***) -> True",
        ),
        (
            lambda proxy: proxy.acct.save({"name": "ann", "password": SECRET}, "new"),
            "acct.save({'name': 'ann', 'password': '***'}, 'new') -> "
            "{'name': 'ann', 'password': '***'}",
        ),
        (
            lambda proxy: proxy.acct.several([{"name": "a", "password": SECRET}]),
            "-> {'kept': [{'name': 'a', 'password': '***'}]}",
        ),
        (
            lambda proxy: proxy.acct.store({"apiKey": SECRET, "place": "here"}),
            "acct.store({'apiKey': '***', 'place': 'here'})",
        ),
        (lambda proxy: proxy.acct.make_token(), "acct.make_token() -> ***"),
    ],
)
def test_secrets_are_masked_wherever_they_stand(proxy, caplog, call, logged):
    call(proxy)
    assert logged in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "call",
    [
        lambda proxy: proxy.acct.number(SECRET),
        lambda proxy: proxy.acct.login("ann", SECRET, SECRET),
        lambda proxy: proxy.acct.nothing(SECRET),
        lambda proxy: proxy.nowhere.login(SECRET),
        lambda proxy: proxy.system.multicall(
            [{"methodName": "acct.login", "params": ["ann", SECRET]}]
        ),
        lambda proxy: proxy.system.jobs.start("acct.login", ["ann", SECRET]),
    ],
)
def test_what_has_no_known_name_is_not_shown(proxy, caplog, call):
    with contextlib.suppress(xmlrpc.client.Fault):
        call(proxy)
    records = [each.getMessage() for each in caplog.records]
    logged = [each for each in records if " -> " in each]
    assert logged
    assert not any(SECRET in each for each in logged)


def test_a_failure_whose_message_may_tell_it_is_named_only(proxy, caplog):
    with pytest.raises(xmlrpc.client.Fault):
        proxy.acct.fail("ann")
    (logged,) = [e.getMessage() for e in caplog.records if " -> " in e.getMessage()]
    assert logged == "acct.fail('ann') -> ToolFault(***)"


def test_logging_changes_no_answer(proxy, caplog):
    assert proxy.acct.rows() == [0, 1, 2]
    assert "acct.rows() -> <generator>" in caplog.text
    assert proxy.acct.tables() == {"kept": [[1, 2]]}
    assert "acct.tables() -> <dict>" in caplog.text
    assert proxy.acct.pairs() == [["a", [1, 2]]]
    assert "acct.pairs() -> <list>" in caplog.text
    assert proxy.acct.pair() == ["a", 1]
    assert "acct.pair() -> ['a', 1]" in caplog.text
    with pytest.raises(xmlrpc.client.Fault, match="nested deeper"):
        proxy.acct.circle()
    with pytest.raises(xmlrpc.client.Fault, match="SystemExit: 3"):
        proxy.acct.torn()
    assert "acct.torn() -> <Torn>" in caplog.text
    with pytest.raises(xmlrpc.client.Fault) as caught:
        proxy.acct.silent()
    assert caught.value.faultCode == -32500
    assert "acct.silent() -> Silent(***)" in caplog.text
