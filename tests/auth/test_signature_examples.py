"""What the documentation tells of signatures is run as it stands there."""

import re
import subprocess
from pathlib import Path

import pytest

import toolserver.testing
from tests.cli.conftest import ask
from toolserver import StandardTool, context, register
from toolserver.auth.signing import SignatureError

PAGE = Path(__file__).parents[2] / "docs/authentication.md"


@register("examples.signed")
class Example(StandardTool):
    def who(self, text: str) -> str:
        return f"{context.client} {text}"


def block(language, word):
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    (only,) = [each for each in found if word in each]
    return only


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    assert ask(home, "init").code == 0
    for words in (["--server"], ["ann"]):
        assert ask(home, "keygen", *words).code == 0
    config = {"auth": {"rsa_authenticate": True}}
    with toolserver.testing.serve(Example, home=home, config=config) as running:
        yield running


def test_a_client_in_python(server):
    names = {}
    exec(block("python", "verify_answer"), names)
    home = server.worker.home
    arguments = (
        server.url("/examples/signed/who"),
        b'{"text": "hello"}',
        "ann",
        home.privkeys / "ann.pem",
    )
    answer = names["call"](*arguments, home.pubkeys / "server.pem")
    assert answer == b"ann hello"
    # Of another server nothing is believed.
    with pytest.raises(SignatureError, match="does not hold"):
        names["call"](*arguments, home.pubkeys / "ann.pem")


def test_a_client_in_the_shell(server):
    done = subprocess.run(
        [
            *("sh", "-euc", block("sh", "openssl"), "sh"),
            server.url("/examples/signed/who"),
            '{"text": "hello"}',
            "ann",
            server.worker.home.privkeys / "ann.pem",
        ],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.stdout, done.stderr) == ("ann hello", "")
