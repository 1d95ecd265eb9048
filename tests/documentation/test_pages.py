"""Each block of each page is run as it stands there, or there is a reason why not."""

from __future__ import annotations

import functools
import gc
import inspect
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import types
import warnings
import xml.etree.ElementTree as ElementTree
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import toolserver.testing
from tests.deploy.nginx import PROGRAM as NGINX
from tests.deploy.nginx import STREAM
from tests.documentation.blocks import PAGES, ROOT, blocks, name_of
from tests.documentation.reasons import NOT_RUN
from tests.documentation.shells import Shell, steps
from tests.documentation.stage import MODULES, NAMES, SETTINGS, SHORTER, tools_of
from toolserver import daemon, samplefile
from toolserver.auth import base as authenticators
from toolserver.client import RemoteToolserver
from toolserver.configuration import load
from toolserver.contexts import Context, bind
from toolserver.declarations import declared
from toolserver.home import Home
from toolserver.protocols import base as protocols
from toolserver.web import gateway

#: What a module may register for all servers of the process.
REGISTERED = [
    declared,
    authenticators.registered,
    protocols.registered,
    gateway.registered,
]
SHELLS = {"console", "sh", "bash", "shell"}
#: What is no code.
TEXT = {"", "text"}
#: Blocks of Sphinx, which the test of the site builds.
DIRECTIVE = re.compile(r"\{[\w-]+\}")
FILE = re.compile(r"# (?P<path>(?:~/)?[\w./-]+\.\w+)\n")
#: Commands that need a server of their own process.
STARTS = re.compile(r"\btsctl (--home \S+ )?(start|stop|restart|reload|status)\b")


def reason(block):
    for page, part, why in NOT_RUN:
        if page == block.page and part in block.text:
            return why
    return None


def test_each_reason_is_for_one_block():
    for page, part, _ in NOT_RUN:
        found = [each for each in blocks(ROOT / page) if part in each.text]
        assert len(found) == 1, (page, part)
        if found[0].language == "python":
            compile(found[0].text, found[0].place, "exec")


class Page:
    """One page while it is run from top to bottom.

    Args:
        name: Its name.
        folder: Where its reader is at home.
        server: The server whose clients it shows.
        request: Gives the fixtures that tests of the page ask for.
    """

    def __init__(self, name, folder, server, request):
        self.name, self.folder, self._request = name, folder, request
        self.server = server
        self._stack = ExitStack()
        self.module = types.ModuleType("page_" + re.sub(r"\W", "_", name))
        self.module.__dict__.update(NAMES.get(name, {}))
        self._shell = None

    def __enter__(self):
        self._stack.enter_context(registry_kept())
        # Programs of a few lines leave it to their end to close connections.
        self._stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", ResourceWarning)
        modules = {self.module.__name__: self.module, **MODULES}
        kept = {name: sys.modules.get(name) for name in modules}
        sys.modules.update(modules)
        self._stack.callback(put_back, kept)
        for file in (self.server.worker.home.path / "keys").iterdir():
            shutil.copy(file, self.folder)
        for name in ("ca.pem", "ann.key"):
            (self.folder / name).touch()
        here = Path.cwd()
        os.chdir(self.folder)
        self._stack.callback(os.chdir, here)
        return self

    def __exit__(self, *exc_info):
        for found in vars(self.module).values():
            if isinstance(found, RemoteToolserver):
                found.close()
        self.module.__dict__.clear()
        gc.collect()
        self._stack.close()

    @functools.cached_property
    def starts_its_own(self):
        """Whether the page starts a server, and so has one of its own."""
        return any(
            STARTS.search(each.text)
            for each in filter(is_tried, blocks(ROOT / self.name))
            if each.language in SHELLS
        )

    @functools.cached_property
    def port(self):
        """The port of the server that the page speaks of as 4334."""
        if not self.starts_its_own:
            return self.server.worker.http.local[1]
        with socket.create_server(("127.0.0.1", 0)) as listener:
            return listener.getsockname()[1]

    @property
    def shell(self):
        """A shell of somebody who reads the page."""
        if self._shell is None:
            if self.starts_its_own:
                self._shell = Shell(self.folder, self.port, None)
                self._stack.callback(stop_all, self.folder)
            else:
                self._shell = Shell(self.folder, self.port, self.server.url())
            home = Home(self.folder / ".toolserver")
            home.create()
            home.settings_file.write_text(samplefile.render())
        return self._shell

    # --- a block in each language

    def run_python(self, block):
        if wrote := FILE.match(block.text):
            self.write(wrote["path"], block)
            return
        text = shorter(block.text.replace("4334", str(self.port)))
        before = [list(each) for each in REGISTERED]
        code = compile("\n" * block.line + text, block.page, "exec")
        context = Context(services=self.server.worker.services)
        with bind(context):
            exec(code, self.module.__dict__)
        if before != REGISTERED:
            tools = {each.cls for each in declared[len(before[0]) :]}
            settings = {
                each.namespace: SETTINGS[each.namespace]
                for each in declared[len(before[0]) :]
                if each.namespace in SETTINGS
            }
            # As the server has them that is told of.
            with toolserver.testing.serve(*tools, settings=settings) as served:
                assert served.http.get("/").status_code < 500
        names = re.findall(r"^def (test_\w+)", text, re.MULTILINE)
        for name in names:
            test = self.module.__dict__[name]
            fixtures = inspect.signature(test).parameters
            test(*(self._request.getfixturevalue(each) for each in fixtures))
        # The next block may import what this one has: as the file that it is.
        for each in declared[len(before[0]) :]:
            sys.modules.setdefault(each.namespace, self.module)
            self._stack.callback(forget, each.namespace, self.module)

    def write(self, path, block):
        place = Path(path.replace("~", str(self.folder), 1))
        place = place if place.is_absolute() else self.folder / place
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(block.text)

    def run_console(self, block):
        self.shell.check(shorter(block.text))

    def run_sh(self, block):
        text = shorter(block.text.replace("4334", str(self.port)))
        for status, printed in self.shell.run([text]):
            assert status == 0, printed

    run_bash = run_shell = run_sh

    def run_toml(self, block):
        if wrote := FILE.match(block.text):
            self.write(wrote["path"], block)
        file = self.folder / "toolserver.toml"
        file.write_text(block.text)
        load(file)

    def run_json(self, block):
        json.loads(block.text)

    def run_xml(self, block):
        ElementTree.fromstring(block.text)

    def run_js(self, block):
        file = self.folder / "block.js"
        file.write_text(block.text)
        self.judge(["node", "--check", str(file)])

    def run_nginx(self, block):
        is_whole = re.search(r"^(stream|http) \{", block.text, re.MULTILINE)
        text = block.text if is_whole else f"http {{\n{block.text}\n}}"
        # Tests open the ports, too.
        text = re.sub(r"listen \d+", "listen unix:nginx.sock", text)
        folder = self.folder / "nginx"
        folder.mkdir(exist_ok=True)
        file = folder / "nginx.conf"
        loads = ""
        if "stream {" in text:
            if not STREAM and not os.environ.get("CI"):
                return
            loads = f"load_module {STREAM[0]};\n"
        file.write_text(f"{loads}pid {folder}/pid;\nevents {{}}\n{text}")
        words = [NGINX or "nginx", "-t", "-q", "-p", folder, "-c", file]
        self.judge([*map(str, words), "-e", str(folder / "log")])

    @staticmethod
    def judge(command):
        if shutil.which(command[0]) is None and not os.environ.get("CI"):
            return
        done = subprocess.run(command, capture_output=True, text=True, timeout=50)
        assert done.returncode == 0, done.stderr


def shorter(text):
    for ours, theirs in SHORTER.items():
        text = text.replace(ours, theirs)
    return text


def put_back(modules):
    for name, module in modules.items():
        if module is None:
            sys.modules.pop(name, None)
        else:
            sys.modules[name] = module


def forget(name, module):
    if sys.modules.get(name) is module:
        del sys.modules[name]


def stop_all(folder):
    """Stop the servers that a page has started."""
    for settings in folder.rglob("config/toolserver.toml"):
        daemon.stop(Home(settings.parent.parent))


@contextmanager
def registry_kept():
    """Forget what is registered meanwhile: other servers of the process have none."""
    kept = [list(each) for each in REGISTERED]
    try:
        yield
    finally:
        for each, before in zip(REGISTERED, kept, strict=True):
            each[:] = before


@pytest.fixture(scope="module")
def server_of():
    """Gives the server of a page, which is another one only where its shop is."""
    servers = {}
    with ExitStack() as stack:

        def find(page):
            tools = tools_of(page)
            if tools not in servers:
                servers[tools] = stack.enter_context(
                    toolserver.testing.serve(*tools, clients={"ann": {"staff"}})
                )
            return servers[tools]

        yield find


def is_tried(block):
    """Whether a block is to be run: whatever is no text, unless there is a reason."""
    if block.language in TEXT or DIRECTIVE.match(block.language):
        return False
    return reason(block) is None


WITH_BLOCKS = [page for page in PAGES if any(map(is_tried, blocks(page)))]


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=name_of)
def test_blocks(page, tmp_path, server_of, request):
    name = name_of(page)
    with Page(name, tmp_path, server_of(name), request) as running:
        for block in filter(is_tried, blocks(page)):
            run = getattr(running, f"run_{block.language}", None)
            assert run is not None, f"{block.place}: {block.language}: how is it tried?"
            try:
                run(block)
            except BaseException as error:
                error.add_note(f"in the block at {block.place}")
                raise


def test_what_a_block_of_a_shell_consists_of():
    text = (
        "$ cat > a.py\nprint(1)\n\n$ python3 -c 'print(1)\nprint(2)'\n1\n2\n"
        "$ echo a \\\n    b\na b\n$ cat <<EOF\nx\nEOF\nx\n"
        "$ echo \"it's\n'here\"\nit's\n'here\n"
    )
    assert steps(text) == [
        ("cat > a.py <<'EOF'\nprint(1)\nEOF", ""),
        ("python3 -c 'print(1)\nprint(2)'", "1\n2"),
        ("echo a \\\n    b", "a b"),
        ("cat <<EOF\nx\nEOF", "x"),
        ("echo \"it's\n'here\"", "it's\n'here"),
    ]
