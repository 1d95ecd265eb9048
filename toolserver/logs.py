r"""The error log, the access log and the audit log.

What came from the network cannot forge a line: control characters, line ends, quotes
and all that is not ASCII are written as ``\xNN``, and long fields are cut.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import time
import traceback
from collections.abc import Callable
from functools import partial
from json.encoder import encode_basestring_ascii
from pathlib import Path

from toolserver.contexts import current, request_id_text
from toolserver.linewriter import LineWriter
from toolserver.message import Request
from toolserver.settings import LogSettings
from toolserver.traces import current_trace, trace_id, trace_of

__all__ = ["AUDIT", "AccessLog", "ErrorLog", "Logs", "escape"]

#: The logger of what the audit log has: who was refused, whose accounts have changed.
AUDIT = "toolserver.audit"
#: Length of a field that came from the network.
FIELD = 1024
#: Length of the message of an error, and of its traceback.
MESSAGE = 16 * 1024
_REFUSED = re.compile(r"[^\x20-\x7e]|[\"\\]")
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
#: What each record has; the rest was logged as ``extra``.
_OF_ALL_RECORDS = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|[\\](?=x)")


def escape(text: str) -> str:
    r"""Write text from the network so that it stays within its field.

    Args:
        text: The text; surrogates stand for bytes that are not UTF-8.

    Returns:
        Printable ASCII without quotes, at most 1 KiB of the text; each other byte,
        and the backslash, as ``\xNN``.
    """
    text = _cut(text)
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return _REFUSED.sub(_as_hex, text)


def _cut(text: str) -> str:
    return text if len(text) <= FIELD else text[:FIELD] + "..."


def _as_hex(found: re.Match[str]) -> str:
    data = found[0].encode(
        "utf-8", "surrogateescape" if _is_byte(found[0]) else "replace"
    )
    return "".join(f"\\x{byte:02x}" for byte in data)


def _is_byte(character: str) -> bool:
    return "\udc80" <= character <= "\udcff"


class AccessLog:
    """Writes a line for each answer that was sent.

    The combined format is that of Apache and nginx. A JSON line also has the id of
    the request, the host that was asked for, and the time that the answer took.

    Args:
        writer: Where the lines go.
        form: ``"combined"`` or ``"json"``.
    """

    def __init__(self, writer: LineWriter, form: str = "combined") -> None:
        self._emit = writer.write
        self._second = -1
        self._moment = ""
        self.write = self._write_json if form == "json" else self._write_combined

    def _write_combined(
        self, request: Request, status: int, sent: int, seconds: float
    ) -> None:
        now = time.time()
        if int(now) != self._second:
            self._second = int(now)
            # The names of months are English in any locale.
            moment = time.localtime(self._second)
            month = _MONTHS[3 * moment.tm_mon - 3 : 3 * moment.tm_mon]
            self._moment = time.strftime(f"%d/{month}/%Y:%H:%M:%S %z", moment)
        get = request.headers.get
        peer = request.notes.get("peer", request.peer) or "unix:"
        client = request.notes.get("client") or "-"
        target = request.target
        referer = get("referer") or "-"
        agent = get("user-agent") or "-"
        method = request.method
        sizes = len(target) <= FIELD and len(referer) <= FIELD and len(agent) <= FIELD
        fields = f"{client}{method}{target}{referer}{agent}"
        if not (
            sizes
            and fields.isascii()
            and fields.isprintable()
            and '"' not in fields
            and "\\" not in fields
            and " " not in client
        ):
            client = escape(client).replace(" ", "\\x20")
            method, target = escape(method), escape(target)
            referer, agent = escape(referer), escape(agent)
        self._emit(
            f'{peer} - {client} [{self._moment}] "{method} {target} '
            f'HTTP/{request.http_version}" {status} {sent} "{referer}" "{agent}"\n'
        )

    def _write_json(
        self, request: Request, status: int, sent: int, seconds: float
    ) -> None:
        now = time.time()
        if int(now) != self._second:
            self._second = int(now)
            moment = time.gmtime(self._second)
            self._moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", moment)
        get = request.headers.get
        self._emit(
            f'{{"time":"{self._moment}","request_id":'
            f"{_quoted(request_id_text(request.notes.get('number', '')))},"
            f'"trace_id":{_quoted(trace_id(trace_of(request.headers)) or None)},'
            f'"peer":{_quoted(request.notes.get("peer", request.peer))},'
            f'"client":{_quoted(request.notes.get("client"))},'
            f'"method":{_quoted(request.method)},"host":{_quoted(request.host)},'
            f'"target":{_quoted(request.target)},'
            f'"protocol":"HTTP/{request.http_version}",'
            f'"status":{status},"sent":{sent},"seconds":{seconds:.6f},'
            f'"referer":{_quoted(get("referer"))},'
            f'"agent":{_quoted(get("user-agent"))}}}\n'
        )


def _quoted(text: str | None) -> str:
    if text is None:
        return "null"
    return encode_basestring_ascii(_cut(text)).replace("\x7f", "\\u007f")


class ErrorLog(logging.Handler):
    """Writes the records of `logging`, with what is known of the running call.

    A record in the form of text is one line: time, level, logger, in brackets request
    id, client and method as far as there are any, and the message. A traceback follows
    indented, so that no text of an exception passes for a record. In JSON it is one
    line with the same as members, and with what was logged as ``extra``.

    Args:
        writers: Where the lines go.
        form: ``"text"`` or ``"json"``.
    """

    def __init__(self, *writers: LineWriter, form: str = "text") -> None:
        super().__init__()
        self._writers = writers
        self.format = _FORMS[form]  # type: ignore[method-assign]

    def handle(self, record: logging.LogRecord) -> bool:
        """Have a record written, without a lock: it would bar native threads."""
        passed = self.filter(record)
        if passed:
            self.emit(record)
        return bool(passed)

    def emit(self, record: logging.LogRecord) -> None:
        """Have a record written."""
        try:
            text = self.format(record)
        except Exception:
            self.handleError(record)
            return
        for writer in self._writers:
            writer.write(text)


def _as_text(record: logging.LogRecord) -> str:
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
    message = _printable(record.getMessage()[:MESSAGE])
    lines = [
        f"{moment},{int(record.msecs):03d} {record.levelname} "
        f"{record.name}:{_in_brackets(_call_facts())} {message}"
    ]
    for text in (_traceback(record), record.stack_info or ""):
        lines += [f"  {_printable(row)}" for row in text.splitlines()]
    return "\n".join(lines) + "\n"


def _as_json(record: logging.LogRecord) -> str:
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    facts: dict[str, object] = {
        "time": f"{moment}.{int(record.msecs):03d}Z",
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage()[:MESSAGE],
        **_call_facts(),
    }
    if text := _traceback(record):
        facts["traceback"] = text
    if record.stack_info:
        facts["stack"] = record.stack_info
    for name, value in vars(record).items():
        if name not in _OF_ALL_RECORDS:
            facts.setdefault(name, _plain(value))
    return json.dumps(facts, separators=(",", ":")).replace("\x7f", "\\u007f") + "\n"


def _plain(value: object) -> object:
    """What JSON can say of a value that was logged."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return _cut(str(value))


def _traceback(record: logging.LogRecord) -> str:
    if not record.exc_info or record.exc_info[0] is None:
        return ""
    text = "".join(traceback.format_exception(*record.exc_info))
    if len(text) > MESSAGE:
        # Where it was stands at both ends, a message between them.
        half = MESSAGE // 2
        text = f"{text[:half]}...\n...{text[-half:]}"
    return text


def _call_facts() -> dict[str, str]:
    """What is known of the running call, by its names in JSON."""
    context = current()
    if context is None:
        return {}
    facts = {"request_id": context.request_id}
    if context.client:
        facts["client"] = _cut(context.client)
    if context.method:
        namespace = getattr(context.tool, "namespace", "")
        method = f"{namespace}.{context.method}" if namespace else context.method
        facts["method"] = _cut(method)
    if context.job_id:
        facts["job"] = context.job_id
    if trace := current_trace():
        facts["trace_id"] = trace_id(trace)
    return facts


def _in_brackets(facts: dict[str, str]) -> str:
    if not facts:
        return ""
    # The first one, the id of the request, needs no name.
    words = [f"{name}={escape(text)}" for name, text in facts.items()]
    words[0] = facts["request_id"]
    return f" [{' '.join(words)}]"


def _printable(text: str) -> str:
    """Text with its control characters escaped; other scripts stay readable."""
    return text if text.isprintable() else _UNPRINTABLE.sub(_as_hex, text)


def _warning(form: Callable[[logging.LogRecord], str], message: str) -> str:
    facts = {"name": __name__, "levelname": "WARNING", "msg": message}
    return form(logging.makeLogRecord(facts))


_FORMS = {"text": _as_text, "json": _as_json}
_WARNINGS = {name: partial(_warning, form) for name, form in _FORMS.items()}


class Logs:
    """The logs of one server process; `logging` writes to them from now on.

    Args:
        folder: Where the files are.
        settings: What is written.
        to_terminal: Whether errors go to standard error, too.

    Attributes:
        access: The access log, or None where none is kept.

    Raises:
        StartError: A file cannot be written.
    """

    def __init__(
        self, folder: Path, settings: LogSettings, *, to_terminal: bool
    ) -> None:
        form = settings.error_format
        errors = LineWriter(folder / "error.log", as_line=_WARNINGS[form])
        self._writers = [errors]
        if to_terminal:
            # A copy: where a tool closes the original, its number is given to a socket
            # or a file next, and the lines would go there.
            self._writers.append(
                LineWriter(descriptor=os.dup(2), closes=True, as_line=_WARNINGS[form])
            )
        self._handler = ErrorLog(*self._writers, form=form)
        self.access: AccessLog | None = None
        if settings.access:
            lines = LineWriter(folder / "access.log", report_to=errors)
            self._writers.append(lines)
            self.access = AccessLog(lines, settings.format)
        audit = LineWriter(folder / "audit.log", report_to=errors)
        self._writers.append(audit)
        self._audit_handler = ErrorLog(audit)
        audit_log = logging.getLogger(AUDIT)
        audit_log.addHandler(self._audit_handler)
        audit_log.setLevel(logging.INFO)
        audit_log.propagate = False
        root = logging.getLogger()
        root.addHandler(self._handler)
        root.setLevel(settings.level.upper())
        logging.captureWarnings(True)

    def close(self) -> None:
        """Write what is left, and leave `logging` as it was."""
        logging.captureWarnings(False)
        logging.getLogger().removeHandler(self._handler)
        audit_log = logging.getLogger(AUDIT)
        audit_log.removeHandler(self._audit_handler)
        audit_log.propagate = True
        # The error log last: the others report their losses to it.
        for writer in reversed(self._writers):
            writer.close()
