"""Tools that are made when they are asked for."""

from __future__ import annotations

import contextlib
import gc
import json
import re
import weakref
import xmlrpc.client
from pathlib import Path

import gevent
import gevent.event
import pytest

import toolserver.testing
from toolserver import (
    FactoryTool,
    InternalTool,
    StandardTool,
    TransientFactoryTool,
    TransientTool,
    call,
    context,
    generator,
    limit,
    proxy,
    register,
    rest,
    tool,
    validate,
)
from toolserver.childcache import ChildCache, Population
from toolserver.errors import (
    ApplicationError,
    CallTimeout,
    Forbidden,
    MethodNotFound,
    NotFound,
    StartError,
)
from toolserver.registry import Registry


class Leaf(TransientTool):
    """What a shelf makes."""

    def __init__(self):
        self.uses = 0

    def on_start(self):
        self.parent.events.append(("start", self.namespace, context.client))

    def on_close(self):
        self.parent.events.append(("close", self.namespace, None))

    def show(self, extra: str = "") -> str:
        self.uses += 1
        return f"{self.key} {self.uses} {extra}".strip()

    def put(self, text: str) -> int:
        return len(text)

    @limit(max_body=100_000_000)
    def upload(self, text: str) -> int:
        return len(text)

    def index(self) -> str:
        return f"index of {self.key}"

    def where(self, *rest: str) -> list:
        return [context.tool.namespace, *rest]

    @rest("DELETE", name="self")
    def remove(self, request):
        self.parent.keys.discard(self.key)
        self.parent.forget(self.key)
        return "gone"

    @generator(show, content_type="text/html")
    def _page(self, request, result):
        return f"<p>{result}"


@register("shelf")
class Shelf(FactoryTool):
    """Makes leaves."""

    children = (Leaf,)

    def __init__(self):
        self.keys = {"one", "two", "count", "secret", "child_keys"}
        self.asked = []
        self.made = []
        self.events = []
        self.release = None

    def child_exists(self, key: str) -> bool:
        self.asked.append(key)
        if key == "asking":
            raise ValueError("no connection")
        if key == "leaving":
            raise SystemExit(1)
        return key in self.keys

    def make_child(self, key: str) -> TransientTool:
        self.made.append(key)
        if self.release is not None:
            self.release.wait(10)
        if key == "broken":
            raise OSError("no paper")
        return super().make_child(key)

    def child_keys(self) -> list[str]:
        return sorted(self.keys - {"count"})

    def add(self, key: str) -> None:
        self.keys.add(key)

    def count(self) -> int:
        return len(self.keys)


class Box(TransientFactoryTool):
    def child_exists(self, key: str) -> bool:
        return key.startswith("box")

    def depth(self) -> int:
        return self.namespace.count(".")


Box.children = (Box,)


@register("boxes")
class Boxes(FactoryTool):
    children = (Box,)

    def child_exists(self, key: str) -> bool:
        return key.startswith("box")

    def child_keys(self):
        return ["box1"]


@pytest.fixture
def server():
    with toolserver.testing.serve(Shelf, Boxes) as running:
        yield running


@pytest.fixture
def shelf(server):
    return server.tool("shelf")


@pytest.fixture
def remote(server):
    with xmlrpc.client.ServerProxy(server.url("/RPC2")) as made:
        yield made


# Every way leads to the same tool.


def test_a_tool_is_made_once_and_reached_by_every_protocol(server, shelf, remote):
    assert server.as_client("ann").call("shelf.one.show") == "one 1"
    assert remote.shelf.one.show() == "one 2"
    with xmlrpc.client.ServerProxy(server.url("/RPC2/shelf/one")) as bare:
        assert bare.show("x") == "one 3 x"
    asked = {"jsonrpc": "2.0", "id": 1, "method": "shelf.one.show", "params": {}}
    answer = server.http.post("/JSONRPC", json=asked).json()
    assert answer["result"] == "one 4"
    assert server.http.get("/shelf/one/show").text == "<p>one 5"
    assert shelf.made == shelf.asked == ["one"]
    # What outlives the caller has nothing of the caller.
    assert shelf.events == [("start", "shelf.one", None)]


def test_a_tools_own_path_leads_to_its_index(server):
    answer = server.http.get("/shelf/one?a=1", allow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (308, "/shelf/one/?a=1")
    assert server.http.get("/shelf/one/").text == "index of one"


def test_further_elements_of_the_path_are_arguments(server):
    assert server.http.get("/shelf/two/where/a/b%2Fc").json() == [
        *("shelf.two", "a", "b/c")
    ]


def test_tools_call_them_by_name_and_as_objects(server, shelf):
    found = tool("shelf.one", Leaf)
    assert (found.key, found.parent, found.namespace) == ("one", shelf, "shelf.one")
    assert found.show() == "one 1"
    assert call("shelf.one.show") == "one 2"
    assert proxy("shelf.one", Leaf).show() == "one 3"
    assert tool("shelf.one") is found


def test_they_are_introspected_like_other_tools(server, shelf, remote):
    listed = remote.system.listMethods()
    assert {"shelf.count", "shelf.one.show", "shelf.two.index"} <= set(listed)
    assert "boxes.box1.depth" in listed
    assert not any(name.startswith("shelf.count.") for name in listed)
    assert {"shelf", "shelf.one", "boxes.box1"} <= set(remote.system.listTools())
    described = {each["name"]: each for each in remote.system.describe("shelf.one")}
    assert described["put"]["signature"] == "(text: str) -> int"
    assert remote.system.methodSignature("shelf.one.put") == [["int", "string"]]
    assert remote.shelf.one.list_methods() == [
        *("index", "list_methods", "put", "show", "upload", "where")
    ]


def test_a_factory_that_fails_hides_its_own_tools_only(server, shelf, caplog):
    shelf.keys.add("broken")
    listed = call("system.listTools")
    assert {"boxes", "boxes.box1", "shelf"} <= set(listed)
    assert "shelf.broken" not in listed
    assert "shelf: its tools cannot be listed" in caplog.text


def test_lists_are_bounded(server, shelf):
    shelf.keys = {f"key{number}" for number in range(500)}
    names = [name for name in call("system.listTools") if name.startswith("shelf.")]
    assert len(names) == 100


# What does not exist.


def test_a_missing_key_is_not_found_in_every_protocol(server, shelf, remote):
    answer = server.http.get("/shelf/three/show")
    assert answer.status_code == 404
    assert answer.json()["detail"] == "shelf: there is no 'three'"
    assert shelf.asked == ["three"]
    with pytest.raises(xmlrpc.client.Fault, match="there is no 'three'") as caught:
        remote.shelf.three.show()
    assert caught.value.faultCode == NotFound.code
    with pytest.raises(NotFound, match="there is no 'three'"):
        tool("shelf.three")
    with pytest.raises(xmlrpc.client.Fault, match="there is no 'three'"):
        remote.system.describe("shelf.three")


def test_a_missing_method_is_no_missing_key(server, remote):
    with pytest.raises(xmlrpc.client.Fault, match="did you mean 'show'") as caught:
        remote.shelf.one.shwo()
    assert caught.value.faultCode == MethodNotFound.code
    with pytest.raises(xmlrpc.client.Fault, match=r"no method 'shelf\.one'"):
        remote.shelf.one()
    with pytest.raises(MethodNotFound, match=r"no tool 'shelf\.one\.deeper'"):
        tool("shelf.one.deeper")
    assert server.http.get("/shelf/one/nope").status_code == 404


@pytest.mark.parametrize(
    "key", ["..", "a.b", "%2F", "one%2F..", "%00", "a b", "k" * 129, "%C3%A9", "one%0A"]
)
def test_keys_of_another_form_are_refused_unasked(server, shelf, key):
    url = server.url(f"/shelf/{key}/show")
    # requests would resolve the dots itself.
    with contextlib.closing(server.http.get(url.replace("..", "%2E%2E"))) as answer:
        assert answer.status_code == 404
    assert shelf.asked == []


@pytest.mark.parametrize(
    "key", ["", "..", "a/b", "%2F", "k" * 129, "k" * 100_000, "é", "one\n", "*"]
)
def test_names_with_malformed_keys_are_refused_unasked(server, shelf, remote, key):
    with pytest.raises(xmlrpc.client.Fault) as caught:
        getattr(remote, f"shelf.{key}.show")()
    assert caught.value.faultCode in (NotFound.code, MethodNotFound.code)
    assert len(caught.value.faultString) < 300
    assert shelf.asked == []


def test_an_own_pattern_admits_no_separators():
    class Any(FactoryTool):
        children = (Leaf,)
        key_pattern = ".*"
        events: list = []  # noqa: RUF012

        def child_exists(self, key: str) -> bool:
            return True

    registry = Registry()
    registry.add(Any(), "any")
    for name in ("any..show", "any.a/b.show", "any.a.b.show"):
        with pytest.raises((NotFound, MethodNotFound)):
            registry.target(name)
    assert registry.nearest(("any", "a.b", "show"))[1] == ("a.b", "show")
    assert registry.entry("any.a b?").path == "/any/a%20b%3F/"


def test_exported_methods_go_before_keys(server, shelf):
    assert server.http.get("/shelf/count").json() == 5
    with pytest.raises(NotFound, match="'count' is a method, not a key"):
        server.call("shelf.count.show")
    # What nobody can call from outside takes no name away.
    assert server.call("shelf.child_keys.show") == "child_keys 1"
    with pytest.raises(MethodNotFound):
        server.call("shelf.child_keys")
    for name in ("child_exists", "make_child", "child_keys", "forget"):
        with pytest.raises(MethodNotFound):
            server.call(f"shelf.{name}", "one")


def test_a_file_below_a_factory_is_served(tmp_path):
    folder = tmp_path / "www" / "shelf" / "pictures"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("a file")
    with toolserver.testing.serve(Shelf, home=tmp_path) as server:
        assert server.http.get("/shelf/pictures/a.txt").text == "a file"


class Private(TransientTool):
    @validate(protocol="FILES")
    def _nobody(self, call):
        raise Forbidden(f"not for you: {self.key}")


@register("albums")
class Albums(FactoryTool):
    children = (Private,)

    def child_exists(self, key: str) -> bool:
        return key == "mine"


def test_a_made_tool_guards_the_files_below_its_path(tmp_path):
    for name in ("mine", "yours"):
        folder = tmp_path / "www" / "albums" / name
        folder.mkdir(parents=True)
        (folder / "a.txt").write_text("a file")
    with toolserver.testing.serve(Albums, home=tmp_path) as server:
        assert server.http.get("/albums/mine/a.txt").status_code == 403
        assert server.http.get("/albums/yours/a.txt").text == "a file"


def test_what_is_missing_now_may_exist_later(server, shelf):
    assert server.http.get("/shelf/late/show").status_code == 404
    server.http.post("/shelf/add", json={"key": "late"})
    assert server.http.get("/shelf/late/show").text == "<p>late 1"
    assert server.http.delete("/shelf/late/self").text == "gone"
    assert server.http.get("/shelf/late/show").status_code == 404


# Failures.


def test_the_failure_of_a_factory_is_a_failure_of_the_call(server, shelf, remote):
    shelf.keys.add("broken")
    answer = server.http.get("/shelf/broken/show")
    assert answer.status_code == 500
    assert answer.json()["detail"] == "OSError: no paper"
    with pytest.raises(
        xmlrpc.client.Fault, match="ValueError: no connection"
    ) as caught:
        remote.shelf.asking.show()
    assert caught.value.faultCode == ApplicationError.code
    with pytest.raises(OSError, match="no paper"):
        tool("shelf.broken")
    # Neither is kept.
    assert shelf.made == ["broken", "broken"]


def test_a_factory_that_leaves_does_not_take_the_server_with_it(server, remote):
    answer = server.http.get("/shelf/leaving/show")
    assert answer.status_code == 500
    assert answer.json()["detail"] == "SystemExit: 1"
    with pytest.raises(xmlrpc.client.Fault, match="SystemExit: 1"):
        remote.shelf.leaving.show()


def test_a_large_body_for_a_method_with_a_larger_bound(server, shelf):
    text = "x" * 12_000_000
    assert server.http.post("/shelf/one/upload", json={"text": text}).json() == len(
        text
    )
    assert server.http.post("/shelf/one/put", json={"text": text}).status_code == 413
    answer = server.http.post("/shelf/none/put", json={"text": text})
    assert answer.status_code == 413


@pytest.mark.parametrize("made", [None, "text", Shelf()])
def test_a_factory_makes_its_children_only(server, shelf, made):
    shelf.make_child = lambda key: made
    with pytest.raises(TypeError, match=r"make_child\('one'\) returned"):
        tool("shelf.one")


def test_one_tool_does_not_serve_two_keys(server, shelf):
    one = tool("shelf.one")
    shelf.make_child = lambda key: one
    with pytest.raises(TypeError, match="expected a new tool"):
        tool("shelf.two")


def test_a_maker_that_asks_for_what_it_makes_does_not_wait_for_ever(server, shelf):
    shelf.make_child = lambda key: tool(f"shelf.{key}")
    with pytest.raises(RuntimeError, match="'one' is asked for by what makes"):
        tool("shelf.one")


# Many callers at once.


def test_a_hundred_callers_at_once_make_one(server, shelf):
    shelf.release = gevent.event.Event()
    callers = [gevent.spawn(server.call, "shelf.one.show") for _ in range(100)]
    gevent.idle()
    shelf.release.set()
    gevent.joinall(callers, timeout=20, raise_error=True)
    assert sorted(caller.value for caller in callers) == sorted(
        f"one {number}" for number in range(1, 101)
    )
    assert shelf.made == shelf.asked == ["one"]


def test_a_failure_reaches_all_that_wait_and_is_not_kept(server, shelf):
    def ask():
        with pytest.raises(OSError, match="no paper"):
            tool("shelf.broken")

    shelf.keys.add("broken")
    shelf.release = gevent.event.Event()
    callers = [gevent.spawn(ask) for _ in range(100)]
    gevent.idle()
    shelf.release.set()
    gevent.joinall(callers, timeout=20, raise_error=True)
    assert shelf.made == ["broken"]
    with pytest.raises(OSError, match="no paper"):
        tool("shelf.broken")
    assert shelf.made == ["broken"] * 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_end_of_the_maker_is_not_the_end_of_those_that_wait(server, shelf):
    shelf.release = gevent.event.Event()
    first = gevent.spawn(tool, "shelf.one")
    others = [gevent.spawn(tool, "shelf.one") for _ in range(5)]
    gevent.idle()
    first.kill()
    shelf.release.set()
    gevent.joinall(others, timeout=20, raise_error=True)
    assert len({id(other.value) for other in others}) == 1
    assert shelf.made == ["one", "one"]


# What is kept and for how long.


class Bounds:
    max_age = 10.0
    max_children = 3


class LargeBounds:
    max_age = 1e9
    max_children = 1000


def test_a_cache_is_bounded_by_number_and_by_age_since_the_last_use():
    now = [0.0]
    dropped = []
    cache = ChildCache(Bounds(), dropped.append, clock=lambda: now[0])
    for key in "abc":
        assert cache.get(key, key.upper) == key.upper()
    cache.get("a", lambda: "never made")
    cache.get("d", lambda: "D")
    assert dropped == ["B"]
    now[0] = 9.0
    cache.get("a", lambda: "never made")
    now[0] = 12.0
    assert cache.get("a", lambda: "never made") == "A"
    assert dropped == ["B", "C", "D"]
    assert len(cache) == 1
    now[0] = 22.0
    assert cache.get("a", lambda: "made again") == "made again"
    cache.clear()
    assert dropped[3:] == ["A", "made again"]
    assert len(cache) == 0


def test_what_is_forgotten_while_it_is_made_is_made_again():
    dropped = []
    cache = ChildCache(Bounds(), dropped.append)
    versions = iter(["old", "new"])

    def make():
        version = next(versions)
        if version == "old":
            cache.forget("a")
        return version

    assert cache.get("a", make) == "new"
    assert cache.get("a", make) == "new"
    assert dropped == ["old"]


def test_what_forgets_its_own_key_each_time_is_a_mistake():
    dropped = []
    cache = ChildCache(Bounds(), dropped.append)

    def make():
        cache.forget("a")
        return "a"

    with pytest.raises(RuntimeError, match="key 'a' is forgotten each time"):
        cache.get("a", make)
    assert 1 < len(dropped) < 100
    assert len(cache) == 0
    assert cache.get("a", lambda: "b") == "b"


@pytest.mark.parametrize("count", [2, 3, 5])
def test_values_that_need_each_other_are_a_mistake(count):
    caches = [ChildCache(Bounds(), lambda value: None) for _ in range(count)]
    begun = gevent.event.Event()

    def make(index):
        if index == count - 1:
            begun.set()
        begun.wait()
        following = (index + 1) % count
        return caches[following].get("a", lambda: make(following)) + "!"

    asking = [
        gevent.spawn(cache.get, "a", lambda index=index: make(index))
        for index, cache in enumerate(caches)
    ]
    assert len(gevent.joinall(asking, timeout=10)) == count
    for each in asking:
        assert isinstance(each.exception, RuntimeError)
        assert "key 'a' needs what needs it" in str(each.exception)
    assert [len(cache) for cache in caches] == [0] * count


def test_waiting_for_a_value_is_bounded():
    cache = ChildCache(Bounds(), lambda value: None)
    release = gevent.event.Event()
    making = gevent.spawn(cache.get, "a", release.wait)
    gevent.idle()
    with pytest.raises(CallTimeout, match=r"key .a.: not made within 0\.01 seconds"):
        cache.get("a", lambda: "never made", timeout=0.01)
    release.set()
    assert making.get(timeout=10) is True
    assert cache.get("a", lambda: "never made", timeout=0.01) is True


def test_a_maker_may_take_too_long_itself():
    """Those who wait get its own failure, not one of their waiting."""
    cache = ChildCache(Bounds(), lambda value: None)
    release = gevent.event.Event()

    def make():
        release.wait()
        raise TimeoutError("the shelf is far")

    asking = [gevent.spawn(cache.get, "a", make, timeout=60) for _ in range(2)]
    gevent.idle()
    release.set()
    gevent.joinall(asking, timeout=10)
    assert [repr(each.exception) for each in asking] == [
        "TimeoutError('the shelf is far')"
    ] * 2


def test_caches_may_share_a_bound():
    now = iter(range(10**6))
    dropped = []
    population = Population(100)
    caches = [
        ChildCache(
            LargeBounds(), dropped.append, lambda: next(now), population=population
        )
        for _ in range(40)
    ]
    for key in "abcde":
        for index, cache in enumerate(caches):
            cache.get(key, lambda key=key, index=index: f"{key}{index}")
            caches[0].get("a", lambda: "a0")
    assert population.count == sum(map(len, caches))
    assert 90 <= population.count <= 100
    # Least recently used first, wherever it is.
    assert (
        dropped
        == [f"{key}{index}" for key in "abc" for index in range(40)][
            1 : len(dropped) + 1
        ]
    )
    for cache in caches:
        cache.clear()
    assert (population.count, population.caches) == (0, set())


def test_what_is_forgotten_is_closed_and_made_anew(server, shelf):
    tool("shelf.one").show()
    shelf.forget("one")
    shelf.forget("never")
    assert tool("shelf.one").show() == "one 1"
    assert [event[0] for event in shelf.events] == ["start", "close", "start"]


def test_a_stopping_server_closes_them():
    with toolserver.testing.serve(Shelf) as server:
        shelf = server.tool("shelf")
        server.call("shelf.one.show")
        server.call("shelf.two.show")
    assert [event[:2] for event in shelf.events[2:]] == [
        ("close", "shelf.one"),
        ("close", "shelf.two"),
    ]


def test_a_failing_close_is_logged(server, shelf, caplog):
    tool("shelf.one").on_close = lambda: 1 / 0
    shelf.forget("one")
    assert "shelf.one: on_close failed" in caplog.text


def test_ten_thousand_keys_need_bounded_memory(server, shelf):
    alive = weakref.WeakSet()
    make = shelf.make_child

    def watched(key):
        made = make(key)
        alive.add(made)
        return made

    shelf.make_child = watched
    shelf.child_exists = lambda key: True
    shelf.max_children = 50
    for number in range(10_000):
        server.call(f"shelf.k{number}.show")
    for number in range(100):
        assert server.http.get(f"/shelf/r{number}/show").status_code == 200
        assert server.http.get(f"/shelf/r{number}/").status_code == 200
    assert len(shelf.made) == 10_100
    gc.collect()
    # What answered last may still be referred to by a connection.
    assert 50 <= len(alive) <= 52
    shelf.max_age = 0
    server.call("shelf.last.show")
    gc.collect()
    assert len(alive) <= 3


# Factories of factories.


def test_a_factory_makes_factories_of_its_own_class(server, remote):
    assert server.http.get("/boxes/box1/box2/box3/box4/box5/depth").json() == 5
    assert remote.boxes.box1.box2.box3.box4.box5.depth() == 5
    assert tool("boxes.box1.box2").parent is tool("boxes.box1")
    with pytest.raises(NotFound, match=r"boxes\.box1\.box2: there is no 'crate'"):
        server.call("boxes.box1.box2.crate.depth")
    answer = server.http.get("/boxes/box1/crate/depth")
    assert answer.json()["detail"] == "boxes.box1: there is no 'crate'"


def test_the_depth_of_a_name_is_bounded(server):
    deepest = "boxes" + ".box" * 64
    assert server.call(f"{deepest}.depth") == 64
    with pytest.raises(MethodNotFound):
        server.call(f"{deepest}.box.depth")
    answer = server.http.get("/boxes" + "/box" * 70 + "/depth")
    assert answer.status_code == 404


def test_forgetting_a_factory_forgets_what_it_made():
    closed = []

    class Inner(TransientTool):
        def on_close(self):
            closed.append(self.namespace)

    class Middle(TransientFactoryTool):
        children = (Inner,)

        def child_exists(self, key: str) -> bool:
            return True

        def on_close(self):
            closed.append(self.namespace)

    class Outer(FactoryTool):
        children = (Middle,)

        def child_exists(self, key: str) -> bool:
            return True

    registry = Registry()
    outer = Outer()
    registry.add(outer, "outer")
    registry.entry("outer.a.b")
    outer.forget("a")
    assert closed == ["outer.a.b", "outer.a"]


# Transactions and validators.


class Booked(TransientTool):
    def work(self) -> list[str]:
        return list(self.parent.steps)

    def fail(self) -> None:
        raise ValueError("broken")

    @validate()
    def _watched(self, call):
        self.parent.steps.append(f"check {context.protocol}")


class OwnBook(Booked):
    @contextlib.contextmanager
    def transaction(self):
        self.parent.steps.append("own")
        yield

    def on_start(self):
        self.parent.steps.append("start")


@register("books")
class Books(FactoryTool):
    children = (Booked, OwnBook)

    def __init__(self):
        self.steps = []

    @contextlib.contextmanager
    def transaction(self):
        self.steps.append("begin")
        try:
            yield
        except BaseException:
            self.steps.append("abort")
            raise
        self.steps.append("commit")

    def child_exists(self, key: str) -> bool:
        self.steps.append("exists")
        return key in ("shared", "own")

    def make_child(self, key: str) -> TransientTool:
        return OwnBook() if key == "own" else Booked()


@pytest.fixture
def books():
    with toolserver.testing.serve(Books) as server:
        yield server


def test_keys_are_listed_in_the_transaction_of_the_factory(books):
    factory = books.tool("books")
    factory.child_keys = lambda: factory.steps.append("keys") or ["shared"]
    assert "books.shared" in books.call("system.listTools")
    made = ["begin", "keys", "commit", "begin", "exists", "commit"]
    # Whether the caller may use it is asked before it is listed.
    assert factory.steps == [*made, "check "]


def test_calls_run_in_the_transaction_of_the_factory(books):
    steps = books.tool("books").steps
    made = ["begin", "exists", "commit"]
    assert books.http.get("/books/shared/work").json() == [
        *made,
        *("check REST", "begin"),
    ]
    del steps[:]
    with pytest.raises(ValueError, match="broken"):
        books.call("books.shared.fail")
    assert steps == ["check ", "begin", "abort"]


def test_a_transaction_of_its_own_goes_before(books):
    assert books.http.get("/books/own/work").json() == [
        *("begin", "exists", "own", "start", "commit"),
        *("check REST", "own"),
    ]


def test_the_factory_of_the_documentation():
    page = Path(__file__).parent.parent / "docs" / "tools.md"
    (snippet,) = re.findall(
        r"^```python\n([^`]*FactoryTool[^`]*)^```$", page.read_text(), re.M
    )
    names = {"__name__": "library_of_the_documentation"}
    exec(compile(snippet, str(page), "exec"), names)
    with toolserver.testing.serve(names["Library"]) as server:
        assert server.http.get("/library/emma/title").text == "Emma"
        assert server.call("library.dune.title") == "Dune"
        assert "library.dune.title" in server.call("system.listMethods")


# What is wrong with a class is known at the start.


def test_a_factory_says_what_it_makes():
    class Empty(FactoryTool): ...

    class Wrong(FactoryTool):
        children = (StandardTool,)

    class Pattern(FactoryTool):
        children = (Leaf,)
        key_pattern = "["

    class Hints(TransientTool):
        def method(self, value: Unknown) -> None: ...  # noqa: F821

    class Between(TransientFactoryTool):
        children = (Hints,)

    class Deep(FactoryTool):
        children = (Between,)

    for cls, match in (
        (Empty, r"Empty\.children: got none"),
        (Wrong, "expected subclasses of TransientTool"),
        (Pattern, r"Pattern\.key_pattern: unterminated"),
        (Deep, "type hint cannot be resolved"),
    ):
        with pytest.raises(StartError, match=match):
            Registry().add(cls(), "wrong")


def test_a_transient_tool_cannot_be_registered():
    with pytest.raises(StartError, match="Leaf is made by a factory"):
        Registry().add(Leaf(), "leaf")


def test_forget_is_final():
    with pytest.raises(TypeError, match=r'Mine\.forget: .*@expose\("forget"\)'):

        class Mine(FactoryTool):
            def forget(self, key: str) -> None: ...


def test_a_factory_at_the_root():
    class Root(FactoryTool):
        children = (Leaf,)
        events: list = []  # noqa: RUF012

        def child_keys(self):
            return ["one"]

    registry = Registry()
    registry.add(Root(), "")
    assert registry.target("one.show").function() == "one 1"
    assert registry.entry("one").path == "/one/"
    assert registry.nearest(("one", "show"))[1] == ("show",)
    with pytest.raises(NotFound, match="the root tool: there is no 'two'"):
        registry.target("two.show")


def test_a_registered_tool_goes_before_a_key():
    class Admin(InternalTool): ...

    registry = Registry()
    shelf = Shelf()
    shelf.keys.add("admin")
    registry.add(shelf, "shelf")
    registry.add(Admin(), "shelf.admin")
    assert isinstance(registry.entry("shelf.admin").tool, Admin)
    assert registry.nearest(("shelf", "admin", "x"))[0].namespace == "shelf.admin"
    assert shelf.asked == []


def test_the_pages_of_json_rpc_tell_the_missing_key(server):
    asked = {"jsonrpc": "2.0", "id": 1, "method": "shelf.three.show"}
    answer = json.loads(server.http.post("/JSONRPC", json=asked).text)
    assert answer["error"]["code"] == NotFound.code
    assert answer["error"]["message"] == "shelf: there is no 'three'"


class Slow(TransientTool):
    def on_start(self):
        gevent.sleep(self.parent.seconds)

    def show(self) -> str:
        return self.key


@register("slow")
class SlowShelf(FactoryTool):
    children = (Slow,)
    seconds = 60.0

    def child_exists(self, key):
        return True


def test_making_ends_with_the_time_of_a_call():
    config = {"server": {"call_timeout": 0.05}}
    with toolserver.testing.serve(SlowShelf, config=config) as server:
        both = [gevent.spawn(server.call, "slow.one.show") for _ in range(2)]
        gevent.joinall(both, timeout=10)
        for each in both:
            assert isinstance(each.exception, CallTimeout)
        server.tool("slow").seconds = 0.0
        assert server.call("slow.one.show") == "one"


class Branch(TransientFactoryTool):
    def child_exists(self, key):
        return True

    def where(self) -> str:
        return self.namespace


Branch.children = (Branch,)


@register("trunk")
class Trunk(FactoryTool):
    children = (Branch,)

    def child_exists(self, key):
        return True


def test_a_tree_of_factories_is_bounded_as_a_whole():
    config = {"tools": {"max_children": 200}}
    with toolserver.testing.serve(Trunk, config=config) as server:
        for number in range(60):
            name = ".".join(["trunk", *(f"{number}_{level}" for level in range(10))])
            assert server.call(f"{name}.where") == name
            assert tool("trunk") is server.tool("trunk")
        gc.collect()
        # Asked for their class, some objects of others set themselves up.
        found = gc.get_objects()
        branches = [each for each in found if issubclass(type(each), Branch)]
        assert 10 <= len(branches) <= 200
