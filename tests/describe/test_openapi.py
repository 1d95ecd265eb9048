"""The OpenAPI document: what it says is what the server does."""

from __future__ import annotations

import pathlib
import typing
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from blog import Blog
from greeting import Greeting
from openapi_spec_validator import validate as validate_document

from tests.sample import Color, Faults, Types
from toolserver import (
    Call,
    FactoryTool,
    InternalTool,
    Markup,
    ObsoleteTool,
    OnlyRPCCRAMTool,
    Redirect,
    Request,
    Response,
    StandardTool,
    TransientFactoryTool,
    TransientTool,
    ensure,
    generator,
    hidden,
    invariant,
    on_error,
    parser,
    read_only,
    require,
    rest,
    validate,
)
from toolserver.describe.openapi import Info, describe_rest
from toolserver.errors import Conflict, Forbidden
from toolserver.registry import Registry


@dataclass
class Item:
    """Something to buy.

    Attributes:
        name: What it is.
    """

    name: str
    count: int = 1


class Shop(StandardTool):
    """Sells things.

    In small numbers.
    """

    @invariant
    def _never_closed(self) -> bool:
        """it is open"""
        return True

    @require(lambda count: count > 0, "at least one")
    @ensure(lambda result: result, "something comes back")
    def buy(self, item: Item, count: int = 1, tags: list[Color] | None = None) -> Item:
        """Buy something.

        It is sent at once.

        Args:
            item: What to buy.
            count: How many.
            tags: What is written on it.

        Returns:
            What was bought.

        Raises:
            Conflict: There is none left.
            ValueError: It is too large.
        """
        raise Conflict

    @read_only
    def find(self, name: str, page: int = 1) -> str:
        return name

    def upload(self, file: bytes, note: str = "") -> None: ...

    def place(self, *names: str, **counts: int) -> list[str]:
        return list(names)

    @rest("GET")
    def index(self, request: Request) -> Markup:
        """The page of the shop."""
        return Markup("")

    @rest("PUT", "DELETE", name="cart")
    def change_cart(self, request: Request) -> Response:
        """Change the cart.

        Raises:
            Redirect: To the page of the cart.
        """
        raise Redirect("/")

    @rest("GET", name="*")
    def other(self, request: Request) -> str:
        return ""

    def picture(self) -> pathlib.Path: ...

    def stream(self) -> Iterator[Item]: ...

    def greet(self, name: str) -> str:
        return name

    @parser(greet, "GET", "PUT")
    def _parse(self, request: Request) -> dict[str, str]:
        return {}

    @generator(greet, content_type="text/html; charset=utf-8")
    def _page(self, request: Request, result: str) -> Markup:
        return Markup("")

    @on_error(greet)
    def _sorry(self, request: Request, error: Exception) -> str:
        return ""

    @validate(greet)
    def _guard(self, call: Call) -> None:
        """Let nobody in.

        Raises:
            Forbidden: Always.
        """
        raise Forbidden


class Old(ObsoleteTool):
    obsolete: typing.ClassVar = {"sell": "use shop.buy"}


class Room(TransientTool):
    """A room of a house."""

    def paint(self, color: Color) -> Color:
        return color


class Silent(InternalTool):
    """Nobody may call anything of it."""

    @hidden
    def list_methods(self) -> list[str]:
        return []


class Cellar(TransientTool):
    """Below the house."""

    def paint(self, color: str) -> str:
        return color

    def fill(self) -> None: ...


class Hall(TransientFactoryTool):
    """Leads to rooms, and to further halls."""

    children = (Room,)


Hall.children = (Hall, Room)


class Street(FactoryTool):
    """Houses of several kinds."""

    children = (Room, Cellar, Hall)
    key_pattern = "(?i)[a-z]+"


class Counter(StandardTool):
    """Says in all ways what may become of a call."""

    def files(self, pages: list[bytes], name: str = "") -> None: ...

    def sort(self, first: int = 0, *, second: int) -> None: ...

    @rest("GET")
    def state(self, request: Request) -> str:
        """Tell the state.

        Raises:
            NotModified: It is as it was.
            AlreadyDone: It is written piece by piece.
            DirectResponse: As it is.
            Conflict: It is being changed.
        """
        return ""

    @validate(state)
    def _guard(self, call: Call) -> None:
        """Guard it.

        Raises:
            Conflict: It is being changed.
            Conflict: It was lost.
        """

    def make(self) -> int:
        return 1

    @on_error(make)
    def _made_good(self, request: Request, error: Exception) -> Response:
        return Response("")

    @on_error(files)
    def _none(self, request: Request, error: Exception) -> None: ...


class Guarded(OnlyRPCCRAMTool):
    def open(self) -> str:
        return "open"


class House(FactoryTool):
    children = (Room,)
    key_pattern = "[a-z]+"

    def __init__(self):
        self.made = 0


def document_of(*tools, url="https://shop.example/api/"):
    registry = Registry()
    for namespace, tool in tools:
        registry.add(tool(), namespace)
    found = describe_rest(registry, Info("Shop", "1.2", "All of it.", url))
    validate_document(found)
    return found


@pytest.fixture(scope="module")
def document():
    return document_of(("shop", Shop), ("", Old), ("house", House))


@pytest.fixture(scope="module")
def paths(document):
    return document["paths"]


@pytest.mark.parametrize("tool", [Greeting, Blog, Types, Faults])
def test_documents_are_valid(tool):
    assert len(document_of(("some.tool", tool))["paths"]) > 3


def test_a_document_without_tools_is_valid():
    assert document_of()["paths"] == {}


def test_tools_that_rest_refuses_are_left_out():
    assert document_of(("guarded", Guarded))["paths"] == {}


def test_tools_of_which_nothing_may_be_called_are_left_out():
    found = document_of(("silent", Silent))
    assert (found["paths"], found["tags"]) == ({}, [])


def test_of_several_kinds_under_one_key_the_first_is_told():
    found = document_of(("street", Street))
    paths = found["paths"]
    described = {tag["name"]: tag["description"] for tag in found["tags"]}
    assert described["street.key"] == "A room of a house."
    color = paths["/street/{key}/paint"]["get"]["parameters"][0]["schema"]
    assert color == {"$ref": "#/components/schemas/Color"}
    # What only the second has is told, too.
    assert "post" in paths["/street/{key}/fill"]
    # A hall leads to rooms; of the halls behind it nothing new is to be told.
    assert "/street/{key}/{key2}/paint" in paths
    assert not any("{key3}" in path for path in paths)
    ids = [
        item[verb]["operationId"]
        for item in paths.values()
        for verb in item
        if verb != "parameters"
    ]
    assert len(set(ids)) == len(ids)


def test_patterns_of_keys_are_told_where_they_mean_the_same_elsewhere():
    paths = document_of(("street", Street))["paths"]
    (key,) = paths["/street/{key}/fill"]["parameters"]
    assert key["schema"] == {"type": "string", "minLength": 1}


@pytest.fixture(scope="module")
def counter():
    return document_of(("counter", Counter))["paths"]


def test_several_files_are_uploaded_under_one_name(counter):
    content = counter["/counter/files"]["post"]["requestBody"]["content"]
    form = content["multipart/form-data"]["schema"]
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    pages = {"type": "array", "items": file, "minItems": 1}
    assert form["properties"]["pages"] == pages


def test_only_leading_arguments_are_elements_of_the_path(counter):
    assert "/counter/sort" in counter
    assert not any(path.startswith("/counter/sort/") for path in counter)


def test_what_is_raised_and_is_no_failure(counter):
    responses = counter["/counter/state"]["get"]["responses"]
    assert responses["304"]["description"] == "NotModified: It is as it was."
    cart = document_of(("shop", Shop))["paths"]["/shop/cart"]["put"]["responses"]
    assert cart["3XX"]["description"] == "Redirect: To the page of the cart."
    told = responses["409"]["description"]
    # Of two functions that say the same it is told once.
    assert told == "Conflict: It is being changed.\n\nConflict: It was lost."
    assert not {"AlreadyDone", "DirectResponse"} & set(str(responses).split(": "))


def test_an_error_handler_may_make_good_what_failed(counter):
    responses = counter["/counter/make"]["post"]["responses"]
    text = "What the tool answers to an error."
    assert responses["204"] == {"description": text}
    assert responses["2XX"] == {"description": text, "content": {"*/*": {"schema": {}}}}
    assert responses["3XX"] == {"description": text}
    # An answer of the method itself is told as that.
    files = counter["/counter/files"]["post"]["responses"]
    assert files["204"]["description"] != text


def test_the_document_tells_what_it_describes(document):
    assert document["openapi"].startswith("3.1")
    info = document["info"]
    assert (info["title"], info["version"]) == ("Shop", "1.2")
    assert info["description"].startswith("All of it.\n\n")
    assert document["servers"] == [{"url": "https://shop.example/api"}]
    assert document["components"]["securitySchemes"] == {}
    described = {tag["name"]: tag.get("description") for tag in document["tags"]}
    text = "Sells things.\n\nIn small numbers.\n\n- Invariant: it is open"
    assert described == {
        "shop": text,
        "/": None,
        "house": None,
        "house.key": "A room of a house.",
    }


def test_each_operation_has_a_tag_and_an_id_of_its_own(paths):
    operations = [
        each
        for item in paths.values()
        for verb, each in item.items()
        if verb != "parameters"
    ]
    ids = [each["operationId"] for each in operations]
    assert len(set(ids)) == len(ids)
    assert {"shop.buy.post", "shop.cart.put", "house.key.paint.get"} <= set(ids)
    assert paths["/shop/buy"]["post"]["tags"] == ["shop"]


def test_texts_of_a_method_are_told(paths):
    buy = paths["/shop/buy"]["post"]
    assert buy["summary"] == "Buy something."
    assert buy["description"] == (
        "It is sent at once.\n\n- Requires: at least one\n"
        "- Ensures: something comes back"
    )
    assert buy["responses"]["200"]["description"] == "What was bought."


def test_arguments_of_get_are_in_the_query(paths):
    item, count, tags = paths["/shop/buy"]["get"]["parameters"]
    assert item == {
        "name": "item",
        "in": "query",
        "required": True,
        "description": "What to buy.",
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/ItemInput"}}
        },
    }
    assert count == {
        "name": "count",
        "in": "query",
        "required": False,
        "description": "How many.",
        "style": "form",
        "explode": True,
        "schema": {"type": "integer", "default": 1},
    }
    # Nothing is sent for an empty list, and there is no text for None.
    assert tags["schema"] == {
        "type": "array",
        "items": {"$ref": "#/components/schemas/Color"},
        "minItems": 1,
    }


def test_arguments_of_post_are_in_a_json_body_or_a_form(paths):
    body = paths["/shop/buy"]["post"]["requestBody"]
    assert body["required"] is True
    assert list(body["content"]) == [
        "application/json",
        "application/x-www-form-urlencoded",
    ]
    in_json = body["content"]["application/json"]["schema"]
    assert in_json["required"] == ["item"]
    assert in_json["additionalProperties"] is False
    assert in_json["properties"]["tags"]["type"] == ["array", "null"]
    form = body["content"]["application/x-www-form-urlencoded"]
    assert form["encoding"] == {"item": {"contentType": "application/json"}}
    assert form["schema"]["properties"]["count"] == {
        "type": "integer",
        "description": "How many.",
        "default": 1,
    }
    prefer = {"$ref": "#/components/parameters/Prefer"}
    key = {"$ref": "#/components/parameters/IdempotencyKey"}
    assert paths["/shop/buy"]["post"]["parameters"] == [prefer, key]


def test_keys_are_told_of_where_a_repetition_may_do_harm(paths):
    def facts(path, verb):
        operation = paths[path][verb]
        parameters = [each.get("$ref", "") for each in operation.get("parameters", ())]
        told = any(each.endswith("/IdempotencyKey") for each in parameters)
        return told, {"409", "422"} <= operation["responses"].keys()

    assert facts("/shop/buy", "post") == (True, True)
    assert facts("/shop/cart", "put") == (True, True)
    assert facts("/shop/buy", "get")[0] is False
    assert facts("/shop/find/{name}", "post") == (False, False)


def test_files_are_uploaded_in_a_multipart_form(paths):
    content = paths["/shop/upload"]["post"]["requestBody"]["content"]
    form = content["multipart/form-data"]["schema"]
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    assert form["properties"]["file"] == file
    assert form["required"] == ["file"]


def test_required_arguments_may_be_elements_of_the_path(paths):
    operation = paths["/shop/find/{name}"]["get"]
    name, page = operation["parameters"]
    assert name == {
        "name": "name",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1},
    }
    assert (page["name"], page["in"]) == ("page", "query")
    assert "requestBody" in paths["/shop/find/{name}"]["post"]
    # An item is given as JSON, and a parser reads the path of `greet`.
    assert "/shop/buy/{item}" not in paths
    assert list(paths["/shop/greet/{name}"]) == ["post"]


def test_any_number_of_arguments(paths):
    (counts,) = paths["/shop/place"]["get"]["parameters"]
    assert counts["schema"] == {
        "type": "object",
        "additionalProperties": {"type": "integer"},
    }
    content = paths["/shop/place"]["post"]["requestBody"]["content"]
    by_name, by_position = content["application/json"]["schema"]["anyOf"]
    assert by_name["additionalProperties"] == {"type": "integer"}
    assert by_position == {"type": "array", "items": {"type": "string"}}


def test_only_verbs_that_answer_are_told(paths):
    assert list(paths["/shop/cart"]) == ["put", "delete"]
    assert list(paths["/shop/"]) == ["get"]
    assert list(paths["/shop/greet"]) == ["get", "post", "put"]
    assert list(paths["/shop/{path}"]) == ["get"]


def test_what_a_tool_reads_by_itself_may_be_anything(paths):
    (query,) = paths["/shop/greet"]["get"]["parameters"]
    assert query["schema"]["type"] == "object"
    assert paths["/shop/cart"]["put"]["requestBody"]["content"] == {"*/*": {}}
    assert "requestBody" not in paths["/shop/cart"]["delete"]


@pytest.mark.parametrize(
    ("path", "verb", "answers"),
    [
        ("/shop/buy", "post", {"200": ["application/json", "application/xml"]}),
        ("/shop/find", "post", {"200": ["application/json", "text/plain"]}),
        (
            *("/shop/find", "get"),
            {"200": ["application/json", "text/plain"], "304": []},
        ),
        ("/shop/upload", "post", {"204": []}),
        ("/shop/", "get", {"200": ["text/html"], "304": []}),
        ("/shop/cart", "put", {"204": [], "2XX": ["*/*"], "3XX": []}),
        ("/shop/picture", "post", {"200": ["*/*"], "206": ["*/*"]}),
        ("/shop/stream", "post", {"200": ["application/x-ndjson"]}),
        (
            *("/shop/greet", "post"),
            {"200": ["application/json", "text/html", "text/plain"]},
        ),
    ],
)
def test_results_are_told_by_media_type(paths, path, verb, answers):
    responses = paths[path][verb]["responses"]
    found = {
        status: sorted(response.get("content", ()))
        for status, response in responses.items()
        if status[0] in "23" and status != "202"
    }
    assert found == answers


def test_calls_that_go_on_without_their_callers_are_told(paths, document):
    told = {
        (path, verb)
        for path, item in paths.items()
        for verb in item
        if verb != "parameters" and "202" in item[verb]["responses"]
    }
    assert ("/shop/buy", "post") in told
    # What changes nothing is quick, and streams and files cannot be kept.
    assert not {("/shop/buy", "get"), ("/shop/find", "post")} & told
    assert not {("/shop/picture", "post"), ("/shop/stream", "post")} & told
    job = document["components"]["responses"]["Job"]
    assert "Location" in job["headers"]


@pytest.mark.parametrize(
    ("path", "verb", "statuses"),
    [
        # Other sites may not call what is not read-only; it has preconditions.
        ("/shop/buy", "get", "400 403 409 414 422 500 503 default"),
        ("/shop/buy", "post", "400 403 408 409 413 414 415 422 500 503 default"),
        ("/shop/find", "get", "400 414 500 503 default"),
        ("/shop/picture", "get", "400 403 404 414 416 500 503 default"),
        ("/shop/greet", "get", "400 401 403 414 500 503 default"),
        ("/house/{key}/list_methods", "get", "400 404 414 500 503 default"),
        ("/sell", "post", "400 403 408 410 413 414 415 500 503 default"),
    ],
)
def test_failures_are_told(paths, path, verb, statuses):
    found = paths[path][verb]["responses"]
    assert [status for status in found if status[0] not in "23"] == statuses.split()


def test_failures_are_problem_documents(document, paths):
    responses = paths["/shop/buy"]["post"]["responses"]
    assert responses["400"] == {"$ref": "#/components/responses/Problem400"}
    assert responses["409"]["description"].endswith("Conflict: There is none left.")
    assert "ValueError: It is too large." in responses["500"]["description"]
    problem = document["components"]["responses"]["Problem503"]
    assert list(problem["content"]) == [
        *("application/problem+json", "text/plain", "text/html"),
    ]
    assert "Retry-After" in problem["headers"]


def test_what_an_error_handler_makes_is_told_too(paths):
    content = paths["/shop/greet"]["post"]["responses"]["400"]["content"]
    assert "application/json" in content


def test_a_response_of_the_tools_own_may_be_any_failure(paths):
    responses = paths["/shop/cart"]["put"]["responses"]
    for status in ("400", "default"):
        assert responses[status]["content"]["*/*"] == {}


def test_obsolete_methods_are_deprecated(paths):
    sell = paths["/sell"]["post"]
    assert sell["deprecated"] is True
    assert sell["responses"]["410"]["description"].endswith("use shop.buy")
    assert "200" not in sell["responses"]


def test_tools_of_a_factory_are_described_for_all_keys(paths):
    item = paths["/house/{key}/paint"]
    assert item["parameters"] == [
        {
            "name": "key",
            "in": "path",
            "required": True,
            "description": "The key of a tool.",
            "schema": {"type": "string", "minLength": 1, "pattern": "^(?:[a-z]+)$"},
        }
    ]
    color = paths["/house/{key}/paint/{color}"]
    assert color["get"]["parameters"][0]["in"] == "path"
