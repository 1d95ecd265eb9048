"""A shop: what belongs together is done together, or not at all.

An order takes pieces from the stock and money from an account, and is written down.
Three tools do that, by calls of each other in one transaction of the database: whatever
fails, at whatever place, nothing of it is left. Open http://localhost:4334/shop/, or:

    curl -d customer=Ann -d cents=5000 localhost:4334/shop/accounts/deposit
    curl -d customer=Ann -d article=teapot -d count=2 localhost:4334/shop/orders/place
    curl localhost:4334/shop/accounts/balance?customer=Ann
    tsctl call shop.orders.cancel number=1

The database is a file of SQLite in the folder `var`. For PostgreSQL give each of the
tools its URL, here or in the environment (`TOOLSERVER_TOOL__SHOP__STOCK__URL`):

    [tool."shop.stock"]
    url = "postgresql+psycopg://shop:secret@localhost/shop"
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from msgspec import Meta
from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, String, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column

from toolserver import (
    InternalTool,
    Markup,
    Request,
    Response,
    StandardTool,
    call,
    destructive,
    ensure,
    expose,
    generator,
    hidden,
    html,
    read_only,
    redirect,
    register,
    require,
    rest,
)
from toolserver.errors import ApplicationError, NotFound, ToolserverError
from toolserver.ext.sqlalchemy import DatabaseSettings, SQLAlchemyMixin

Name = Annotated[str, Meta(min_length=1, max_length=50)]
Count = Annotated[int, Meta(ge=1, le=1000)]
Cents = Annotated[int, Meta(ge=1, le=1_000_000)]

_FIRST_STOCK = [("teapot", 1900, 40), ("cup", 450, 300), ("tea, 100 g", 620, 120)]

_STYLE = html.style("""
:root { color-scheme: light dark; font: 1.05rem/1.6 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 40rem; padding: 0 1rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .3rem .6rem; text-align: left; }
td + td, th + th { text-align: right; }
form { display: grid; gap: .75rem; margin-top: 2rem; }
input, select, button { box-sizing: border-box; font: inherit; padding: .4rem .6rem; }
input, select { display: block; width: 100%; }
button { justify-self: start; }
""")


class OutOfStock(ApplicationError):
    """There are not as many pieces as were asked for."""

    code = -32120
    status = 409


class NotEnoughMoney(ApplicationError):
    """The account does not hold what is to be paid."""

    code = -32121
    status = 402


class Base(MappedAsDataclass, DeclarativeBase):
    """The tables of the shop."""


class ArticleRow(Base):
    """An article and how many pieces of it there are."""

    __tablename__ = "shop_article"
    __table_args__ = (CheckConstraint("pieces >= 0"),)

    name: Mapped[str] = mapped_column(String(50), primary_key=True)
    price_cents: Mapped[int] = mapped_column(BigInteger)
    pieces: Mapped[int] = mapped_column(BigInteger)


class AccountRow(Base):
    """A customer's account."""

    __tablename__ = "shop_account"
    __table_args__ = (CheckConstraint("balance_cents >= 0"),)

    customer: Mapped[str] = mapped_column(String(50), primary_key=True)
    balance_cents: Mapped[int] = mapped_column(BigInteger)


class OrderRow(Base):
    """An order."""

    __tablename__ = "shop_order"

    number: Mapped[int] = mapped_column(primary_key=True, init=False)
    customer: Mapped[str] = mapped_column(ForeignKey("shop_account.customer"))
    article: Mapped[str] = mapped_column(ForeignKey("shop_article.name"))
    count: Mapped[int]
    total_cents: Mapped[int] = mapped_column(BigInteger)
    placed: Mapped[dt.datetime]


@dataclass(frozen=True)
class Article:
    """What can be bought.

    Attributes:
        name: Its name.
        price_cents: Its price.
        pieces: How many there are.
    """

    name: str
    price_cents: int
    pieces: int


@dataclass(frozen=True)
class Wish:
    """A line of a list of what somebody wants.

    Attributes:
        article: Name of the article.
        count: How many pieces.
    """

    article: Name
    count: Count = 1


@dataclass(frozen=True)
class Order:
    """An order that was placed.

    Attributes:
        number: Its number.
        customer: Who pays.
        article: What was bought.
        count: How many pieces.
        total_cents: What was paid.
        placed: When.
    """

    number: int
    customer: str
    article: str
    count: int
    total_cents: int
    placed: dt.datetime


class ShopTool(SQLAlchemyMixin, StandardTool):
    """What the tools of the shop share: a database."""

    settings = DatabaseSettings("sqlite:///shop.db")

    def on_setup(self) -> None:
        """Make the tables, as far as they are missing."""
        Base.metadata.create_all(self.engine)


@register("shop.stock")
class Stock(ShopTool):
    """The articles and how many of them there are."""

    def on_start(self) -> None:
        """Fill an empty shop."""
        if self.session.scalar(select(ArticleRow).limit(1)) is None:
            self.session.add_all(ArticleRow(*article) for article in _FIRST_STOCK)

    @read_only
    def articles(self) -> list[Article]:
        """All articles by their names."""
        rows = self.session.scalars(select(ArticleRow).order_by(ArticleRow.name))
        return [Article(row.name, row.price_cents, row.pieces) for row in rows]

    def deliver(self, article: Name, count: Count, price_cents: Cents) -> int:
        """Take pieces in, of an article that is new or known.

        Args:
            article: Its name.
            count: How many pieces.
            price_cents: Its price from now on.

        Returns:
            How many there are now.
        """
        row = self.session.get(ArticleRow, article, with_for_update=True)
        if row is None:
            row = ArticleRow(article, price_cents, 0)
            self.session.add(row)
        row.price_cents = price_cents
        row.pieces += count
        return row.pieces

    @hidden
    def take(self, article: str, count: int) -> int:
        """Take pieces out for an order, or back in if there are less than none.

        Args:
            article: Its name.
            count: How many pieces.

        Returns:
            Price of a piece, cents.

        Raises:
            NotFound: There is no such article.
            OutOfStock: There are less.
        """
        # One statement finds out and takes: no other order can come in between.
        price = self.session.scalar(
            update(ArticleRow)
            .where(ArticleRow.name == article, ArticleRow.pieces >= count)
            .values(pieces=ArticleRow.pieces - count)
            .returning(ArticleRow.price_cents)
        )
        if price is not None:
            return price
        if self.session.get(ArticleRow, article) is None:
            raise NotFound(f"article {article!r}: there is none of that name")
        raise OutOfStock(f"article {article!r}: there are less than {count}")


@register("shop.accounts")
class Accounts(ShopTool):
    """What customers have paid in and not spent."""

    def deposit(self, customer: Name, cents: Cents) -> int:
        """Pay in; the first payment opens the account.

        Args:
            customer: Whose account.
            cents: How much.

        Returns:
            The balance, cents.
        """
        row = self.session.get(AccountRow, customer, with_for_update=True)
        if row is None:
            row = AccountRow(customer, 0)
            self.session.add(row)
        row.balance_cents += cents
        return row.balance_cents

    @generator(deposit, "POST", content_type="text/html")
    def _to_the_shop(self, request: Request, balance: int) -> Response:
        return redirect("../")

    @read_only
    def balance(self, customer: Name) -> int:
        """The balance of an account, cents.

        Args:
            customer: Whose account.

        Raises:
            NotFound: The customer has none.
        """
        row = self.session.get(AccountRow, customer)
        if row is None:
            raise NotFound(f"customer {customer!r}: has no account")
        return row.balance_cents

    @hidden
    def charge(self, customer: str, cents: int) -> None:
        """Take money from an account, or pay it back if it is less than none.

        Args:
            customer: Whose account.
            cents: How much.

        Raises:
            NotFound: The customer has no account.
            NotEnoughMoney: It holds less.
        """
        charged = self.session.scalar(
            update(AccountRow)
            .where(AccountRow.customer == customer, AccountRow.balance_cents >= cents)
            .values(balance_cents=AccountRow.balance_cents - cents)
            .returning(AccountRow.customer)
        )
        if charged is None:
            held = call("shop.accounts.balance", customer)
            raise NotEnoughMoney(f"{customer!r} has {held} cents, {cents} are needed")


@register("shop.orders")
class Orders(ShopTool):
    """Orders."""

    # One of several orders that cannot be had does not stop the others.
    nested = "savepoint"

    @require(lambda customer: customer == customer.strip(), "no spaces around the name")
    @ensure(lambda result, count: result.total_cents % count == 0, "whole prices")
    def place(self, customer: Name, article: Name, count: Count = 1) -> Order:
        """Buy something.

        Args:
            customer: Who pays.
            article: Name of what is bought.
            count: How many pieces.

        Returns:
            The order.

        Raises:
            NotFound: There is no such article, or the customer has no account.
            OutOfStock: There are less pieces.
            NotEnoughMoney: The account holds less.
        """
        price = call("shop.stock.take", article, count)
        call("shop.accounts.charge", customer, price * count)
        row = OrderRow(
            customer=customer,
            article=article,
            count=count,
            total_cents=price * count,
            placed=dt.datetime.now(dt.UTC).replace(tzinfo=None),
        )
        self.session.add(row)
        # The database gives the number.
        self.session.flush()
        return _order(row)

    def place_what_can_be_had(
        self, customer: Name, wishes: Annotated[list[Wish], Meta(max_length=20)]
    ) -> dict[str, str]:
        """Buy what there is and can be paid, and leave out the rest.

        Args:
            customer: Who pays.
            wishes: What is wanted, the most important first.

        Returns:
            The number of the order for each article, or why there is none.
        """
        told = {}
        for wish in wishes:
            try:
                order = call("shop.orders.place", customer, wish.article, wish.count)
                told[wish.article] = f"order {order.number}"
            except ToolserverError as error:
                told[wish.article] = error.message
        return told

    @destructive
    def cancel(self, number: int) -> None:
        """Undo an order: the pieces and the money go back.

        Args:
            number: The number of the order.

        Raises:
            NotFound: There is no such order.
        """
        row = self.session.get(OrderRow, number, with_for_update=True)
        if row is None:
            raise NotFound(f"order {number}: there is none of that number")
        call("shop.stock.take", row.article, -row.count)
        call("shop.accounts.charge", row.customer, -row.total_cents)
        self.session.delete(row)

    @expose("list")
    @read_only
    def list_orders(self, customer: Name) -> list[Order]:
        """A customer's latest orders, the latest first, 100 at most.

        Args:
            customer: Whose orders.
        """
        rows = self.session.scalars(
            select(OrderRow)
            .where(OrderRow.customer == customer)
            .order_by(OrderRow.number.desc())
            .limit(100)
        )
        return [_order(row) for row in rows]

    @generator(list_orders, content_type="text/html")
    def _as_page(self, request: Request, orders: list[Order]) -> Markup:
        rows = (
            html.tr(
                html.td(order.article),
                html.td(order.count),
                html.td(_money(order.total_cents)),
            )
            for order in orders
        )
        return _page(
            "Your orders",
            _table("Article", "Pieces", "Paid", rows=rows),
            html.p(html.a("To the shop", href="../")),
        )

    @generator(place, "POST", content_type="text/html")
    def _to_orders(self, request: Request, order: Order) -> Response:
        # Loading the page again must not order again.
        return redirect(f"list?{urlencode({'customer': order.customer})}")


@register("shop")
class Shop(InternalTool):
    """The page of the shop; its work is done by the other tools."""

    @rest("GET")
    def index(self, request: Request) -> Markup:
        """What there is, and forms to pay in and to order."""
        articles = call("shop.stock.articles")
        rows = (
            html.tr(
                html.td(article.name),
                html.td(article.pieces),
                html.td(_money(article.price_cents)),
            )
            for article in articles
        )
        choices = (html.option(article.name) for article in articles)
        return _page(
            "Shop",
            _table("Article", "Pieces", "Price", rows=rows),
            html.form(
                _line("Name", "customer"),
                html.label("Article", html.select(choices, name="article")),
                _number("Pieces", "count"),
                html.button("Order"),
                method="post",
                action="orders/place",
            ),
            html.form(
                _line("Name", "customer"),
                _number("Cents", "cents"),
                html.button("Pay in"),
                method="post",
                action="accounts/deposit",
            ),
        )


def _order(row: OrderRow) -> Order:
    return Order(
        row.number, row.customer, row.article, row.count, row.total_cents, row.placed
    )


def _page(title: str, *content: Markup) -> Markup:
    return html.document(title, html.h1(title), *content, head=_STYLE)


def _table(*titles: str, rows: Iterable[Markup]) -> Markup:
    head = html.tr(html.th(title, scope="col") for title in titles)
    return html.table(html.thead(head), html.tbody(rows))


def _line(label: str, name: str) -> Markup:
    return html.label(label, html.input(name=name, required=True, maxlength=50))


def _number(label: str, name: str) -> Markup:
    return html.label(
        label, html.input(name=name, type="number", min=1, value=1, required=True)
    )


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"
