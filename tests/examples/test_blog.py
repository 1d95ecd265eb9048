"""The blog example, as its readers and its author use it."""

import json
import xmlrpc.client

import pytest
from blog import Blog

import toolserver.testing
from toolserver.errors import NotFound

PAGE = {"Accept": "text/html"}
DATA = {"Accept": "application/json"}


@pytest.fixture
def server(tmp_path):
    settings = {"blog": {"folder": str(tmp_path / "posts"), "most_comments": 3}}
    with toolserver.testing.serve(Blog, settings=settings) as running:
        yield running


@pytest.fixture
def remote(server):
    with xmlrpc.client.ServerProxy(server.url("/RPC2"), allow_none=True) as made:
        yield made


def publish(server, title="A first note", text="It works."):
    arguments = {"title": title, "text": text}
    return server.http.post("/blog/create", json=arguments, headers=DATA).json()


def test_a_visitor_writes_reads_and_comments(server):
    assert "<h2>Write</h2>" in server.http.get("/blog", headers=PAGE).text
    form = {"title": "Fish & <chips>", "text": "<script>alert(1)</script>"}
    page = server.http.post("/blog/create", data=form, headers=PAGE)
    assert [answer.status_code for answer in page.history] == [303]
    assert page.url.endswith("-fish-chips/")
    assert "<h1>Fish &amp; &lt;chips&gt;</h1>" in page.text
    assert "<script>" not in page.text
    comment = {"author": "Ann", "text": 'no "<b>" please'}
    page = server.http.post(f"{page.url}comment", data=comment, headers=PAGE)
    assert page.history[0].status_code == 303
    assert '<li value="1"><b>Ann</b>: no &#34;&lt;b&gt;&#34; please' in page.text
    assert "Fish &amp; &lt;chips&gt;</a>" in server.http.get("/blog/").text


def test_a_program_writes_reads_and_comments(server, remote):
    key = remote.blog.create("A first note", "It works.")
    assert [post["title"] for post in remote.blog.list()] == ["A first note"]
    post = getattr(remote.blog, key)
    assert post.comment("Ann", "Fine.") == "1"
    assert post.comment("Bob", "Indeed.") == "2"
    assert post.show()["text"] == "It works."
    assert post.comments.list()["2"]["author"] == "Bob"
    second = getattr(post.comments, "2")
    assert second.show()["text"] == "Indeed."
    second.remove()
    with pytest.raises(xmlrpc.client.Fault, match="there is no '2'") as caught:
        second.show()
    assert caught.value.faultCode == NotFound.code
    assert f"blog.{key}.comments.1.show" in remote.system.listMethods()
    assert server.http.get(f"/blog/{key}/comments/1/show").json()["text"] == "Fine."
    # A number is not given twice.
    assert post.comment("Eve", "Hm.") == "3"


def test_posts_of_one_title_have_keys_of_their_own(server):
    first, second = publish(server), publish(server, text="Again.")
    assert second == f"{first}-2"
    assert publish(server, title="ÄÖÜ é!").endswith("-aou-e")
    assert publish(server, title="日本").endswith("-post")
    texts = [
        server.http.get(f"/blog/{key}/show", headers=DATA).json()["text"]
        for key in (first, second)
    ]
    assert texts == ["It works.", "Again."]


def test_what_was_written_outlives_its_tool_and_the_server(server, tmp_path):
    key = publish(server)
    server.http.post(f"/blog/{key}/edit", json={"text": "Better."})
    server.tool("blog").forget(key)
    shown = server.http.get(f"/blog/{key}/show", headers=DATA).json()
    assert shown["text"] == "Better."
    settings = {"blog": {"folder": str(tmp_path / "posts")}}
    with toolserver.testing.serve(Blog, settings=settings) as other:
        assert "Better." in other.http.get(f"/blog/{key}/").text


def test_a_post_that_is_taken_away_is_gone(server, tmp_path):
    key = publish(server)
    assert server.http.get(f"/blog/{key}/").ok
    assert server.http.post(f"/blog/{key}/remove").ok
    answer = server.http.get(f"/blog/{key}/")
    assert answer.status_code == 404
    assert f"there is no '{key}'" in answer.json()["detail"]
    assert list((tmp_path / "posts").iterdir()) == []


def test_no_key_leads_out_of_the_folder(server, tmp_path):
    (tmp_path / "2026-01-01-secret.json").write_text(json.dumps({"title": "secret"}))
    for key in ("%2E%2E%2F2026-01-01-secret", "2026-01-01-a%2F..%2Fb", "%2E%2E"):
        assert server.http.get(f"/blog/{key}/show").status_code == 404


def test_what_may_be_said_has_bounds(server):
    key = publish(server)
    empty = {"author": "", "text": "x"}
    assert server.http.post(f"/blog/{key}/comment", json=empty).status_code == 400
    said = {"author": "Ann", "text": "x"}
    statuses = [
        server.http.post(f"/blog/{key}/comment", json=said, headers=DATA).status_code
        for _ in range(4)
    ]
    assert statuses == [200, 200, 200, 409]


def test_without_a_folder_the_posts_go_with_the_server():
    with toolserver.testing.serve(Blog) as server:
        folder = server.tool("blog").file("x").parent
        publish(server)
        assert len(list(folder.iterdir())) == 1
    assert not folder.exists()
