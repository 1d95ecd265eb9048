"""The documentation as a site: complete, and by itself."""

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import click
import msgspec
import pytest

import toolserver
from toolserver import errors, testing
from toolserver.cli.group import COMMANDS, tsctl
from toolserver.configuration import sections

ROOT = Path(__file__).parent.parent
#: Relations of a page to others that it does not load.
LEADING = ("search", "index", "next", "prev")


class Page(HTMLParser):
    """What a page loads, where it leads, and what can be led to."""

    def __init__(self, file):
        super().__init__()
        self.loaded, self.links, self.ids = [], [], set()
        self.feed(file.read_text())

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if "id" in found:
            self.ids.add(found["id"])
        if "href" in found and (tag == "a" or found.get("rel") in LEADING):
            self.links.append(found["href"])
        elif tag in ("link", "script", "img", "iframe", "source"):
            self.loaded += [found[each] for each in ("href", "src") if each in found]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning"),
            *("-d", folder / "doctrees", ROOT / "docs", folder / "html"),
        ],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return {
        str(file.relative_to(folder / "html")): Page(file)
        for file in (folder / "html").rglob("*.html")
    }


def test_nothing_is_loaded_from_elsewhere(site):
    for name, page in site.items():
        assert page.loaded, name
        assert not [each for each in page.loaded if ":" in each or each[:2] == "//"]
    assert "searchtools.js" in " ".join(site["search.html"].loaded)


def test_each_page_is_reached_and_each_link_leads_somewhere(site):
    reached = set()
    for name, page in site.items():
        for link in page.links:
            if "://" in link or link.startswith("mailto:"):
                continue
            path, _, anchor = link.partition("#")
            target = str((Path("/") / name).parent / path)[1:] if path else name
            target = str(Path("/", target).resolve())[1:]
            reached.add(target)
            if target in site and anchor:
                assert anchor in site[target].ids, f"{name}: {link}"
    # Pages that only Sphinx makes are led to by its own search and index.
    assert site.keys() - reached <= {"genindex.html", "py-modindex.html"}


def test_each_public_name_is_in_the_reference(site):
    ids = site["reference/python.html"].ids
    for module in (toolserver, toolserver.client, errors, testing):
        for name in module.__all__:
            if name in ("PROTOCOLS", "Protocol", "connect"):
                continue
            places = {module.__name__, "toolserver", "toolserver.client"}
            assert {f"{place}.{name}" for place in places} & ids, name


def test_each_setting_is_in_the_reference(site):
    ids = site["reference/configuration.html"].ids
    for section, cls in sections().items():
        for field in msgspec.structs.fields(cls):
            assert f"{section}.{field.name}" in ids


def test_each_command_is_in_the_reference(site):
    ids = site["reference/tsctl.html"].ids
    with click.Context(tsctl) as context:
        for name in COMMANDS:
            command = tsctl.get_command(context, name)
            assert f"tsctl-{name}" in ids
            for parameter in command.params:
                option = next(
                    (each for each in parameter.opts if each.startswith("--")), None
                )
                if option and not getattr(parameter, "hidden", False):
                    assert f"cmdoption-tsctl-{name}-{option.strip('-')}" in ids
