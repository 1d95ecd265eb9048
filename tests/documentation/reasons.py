"""Which blocks are not run with their page, each with the reason."""

from __future__ import annotations

__all__ = ["NOT_RUN"]

AGENT_SESSION = "sent in turn by tests/protocols/test_agent_session.py"
SIGNATURES = "run by tests/auth/test_signature_examples.py"
DEBUGGER = "a terminal inside the server: tests/debugger/test_terminal.py"
ROOT_ONLY = "for root; the units are checked by tests/deploy/test_systemd.py"
IMAGE = "builds an image: tests/deploy/test_image.py"
FAR = "asks a server that the reader has"
SEARCHES = "takes minutes"

#: Page, a part of the text that no other block of the page has, the reason.
NOT_RUN = [
    ("CONTRIBUTING.md", "$ make test ", "runs this test, and what takes minutes"),
    ("README.md", "$ make run", "the server of the checkout: .ci/run does the same"),
    ("README.md", "$ make test", "runs this test"),
    ("docs/agent-session.md", "POST /mcp HTTP/1.1", AGENT_SESSION),
    ("docs/agent-session.md", "event: message", AGENT_SESSION),
    (
        "docs/authentication.md",
        "$ tsctl passwd ann",
        "asks: tests/cli/test_accounts.py",
    ),
    (
        "docs/authentication.md",
        "$ tsctl token ann",
        "a secret: tests/auth/test_tokens.py",
    ),
    ("docs/authentication.md", "url=$1 body=$2", SIGNATURES),
    ("docs/authentication.md", "import urllib.request", SIGNATURES),
    ("docs/authentication.md", "sign_request(", SIGNATURES),
    ("docs/client.md", "--user ann", FAR),
    ("docs/debugger.md", "$ tsctl debug\n", DEBUGGER),
    ("docs/debugger.md", "swap(", "run by tests/debugger/test_page.py"),
    ("docs/debugger.md", "$ tsctl debug -c", DEBUGGER),
    ("docs/debugger.md", "--connect", DEBUGGER),
    ("docs/deployment.md", "sudo -u", ROOT_ONLY),
    ("docs/deployment.md", "# useradd", ROOT_ONLY),
    ("docs/deployment.md", "toolserver.socket /etc", ROOT_ONLY),
    ("docs/deployment.md", "$ docker build", IMAGE),
    ("docs/jobs.md", "--state failed", "of one day: tests/cli/test_jobs.py"),
    ("docs/operating.md", "gunicorn -k", "serves on and on: tests/test_wsgi.py"),
    ("docs/operating.md", "Event().wait()", "serves on and on: tests/http"),
    ("docs/parity.md", "$ tsctl test shop", "shows a fault: tests/cli/test_parity.py"),
    ("docs/protocols.md", "use SOAP::Lite", "tests/interop/test_soap_clients.py"),
    ("docs/protocols.md", "<ToolFault", "tests/protocols/test_soap_wsdl.py"),
    ("docs/reliability.md", "$ make soak", SEARCHES),
    ("docs/reliability.md", "$ make fuzz", SEARCHES),
    ("docs/tutorial.md", "$ pip install", "the tests have installed it already"),
    ("docs/testing.md", "$ pytest -p", "the tests of the page are run one by one"),
    (
        "docs/testing.md",
        "$ tsctl test shop",
        "run with fewer calls: tests/cli/test_parity.py",
    ),
]
