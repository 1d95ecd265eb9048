"""The status of the server, asked for by those who know the secret."""

from __future__ import annotations

import os
import re
import shutil
import sys
import xmlrpc.client
from pathlib import Path

import pytest
from gevent import subprocess
from server_status import ServerStatus

import toolserver.testing
from toolserver.auth.challenges import respond

CLIENTS = Path(__file__).parents[2] / "examples" / "clients"
COMMANDS = {
    "status.py": sys.executable,
    "status.sh": "sh",
    "status.php": "php",
    "status.mjs": "node",
    "status.pl": "perl",
}


@pytest.fixture(scope="module")
def server():
    settings = {"server.status": {"secret": "geheim & lang", "disks": ["/", "/tmp"]}}
    with toolserver.testing.serve(ServerStatus, settings=settings) as running:
        yield running


def run(server, name, secret):
    program = shutil.which(COMMANDS[name])
    if program is None:
        assert "CI" not in os.environ, f"{COMMANDS[name]} is not installed"
        pytest.skip(f"{COMMANDS[name]} is not installed")
    url = server.url("/").rstrip("/")
    return subprocess.run(
        [program, str(CLIENTS / name), url, secret],
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_each_client_is_tried():
    assert {path.name for path in CLIENTS.iterdir()} == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_callers_in_other_languages_answer_challenges(server, name):
    done = run(server, name, "geheim & lang")
    assert done.stderr == ""
    assert done.returncode == 0
    label, _, number = done.stdout.strip().partition(": ")
    assert label == "tools"
    assert int(number) == len(server.call("system.listTools"))


@pytest.mark.parametrize("name", COMMANDS)
def test_who_does_not_know_the_secret_learns_nothing(server, name):
    done = run(server, name, "guessed")
    assert not re.search(r"\d", done.stdout)


def test_a_monitor_asks_with_ten_challenges_at_once(server):
    with xmlrpc.client.ServerProxy(server.url("/RPC2")) as proxy:
        status = proxy.server.status
        for challenge in status.get_challenges(10):
            token = [challenge, respond(challenge, "geheim & lang")]
            disk = status.disk(token, "/tmp")
            assert disk["folder"] == "/tmp"
            assert 0 < disk["free"] <= disk["size"]
        (challenge,) = status.get_challenges()
        token = [challenge, respond(challenge, "geheim & lang")]
        with pytest.raises(xmlrpc.client.Fault, match="expected one of /, /tmp"):
            status.disk(token, "/etc")
        with pytest.raises(xmlrpc.client.Fault, match="used before"):
            status.overview(token)
