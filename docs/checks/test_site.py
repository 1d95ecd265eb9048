"""The documentation as a site, as ``make docs`` has just built it."""

from __future__ import annotations

import os
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import click
import msgspec
import pytest
from gevent import subprocess

import toolserver
import toolserver.client
import toolserver.ext.sqlalchemy
from toolserver import errors, testing, wsgi
from toolserver.cli.group import COMMANDS, tsctl
from toolserver.configuration import sections

SITE = Path(__file__).parents[2] / "build" / "docs"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
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
def site():
    assert SITE.is_dir(), "make docs builds the site first"
    return {str(file.relative_to(SITE)): Page(file) for file in SITE.rglob("*.html")}


@pytest.fixture(scope="module")
def described(site):
    return {id_ for name, page in site.items() for id_ in page.ids}


def target(name, link):
    path, _, anchor = link.partition("#")
    found = Path("/", name).parent / path if path else Path("/", name)
    return os.path.normpath(found).lstrip("/"), anchor


def test_nothing_is_loaded_from_elsewhere(site):
    for name, page in site.items():
        assert page.loaded, name
        assert not [each for each in page.loaded if ":" in each or each[:2] == "//"]
    for style in (SITE / "_static").rglob("*.css"):
        assert "url(http" not in style.read_text(), style
        assert "@import" not in style.read_text(), style


def test_each_link_leads_somewhere(site):
    for name, page in site.items():
        for link in page.links:
            if "://" in link or link.startswith("mailto:"):
                continue
            file, anchor = target(name, link)
            assert (SITE / file).is_file(), f"{name}: {link}"
            if file in site and anchor:
                assert anchor in site[file].ids, f"{name}: {link}"


def test_each_page_is_reached_from_the_first(site):
    reached, new = set(), {"index.html"}
    while new:
        reached |= new
        links = {target(name, link)[0] for name in new for link in site[name].links}
        new = (links & site.keys()) - reached
    # What Sphinx makes for its search box and for those who look for an index.
    assert site.keys() - reached <= {"search.html", "genindex.html", "py-modindex.html"}


@pytest.mark.parametrize(
    "module",
    [toolserver, toolserver.client, errors, testing, wsgi, toolserver.ext.sqlalchemy],
    ids=lambda module: module.__name__,
)
def test_each_public_name_is_in_the_reference(described, module):
    places = (module.__name__, "toolserver")
    for name in module.__all__:
        assert {f"{place}.{name}" for place in places} & described, name


def test_what_users_call_of_a_class_is_in_the_reference(described):
    offered = [getattr(toolserver, name) for name in toolserver.__all__]
    classes = {
        base for each in offered if isinstance(each, type) for base in each.__mro__
    }
    for cls in classes:
        if cls.__module__.startswith("toolserver"):
            places = (f"toolserver.{cls.__name__}", f"{cls.__module__}.{cls.__name__}")
            for name, value in vars(cls).items():
                if not name.startswith("_") and callable(value):
                    assert {f"{each}.{name}" for each in places} & described, name


def test_each_error_is_listed_with_its_code(site):
    text = (SITE / "reference" / "errors.html").read_text()
    for name in errors.__all__:
        cls = getattr(errors, name)
        if issubclass(cls, errors.ToolserverError):
            row = text.partition(f'title="toolserver.errors.{name}"')[2]
            assert f"<td><p>{cls.code}</p></td>" in row.partition("</tr>")[0], name


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


def test_each_module_is_listed(site):
    package = SITE.parents[1] / "toolserver"
    for file in package.rglob("[!_]*.py"):
        name = ".".join(file.relative_to(package).with_suffix("").parts)
        assert f"module-{name}" in site["reference/modules.html"].ids


@pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ, reason="Chromium is not installed"
)
def test_a_reader_finds_what_is_looked_for(site):
    assert CHROMIUM is not None, "Chromium is not installed"
    reader = Path(__file__).with_name("reader.py")
    done = subprocess.run(
        [sys.executable, str(reader), str(SITE), CHROMIUM],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr[-3000:]
