"""The shop that the pages speak of, as the server has it whose clients they show."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import greeting

from toolserver import CRAMSettings, OnlyRPCCRAMTool, StandardTool, register
from toolserver.tools import Tool

__all__ = ["MODULES", "NAMES", "SETTINGS", "SHORTER", "tools_of"]


@dataclass(frozen=True)
class OrderSettings:
    largest: int = 100


@dataclass(frozen=True)
class Order:
    number: int
    item: str = "book"


@register("shop.orders")
class Orders(StandardTool):
    """Takes orders."""

    settings = OrderSettings()

    def place(self, item: str, count: int = 1) -> str:
        """Place an order."""
        return f"{count} of {item}"

    def find(self, number: int) -> Order:
        """Find an order."""
        return Order(number)


@dataclass(frozen=True)
class Number:
    number: int


@register("shop.orders")
class NumberedOrders(StandardTool):
    """Takes orders, and tells their numbers."""

    placed = 0

    def place(self, item: str) -> Number:
        """Place an order."""
        self.placed += 1
        return Number(self.placed)


@register("shop.stock")
class Stock(StandardTool):
    """What the shop has."""

    def reserve(self, item: str) -> str:
        """Lay something aside."""
        return item


@register("status")
class Status(OnlyRPCCRAMTool):
    """How the machine is."""

    settings = CRAMSettings(secret="the secret")

    def load(self) -> float:
        """How busy the machine is."""
        return 0.5


_STAGE: tuple[type[Tool], ...] = (Orders, Stock, Status, greeting.Greeting)
#: Pages whose shop is another one.
_OTHERS = {"docs/rest.md": (NumberedOrders, Stock, greeting.Greeting)}

#: What blocks import that the reader has: a module of tools.
MODULES = {"shop": sys.modules[__name__], "shop_orders": sys.modules[__name__]}
#: What blocks of a page use without saying where it comes from.
NAMES = {"docs/tools.md": {"Stock": Stock}}
#: Settings without which tools of the pages do not start.
SETTINGS = {"status": {"secret": "the secret"}}
#: Nobody is to wait for what only shows that something takes time.
SHORTER = {"delay=3": "delay=0.1", "--workers 4": "--workers 2"}


def tools_of(page: str) -> tuple[type[Tool], ...]:
    """The tools of the server whose clients a page shows."""
    return _OTHERS.get(page, _STAGE)
