"""Reads `/metrics` by Prometheus' own parser."""

from __future__ import annotations

import requests
from prometheus_client.parser import text_string_to_metric_families

__all__ = ["Samples", "read", "scrape"]


class Samples:
    """What was told."""

    def __init__(self, text: str) -> None:
        self.families = {
            each.name: each for each in text_string_to_metric_families(text)
        }

    def all(self, name, **labels):
        """The samples of a name whose labels are these, among others."""
        return [
            sample
            for family in self.families.values()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def sum(self, name, **labels) -> float:
        return sum(sample.value for sample in self.all(name, **labels))


def read(answer: requests.Response) -> Samples:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    return Samples(answer.text)


def scrape(url: str) -> Samples:
    """Ask on a connection of its own, so that any worker may answer."""
    return read(requests.get(f"{url}/metrics", timeout=20))
