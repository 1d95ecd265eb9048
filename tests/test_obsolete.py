"""Tools that stand where others were."""

import xmlrpc.client

import pytest

import toolserver.testing
from toolserver import ObsoleteTool, register, tool
from toolserver.contexts import Context, bind
from toolserver.errors import Obsolete


@register("old.basket")
class Basket(ObsoleteTool):
    obsolete = {"buy": "use shop.orders.place"}  # noqa: RUF012  # as users write it

    def still_here(self) -> str:
        return "here"


@pytest.fixture(scope="module")
def server():
    with toolserver.testing.serve(Basket) as running:
        yield running


def test_rest_tells_that_it_is_gone(server):
    answer = server.http.get("/old/basket/buy?what=book&count=2")
    assert answer.status_code == 410
    assert answer.headers["x-rest-errorobject"] == "Obsolete"
    told = "old.basket.buy is obsolete: use shop.orders.place"
    assert answer.json()["detail"] == told
    assert server.http.post("/old/basket/buy", json={"a": 1}).status_code == 410


def test_rpc_has_a_fault_of_its_own(server):
    with xmlrpc.client.ServerProxy(server.url("/RPC2")) as proxy:
        with pytest.raises(xmlrpc.client.Fault, match="use shop") as caught:
            proxy.old.basket.buy("book", 2)
        assert caught.value.faultCode == -32010
        assert "Obsolete: use" in proxy.system.methodHelp("old.basket.buy")
        with pytest.raises(xmlrpc.client.Fault, match="no method"):
            proxy.old.basket.sell()


def test_other_tools_learn_so_too(server):
    with bind(Context(services=server.worker.services)):
        basket = tool("old.basket", Basket)
        with pytest.raises(Obsolete):
            basket.buy("book")
        with pytest.raises(AttributeError):
            _ = basket.sell


def test_it_may_have_methods_that_are_left(server):
    assert server.http.get("/old/basket/still_here").text == "here"
