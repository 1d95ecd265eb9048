"""Clients who say who they are: keys, sessions, passwords, shared secrets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from soak.clients.base import PATIENCE, Client, Place, checked, expect
from soak.server import NAME, PASSWORD, SECRET

__all__ = ["BasicClient", "ChallengeClient", "PickleClient", "SignedClient"]


class SignedClient(Client):
    """Signs each request, and believes only answers that are signed."""

    label = "signed JSON-RPC"
    protocol = "JSONRPC"

    def __init__(self, place: Place, number: int | str, seed: object) -> None:
        super().__init__(place, number, seed)
        self._remote = self.remote(
            self.protocol,
            privkey=str(place.keys / f"{NAME}.pem"),
            pubkey=str(place.keys / "server.pem"),
        )

    def actions(self) -> Sequence[Callable[[], None]]:
        return [self.who, self.echo, self.note_it]

    def who(self) -> None:
        expect(self._remote.call("soak.private.who"), NAME, "who")

    def echo(self) -> None:
        order = self.order()
        expect(self._remote.call("soak.echo.order", order), order, "order")

    def note_it(self) -> None:
        self.note(lambda name: self._remote.call("soak.private.note", name))


class PickleClient(SignedClient):
    """PickleRPC, most calls of it in a session."""

    label = "PickleRPC"
    protocol = "PYRPC"


class BasicClient(Client):
    """Name and password."""

    label = "Basic"

    def __init__(self, place: Place, number: int | str, seed: object) -> None:
        super().__init__(place, number, seed)
        self._session = self.session()

    def actions(self) -> Sequence[Callable[[], None]]:
        return [self.who, self.refused, self.note_it]

    def who(self) -> None:
        answer = self._session.get(
            f"{self.place.url}/soak/private/who",
            auth=(NAME, PASSWORD),
            timeout=PATIENCE,
        )
        expect(checked(answer).text, NAME, "who")

    def refused(self) -> None:
        url = f"{self.place.url}/soak/private/who"
        answer = self._session.get(url, timeout=PATIENCE)
        checked(answer, 401)

    def note_it(self) -> None:
        self.note(
            lambda name: (
                checked(
                    self._session.post(
                        f"{self.place.url}/soak/private/note",
                        json={"name": name},
                        auth=(NAME, PASSWORD),
                        timeout=PATIENCE,
                    )
                ).text
            )
        )


class ChallengeClient(Client):
    """Knows the secret of a tool: answers its challenges, or signs for it."""

    label = "challenge and response"

    def __init__(self, place: Place, number: int | str, seed: object) -> None:
        super().__init__(place, number, seed)
        remote = self.remote("RPC2")
        self._answering = remote.get_tool("soak.vault", secret=SECRET)
        self._signing = self.remote("JSONRPC", secrets={"soak.vault": SECRET})

    def actions(self) -> Sequence[Callable[[], None]]:
        return [self.answer, self.sign]

    def answer(self) -> None:
        number = self.dice.randint(0, 10**6)
        expect(self._answering.open(number), number, "answer")

    def sign(self) -> None:
        number = self.dice.randint(0, 10**6)
        expect(self._signing.call("soak.vault.open", number), number, "sign")
