"""Requests and responses as values."""

from urllib.parse import parse_qsl

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolserver import Markup, Request, Response, redirect
from toolserver.errors import InvalidParams, InvalidRequest, ParseError
from toolserver.message import Fields, Headers
from toolserver.settings import Limits


def test_headers_are_looked_up_without_case():
    headers = Headers(
        [("Accept", "a"), ("accept", "b"), ("Cookie", "x=1"), ("cookie", "y=2")]
    )
    assert headers["ACCEPT"] == "a, b"
    assert headers.get_all("Accept") == ["a", "b"]
    assert headers["cookie"] == "x=1; y=2"
    assert "accept" in headers
    assert headers.get("nope") is None
    assert len(headers) == 2


def test_messages_show_what_they_are():
    assert repr(Headers([("A", "b")])) == "Headers((('A', 'b'),))"
    assert repr(Response(status=404)) == "<Response 404>"


def test_a_missing_field_is_the_callers_mistake():
    query = Request(query_string="a=1&a=2&b=").query
    assert query["a"] == "1"
    assert query.get_all("a") == ["1", "2"]
    assert query["b"] == ""
    assert query.get("c", "x") == "x"
    with pytest.raises(InvalidParams, match=r"^c: missing in the query$"):
        query["c"]


def test_a_request_cannot_be_changed_but_replaced():
    request = Request(query_string="a=1", content=b'{"x": 1}')
    with pytest.raises(AttributeError):
        request.path = "/elsewhere"
    assert request.query["a"] == "1"
    assert request.json() == {"x": 1}
    changed = request.replace(path="/ä b", query={"a": "2"}, body=b"[]")
    assert (changed.path, changed.raw_path) == ("/ä b", "/%C3%A4%20b")
    assert changed.target == "/%C3%A4%20b?a=2"
    assert changed.query["a"] == "2"
    assert changed.json() == []
    assert request.json() == {"x": 1}
    with pytest.raises(TypeError):
        request.replace(nonsense=1)


def test_forms_are_read():
    request = Request(
        headers=Headers([("Content-Type", "application/x-www-form-urlencoded")]),
        content=b"name=A+B&name=%C3%A4",
    )
    assert request.form.get_all("name") == ["A B", "ä"]
    assert request.files == {}
    assert Request(content=b"a=1").form == {}


def test_too_many_fields_are_refused():
    request = Request(
        query_string="&".join(["a=1"] * 11), limits=Limits(form_fields=10)
    )
    with pytest.raises(InvalidRequest, match="more than 10 fields"):
        _ = request.query


def test_the_number_of_values_of_json_is_bounded():
    limits = Limits(json_values=3)
    assert Request(content=b"[1,2]", limits=limits).json() == [1, 2]
    with pytest.raises(ParseError, match="more than 3 values"):
        Request(content=b"[1,2,3]", limits=limits).json()


def test_json_is_strict():
    with pytest.raises(ParseError):
        Request(content=b'{"a": 1, "a": 2}').json()


def test_a_body_that_is_here_can_be_read_as_a_stream():
    request = Request(content=b"one\ntwo")
    assert request.stream.readline() == b"one\n"
    assert request.stream.read() == b"two"
    assert request.body == b"one\ntwo"


@pytest.mark.parametrize(
    ("body", "sent", "content_type"),
    [
        ("ä", "ä".encode(), "text/plain; charset=utf-8"),
        (Markup("<b>"), b"<b>", "text/html; charset=utf-8"),
        (b"x", b"x", "application/octet-stream"),
    ],
)
def test_a_response_takes_its_type_from_its_body(body, sent, content_type):
    response = Response(body)
    assert response.body == sent
    assert response.headers == [("Content-Type", content_type)]


def test_a_given_content_type_is_kept():
    response = Response("a", headers={"content-type": "text/css"})
    assert response.headers == [("content-type", "text/css")]
    assert Response("a", content_type="text/css").headers[0][1] == "text/css"


def test_pieces_are_sent_as_bytes_and_closed():
    def pieces():
        try:
            yield "ä"
            yield b"b"
        finally:
            closed.append(True)

    closed = []
    response = Response(pieces())
    assert next(iter(response.body)) == "ä".encode()
    response.close()
    assert closed == [True]


def test_redirections_have_a_place_and_a_status():
    response = redirect("/there")
    assert (response.status, response.headers) == (303, [("Location", "/there")])
    with pytest.raises(ValueError, match="got 200, expected 301"):
        redirect("/there", 200)


@given(st.text(), st.dictionaries(st.text(), st.text()))
def test_replaced_paths_and_queries_read_back(path, query):
    changed = Request().replace(path=path, query=query)
    assert changed.raw_path.isascii()
    assert dict(changed.query) == query
    assert changed.replace(raw_path=changed.raw_path).path == path


@given(st.text(alphabet="ab=&+%20é;", max_size=30))
def test_fields_are_parted_as_the_standard_library_does(text):
    query = Request(query_string=text).query
    pairs = parse_qsl(text, keep_blank_values=True)
    assert {name: query.get_all(name) for name in query} == {
        name: [value for other, value in pairs if other == name] for name, _ in pairs
    }


@pytest.mark.parametrize("piece", ["%41", "%c3%a9", "a%zz%", "%", "é+%e2x", "%%41"])
@pytest.mark.parametrize("shift", range(3))
def test_long_fields_are_decoded_like_short_ones(piece, shift):
    text = f"x={'.' * shift}{piece * 20_000}&y=%41"
    form = Request(
        content=text.encode(),
        headers=Headers([("Content-Type", "application/x-www-form-urlencoded")]),
    ).form
    assert dict(form) == dict(parse_qsl(text, keep_blank_values=True))


@pytest.mark.parametrize("fields", [1, 1000])
def test_others_get_a_turn_while_fields_are_decoded(fields):
    text = "&".join(["x=" + "%41" * (300_000 // fields)] * fields)
    request = Request(
        content=text.encode(),
        headers=Headers([("Content-Type", "application/x-www-form-urlencoded")]),
    )
    turns = 0

    def count():
        nonlocal turns
        while True:
            turns += 1
            gevent.sleep(0)

    counting = gevent.spawn(count)
    try:
        assert len("".join(request.form.get_all("x"))) == 300_000
    finally:
        counting.kill()
    assert turns > 20


def test_fields_show_themselves():
    assert repr(Fields([("a", "1")])) == "Fields({'a': ['1']})"
