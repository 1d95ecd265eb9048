"""The example that rewrites requests, as its callers use it."""

import pytest
from greeting import Greeting
from virtual_hosts import VirtualHosts

import toolserver.testing


@pytest.fixture(scope="module")
def server():
    config = {"server": {"hosts": ["hello.localhost"]}}
    with toolserver.testing.serve(VirtualHosts, Greeting, config=config) as running:
        yield running


def test_old_links_still_work(server):
    answer = server.http.get(
        "/old/greet/J%C3%BCrgen%20O%2FB?language=de", headers={"Accept": "text/plain"}
    )
    assert answer.status_code == 404, "a slash belongs to the name, not to the path"
    answer = server.http.get(
        "/old/greet/J%C3%BCrgen?language=de", headers={"Accept": "text/plain"}
    )
    assert answer.text == "Hallo Jürgen!"
    assert not answer.history
    assert server.http.get("/old/greet/").status_code == 404


def test_a_host_has_the_greetings_at_its_root(server):
    headers = {"Host": "hello.localhost", "Accept": "text/plain"}
    assert server.http.get("/greet?who=Ann", headers=headers).text == "Hello Ann!"
    # The same path means something else at every host.
    assert server.http.get("/greet?who=Ann").status_code == 404
    headers["Host"] = "hello.localhost:8080"
    assert server.http.get("/greet?who=Bob", headers=headers).text == "Hello Bob!"


def test_a_host_follows_where_its_pages_send(server):
    headers = {"Host": "hello.localhost", "Accept": "text/plain"}
    answer = server.http.get("/", headers=headers, allow_redirects=False)
    assert answer.status_code == 303
    answer = server.http.get(answer.headers["location"], headers=headers)
    assert answer.text == "Hello World!"


def test_a_host_is_checked_before_it_is_rewritten(server):
    answer = server.http.get("/greet?who=Ann", headers={"Host": "evil.test"})
    assert answer.status_code == 421


def test_the_other_examples_are_where_they_were(server):
    answer = server.http.get(
        "/greeting/greet?who=Ann", headers={"Accept": "text/plain"}
    )
    assert answer.text == "Hello Ann!"
    hosts = server.http.get("/virtual_hosts/hosts").json()
    assert hosts == {"hello.localhost": "/greeting"}
