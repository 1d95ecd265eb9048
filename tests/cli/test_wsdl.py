"""``wsdl`` against a running server."""

from lxml import etree

from .conftest import ask, run, status


def test_print(running):
    done = run(running, "wsdl", "shop.orders")
    assert (done.code, done.err) == (0, "")
    root = etree.fromstring(done.out.encode())
    assert root.get("targetNamespace") == "urn:toolserver:shop.orders"
    url = status(running)["url"]
    assert f'location="{url}/SOAP/shop/orders"' in done.out


def test_write(running, tmp_path):
    file = tmp_path / "orders.wsdl"
    url = status(running)["url"]
    done = ask(tmp_path, "wsdl", "--url", url, "shop.orders", "--output", file)
    assert (done.code, done.out, done.err) == (0, "", "")
    assert etree.parse(file).getroot().get("name") == "ShopOrders"


def test_there_is_none(running):
    done = ask(running, "wsdl", "shop.order")
    assert (done.code, done.out) == (1, "")
    assert "no tool 'shop.order', did you mean 'shop.orders'?" in done.err
    assert done.err.count("\n") == 1
    done = ask(running, "wsdl")
    assert (done.code, done.out) == (2, "")
    assert "shop.orders" in done.err


def test_no_server(tmp_path):
    ask(tmp_path, "init")
    assert ask(tmp_path, "wsdl", "shop.orders").code == 3
