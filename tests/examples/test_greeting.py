"""The greeting example, as its callers use it."""

import re
import time
import xmlrpc.client

import pytest
from gevent import subprocess
from greeting import Greeting, Unwelcome

import toolserver.testing
from toolserver import job
from toolserver.errors import JobExpired

PAGE = {"Accept": "text/html,*/*;q=0.8"}


@pytest.fixture(scope="module")
def server():
    with toolserver.testing.serve(Greeting) as running:
        yield running


def test_a_browser_gets_a_page(server):
    answer = server.http.get("/greeting/greet?who=%3CAnn%3E", headers=PAGE)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "<h1>Hello &lt;Ann&gt;!</h1>" in answer.text


def test_a_program_gets_the_plain_greeting(server):
    headers = {"Accept": "text/plain"}
    answer = server.http.get("/greeting/greet?who= Ann  Lee ", headers=headers)
    assert answer.text == "Hello Ann Lee!"
    arguments = {"name": "Ann", "language": "de"}
    answer = server.http.post("/greeting/greet", json=arguments, headers=headers)
    assert answer.text == "Hallo Ann!"


def curl(*words):
    done = subprocess.run(
        ["curl", "-s", *words], capture_output=True, text=True, timeout=20, check=True
    )
    return done.stdout


def test_a_greeting_that_nobody_waits_for(server):
    url = server.url("/greeting/greet?who=Ann&delay=0.2")
    told = curl("-i", "-H", "Prefer: respond-async", url)
    assert told.startswith("HTTP/1.1 202 Accepted")
    path = re.search(r"^Location: (\S+)", told, re.M)[1]
    plain = ("-H", "Accept: text/plain")
    result = curl(*plain, server.url(f"{path}/result?wait=10"))
    assert result == "Hello Ann!"
    assert "<h1>Hello Ann!</h1>" in curl(server.url(f"{path}/result"))
    greeting = server.remote().get_tool("greeting")
    job = greeting.greet.start("Ann", delay=0.1)
    assert job.result(timeout=10) == "Hello Ann!"
    assert greeting.greet.enqueue(5, "Bob").result(timeout=10) == "Hello Bob!"
    assert server.remote().job(job.id).status == "done"


def test_guests_are_greeted_at_once(server):
    guests = [{"name": name, "language": "de"} for name in ("Ann", "Bob", "Zoë")]
    begun = time.monotonic()
    found = server.call("greeting.greet_at_once", guests, delay=1)
    assert found == ["Hallo Ann!", "Hallo Bob!", "Hallo Zoë!"]
    assert time.monotonic() - begun < 2.9


def test_greetings_are_prepared_one_list_after_the_other(server):
    lists = [[{"name": "Ann"}, {"name": "Bob", "language": "fr"}], [{"name": "Zoë"}]]
    ids = [server.call("greeting.prepare", guests) for guests in lists]
    server.run_jobs()
    found = [job(id).result(0) for id in ids]
    assert found == [
        {"Ann": "Hello Ann!", "Bob": "Bonjour Bob!"},
        {"Zoë": "Hello Zoë!"},
    ]
    told = server.http.get(f"/jobs/{ids[0]}").json()
    assert (told["fraction"], told["text"]) == (1.0, "Bob is greeted")
    failed = job(server.call("greeting.prepare", [{"name": "Voldemort"}]))
    server.run_jobs(advance=10)
    with pytest.raises(Unwelcome, match="is not greeted here"):
        failed.result(0)


def test_who_is_reminded_is_greeted_later(server):
    later = job(server.call("greeting.remind", "Ann", 60))
    server.run_jobs(advance=59)
    assert later.status == "waiting"
    server.run_jobs(advance=1)
    assert later.result(0) == "Hello Ann!"
    with pytest.raises(JobExpired):
        later.result(0)


def test_berlin_is_greeted_in_the_morning(server, caplog):
    with caplog.at_level("INFO"):
        server.run_jobs(advance=7 * 24 * 3600)
    assert caplog.text.count("Hallo Berlin!") == 5


def test_its_own_path_leads_to_a_greeting(server):
    answer = server.http.get("/greeting/")
    assert answer.history[0].status_code == 303
    assert "Hello World!" in answer.text
    page = server.http.get("/greeting/languages").text
    assert '<li lang="fr"><a href="greet?name=World&amp;language=fr">Bonjour' in page
    link = "/greeting/greet?name=World&language=fr"
    assert "<h1>Bonjour World!</h1>" in server.http.get(link, headers=PAGE).text


def test_errors_are_said_in_a_sentence(server):
    answer = server.http.get("/greeting/greet?name=Voldemort")
    assert answer.status_code == 422
    assert answer.text.startswith("Sorry, no greeting: name: 'Voldemort'")


@pytest.mark.parametrize("delay", ["-1", "11"])
def test_nobody_waits_too_long(server, delay):
    answer = server.http.get(f"/greeting/greet?name=Ann&delay={delay}")
    assert answer.status_code == 400
    assert "expected 0 to 10" in answer.text


def test_guests_are_greeted_in_their_language(server):
    with xmlrpc.client.ServerProxy(server.url("/RPC2")) as proxy:
        guests = [{"name": "Ann"}, {"name": "Zoë", "language": "fr"}]
        assert proxy.greeting.greet_all(guests) == {
            "Ann": "Hello Ann!",
            "Zoë": "Bonjour Zoë!",
        }
        with pytest.raises(xmlrpc.client.Fault) as caught:
            proxy.greeting.greet_all([{"name": "Voldemort"}])
        assert caught.value.faultCode == -32100
        with pytest.raises(xmlrpc.client.Fault, match="no method"):
            proxy.greeting.tidy_name(" a ")


def test_its_settings_are_those_of_the_operator():
    settings = {"greeting": {"unwelcome": ["Ann"], "longest_wait": 0.0}}
    with toolserver.testing.serve(Greeting, settings=settings) as server:
        assert server.call("greeting.greet", "Voldemort") == "Hello Voldemort!"
        assert server.http.get("/greeting/greet?name=Ann").status_code == 422


def test_a_blank_name_breaks_a_contract(server):
    answer = server.http.get("/greeting/greet?who=%20")
    assert answer.status_code == 422
    assert "precondition broken: the name is not blank; got name=''" in answer.text
