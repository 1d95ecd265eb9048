"""Requests made up from the OpenAPI document: nothing happens that it does not tell.

They go to a real server, from schemathesis in a process of its own.
``TOOLSERVER_LONG=1`` tries more of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from greeting import Greeting

import toolserver.testing
from tests.sample import Types

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
IS_LONG = bool(os.environ.get("TOOLSERVER_LONG"))
EXAMPLES, PHASES = ("50", "coverage,fuzzing") if IS_LONG else ("4", "fuzzing")
#: It makes schemas of tuples of its own that it then cannot read. Of types that are
#: much alike one will do.
LEFT_OUT = "tuple" if IS_LONG else "tuple|(bool|float|date|time|uuid|set|optional)_?$"
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance"),
    *("response_headers_conformance", "response_schema_conformance"),
)


@pytest.fixture
def server():
    # Who waits for ten seconds finds no more than who waits for none.
    settings = {"greeting": {"longest_wait": 0.01}}
    with toolserver.testing.serve(Greeting, Types, settings=settings) as running:
        yield running


def without_default(document):
    """The document without the answer that stands for all that it does not tell."""
    for item in document["paths"].values():
        for verb, operation in item.items():
            if verb != "parameters":
                operation["responses"].pop("default", None)
    return document


def described(server, tool):
    return server.http.get("/openapi.json", params={"tool": tool}).json()


def fuzz(server, folder, document, *options):
    file = folder / "openapi.json"
    file.write_text(json.dumps(document))
    command = [
        *(str(SCHEMATHESIS), "run", str(file), "--url", server.url("")),
        *("--seed", "1", "--no-color", "--checks", ",".join(CHECKS), *options),
    ]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=100, check=False
    )


def test_the_greeting_example_does_what_its_document_says(server, tmp_path):
    document = without_default(described(server, "greeting"))
    done = fuzz(
        *(server, tmp_path, document),
        *("--phases", PHASES, "--max-examples", EXAMPLES),
    )
    assert done.returncode == 0, done.stdout[-10_000:]


def test_each_type_is_what_the_document_says(server, tmp_path):
    document = without_default(described(server, "sample.types"))
    done = fuzz(
        *(server, tmp_path, document, "--phases", "coverage"),
        *("--exclude-path-regex", LEFT_OUT),
    )
    assert done.returncode == 0, done.stdout[-10_000:]


def test_an_answer_that_the_document_does_not_tell_is_found(server, tmp_path):
    document = without_default(described(server, "greeting"))
    for operation in document["paths"]["/greeting/greet_all"].values():
        del operation["responses"]["400"]
    options = ("--phases", "coverage", "--include-path", "/greeting/greet_all")
    done = fuzz(server, tmp_path, document, *options)
    assert done.returncode == 1
    assert "Undocumented status code" in done.stdout
