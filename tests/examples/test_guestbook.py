"""The mounted Flask application, as its visitors use it."""

import csv
import io

import guestbook
import pytest
from greeting import Greeting

import toolserver.testing


@pytest.fixture
def server():
    guestbook.entries.clear()
    config = {"wsgi": {"applications": ["/guestbook=guestbook:app"]}}
    with toolserver.testing.serve(Greeting, config=config) as running:
        yield running


def sign(server, name, text, **options):
    return server.http.post("/guestbook/", data={"name": name, "text": text}, **options)


def test_signing_greets_and_leads_back(server):
    assert "Nobody has been here yet" in server.http.get("/guestbook/").text
    answer = sign(server, "Zoë <b>", "Nice\nplace & more", allow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/guestbook/"
    page = server.http.get("/guestbook/").text
    assert "<dt>Hello Zoë &lt;b&gt;!</dt><dd>Nice\nplace &amp; more</dd>" in page
    # Its links know where it is mounted.
    assert 'action="/guestbook/"' in page


def test_the_mount_point_without_a_slash_leads_to_the_page(server):
    answer = server.http.get("/guestbook")
    assert answer.status_code == 200
    assert "<h1>Guest book</h1>" in answer.text


def test_what_cannot_be_taken_is_shown_again(server):
    answer = sign(server, "", "A text without a name")
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert ">A text without a name</textarea>" in answer.text
    assert not guestbook.entries


def test_a_long_entry_is_refused(server):
    assert sign(server, "Ann", "x" * 200_000).status_code == 413
    assert not guestbook.entries


def test_all_entries_are_streamed_as_a_table(server):
    for number in range(30):
        sign(server, f"Guest {number}", f'says "{number}",\nand goes')
    answer = server.http.get("/guestbook/entries.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["transfer-encoding"] == "chunked"
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[0] == ["name", "text"]
    assert rows[1] == ["Guest 29", 'says "29",\nand goes']
    assert len(rows) == 31


def test_the_server_tells_where_it_is(server):
    urls = dict(server.worker.urls)
    assert urls["/guestbook"] == server.url("/guestbook/")


def test_tools_stand_beside_it(server):
    answer = server.http.get(
        "/greeting/greet?who=Ann", headers={"Accept": "text/plain"}
    )
    assert answer.text == "Hello Ann!"
    assert server.http.get("/guestbook/nothing").status_code == 404
