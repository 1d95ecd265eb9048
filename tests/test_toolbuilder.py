"""Settings that name tools which are not there."""

import re

import pytest
from gevent import GreenletExit

from toolserver import StandardTool, register
from toolserver.declarations import declared
from toolserver.errors import StartError
from toolserver.home import Home
from toolserver.testing import serve
from toolserver.wsgi import make_application


@register("shop.orders")
class Orders(StandardTool):
    most = 5


@pytest.mark.parametrize(
    ("namespace", "hint"),
    [
        ("shop.order", ", did you mean 'shop.orders'?"),
        ("Shop.Orders", ", did you mean 'shop.orders'?"),
        ("zzz", ""),
    ],
)
def test_settings_of_a_tool_that_is_not_there_are_refused(namespace, hint):
    expected = re.escape(f'[tool."{namespace}"]: no such tool{hint}') + "$"
    with (
        pytest.raises(StartError, match=expected),
        serve(Orders, settings={namespace: {"most": 7}}),
    ):
        pass


@pytest.fixture
def _nothing_declared():
    """A server that loads its tools serves all that the process has registered."""
    before = list(declared)
    declared.clear()
    yield
    declared[:] = before


@pytest.mark.usefixtures("_nothing_declared")
def test_the_section_of_a_tool_that_is_not_there_is_named_with_its_line(tmp_path):
    home = Home(tmp_path)
    home.create()
    home.settings_file.write_text('[server]\nport = 0\n\n[tool."zzz"]\nmost = 7\n')
    with pytest.raises(StartError) as caught:
        make_application(home)
    place = f'{home.settings_file}:4: [tool."zzz"]: no such tool'
    assert str(caught.value).startswith(place)


@pytest.mark.usefixtures("_nothing_declared")
def test_a_home_without_a_folder_of_applications(tmp_path):
    home = Home(tmp_path)
    home.create()
    home.settings_file.touch()
    home.wsgi.rmdir()
    make_application(home).close()


@register("shop.broken")
class Broken(StandardTool):
    how: BaseException

    def __init__(self):
        raise self.how


def test_what_cannot_be_made_is_named(monkeypatch):
    monkeypatch.setattr(Broken, "how", SystemExit(3), raising=False)
    told = "Broken cannot be made: SystemExit: 3 "
    with pytest.raises(StartError, match=told), serve(Broken):
        pass
    # Whoever ends the greenlet that builds the server is not held up.
    monkeypatch.setattr(Broken, "how", GreenletExit())
    with pytest.raises(GreenletExit), serve(Broken):
        pass
