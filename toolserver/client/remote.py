"""A remote server: makes calls by any of its protocols."""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, get_args, overload
from urllib.parse import quote, urlencode

from toolserver.client.codecs import Answer, Codec, Outgoing, refusal
from toolserver.client.credentials import Credential, SharedSecret, with_token
from toolserver.client.descriptions import arrange
from toolserver.client.jobs import RemoteJob, When, when_text
from toolserver.client.jsonrpc import JSONRPCCodec
from toolserver.client.known import JOBS, SYSTEM, KnownMethods
from toolserver.client.mcp import MCPCodec
from toolserver.client.pickled import PickleCodec
from toolserver.client.rest import RESTCodec
from toolserver.client.soap import SOAPCodec
from toolserver.client.tools import RemoteTool
from toolserver.client.transport import Options, Transport
from toolserver.client.typed import Hints
from toolserver.client.xmlrpc import XMLRPCCodec
from toolserver.errors import ToolserverError
from toolserver.settings import Limits

__all__ = ["PROTOCOLS", "Protocol", "RemoteToolserver", "connect"]

T = TypeVar("T")

#: The protocols, by the prefixes of their URLs.
Protocol = Literal["JSONRPC", "RPC2", "SOAP", "REST", "MCP", "PYRPC"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)

#: Bounds for the XML of answers; their size is bounded before.
_LIMITS = Limits(xml_depth=256, xml_elements=2_000_000)
_KEY = re.compile(r"[!-~]{1,255}")

_CODECS: dict[str, Callable[[], Codec]] = {
    "JSONRPC": JSONRPCCodec,
    "RPC2": lambda: XMLRPCCodec(_LIMITS),
    "SOAP": lambda: SOAPCodec(_LIMITS),
    "REST": RESTCodec,
    "MCP": MCPCodec,
    "PYRPC": PickleCodec,
}


class RemoteToolserver:
    """A server that runs elsewhere; may be used by any number of threads or greenlets.

    As a context manager it closes its connections at the end.

    Args:
        url: Address of the server; ``http+unix:///path`` for a Unix socket.
        protocol: How calls are sent.
        basic: Name and password for Basic authentication (RFC 7617).
        token: Bearer token (RFC 6750), in place of name and password.
        privkey: File with the client's private key: requests are signed with it
            (RFC 9421).
        pubkey: File with the server's public key: no answer is taken that the server
            has not signed.
        localname: The name by which the server knows the client; by default that of
            the file of the private key, without its suffix.
        secrets: What is shared with tools, by their namespaces: requests that call one
            of these are signed with it (RFC 9421), in place of a token, and no answer
            is taken that is not.
        timeout: Seconds to wait for a call, further attempts included; None for no
            bound.
        retries: Further attempts after a failure that has done nothing: where no
            connection could be made, where the server asks to come again (503 with
            ``Retry-After``), and, of methods that are read-only or idempotent and
            of calls with a key, where the connection broke.
        verify: Whether the server's certificate is checked, or a file with the
            certificates of who is trusted.
        cert: File with the client's own certificate and key, or a file of each.
        proxies: URLs of proxies by scheme, none if it is empty; by default those of
            the environment.
        headers: Further header fields of each request.
        max_answer: Size of an answer at most, bytes.

    Attributes:
        url: The address.

    Raises:
        ValueError: The address is none, the protocol is not known, or a file of a key
            holds none.
        FileNotFoundError: A file of certificates or of a key is not there.
    """

    def __init__(
        self,
        url: str,
        protocol: Protocol = "JSONRPC",
        *,
        basic: tuple[str, str] | None = None,
        token: str | None = None,
        privkey: str | None = None,
        pubkey: str | None = None,
        localname: str | None = None,
        secrets: Mapping[str, str] | None = None,
        timeout: float | None = 60.0,
        retries: int = 2,
        verify: bool | str = True,
        cert: str | tuple[str, str] | None = None,
        proxies: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        max_answer: int = 64 * 1024 * 1024,
    ) -> None:
        if protocol not in _CODECS:
            expected = ", ".join(PROTOCOLS)
            raise ValueError(f"protocol: got {protocol!r}, expected one of {expected}")
        if protocol == "PYRPC" and (privkey is None or pubkey is None):
            raise ValueError("PYRPC needs privkey and pubkey, the server's")
        self.url = url
        self._secrets = dict(secrets or {})
        self._codec = _CODECS[protocol]()
        self._own_codec = self._codec
        if isinstance(self._codec, MCPCodec):
            # No server can sign a stream, and agents are not told of its own tools.
            self._codec.takes_streams = pubkey is None and not secrets
            self._own_codec = JSONRPCCodec()
        self._transport = Transport(
            url,
            Options(
                basic=basic,
                token=token,
                privkey=privkey,
                pubkey=pubkey,
                localname=localname,
                secrets=self._secrets,
                timeout=timeout,
                retries=retries,
                verify=verify,
                cert=cert,
                proxies=proxies,
                headers=headers or {},
                max_answer=max_answer,
            ),
        )
        self._known = KnownMethods(self.describe, url)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<RemoteToolserver {self.url}>"

    def close(self) -> None:
        """Close all connections; the next call opens one again."""
        self._transport.close()

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a method.

        Args:
            name: Its full name, ``"shop.orders.place"``.
            *args: Positional arguments.
            **kwargs: Named arguments.

        Returns:
            The result, plain.

        Raises:
            ToolserverError: The call has failed; of a class of `toolserver.errors`.
            TransportError: There was no answer.
        """
        return self._call(name, args, kwargs)

    @overload
    def get_tool(self, namespace: str, *, secret: str | None = None) -> RemoteTool: ...
    @overload
    def get_tool(
        self, namespace: str, cls: type[T], *, secret: str | None = None
    ) -> T: ...
    def get_tool(
        self, namespace: str, cls: type[Any] | None = None, *, secret: str | None = None
    ) -> Any:
        """Stand in for a remote tool; nothing is asked of the server yet.

        Args:
            namespace: Its dotted name.
            cls: A class with the same methods, a `typing.Protocol` for instance:
                results are converted to what its hints say.
            secret: What is shared with the tool: its challenges are answered with it.

        Returns:
            An object with the tool's methods.
        """
        hints = None if cls is None else Hints(cls)
        credential = None if secret is None else SharedSecret(secret)
        return RemoteTool(_Caller(self, credential), namespace, hints)

    def once(self, key: str | None, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a method so that it is called once, however often this is done.

        The server keeps what becomes of the call for a day, as its settings say, and
        answers the same call with the same key with that. So a connection that breaks
        is no reason to give up: further attempts are made as for methods that are
        idempotent, and one that finds the call still running waits for its end.

        Args:
            key: What names the call, 1 to 255 visible characters, such as the number
                of an order; None for a random one, for the attempts of this call alone.
            name: Full name of the method.
            *args: Positional arguments.
            **kwargs: Named arguments.

        Returns:
            The result, plain, as of the first call with the key.

        Raises:
            ValueError: The key is none, or the protocol, PickleRPC, takes no keys.
            KeyReused: The key came with another call before.
            OutcomeUnknown: The call was made or broken off, and there is no answer.
            ToolserverError: The call has failed; of a class of `toolserver.errors`.
            TransportError: There was no answer.
        """
        return self._call(name, args, kwargs, key=self._checked_key(key))

    def start(self, name: str, /, *args: Any, **kwargs: Any) -> RemoteJob[Any]:
        """Have a method called at once, beside everything else, and wait for nothing.

        Args:
            name: Its full name.
            *args: Positional arguments.
            **kwargs: Named arguments.

        Returns:
            The job.

        Raises:
            ToolserverError: The call would fail before it began: there is no such
                method, an argument does not fit, or the caller may not use the tool.
            TransportError: There was no answer.
        """
        return self._start("start", (), name, args, kwargs)

    def enqueue(
        self, priority: int, name: str, /, *args: Any, **kwargs: Any
    ) -> RemoteJob[Any]:
        """Have a method called when it is its turn in the queue of its tool.

        Args:
            priority: Those with a higher one go first.
            name: Its full name.
            *args: Positional arguments.
            **kwargs: Named arguments.

        Returns:
            The job; what may be raised is as for `start`.
        """
        return self._start("enqueue", (priority,), name, args, kwargs)

    def schedule(
        self, when: When, name: str, /, *args: Any, **kwargs: Any
    ) -> RemoteJob[Any]:
        """Have a method called at a time.

        Args:
            when: Seconds since the epoch, a time with a zone, or time from now.
            name: Its full name.
            *args: Positional arguments.
            **kwargs: Named arguments.

        Returns:
            The job; what may be raised is as for `start`.
        """
        return self._start("schedule", (when_text(when),), name, args, kwargs)

    def job(self, id: str) -> RemoteJob[Any]:
        """A job by its id; nothing is asked of the server yet.

        Args:
            id: The id.
        """
        poll = self._transport.patience
        return RemoteJob(self._call, id, poll=poll)

    def tools(self) -> list[str]:
        """The namespaces of the tools that may be called."""
        found = self._call("system.listTools", (), {})
        return [str(namespace) for namespace in found]

    def describe(self, namespace: str) -> list[dict[str, Any]]:
        """What the server tells of the methods of a tool.

        Args:
            namespace: Dotted name of the tool.

        Returns:
            For each method its name, signature, summary and parameters.

        Raises:
            ToolNotFound: There is no such tool.
        """
        methods: list[dict[str, Any]] = self._call("system.describe", (namespace,), {})
        return methods

    def fetch(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """Fetch a document, such as WSDL.

        Args:
            path: Its path below that of the server, with a slash in front.
            query: What the query asks.

        Returns:
            The document.

        Raises:
            ToolserverError: The server refuses it.
            TransportError: There was no answer.
        """
        asked = f"?{urlencode(query)}" if query else ""
        request = Outgoing(quote(path, safe="/~") + asked)
        answer = self._transport.send(request, lambda: True)
        if answer.status != 200:
            raise refusal(answer)
        return answer.body

    def _call(
        self,
        name: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        credential: Credential | None = None,
        starts: str | None = None,
        key: str | None = None,
    ) -> Any:
        args, kwargs = self._with_token(name, args, kwargs, credential)
        signed_for = self._secret_tool(starts or name)
        codec = self._own_codec if name.startswith(SYSTEM) else self._codec
        if codec.style.needs_names(args, kwargs):
            known = self._known.method(name)
            if signed_for is not None:
                known = known.without_token()
            args, kwargs = arrange(args, kwargs, codec.style, known)

        def send(request: Outgoing) -> Answer:
            if signed_for is not None:
                request = replace(request, signed_for=signed_for)
            return self._transport.send(
                request, lambda: self._known.is_repeatable(name)
            )

        def write() -> Outgoing:
            request = codec.write(name, args, kwargs)
            return request if key is None else replace(request, key=key)

        answer = send(write())
        if isinstance(codec, MCPCodec) and codec.asks_for_handshake(answer):
            codec.handshake(send)
            answer = send(write())
        return codec.read(answer)

    def _checked_key(self, key: str | None) -> str:
        if isinstance(self._codec, PickleCodec):
            raise ValueError("PYRPC takes no idempotency keys; take another protocol")
        if key is None:
            return uuid.uuid4().hex
        if not isinstance(key, str) or _KEY.fullmatch(key) is None:
            raise ValueError(
                f"key: got {key!r:.70}, expected 1 to 255 visible characters of ASCII"
            )
        return key

    def _with_token(
        self,
        name: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        credential: Credential | None,
    ) -> tuple[Sequence[Any], Mapping[str, Any]]:
        if (
            credential is None
            or self._secret_tool(name) is not None
            or not self._known.method(name).takes_token
        ):
            return args, kwargs
        namespace = name.rpartition(".")[0]
        token = credential.token(
            lambda other: self._call(f"{namespace}.{other}", (), {})
        )
        return with_token(token, args, kwargs)

    def _secret_tool(self, name: str) -> str | None:
        """The tool of a method, if its calls are signed with a secret."""
        namespace = name.rpartition(".")[0]
        return namespace if namespace in self._secrets else None

    def _start(
        self,
        way: str,
        how: Sequence[Any],
        name: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        credential: Credential | None = None,
    ) -> RemoteJob[Any]:
        args, kwargs = self._with_token(name, args, kwargs, credential)
        sent = [*how, name, list(args), *((dict(kwargs),) if kwargs else ())]
        return self.job(str(self._call(f"{JOBS}{way}", sent, {}, starts=name)))


class _Caller:
    """Makes the calls of one tool, with what it asks of its callers."""

    def __init__(self, server: RemoteToolserver, credential: Credential | None) -> None:
        self._server = server
        self._credential = credential

    def __call__(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        return self._server._call(name, args, kwargs, self._credential)

    def once(
        self,
        key: str | None,
        name: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """Make a call once, however often this is done."""
        checked = self._server._checked_key(key)
        return self._server._call(name, args, kwargs, self._credential, key=checked)

    def is_method(self, name: str) -> bool:
        """Whether a full name is that of a method."""
        return self._server._known.has(name)

    def start(
        self,
        way: str,
        how: Sequence[Any],
        name: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> RemoteJob[Any]:
        """Have a method called without waiting for it."""
        return self._server._start(way, how, name, args, kwargs, self._credential)

    def names(self, namespace: str) -> list[str]:
        """What is below a namespace: methods, and tools further down."""
        below = f"{namespace}." if namespace else ""
        found = {
            tool[len(below) :].partition(".")[0]
            for tool in self._server.tools()
            if tool.startswith(below) and tool != below
        }
        # A namespace on the way to a tool has no methods of its own.
        with contextlib.suppress(ToolserverError):
            found |= set(self._server._known.methods(namespace))
        return sorted(found - {""})


#: The short way: ``connect("http://localhost:4334/")``.
connect = RemoteToolserver
