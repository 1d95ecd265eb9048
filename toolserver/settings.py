"""Every setting of a server: its name, type, default and meaning, written once.

The command line, the sample file that ``tsctl init`` writes, the checks and the
documentation are views of the classes below. Times are in seconds, sizes in bytes.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

__all__ = [
    "ErrorSettings",
    "JobSettings",
    "Limits",
    "LogSettings",
    "OpsSettings",
    "ServerSettings",
    "Settings",
    "StaticSettings",
    "ToolsSettings",
    "WSGISettings",
    "XMLRPCSettings",
]


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One section of the configuration file."""


def _doc(text: str, **constraints: Any) -> Meta:
    return Meta(description=text, **constraints)


#: An address of HTTP without a query; or nothing.
_URL = r"^(https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(/[^?#\s]*)?)?$"


class ServerSettings(_Section, frozen=True):
    """Where the server listens and how much it does at once."""

    host: Annotated[str, _doc("Address to listen on; 0.0.0.0 or :: for all.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, _doc("Port; 0 for any free one.", ge=0, le=65535)] = 4334
    unix_socket: Annotated[
        str, _doc("Path of a Unix socket to listen on instead of host and port.")
    ] = ""
    tls_certificate: Annotated[
        str, _doc("PEM file with the certificate chain; with tls_key it turns TLS on.")
    ] = ""
    tls_key: Annotated[str, _doc("PEM file with the private key.")] = ""
    tls_client_ca: Annotated[
        str,
        _doc(
            "PEM file, or folder of *.pem files, with the authorities whose client "
            "certificates are trusted."
        ),
    ] = ""
    tls_client_auth: Annotated[
        str,
        _doc(
            'Whether clients show a certificate: "none", "optional" or "required".',
            pattern="^(none|optional|required)$",
        ),
    ] = "none"
    public_url: Annotated[
        str,
        _doc(
            "Address under which clients reach the server, if it is another.",
            pattern=_URL,
        ),
    ] = ""
    hosts: Annotated[
        tuple[str, ...],
        _doc(
            "Names that clients may ask for in the Host header, besides the "
            'configured and the loopback names; "*" allows any.'
        ),
    ] = ()
    trusted_proxies: Annotated[
        tuple[str, ...],
        _doc(
            "Addresses and networks of proxies whose Forwarded and X-Forwarded fields "
            'are believed; "unix" for those at the Unix socket.'
        ),
    ] = ()
    proxy_protocol: Annotated[
        bool,
        _doc(
            "Take connections from trusted_proxies alone, each with a header of the "
            "PROXY protocol, version 1 or 2, that tells whose it is."
        ),
    ] = False
    workers: Annotated[
        int,
        _doc(
            "Worker processes that answer on one port, under a master; 1 for a single "
            "process. See docs/processes.md for what they share; all bounds are for "
            "each of them.",
            ge=1,
            le=1000,
        ),
    ] = 1
    max_workers: Annotated[
        int,
        _doc("Requests running at once in a worker process.", ge=1, le=1_000_000),
    ] = 2000
    max_waiting: Annotated[
        int,
        _doc("Requests that may wait for a worker (503).", ge=0),
    ] = 1000
    threads: Annotated[
        int,
        _doc(
            "Native threads of a worker process for methods marked @threaded.",
            ge=1,
            le=1000,
        ),
    ] = 8
    loop_block_warn: Annotated[
        float,
        _doc(
            "Time after which the log tells which call holds up all others; 0 for "
            "never.",
            ge=0,
        ),
    ] = 1.0
    hang_timeout: Annotated[
        float,
        _doc(
            "Time after which a worker process whose event loop stands still is killed "
            "and replaced; 0 for never.",
            ge=0,
        ),
    ] = 300.0
    call_timeout: Annotated[
        float, _doc("Time after which a call is ended; 0 for no bound.", ge=0)
    ] = 0.0
    contracts: Annotated[bool, _doc("Check the contracts of tools.")] = False
    contracts_only: Annotated[
        tuple[str, ...],
        _doc(
            "Namespaces whose contracts are checked, with all tools below them; all "
            "if empty. Contracts have to be on."
        ),
    ] = ()
    stop_timeout: Annotated[
        float, _doc("Time that running calls get when the server stops.", ge=0)
    ] = 30.0
    backlog: Annotated[
        int, _doc("Connections waiting in the kernel.", ge=1, le=65535)
    ] = 4096
    debug: Annotated[
        bool,
        _doc("Show tracebacks to callers; never to strangers."),
    ] = False


class AuthSettings(_Section, frozen=True):
    """Who is calling; see also config/passwd, groups, hosts.allow and hosts.deny."""

    basic: Annotated[
        bool, _doc("Judge names and passwords (RFC 7617) where there are accounts.")
    ] = True
    certificate: Annotated[
        bool,
        _doc(
            "Let a client certificate name the caller, where server.tls_client_auth "
            "asks for one."
        ),
    ] = False
    certificate_name: Annotated[
        str,
        _doc(
            'What of it is the name: "cn" for the common name of its subject, or of '
            'its alternative names "dns", "email" or "uri".',
            pattern="^(cn|dns|email|uri)$",
        ),
    ] = "cn"
    jwt_issuer: Annotated[
        str,
        _doc(
            "Take bearer tokens that are JSON Web Tokens of this issuer, as their "
            "claim iss has it; needs the extra jwt."
        ),
    ] = ""
    jwt_audience: Annotated[
        tuple[str, ...],
        _doc(
            "Names of this server, one of which has to be in the claim aud of a token."
        ),
    ] = ()
    jwt_keys: Annotated[
        str,
        _doc(
            "The issuer's public keys (JWKS): a file, relative to the home, or their "
            "address by https."
        ),
    ] = "config/jwks.json"
    jwt_algorithms: Annotated[
        tuple[str, ...], _doc("Algorithms of signatures of tokens that are taken.")
    ] = ("RS256", "PS256", "ES256", "Ed25519", "EdDSA")
    jwt_leeway: Annotated[
        int,
        _doc("How far the clock of the issuer may differ.", ge=0, le=300),
    ] = 30
    jwt_name: Annotated[str, _doc("The claim that names the client.", min_length=1)] = (
        "sub"
    )
    jwt_groups: Annotated[
        str, _doc("The claim that tells groups of the client; none if empty.")
    ] = ""
    jwt_scopes: Annotated[
        str,
        _doc(
            "What scopes begin with that name the tools which a token opens: with "
            '"tools:" the scope tools:shop opens shop and those below, tools:* all. If '
            "empty, scopes are not looked at."
        ),
    ] = ""
    authorization_servers: Annotated[
        tuple[str, ...],
        _doc(
            "Where clients get access tokens (RFC 9728): it is told to who comes "
            "without one, and agents have to say who they are then."
        ),
    ] = ()
    scopes_supported: Annotated[
        tuple[str, ...], _doc("Scopes that clients are told they may ask for there.")
    ] = ()
    rsa_authenticate: Annotated[
        bool,
        _doc(
            "Refuse requests that are not signed (RFC 9421), whatever else they show; "
            "the server needs a key: tsctl keygen."
        ),
    ] = False
    unsigned_paths: Annotated[
        tuple[str, ...],
        _doc(
            "Paths that need no signature all the same; one that ends with a slash "
            "stands for all below it."
        ),
    ] = ()
    nonces: Annotated[
        int,
        _doc(
            "Signed requests of one client that are remembered for five minutes, so "
            "that none is repeated (503).",
            ge=1,
        ),
    ] = 1_000_000


class Limits(_Section, frozen=True):
    """What a client may ask of the server at most."""

    request_line: Annotated[int, _doc("Request line (414).", ge=64)] = 8192
    header_field: Annotated[int, _doc("One header field (431).", ge=64)] = 8192
    headers_size: Annotated[int, _doc("All header fields (431).", ge=256)] = 32768
    headers_count: Annotated[int, _doc("Number of header fields (431).", ge=1)] = 100
    body: Annotated[
        int, _doc("Size of a request body (413); a method may allow more.", ge=0)
    ] = 10 * 1024 * 1024
    chunk_extension: Annotated[
        int, _doc("Size of the extensions of one chunk (400).", ge=0)
    ] = 256
    chunk_extensions: Annotated[
        int, _doc("Size of all chunk extensions of one body (400).", ge=0)
    ] = 16384
    small_chunks: Annotated[
        int, _doc("Chunks of less than 64 bytes in one body (400).", ge=1)
    ] = 100_000
    trailers: Annotated[int, _doc("Size of the trailer fields (431).", ge=0)] = 8192
    header_time: Annotated[
        float, _doc("Time in which a request head has to arrive (408).", gt=0)
    ] = 10.0
    body_idle: Annotated[
        float, _doc("Time in which nothing of a body may arrive (408).", gt=0)
    ] = 30.0
    body_rate: Annotated[
        int,
        _doc(
            "Bytes of a body per second at least (408).",
            ge=0,
        ),
    ] = 500
    uploads: Annotated[
        int,
        _doc(
            "Requests running while their body still arrives, at most half of the "
            "workers (503).",
            ge=1,
        ),
    ] = 500
    uploads_per_address: Annotated[
        int,
        _doc(
            "Of these, from one address, and at most half of them; loopback and "
            "trusted proxies are exempt (503).",
            ge=1,
        ),
    ] = 100
    streams: Annotated[
        int,
        _doc(
            "Requests that wait for events: long polls and streams of events, at most "
            "half of the workers (503).",
            ge=1,
        ),
    ] = 1000
    write_idle: Annotated[
        float, _doc("Time in which a client may take nothing of an answer (cut).", gt=0)
    ] = 30.0
    write_rate: Annotated[
        int, _doc("Bytes of an answer that are taken per second at least (cut).", ge=0)
    ] = 500
    keep_alive_idle: Annotated[
        float, _doc("Time that an idle connection is kept open.", gt=0)
    ] = 15.0
    keep_alive_requests: Annotated[int, _doc("Requests per connection.", ge=1)] = 10000
    connections: Annotated[int, _doc("Open connections (503 and close).", ge=1)] = 10000
    connections_per_address: Annotated[
        int,
        _doc(
            "Open connections per address in a worker process; loopback and trusted "
            "proxies are exempt.",
            ge=1,
        ),
    ] = 256
    pipelined: Annotated[
        int, _doc("Requests read ahead on one connection; then reading stops.", ge=1)
    ] = 16
    buffered_answer: Annotated[
        int, _doc("Bytes of an answer that wait for a slow client.", ge=4096)
    ] = 65536
    form_fields: Annotated[int, _doc("Fields of a query or a form (400).", ge=1)] = 1000
    upload_memory: Annotated[
        int, _doc("Size past which an uploaded file goes to disk.", ge=0)
    ] = 65536
    json_depth: Annotated[int, _doc("Nesting of JSON (400).", ge=1, le=500)] = 64
    json_values: Annotated[int, _doc("Values in one JSON text (400).", ge=1)] = 100_000
    batch: Annotated[
        int, _doc("Calls of one request: batches and multicalls, altogether.", ge=1)
    ] = 100
    xml_depth: Annotated[int, _doc("Nesting of XML.", ge=1, le=200)] = 64
    xml_elements: Annotated[int, _doc("Elements in one XML document.", ge=1)] = 100_000
    xml_attributes: Annotated[int, _doc("Attributes of one XML element.", ge=1)] = 256
    calls_per_client: Annotated[
        str,
        _doc(
            'Calls of one client in so many seconds, as "600/60", in each worker '
            "process by itself (429)."
        ),
    ] = ""
    calls_per_address: Annotated[str, _doc("Calls from one address, likewise.")] = ""
    calls: Annotated[
        tuple[str, ...],
        _doc(
            "Calls that one caller may make of a tool or a method, likewise: "
            '"shop.orders=100/60".'
        ),
    ] = ()
    concurrency: Annotated[
        tuple[str, ...],
        _doc(
            "Calls of a tool or a method that run at once in each worker process "
            '(503): "shop.orders.report=2".'
        ),
    ] = ()
    callers: Annotated[
        int, _doc("Callers that are remembered for each of these bounds.", ge=100)
    ] = 10_000
    cached_results: Annotated[
        int, _doc("Results that are kept of methods marked @cached.", ge=1)
    ] = 10_000
    cached_size: Annotated[
        int, _doc("Size of all results that are kept, roughly.", ge=0)
    ] = 64 * 1024 * 1024


class ToolsSettings(_Section, frozen=True):
    """Where tools come from, besides the home's own tools folder."""

    shared: Annotated[
        str, _doc("A folder of tools for all servers of this machine.")
    ] = ""
    modules: Annotated[
        tuple[str, ...], _doc("Modules to import that register tools.")
    ] = ()
    folders: Annotated[
        tuple[str, ...],
        _doc("Further folders of tools, relative to the home."),
    ] = ()
    omit: Annotated[
        tuple[str, ...],
        _doc("Tools of the server itself that are not served, such as system."),
    ] = ()
    max_children: Annotated[
        int, _doc("Tools of factories that are kept, of all factories.", ge=100)
    ] = 10_000
    entry_points: Annotated[
        bool, _doc('Import what installed packages offer as "toolserver.tools".')
    ] = False


class StaticSettings(_Section, frozen=True):
    """Files below www/."""

    enabled: Annotated[bool, _doc("Serve them at all.")] = True
    index: Annotated[tuple[str, ...], _doc("Names of index files of a folder.")] = (
        "index.html",
    )
    listings: Annotated[bool, _doc("List folders that have no index file.")] = False
    max_age: Annotated[
        int, _doc("Time for which clients may keep a file without asking.", ge=0)
    ] = 0
    precompressed: Annotated[
        bool, _doc("Send NAME.br or NAME.gz in place of NAME to who accepts it.")
    ] = True
    cached_file: Annotated[
        int, _doc("Size up to which a file is kept in memory.", ge=0)
    ] = 65536
    cache_size: Annotated[int, _doc("Size of all files kept in memory.", ge=0)] = (
        32 * 1024 * 1024
    )


class ErrorSettings(_Section, frozen=True):
    """What callers learn of failures."""

    detail: Annotated[
        str,
        _doc(
            'What a caller sees of a tool\'s exception: "message" for its class and '
            'text, "reference" for a reference to the log only.',
            pattern="^(message|reference)$",
        ),
    ] = "message"


class LogSettings(_Section, frozen=True):
    """What is written down."""

    access: Annotated[bool, _doc("Write log/access.log.")] = True
    format: Annotated[
        str,
        _doc("Form of the access log.", pattern="^(combined|json)$"),
    ] = "combined"
    error_format: Annotated[
        str,
        _doc("Form of the error log.", pattern="^(text|json)$"),
    ] = "text"
    level: Annotated[
        str,
        _doc(
            "Least weight of what goes to log/error.log.",
            pattern="^(debug|info|warning|error)$",
        ),
    ] = "info"
    rpc: Annotated[bool, _doc("Log each decoded RPC call and its outcome.")] = False


class XMLRPCSettings(_Section, frozen=True):
    """How XML-RPC is spoken."""

    nil_members: Annotated[
        bool,
        _doc("Send struct members that are None as <nil/>; else leave them out."),
    ] = False


class PickleRPCSettings(_Section, frozen=True):
    """PickleRPC, for callers in Python that have keys (auth.rsa_authenticate)."""

    enabled: Annotated[bool, _doc("Whether it is spoken, below /PYRPC.")] = False
    classes: Annotated[
        tuple[str, ...],
        _doc(
            "Further classes whose instances may be sent, each package.module:Class. "
            "Whoever has a key may have them made."
        ),
    ] = ()
    unlimited: Annotated[
        bool,
        _doc(
            "Let pickles name any class: whoever has a key can then run any code in "
            "the server."
        ),
    ] = False
    session_lifetime: Annotated[
        int,
        _doc(
            "Time for which a client that has signed one call may make others without; "
            "0 to have each call signed.",
            ge=0,
            le=86_400,
        ),
    ] = 600


class JobSettings(_Section, frozen=True):
    """Calls that do not wait: where they are kept, and how many run."""

    engine: Annotated[
        str,
        _doc(
            'Where jobs are stored: "sqlite" in var/jobs.db; "memory" forgets them at '
            "the end of the process and serves one worker process only.",
            pattern="^(memory|sqlite)$",
        ),
    ] = "sqlite"
    durability: Annotated[
        str,
        _doc(
            'What a job that was accepted outlives: "process" for the death of any '
            'process, "power" for power failure, too, which costs a wait for the disk.',
            pattern="^(process|power)$",
        ),
    ] = "process"
    max_jobs: Annotated[
        int, _doc("Jobs running at once in a worker process.", ge=1, le=100_000)
    ] = 200
    max_stored: Annotated[
        int, _doc("Jobs that are kept at once, ended ones too (503).", ge=1)
    ] = 1_000_000
    result_ttl: Annotated[
        float, _doc("Time for which the result of a job is kept.", ge=0)
    ] = 3600.0
    lease_timeout: Annotated[
        float,
        _doc(
            "Time after which the jobs of a process that shows no life run again.",
            ge=1,
        ),
    ] = 30.0
    max_attempts: Annotated[
        int,
        _doc("How often a job is begun whose process dies, before it is lost.", ge=1),
    ] = 5
    idempotency_lifetime: Annotated[
        float,
        _doc("Time for which the answer to a request with a key is kept.", ge=1),
    ] = 86_400.0
    idempotency_answer: Annotated[
        int, _doc("Size of an answer that is kept at most.", ge=0)
    ] = 1024 * 1024
    idempotency_keys: Annotated[
        int, _doc("Keys that are kept; past it the oldest are forgotten.", ge=1)
    ] = 1_000_000
    idempotency_size: Annotated[
        int, _doc("Size of all answers that are kept, likewise.", ge=0)
    ] = 1024 * 1024 * 1024
    idempotency_caller_keys: Annotated[
        int, _doc("Keys of one caller that are kept, likewise.", ge=1)
    ] = 10_000
    idempotency_caller_size: Annotated[
        int, _doc("Size of the answers of one caller that are kept, likewise.", ge=0)
    ] = 64 * 1024 * 1024


class DebuggerSettings(_Section, frozen=True):
    """A prompt inside the running server, for its owner: tsctl debug."""

    enabled: Annotated[
        bool,
        _doc("Let the owner of the server, and root, attach by sockets in var/debug/."),
    ] = False
    address: Annotated[
        str,
        _doc(
            "Loopback address and port where who knows the password attaches, too: "
            '"127.0.0.1:4335"; worker processes take the ports from there on.'
        ),
    ] = ""
    password_file: Annotated[
        str,
        _doc("File with that password, 12 characters or more, for its owner alone."),
    ] = ""


class OpsSettings(_Section, frozen=True):
    """What operators, and the programs that watch for them, learn of the server."""

    metrics: Annotated[
        bool,
        _doc(
            "Count calls, and tell the counts at /metrics; needs the extra "
            "toolserver[metrics]."
        ),
    ] = False
    status: Annotated[
        bool,
        _doc("Show at /system/status/ what runs, waits and has failed."),
    ] = False
    allow: Annotated[
        tuple[str, ...],
        _doc(
            "Addresses and networks that may see how the server is without being in "
            'the group admin; "unix" for who comes by the Unix socket.'
        ),
    ] = ("127.0.0.0/8", "::1")
    otel: Annotated[
        bool,
        _doc(
            "Make spans of calls and jobs for OpenTelemetry, and send them as the "
            "variables OTEL_... of the environment say; needs the extra "
            "toolserver[otel]."
        ),
    ] = False
    live: Annotated[bool, _doc("Answer at /health/live.")] = True
    ready: Annotated[bool, _doc("Answer at /health/ready.")] = True
    startup: Annotated[bool, _doc("Answer at /health/startup.")] = True
    probes: Annotated[
        tuple[str, ...],
        _doc(
            "Addresses and networks that may ask there, too, and learn only whether "
            "the server is well: those of load balancers."
        ),
    ] = ("127.0.0.0/8", "::1")
    drain: Annotated[
        float,
        _doc(
            "Time for which a server that is to stop serves on and says that it is not "
            "ready, so that load balancers notice; a part of server.stop_timeout.",
            ge=0,
        ),
    ] = 0.0


class WSGISettings(_Section, frozen=True):
    """WSGI applications to serve, besides those of the wsgi folder."""

    applications: Annotated[
        tuple[str, ...],
        _doc(
            'Each "name=package.module:app", served below /WSGI/name/, or '
            '"/mount=package.module:app".'
        ),
    ] = ()


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of one server.

    Attributes:
        tool: Settings of single tools by namespace, checked when the tool is made.
    """

    server: ServerSettings = ServerSettings()
    auth: AuthSettings = AuthSettings()
    limits: Limits = Limits()
    tools: ToolsSettings = ToolsSettings()
    static: StaticSettings = StaticSettings()
    errors: ErrorSettings = ErrorSettings()
    log: LogSettings = LogSettings()
    xmlrpc: XMLRPCSettings = XMLRPCSettings()
    picklerpc: PickleRPCSettings = PickleRPCSettings()
    ops: OpsSettings = OpsSettings()
    wsgi: WSGISettings = WSGISettings()
    jobs: JobSettings = JobSettings()
    debugger: DebuggerSettings = DebuggerSettings()
    tool: dict[str, dict[str, Any]] = {}
