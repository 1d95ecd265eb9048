"""The tool that the benchmarks call."""

import time
from dataclasses import dataclass

from toolserver import StandardTool, register


@dataclass
class Record:
    id: int
    name: str
    email: str
    price: float
    quantity: int
    active: bool
    tags: list[str]
    note: str
    rank: int
    ratio: float


@register("bench")
class Bench(StandardTool):
    def hello(self) -> str:
        return "Hello World!"

    def echo(self, text: str) -> str:
        return text

    def echo_records(self, records: list[Record]) -> list[Record]:
        return records

    def add(self, a: int, b: int) -> int:
        return a + b

    def sleep(self, seconds: float) -> float:
        time.sleep(seconds)
        return seconds
