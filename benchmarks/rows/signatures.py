"""Signed requests that are answered signed, against the library's own speed.

Each request is another one, because its nonce has to be: they are signed before the
clock runs. A server can answer no more of them than it can check and make signatures.
"""

import itertools
import os
import selectors
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import requests

from benchmarks.messages import Connection, Request
from benchmarks.report import Line
from benchmarks.rounds import Rates, Run, say
from benchmarks.servers import Server, Toolserver
from toolserver.auth.algorithms import sign, verify
from toolserver.auth.keys import (
    PrivateKey,
    generate,
    private_pem,
    public_pem,
    read_private,
    read_public,
)
from toolserver.auth.nonces import Nonces
from toolserver.auth.signing import sign_request, verify_answer

PATH, ANSWER = "/bench/hello", b"Hello World!"
#: Signatures that the library makes and checks in one round.
COUNT = 300


@dataclass(frozen=True)
class SignedToolserver(Toolserver):
    """The server with keys, where all has to be signed.

    Attributes:
        keys: A folder with the keys of the server and of the client.
    """

    keys: Path = Path()
    settings: tuple[tuple[str, str], ...] = (
        ("TOOLSERVER_AUTH__RSA_AUTHENTICATE", "true"),
    )

    def command(self, folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
        found = super().command(folder, port)
        (folder / "privkeys/server.pem").write_bytes(
            (self.keys / "server.pem").read_bytes()
        )
        (folder / "privkeys/server.pem").chmod(0o600)
        client = read_private(self.keys / "bench.pem")
        (folder / "pubkeys/bench.pem").write_text(public_pem(client.public_key()))
        # Nothing was ever accepted here.
        Nonces(folder / "var/nonces.db", most=1, since=0).close()
        return found


@dataclass(frozen=True)
class SignedRequest(Request):
    """A request with further fields."""

    fields: dict[str, str] = field(default_factory=dict)

    def encode(self, port: int) -> bytes:
        head, _, body = super().encode(port).partition(b"\r\n\r\n")
        lines = [f"{name}: {value}" for name, value in self.fields.items()]
        return b"\r\n".join([head, *map(str.encode, lines), b"", body])


def own_speed(run: Run, key: PrivateKey) -> float:
    """How often a second the library can check a signature and make one."""
    data = b"x" * 500
    signature = sign(key, data)
    public = key.public_key()
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, run.cpus.server)
    try:
        begin = time.perf_counter()
        for _ in range(COUNT):
            assert verify(public, data, signature)
            sign(key, data)
        return COUNT / (time.perf_counter() - begin)
    finally:
        os.sched_setaffinity(0, before)


def signed(port: int, key: PrivateKey) -> SignedRequest:
    url = f"http://127.0.0.1:{port}{PATH}"
    made = sign_request("GET", url, {}, b"", keyid="bench", key=key)
    return SignedRequest(PATH, fields=dict(made.fields))


def check(port: int, key: PrivateKey, server: PrivateKey) -> None:
    """Make sure that the server signs, and that it refuses what is not signed."""
    url = f"http://127.0.0.1:{port}{PATH}"
    made = sign_request("GET", url, {}, b"", keyid="bench", key=key)
    answer = requests.get(url, headers=dict(made.fields), timeout=10)
    assert (answer.status_code, answer.content) == (200, ANSWER), answer.text
    verify_answer(
        200,
        answer.headers,
        answer.content,
        key=read_public(public_pem(server.public_key()).encode()),
        request=made,
    )
    assert requests.get(url, timeout=10).status_code == 401


def rate(server: Server, prepared: Iterator[SignedRequest], connections: int) -> float:
    """Answers per second until all requests were sent."""
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(connections):
            connection = stack.enter_context(Connection(server.port))
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        begin, answers, waiting = time.perf_counter(), 0, 0
        for key, request in zip(
            list(selector.get_map().values()), prepared, strict=False
        ):
            key.data.send(request)
            waiting += 1
        while waiting:
            ready = selector.select(30)
            assert ready, f"{waiting} requests were not answered"
            for key, _ in ready:
                assert key.data.receive() == (200, ANSWER)
                answers += 1
                request = next(prepared, None)
                if request is None:
                    waiting -= 1
                else:
                    key.data.send(request)
        return answers / (time.perf_counter() - begin)


def measure(run: Run) -> list[Line]:
    ours, library = "tool over REST, signed", "cryptography alone"
    found: dict[str, list[float]] = {ours: [], library: []}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        keys = {name: generate("rsa") for name in ("server", "bench")}
        for name, key in keys.items():
            (folder / f"{name}.pem").write_text(private_pem(key))
            (folder / f"{name}.pem").chmod(0o600)
        server = stack.enter_context(run.server(SignedToolserver(keys=folder)))
        check(server.port, keys["bench"], keys["server"])
        for number in itertools.count():
            speed = own_speed(run, keys["server"])
            prepared = [
                signed(server.port, keys["bench"])
                for _ in range(int(speed * run.seconds))
            ]
            answered = rate(server, iter(prepared), run.connections)
            if number:  # the first one warms up
                say(f"  {ours}: {answered:,.0f}/s, {library}: {speed:,.0f}/s")
                found[ours].append(answered)
                found[library].append(speed)
            if number == run.rounds:
                break
        check(server.port, keys["bench"], keys["server"])
    return [
        Rates(found).compare(
            "RSA signature on every request", ours, library, at_least=0.85
        )
    ]
