"""Namespaces, and names that lead to methods."""

import pytest

from toolserver import StandardTool, register, rest
from toolserver.declarations import declared
from toolserver.errors import MethodNotFound, StartError, ToolNotFound
from toolserver.registry import Registry


class Shop(StandardTool):
    def place(self) -> str:
        return "placed"

    @rest("GET", "HEAD", name="page")
    def show(self, request):
        return "page"

    @rest("PUT", name="page")
    def store(self, request):
        return "stored"


@pytest.fixture
def registry():
    return Registry()


def test_a_name_leads_to_a_method(registry):
    entry = registry.add(Shop(), "shop.orders", source="a.py:3")
    target = registry.target("shop.orders.place")
    assert target.function() == "placed"
    assert entry.tool.namespace == "shop.orders"
    assert entry.path == "/shop/orders/"


def test_what_is_called_shows_its_name(registry):
    registry.add(Shop(), "shop.orders")
    assert repr(registry.target("shop.orders.place")) == "<Target shop.orders.place>"


def test_the_root_is_a_namespace(registry):
    assert registry.add(Shop(), "").path == "/"
    assert registry.target("place").function() == "placed"


def test_two_tools_in_one_place_name_both_sources(registry):
    registry.add(Shop(), "shop", source="a.py:3")
    with pytest.raises(StartError, match=r"b\.py:5: .*'shop' is taken .* a\.py:3"):
        registry.add(Shop(), "shop", source="b.py:5")


@pytest.mark.parametrize(
    "name", ["a b", ".a", "a.", "a..b", "_a", "a/b", "1a", "ä", "a-b"]
)
def test_malformed_namespaces_are_refused(registry, name):
    with pytest.raises(StartError, match="expected letters"):
        registry.add(Shop(), name)


@pytest.mark.parametrize("name", ["RPC2", "system", "API.x", "health", "jobs"])
def test_names_of_the_server_are_refused(registry, name):
    with pytest.raises(StartError, match="belongs to the server"):
        registry.add(Shop(), name)


def test_unknown_names_are_refused(registry):
    registry.add(Shop(), "shop")
    with pytest.raises(MethodNotFound):
        registry.target("shop.nope")
    with pytest.raises(ToolNotFound):
        registry.target("nope.place")
    with pytest.raises(MethodNotFound, match="no method 'shop': it is a tool"):
        registry.target("shop")


def test_the_nearest_tool_of_a_path_is_found(registry):
    registry.add(Shop(), "a")
    registry.add(Shop(), "a.b")
    nearest = {
        path: (found[0].namespace, found[1])
        for path in (("a",), ("a", "b", "c"), ("a", "x"), ("a", "", "b"))
        if (found := registry.nearest(path))
    }
    assert nearest == {
        ("a",): ("a", ()),
        ("a", "b", "c"): ("a.b", ("c",)),
        ("a", "x"): ("a", ("x",)),
        ("a", "", "b"): ("a", ("", "b")),
    }
    assert registry.nearest(("x",)) is None
    assert registry.nearest(("a.b",)) is None


def test_an_empty_element_is_not_the_root(registry):
    registry.add(Shop(), "")
    assert registry.nearest(("", "place"))[1] == ("", "place")


def test_a_long_path_costs_no_more_than_its_length(registry):
    # Quadratic work would not end within the time that a test has.
    assert registry.nearest(("x",) * 300_000) is None


def test_registering_takes_both_forms():
    @register("forms.one", size=3)
    class One(StandardTool): ...

    class Two(StandardTool): ...

    assert register(Two, "forms.two") is Two
    found = {d.namespace: d for d in declared if d.namespace.startswith("forms.")}
    assert found["forms.one"].cls is One
    assert found["forms.one"].options == {"size": 3}
    assert found["forms.two"].cls is Two
    assert "test_registry.py:" in found["forms.two"].source


def test_registering_the_same_class_again_replaces_it():
    def define():
        @register("again")
        class Again(StandardTool): ...

        return Again

    define()
    last = define()
    assert [d.cls for d in declared if d.namespace == "again"] == [last]


@pytest.mark.parametrize("wrong", [(), ("a", "b"), (int, "a"), (Shop,)])
def test_what_is_no_tool_cannot_be_registered(wrong):
    with pytest.raises(TypeError, match="register: "):
        register(*wrong)


class Crawlers(StandardTool):
    @rest("GET", name="/robots.txt")
    def robots(self, request):
        return "User-agent: *"


def test_a_path_of_the_server_goes_with_its_tool():
    registry = Registry()
    old = registry.add(Crawlers(), "crawlers")
    assert registry.fixed("/robots.txt") is old
    before = registry.generation
    new = registry.prepare(Crawlers(), "crawlers")
    registry.swap([old], [new])
    assert registry.fixed("/robots.txt") is new
    assert registry.generation > before
    registry.swap([new], [])
    assert registry.fixed("/robots.txt") is None
