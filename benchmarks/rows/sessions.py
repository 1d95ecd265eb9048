"""PickleRPC in a session that is established, against JSON by POST to FastAPI.

Each request is another one, because its number has to be: they are sealed before the
clock runs. So every answer is for a call that was opened, found new, made and sealed.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import requests

from benchmarks.messages import Check, Request
from benchmarks.payloads import RECORDS, TEXT
from benchmarks.report import Line
from benchmarks.rounds import Contestant, Run
from benchmarks.rows.jsonrpc import as_json, post
from benchmarks.rows.signatures import SignedToolserver
from benchmarks.servers import Peer
from toolserver.auth.keys import generate, private_pem, read_private
from toolserver.auth.sealing import associated_data, seal_request
from toolserver.auth.sessionkeys import Grant, SessionKeys, write_session
from toolserver.auth.signing import make_nonce, sign_request
from toolserver.protocols.pickles import KNOWN, read_pickle, write_pickle

PATH, KIND = "/PYRPC", "application/vnd.toolserver.pickle"
SETTINGS = (
    ("TOOLSERVER_AUTH__RSA_AUTHENTICATE", "true"),
    ("TOOLSERVER_PICKLERPC__ENABLED", "true"),
)


@dataclass
class Session:
    """A session with the server, opened when it is first used.

    Attributes:
        keys: A folder with the keys of the server and of the client.
        number: The last number that was used.
    """

    keys: Path
    number: int = 0
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def open(self, port: int) -> None:
        """Call once with a signature, and have a session granted."""
        host, nonce = f"127.0.0.1:{port}", make_nonce()
        receiver = read_private(self.keys / "server.pem").public_key()
        parts = ("POST", host, PATH, "", "bench", nonce)
        call = {"method": "bench.hello", "args": (), "kwargs": {}}
        wrapped, body, sealed = seal_request(
            write_pickle(call, KNOWN), receiver, nonce, associated_data(parts)
        )
        fields = {
            "Content-Type": KIND,
            "Toolserver-Key": wrapped,
            "Toolserver-Session": "new",
        }
        signed = sign_request(
            "POST",
            f"http://{host}{PATH}",
            fields,
            body,
            keyid="bench",
            key=read_private(self.keys / "bench.pem"),
            cover=("toolserver-key", "toolserver-session"),
            nonce=nonce,
        )
        answer = requests.post(
            f"http://{host}{PATH}",
            body,
            headers={**fields, **signed.fields},
            timeout=10,
        )
        self._id = Grant.read(answer.headers["Toolserver-Session"]).session
        self._keys = SessionKeys(sealed.session_secret(), self._id)
        self._bound_to = SessionKeys.bound_to(
            method="POST",
            authority=host,
            path=PATH,
            query="",
            kind=KIND,
            sender="bench",
        )

    def seal(self, port: int, content: bytes) -> tuple[str, bytes]:
        """The session, and a body that is sealed under its next number."""
        if not self.number:
            self.open(port)
        self.number = next(self._numbers)
        body = self._keys.seal_request(content, self.number, self._bound_to)
        return write_session(self._id), body

    def answer(self, body: bytes) -> Any:
        """What is sealed in the answer to the last request."""
        return read_pickle(
            self._keys.open_answer(body, self.number, self._bound_to, 200, KIND),
            KNOWN,
            10**6,
        )


@dataclass(frozen=True)
class SealedRequest(Request):
    """A request of a session; another one each time.

    Attributes:
        session: The session.
    """

    varies = True
    session: Session = field(default_factory=lambda: Session(Path()), compare=False)

    def encode(self, port: int) -> bytes:
        session, body = self.session.seal(port, self.body)
        return (
            f"POST {self.target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            f"Content-Type: {KIND}\r\nContent-Length: {len(body)}\r\n"
            f"Toolserver-Session: {session}\r\n\r\n"
        ).encode() + body


def call(
    server: SignedToolserver, session: Session, method: str, value: Any
) -> Contestant:
    message = {"method": method, "args": (value,), "kwargs": {}}
    content = write_pickle(message, KNOWN)

    def check(body: bytes) -> bool:
        return bool(session.answer(body) == {"value": value})

    right: Check = check
    return Contestant(server, SealedRequest(PATH, content, KIND, session), right)


def measure(run: Run) -> list[Line]:
    peer = Peer("fastapi_json.py")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name in ("server", "bench"):
            (folder / f"{name}.pem").write_text(private_pem(generate("rsa")))
            (folder / f"{name}.pem").chmod(0o600)
        server = SignedToolserver(keys=folder, settings=SETTINGS)
        session = Session(folder)
        rates = run.rates(
            {
                "PickleRPC, a text": call(server, session, "bench.echo", TEXT),
                "FastAPI, a text": post(peer, "/echo", {"text": TEXT}, as_json(TEXT)),
                "PickleRPC, 10 records": call(
                    server, session, "bench.echo_records", RECORDS
                ),
                "FastAPI, 10 records": post(
                    peer, "/echo_records", RECORDS, as_json(RECORDS)
                ),
            }
        )
    return [
        rates.compare(
            f"PickleRPC, established session, echo of {what}",
            f"PickleRPC, {what}",
            f"FastAPI, {what}",
            at_least=5,
        )
        for what in ("a text", "10 records")
    ]
