"""The shop example, as its customers use it."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
from collections import Counter
from urllib.parse import urlsplit

import gevent
import pytest
from shop import Accounts, Orders, Shop, ShopTool, Stock
from sqlalchemy import ForeignKey, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import toolserver.testing
from toolserver import call, limit, register

PAGE = {"Accept": "text/html"}
DATA = {"Accept": "application/json"}


def shop_on(url, *more, **options):
    names = ["shop.stock", "shop.accounts", "shop.orders"]
    names += ["shop.chaos"] if more else []
    return toolserver.testing.serve(
        Shop,
        Stock,
        Accounts,
        Orders,
        *more,
        settings={name: {"url": url} for name in names} if url else None,
        **options,
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request):
    url = ""
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql").new_database()
    with shop_on(url) as running:
        yield running


def post(server, path, **arguments):
    return server.http.post(f"/shop/{path}", json=arguments, headers=DATA)


def get(server, path):
    answer = server.http.get(f"/shop/{path}", headers=DATA)
    answer.raise_for_status()
    return answer.json()


def articles(server):
    found = get(server, "stock/articles")
    return {article["name"]: article["pieces"] for article in found}


def balance(server, customer="Ann"):
    return get(server, f"accounts/balance?customer={customer}")


def test_a_visitor_pays_in_and_orders(server):
    page = server.http.get("/shop", headers=PAGE).text
    assert "<td>teapot</td><td>40</td><td>19.00</td>" in page
    paid = {"customer": "Ann & Bob", "cents": "5000"}
    page = server.http.post("/shop/accounts/deposit", data=paid, headers=PAGE)
    assert page.url.endswith("/shop/")
    form = {"customer": "Ann & Bob", "article": "teapot", "count": "2"}
    page = server.http.post("/shop/orders/place", data=form, headers=PAGE)
    assert [answer.status_code for answer in page.history] == [303]
    assert "<td>teapot</td><td>2</td><td>38.00</td>" in page.text
    assert "<td>teapot</td><td>38</td>" in server.http.get("/shop/").text


def test_an_order_takes_pieces_and_money(server):
    assert post(server, "accounts/deposit", customer="Ann", cents=3000).json() == 3000
    placed = post(server, "orders/place", customer="Ann", article="cup", count=3).json()
    assert placed["total_cents"] == 1350
    assert articles(server)["cup"] == 297
    assert balance(server) == 1650
    assert post(server, "orders/cancel", number=placed["number"]).ok
    assert articles(server)["cup"] == 300
    assert balance(server) == 3000
    assert get(server, "orders/list?customer=Ann") == []


def test_an_order_that_fails_leaves_nothing(server):
    answer = post(server, "orders/place", customer="Ann", article="cup")
    assert answer.status_code == 404
    assert answer.json()["detail"] == "customer 'Ann': has no account"
    post(server, "accounts/deposit", customer="Ann", cents=1000)
    answer = post(server, "orders/place", customer="Ann", article="teapot")
    assert answer.status_code == 402
    assert answer.json()["detail"] == "'Ann' has 1000 cents, 1900 are needed"
    answer = post(server, "orders/place", customer="Ann", article="cup", count=301)
    assert answer.status_code == 409
    answer = post(server, "orders/place", customer="Ann", article="horse")
    assert answer.status_code == 404
    assert articles(server) == {"cup": 300, "tea, 100 g": 120, "teapot": 40}
    assert balance(server) == 1000


def test_what_can_be_had_is_placed(server):
    post(server, "accounts/deposit", customer="Ann", cents=2500)
    wishes = [
        {"article": "teapot"},
        {"article": "tea, 100 g"},
        {"article": "cup", "count": 1},
    ]
    told = post(
        server, "orders/place_what_can_be_had", customer="Ann", wishes=wishes
    ).json()
    assert told["teapot"].startswith("order ")
    assert told["tea, 100 g"] == "'Ann' has 600 cents, 620 are needed"
    assert told["cup"].startswith("order ")
    assert balance(server) == 150
    assert articles(server) == {"cup": 299, "tea, 100 g": 120, "teapot": 39}


def test_contracts_and_types_guard_the_shop(server):
    answer = post(server, "orders/place", customer=" Ann", article="cup")
    assert answer.status_code == 422
    answer = post(server, "orders/place", customer="Ann", article="cup", count=0)
    assert answer.status_code == 400
    assert post(server, "stock/take", article="cup", count=1).status_code == 404
    answer = post(server, "stock/deliver", article="pan", count=5, price_cents=2500)
    assert answer.json() == 5


def test_what_was_done_outlives_the_server(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    with shop_on("", home=home) as server:
        post(server, "accounts/deposit", customer="Ann", cents=1000)
        post(server, "orders/place", customer="Ann", article="cup")
    assert (home / "var" / "shop.db").is_file()
    with shop_on("", home=home) as server:
        assert balance(server) == 550
        assert articles(server)["cup"] == 299


class Base(DeclarativeBase):
    pass


class Mishap(Base):
    """A row that breaks a rule which is checked at the commit."""

    __tablename__ = "shop_mishap"

    id: Mapped[int] = mapped_column(primary_key=True)
    order: Mapped[int] = mapped_column(
        ForeignKey("shop_mishap.id", deferrable=True, initially="DEFERRED")
    )


FAILURES = ("none", "before", "after", "nested", "caught", "commit")


@register("shop.chaos")
class Chaos(ShopTool):
    """Places orders and fails at a chosen place."""

    nested = "join"

    def on_setup(self) -> None:
        Base.metadata.create_all(self.engine)

    def order(
        self, customer: str, article: str, count: int, failure: str, seconds: float = 0
    ) -> int:
        if failure == "before":
            raise ValueError("before anything")
        number = call("shop.orders.place", customer, article, count).number
        if seconds:
            self.pause(seconds)
        if failure == "after":
            raise ValueError("after the flush")
        if failure == "nested":
            call("shop.chaos.fail", customer)
        if failure == "caught":
            with contextlib.suppress(ValueError):
                call("shop.chaos.fail", customer)
        if failure == "commit":
            self.session.add(Mishap(order=-1))
        return number

    @limit(timeout=2.5)
    def order_in_time(
        self, customer: str, article: str, count: int, failure: str, seconds: float
    ) -> int:
        return self.order(customer, article, count, failure, seconds)

    def fail(self, customer: str) -> None:
        call("shop.accounts.charge", customer, 1)
        raise ValueError("in a nested call")

    def pause(self, seconds: float) -> None:
        # Half of the calls wait in the database, half in Python.
        if int(seconds * 1000) % 2:
            gevent.sleep(seconds)
        else:
            self.session.execute(
                text("SELECT pg_sleep(:seconds)"), {"seconds": seconds}
            )


CUSTOMERS = [f"customer {number}" for number in range(40)]
PRICES = {f"article {number}": 100 + number for number in range(40)}


def ask(server, method, arguments):
    """Call a method of `shop.chaos` over HTTP; the answer's status and value."""
    address = urlsplit(server.url()).netloc
    connection = http.client.HTTPConnection(address, timeout=50)
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    try:
        connection.request(
            "POST", f"/shop/chaos/{method}", json.dumps(arguments).encode(), headers
        )
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def storm(server, seed, method="order", pauses=(0.0,)):
    """200 calls at once; checks the database against their answers."""
    chance = random.Random(seed)
    for name, price in PRICES.items():
        post(server, "stock/deliver", article=name, count=8, price_cents=price)
    for customer in CUSTOMERS:
        post(server, "accounts/deposit", customer=customer, cents=1000)
    stock = articles(server)
    wanted = [
        {
            "customer": chance.choice(CUSTOMERS),
            "article": chance.choice(list(PRICES)),
            "count": chance.randint(1, 3),
            "failure": chance.choice(("none", "none", "none", *FAILURES)),
            "seconds": chance.choice(pauses),
        }
        for _ in range(200)
    ]
    calls = [gevent.spawn(ask, server, method, arguments) for arguments in wanted]
    gevent.joinall(calls, timeout=50, raise_error=True)
    answers = [each.value for each in calls]
    told = Counter(status for status, _ in answers)

    sold, spent, numbers = Counter(), Counter(), {}
    for arguments, (status, value) in zip(wanted, answers, strict=True):
        if status == 200:
            assert arguments["failure"] == "none"
            sold[arguments["article"]] += arguments["count"]
            total = PRICES[arguments["article"]] * arguments["count"]
            spent[arguments["customer"]] += total
            numbers[value] = (arguments["customer"], total)
    assert articles(server) == {name: stock[name] - sold[name] for name in stock}
    for customer in CUSTOMERS:
        assert balance(server, customer) == 1000 - spent[customer]
    kept = {}
    for customer in CUSTOMERS:
        for order in get(server, f"orders/list?customer={customer}"):
            kept[order["number"]] = (order["customer"], order["total_cents"])
    assert kept == numbers
    pool = server.tool("shop.chaos").engine.pool
    assert pool.checkedout() == 0
    return told, wanted, answers


def test_200_calls_at_once_leave_what_they_have_answered(postgresql, caplog):
    with shop_on(postgresql.new_database(), Chaos) as server:
        told, wanted, answers = storm(server, seed=1)
    succeeded = told[200]
    assert succeeded > 10
    for failure in FAILURES:
        statuses = {
            a[0]
            for w, a in zip(wanted, answers, strict=True)
            if w["failure"] == failure
        }
        # Each kind of failure was met, besides what the shop itself refuses.
        assert (200 in statuses) == (failure == "none"), (failure, statuses)
        assert failure == "none" or 500 in statuses


@pytest.mark.parametrize("seed", [2, 3])
def test_calls_that_are_killed_leave_nothing(postgresql, seed, caplog):
    # Most end long before their time, some near it, before and after.
    pauses = [0.0, 0.001, 0.002, 0.01] * 45 + [n / 1000 for n in range(2000, 2600, 29)]
    with shop_on(postgresql.new_database(), Chaos) as server:
        told, _, answers = storm(server, seed, "order_in_time", pauses)
        killed = [value for status, value in answers if status == 503]
        assert any("ended after 2.5 seconds" in value["detail"] for value in killed)
        assert told[200]
        assert told.keys() <= {200, 402, 409, 500, 503}
