"""What the parts of a server offer each other."""

import pytest

import toolserver
from toolserver import StandardTool, proxy, universe
from toolserver.contexts import Context, bind
from toolserver.dispatcher import Dispatcher
from toolserver.message import Request
from toolserver.registry import Registry
from toolserver.services import Services, install
from toolserver.settings import ServerSettings, Settings


def offered(**server):
    registry = Registry()
    registry.add(StandardTool(), "plain")
    settings = Settings(server=ServerSettings(**server))
    return Services(registry, Dispatcher(registry), settings)


def test_the_address_is_that_of_the_settings_or_of_the_request():
    request = Request(host="here.example:81")
    with bind(Context(request=request)):
        assert offered().url == "http://here.example:81/"
        public = offered(public_url="https://there.example/x")
        assert public.url == "https://there.example/x/"


def test_without_a_request_only_the_settings_know_the_address():
    with pytest.raises(RuntimeError, match=r"server\.public_url is not set and there"):
        _ = offered().url


def test_what_stands_for_others_says_so():
    found = offered()
    install(found)
    try:
        assert repr(proxy("plain")) == "<proxy of plain>"
    finally:
        install(None, found)
    assert repr(universe) == "<the universe of the running server>"
    assert repr(toolserver.chain("test.shown")) == "<chain test.shown>"


def test_the_package_lists_its_names_before_they_are_loaded():
    assert set(toolserver.__all__) <= set(dir(toolserver))
