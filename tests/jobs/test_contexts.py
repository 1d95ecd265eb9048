"""Hundreds of requests and jobs at once: each sees its own context alone."""

import random

import gevent
import pytest

import toolserver.testing
from tests.passwords import quick_hash
from toolserver import StandardTool, Var, context, job, register
from toolserver.traces import current_trace

CLIENTS, CALLS = 6, 40

mark: Var[str] = Var("mark", default="clean")


@register("mirror")
class Mirror(StandardTool):
    def look(self, name: str) -> dict[str, object]:
        """What a call sees of itself, before and after others have had their turn."""
        seen = [self._seen()]
        was = mark.get()
        mark.set(name)
        gevent.sleep(random.random() * 0.01)
        seen.append(self._seen())
        assert seen[0] == seen[1]
        return {**seen[0], "was": was, "is": mark.get()}

    def _seen(self) -> dict[str, object]:
        return {
            "client": context.client,
            "groups": sorted(context.groups),
            "request": context.request_id,
            "trace": current_trace(),
            "job": context.job_id,
            "has_request": context.request is not None,
        }

    def start(self, name: str, how: str) -> str:
        mark.set(f"start {name}")
        if how == "enqueue":
            return self.enqueue(0, self.look, name).id
        if how == "schedule":
            return self.schedule(0.0, self.look, name).id
        return self.spawn(self.look, name).id


@pytest.fixture(scope="module", params=["memory", "sqlite"])
def server(request, tmp_path_factory):
    home = toolserver.testing.Home(tmp_path_factory.mktemp("home"))
    home.create()
    names = [f"client{number}" for number in range(CLIENTS)]
    hashed = quick_hash("secret")
    passwd = "".join(f"{name}:{hashed}\n" for name in names)
    groups = "".join(f"team{number}: {name}\n" for number, name in enumerate(names))
    (home.path / "config" / "passwd").write_text(passwd)
    (home.path / "config" / "groups").write_text(groups)
    config = {"jobs": {"engine": request.param, "max_jobs": 30}}
    with toolserver.testing.serve(Mirror, home=home.path, config=config) as running:
        yield running


def test_each_sees_its_own_context(server):
    dice = random.Random(7)

    def ask(client, how):
        name = f"client{client}"
        number = f"{client}-{how}-{dice.getrandbits(32):08x}"
        trace = f"00-{dice.getrandbits(128):032x}-{dice.getrandbits(64):016x}-01"
        headers = {"X-Request-ID": number, "traceparent": trace}
        expected = {
            "client": name,
            "groups": [f"team{client}"],
            "request": number,
            "trace": trace,
            "was": "clean",
            "is": number,
        }
        options = {"headers": headers, "auth": (name, "secret")}
        if how == "direct":
            path = "/mirror/look"
            answer = server.http.post(path, json={"name": number}, **options)
            assert answer.json() == {**expected, "job": None, "has_request": True}
            return
        if how == "respond-async":
            options["headers"] = {**headers, "Prefer": "respond-async"}
            path, body = "/mirror/look", {"name": number}
        else:
            path, body = "/mirror/start", {"name": number, "how": how}
        answer = server.http.post(path, json=body, **options)
        assert answer.ok, answer.text
        if how == "respond-async":
            id_ = answer.headers["Location"].rpartition("/")[2]
        else:
            id_ = answer.text
        found = job(id_).result(30)
        assert found == {**expected, "job": id_, "has_request": False}

    for number in range(CLIENTS):
        # Passwords that were checked are known; to check many at once is refused.
        ask(number, "direct")
    ways = ["direct", "direct", "respond-async", "enqueue", "schedule", "spawn"]
    asked = [
        gevent.spawn(ask, client, ways[number % len(ways)])
        for number in range(CALLS)
        for client in range(CLIENTS)
    ]
    gevent.joinall(asked, raise_error=True, timeout=40)
    assert all(each.ready() for each in asked)
