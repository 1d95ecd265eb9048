"""Unions over SOAP whose choices have the same members, or look alike."""

import msgspec
import pytest

import toolserver.testing
from toolserver import StandardTool, register


class Circle(msgspec.Struct, tag="circle"):
    size: float = 1.0


class Square(msgspec.Struct, tag="square"):
    size: float = 1.0


class Numbered(msgspec.Struct, tag=2, tag_field="number"):
    size: float = 1.0


@register("soap.unions")
class Unions(StandardTool):
    def shape(self, value: Circle | Square) -> Circle | Square:
        return value

    def numbered(self, value: Numbered) -> Numbered:
        return value

    def list_first(
        self, value: list[str] | dict[str, float]
    ) -> list[str] | dict[str, float]:
        return value


@pytest.fixture(scope="module")
def server():
    with toolserver.testing.serve(Unions) as running:
        yield running


def literal(server, method, value):
    """The result of a call in the literal style, as text."""
    opened = f'<{method} xmlns="urn:toolserver:soap.unions">'
    body = (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
        f"{opened}<value>{value}</value></{method}></e:Body></e:Envelope>"
    )
    answer = server.http.post("/SOAP", body, headers={"Content-Type": "text/xml"})
    return answer.text.partition("<return>")[2].partition("</return>")[0]


@pytest.mark.parametrize(
    "value",
    [
        "<Circle><size>2.5</size></Circle>",
        "<Square><size>2.5</size></Square>",
        "<Square><size>1.0</size></Square>",
    ],
)
def test_the_name_of_a_choice_tells_structs_of_the_same_members_apart(server, value):
    assert literal(server, "shape", value) == value


def test_a_choice_without_members_keeps_its_class(server):
    sent, got = "<Square/>", "<Square><size>1.0</size></Square>"
    assert literal(server, "shape", sent) == got


def test_tags_are_heeded_without_a_schema(server):
    soap = server.remote("SOAP")
    for value in (
        {"type": "circle", "size": 2.5},
        {"type": "square", "size": 2.5},
    ):
        assert soap.call("soap.unions.shape", value) == value
    assert soap.call("soap.unions.numbered", {"number": 2, "size": 0.5})["size"] == 0.5


def test_a_map_of_one_entry_is_no_list(server):
    soap = server.remote("SOAP")
    for value in ({"key": 0.5}, ["text"], {"a": 1.0, "b": 2.0}):
        assert soap.call("soap.unions.list_first", value) == value
