"""Clients of plain HTTP: REST, files and pages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence

from soak.clients.base import PATIENCE, Client, Place, checked, expect
from soak.server import LARGE, PAGE

__all__ = ["PagesClient", "RESTClient"]


class RESTClient(Client):
    """Calls methods over REST, in all forms that arguments and results have."""

    label = "REST"

    def __init__(self, place: Place, number: int | str, seed: object) -> None:
        super().__init__(place, number, seed)
        self._session = self.session()
        self._base = f"{place.url}/soak"

    def actions(self) -> Sequence[Callable[[], None]]:
        return [
            *(self.query, self.json, self.form, self.upload, self.stream),
            *(self.revalidate, self.once, self.note_it, self.fail, self.mistake),
            *(self.wait, self.digest, self.child, self.as_xml, self.gateway),
        ]

    def query(self) -> None:
        text = self.text()
        answer = self._session.get(
            f"{self._base}/echo/text", params={"text": text}, timeout=PATIENCE
        )
        expect(checked(answer).text, text, "query")

    def json(self) -> None:
        order = self.order()
        for method, expected in (("order", order), ("total", self.total(order))):
            answer = self._session.post(
                f"{self._base}/echo/{method}", json={"order": order}, timeout=PATIENCE
            )
            expect(checked(answer).json(), expected, method)

    def form(self) -> None:
        text = self.text()
        answer = self._session.post(
            f"{self._base}/echo/text", data={"text": text}, timeout=PATIENCE
        )
        expect(checked(answer).text, text, "form")

    def upload(self) -> None:
        size = self.dice.choice((0, 100, 5000, 200_000))
        files = {"one": self.dice.randbytes(size), "two": self.dice.randbytes(10)}
        answer = self._session.post(
            f"{self._base}/echo/upload", files=files, timeout=PATIENCE
        )
        expected = {
            name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in files.items()
        }
        expect(checked(answer).json(), expected, "upload")

    def stream(self) -> None:
        count = self.dice.randint(0, 300)
        answer = self._session.get(
            f"{self._base}/echo/lines", params={"count": count}, timeout=PATIENCE
        )
        lines = checked(answer).text.splitlines()
        expected = [{"number": number} for number in range(count)]
        expect([json.loads(line) for line in lines], expected, "stream")

    def revalidate(self) -> None:
        url, params = f"{self._base}/echo/text", {"text": self.text()}
        answer = checked(self._session.get(url, params=params, timeout=PATIENCE))
        known = {"If-None-Match": answer.headers["ETag"]}
        again = self._session.get(url, params=params, headers=known, timeout=PATIENCE)
        expect(checked(again, 304).content, b"", "revalidate")

    def once(self) -> None:
        name = self.name()
        key = {"Idempotency-Key": f'"{name}"'}
        for expected in (None, "true"):
            answer = self._session.post(
                f"{self._base}/ledger/note",
                json={"name": name},
                headers=key,
                timeout=PATIENCE,
            )
            expect(checked(answer).text, name, "once")
            told = answer.headers.get("Idempotency-Replayed")
            expect(told, expected, "replayed")
        self.record.notes[name] = self.label

    def note_it(self) -> None:
        self.note(
            lambda name: (
                checked(
                    self._session.post(
                        f"{self._base}/ledger/note",
                        json={"name": name},
                        timeout=PATIENCE,
                    )
                ).text
            )
        )

    def fail(self) -> None:
        answer = self._session.post(
            f"{self._base}/echo/refuse", json={"number": 7}, timeout=PATIENCE
        )
        told = checked(answer, 409).json()
        expect(told["detail"], "number: got 7, expected another one", "fail")
        expect((told["code"], told["error"]), (-32009, "Conflict"), "fail")

    def mistake(self) -> None:
        answer = self._session.post(
            f"{self._base}/echo/pause", json={"seconds": "long"}, timeout=PATIENCE
        )
        expect(checked(answer, 400).json()["code"], -32602, "mistake")
        answer = self._session.get(f"{self._base}/echo/nothing", timeout=PATIENCE)
        checked(answer, 404)

    def wait(self) -> None:
        number = self.dice.randint(0, 1000)
        answer = self._session.get(
            f"{self._base}/echo/pause",
            params={"seconds": self.dice.random() * 0.3, "number": number},
            timeout=PATIENCE,
        )
        expect(checked(answer).json(), number, "wait")

    def digest(self) -> None:
        text = self.text()
        answer = self._session.post(
            f"{self._base}/echo/digest", json={"text": text}, timeout=PATIENCE
        )
        expect(checked(answer).text, hashlib.sha256(text.encode()).hexdigest())

    def child(self) -> None:
        key = f"shelf{self.dice.randint(0, 300)}"
        answer = self._session.get(
            f"{self._base}/library/{key}/title", timeout=PATIENCE
        )
        expect(checked(answer).text, key, "child")

    def as_xml(self) -> None:
        order = self.order()
        answer = self._session.post(
            f"{self._base}/echo/order",
            json={"order": order},
            headers={"Accept": "application/xml"},
            timeout=PATIENCE,
        )
        told = checked(answer).text
        expect(f"<number>{order['number']}</number>" in told, True, told[:300])

    def gateway(self) -> None:
        body = self.dice.randbytes(self.dice.choice((0, 50, 100_000)))
        # In chunks, as nobody knows the length of a stream.
        pieces = iter([body[:10], body[10:]]) if len(body) > 10 else body
        answer = self._session.post(
            f"{self.place.url}/WSGI/plain/there", data=pieces, timeout=PATIENCE
        )
        expect(checked(answer).content, body, "gateway")
        expect(answer.headers["X-Path"], "'/there'", "gateway")


class PagesClient(Client):
    """Reads files, pages about tools, and documents about them."""

    label = "pages and files"

    def __init__(self, place: Place, number: int | str, seed: object) -> None:
        super().__init__(place, number, seed)
        self._session = self.session()

    def actions(self) -> Sequence[Callable[[], None]]:
        return [self.file, self.part, self.page, self.document, self.health]

    def file(self) -> None:
        answer = self._session.get(f"{self.place.url}/page.html", timeout=PATIENCE)
        expect(checked(answer).content, PAGE, "file")
        known = {"If-None-Match": answer.headers["ETag"]}
        again = self._session.get(
            f"{self.place.url}/page.html", headers=known, timeout=PATIENCE
        )
        checked(again, 304)

    def part(self) -> None:
        begin = self.dice.randint(0, len(LARGE) - 2)
        end = self.dice.randint(begin, len(LARGE) - 1)
        answer = self._session.get(
            f"{self.place.url}/large.bin",
            headers={"Range": f"bytes={begin}-{end}"},
            timeout=PATIENCE,
        )
        expect(checked(answer, 206).content, LARGE[begin : end + 1], "part")

    def page(self) -> None:
        answer = self._session.get(
            f"{self.place.url}/API/", headers={"Accept": "text/html"}, timeout=PATIENCE
        )
        expect("soak.echo" in checked(answer).text, True, "page")

    def document(self) -> None:
        answer = self._session.get(
            f"{self.place.url}/openapi.json",
            params={"tool": "soak.echo"},
            timeout=PATIENCE,
        )
        expect("/soak/echo/text" in checked(answer).json()["paths"], True, "document")

    def health(self) -> None:
        answer = self._session.get(f"{self.place.url}/health/live", timeout=PATIENCE)
        checked(answer)
