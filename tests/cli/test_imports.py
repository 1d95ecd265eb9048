"""What is not imported: it would make every start and every help text wait."""

import subprocess
import sys

import pytest

from tests.tracing import UNMEASURED

#: What the command line must not import, and what a server imports when it is needed.
NOT_FOR_HELP = {"cryptography", "gevent", "json", "msgspec", "requests", "ssl"}
NOT_FOR_START = {"docutils", "jwt", "lxml", "pytest", "sqlalchemy"}
HELP = "from toolserver.cli.group import run; run(['--help'])"
START = "import toolserver.processes.alone"


@pytest.mark.parametrize(
    ("code", "unwanted"), [(HELP, NOT_FOR_HELP), (START, NOT_FOR_START)]
)
def test_what_is_seldom_used_is_imported_when_it_is(code, unwanted):
    told = subprocess.run(
        [*UNMEASURED, sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    loaded = set(told.stdout.splitlines()[-1].split())
    assert "toolserver" in loaded
    assert not unwanted & loaded
