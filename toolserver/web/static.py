"""Static files: what lies below a folder, as HTTP serves files.

A file that was asked for is remembered for a second at most: where it lies, its header
fields, which precompressed neighbours it has, and, if it is small, its bytes. Within
that second one `os.stat` per request shows whether it is still the same file; an
edited file is served anew at once, a new neighbour or index file after the second. So
the usual request for a small file costs a look into a dictionary, a `stat`, and a
`Response` that was made before.

Neighbours are files beside the file, ``style.css.br`` or ``style.css.gz``. One that is
older than its file is left aside.

Looking for files and reading those that are kept in memory (64 KiB by default) is done
in place and blocks shortly; larger ones are opened here and sent by the transport,
folders are listed in the native thread pool.

Spec: RFC 9110, sections 8 (representations), 13 (conditions) and 14 (ranges).
"""

from __future__ import annotations

import errno
import logging
import os
import time
from pathlib import Path
from urllib.parse import quote

import gevent

from toolserver.errors import Overload
from toolserver.message import FileBody, Request, Response
from toolserver.settings import StaticSettings
from toolserver.web.conditional import (
    check_preconditions,
    encoded_etag,
    format_date,
    matching_etag,
    requested_ranges,
)
from toolserver.web.filecache import FileCache, KnownFile, identity_of
from toolserver.web.files import list_folder, open_file, path_names
from toolserver.web.listings import listing
from toolserver.web.mediatypes import media_type_of
from toolserver.web.negotiation import choose_encoding
from toolserver.web.partial import partial_response

__all__ = ["StaticFiles"]

log = logging.getLogger("toolserver.static")

#: Ends of precompressed neighbours by content coding, the preferred first.
_NEIGHBOURS = {"br": ".br", "gzip": ".gz"}
_CONDITIONS = frozenset(
    (
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-unmodified-since",
        "range",
    )
)
_ALLOWED = [("Allow", "GET, HEAD, OPTIONS")]
_VARY = ("Vary", "Accept-Encoding")
#: Members of a folder that its listing shows at most.
_LISTED = 5000
# Everything that may stand in a query (RFC 3986, section 3.4), and percent signs.
_QUERY_SAFE = "!$&'()*+,;=:@/?%-._~"


class StaticFiles:
    """Serves the files below a folder.

    Only regular files below the folder are served, also where links lead; hidden
    files are not, but for ``/.well-known/``. What may not be read is treated as not
    being there, lest a client learns of it; the log tells.

    Args:
        root: The folder; it may appear later.
        settings: How they are served.
    """

    def __init__(self, root: Path, settings: StaticSettings) -> None:
        self._root = os.path.abspath(root)
        self._settings = settings
        self._cache = FileCache(settings.cache_size)
        age = settings.max_age
        self._cache_control = f"max-age={age}" if age else "no-cache"

    def serve(self, request: Request) -> Response | None:
        """Answer a request if there is a file for it.

        Args:
            request: The request; its path is taken percent-decoded.

        Returns:
            The answer, not to be changed, as others may get the same object; the
            one to HEAD has the body that GET would get. Verbs other than GET, HEAD
            and OPTIONS on a file give 405. None where there is nothing.

        Raises:
            Overload: The server has too many open files (503).
        """
        file = self._cache.get(request.path)
        if file is not None and request.method == "GET" and not file.codings:
            # The usual case, before all others: this is what the cache is for.
            response = file.response
            if response is not None and _CONDITIONS.isdisjoint(request.headers):
                return response
        try:
            if file is None:
                file = self._find(request.path)
            return self._answer(request, file)
        except IsADirectoryError:
            return self._folder(request)
        except OSError as error:
            _pass_over(request, error)
            return None

    def _answer(self, request: Request, file: KnownFile) -> Response:
        if request.method not in ("GET", "HEAD"):
            if request.method == "OPTIONS":
                return Response(status=204, headers=_ALLOWED)
            return Response("only GET and HEAD\n", status=405, headers=_ALLOWED)
        headers = request.headers
        if file.codings and "accept-encoding" in headers:
            file = self._encoded(file, headers["accept-encoding"])
        refused = _check(request, file)
        if refused is not None:
            return refused
        body: bytes | FileBody | None = file.content
        if body is None:
            file, body = self._open(file)
        spans = requested_ranges(
            request.method, headers, file.size, etag=file.etag, modified=file.modified
        )
        if spans is not None:
            return partial_response(
                body, file.size, spans, file.headers, file.content_type
            )
        return file.response or Response(body, headers=file.headers)

    def _find(self, path: str) -> KnownFile:
        """Look for the file of a path and remember it.

        Raises:
            FileNotFoundError: There is none.
            IsADirectoryError: It is a folder, or a path that ends like one.
            OSError: It cannot be read.
        """
        names = path_names(path)
        if names is None:
            raise FileNotFoundError(errno.ENOENT, "not the path of a file")
        if names[-1]:
            return self._load(path, names)
        for index in self._settings.index:
            names = path_names(path + index)
            if names is None:
                continue
            try:
                return self._load(path, names)
            except (FileNotFoundError, IsADirectoryError):
                continue
        raise IsADirectoryError(errno.EISDIR, "no index file")

    def _load(self, path: str, names: list[str], coding: str = "") -> KnownFile:
        """Read a file, or only its status if it is large, and remember that."""
        opened = open_file(self._root, names)
        try:
            status, content = _snapshot(opened, self._settings.cached_file)
        finally:
            os.close(opened)
        file = self._describe(path, names, coding, status)
        if content is not None:
            file.content = content
            file.response = Response(content, headers=file.headers)
        self._cache.put(file)
        return file

    def _describe(
        self, path: str, names: list[str], coding: str, status: os.stat_result
    ) -> KnownFile:
        location = os.path.join(self._root, *names)
        codings = () if coding else self._neighbours(location, status)
        # A name ends with what the coding added to it.
        plain = names[-1].removesuffix(_NEIGHBOURS.get(coding, ""))
        content_type = media_type_of(plain)
        etag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
        # RFC 9110, section 8.8.2.1: never later than the answer itself.
        modified = max(0, min(int(status.st_mtime), int(time.time())))
        headers = [
            ("Content-Type", content_type),
            ("Cache-Control", self._cache_control),
            ("Last-Modified", format_date(modified)),
            ("Accept-Ranges", "bytes"),
            ("X-Content-Type-Options", "nosniff"),
        ]
        if coding:
            etag = encoded_etag(etag, coding)
            headers.append(("Content-Encoding", coding))
        headers.append(("ETag", etag))
        if coding or codings:
            headers.append(_VARY)
        return KnownFile(
            key=(path, coding) if coding else path,
            names=names,
            location=location,
            identity=identity_of(status),
            size=status.st_size,
            content_type=content_type,
            etag=etag,
            modified=modified,
            headers=headers,
            codings=codings,
        )

    def _neighbours(self, location: str, status: os.stat_result) -> tuple[str, ...]:
        """The content codings in which a file lies beside itself."""
        if not self._settings.precompressed:
            return ()
        found = []
        for coding, end in _NEIGHBOURS.items():
            try:
                neighbour = os.stat(location + end)
            except OSError:
                continue
            # Some tools keep the time of the file, but only in seconds.
            if int(neighbour.st_mtime) >= int(status.st_mtime):
                found.append(coding)
        return tuple(found)

    def _encoded(self, file: KnownFile, accept_encoding: str) -> KnownFile:
        """The neighbour of a file that suits the client, or the file itself."""
        path = file.key
        coding = choose_encoding(accept_encoding, file.codings)
        if coding == "identity" or not isinstance(path, str):
            return file
        names = [*file.names[:-1], file.names[-1] + _NEIGHBOURS[coding]]
        try:
            found = self._cache.get((path, coding))
            return found or self._load(path, names, coding)
        except (FileNotFoundError, IsADirectoryError, PermissionError):
            return file

    def _open(self, file: KnownFile) -> tuple[KnownFile, FileBody]:
        """A large file and all of its bytes.

        It may have changed since it was looked at: what is said of it is what is
        true of the open file.
        """
        opened = open_file(self._root, file.names)
        body = FileBody(opened, 0, file.size)
        status = os.fstat(opened)
        if identity_of(status) != file.identity:
            path, coding = (file.key, "") if isinstance(file.key, str) else file.key
            file = self._describe(path, file.names, coding, status)
            body.length = file.size
        return file, body

    def _folder(self, request: Request) -> Response | None:
        """Answer for a folder: send to its index or listing, or list it."""
        path = request.path
        names = path_names(path)
        if names is None or request.method not in ("GET", "HEAD"):
            return None
        try:
            if names[-1]:
                if not self._settings.listings:
                    self._find(path + "/")
                return self._add_slash(request, names[-1])
            if not self._settings.listings:
                return None
            # Many files mean many calls of stat.
            files, has_more = gevent.get_hub().threadpool.apply(
                list_folder, (self._root, names[:-1], _LISTED)
            )
        except OSError as error:
            _pass_over(request, error)
            return None
        return listing(path, files, has_more=has_more)

    def _add_slash(self, request: Request, name: str) -> Response:
        # A relative reference keeps within this server whatever the path is, and is
        # right behind a rewritten or a mounted path; "./" keeps a colon in the name
        # from making it a scheme.
        location = f"./{quote(name, errors='surrogateescape')}/"
        if request.query_string:
            location += "?" + quote(request.query_string, safe=_QUERY_SAFE)
        headers = [("Location", location), ("Cache-Control", self._cache_control)]
        return Response(status=301, headers=headers)


def _check(request: Request, file: KnownFile) -> Response | None:
    """Answer 304 or 412 where the conditions of a request ask for that."""
    verdict = check_preconditions(
        request.method, request.headers, etag=file.etag, modified=file.modified
    )
    if verdict is None:
        return None
    if verdict == 412:
        return Response("the file is not as the request expects\n", status=412)
    # RFC 9110, section 15.4.5: what a cache needs, and nothing that it has.
    kept = [pair for pair in file.headers if pair[0] in ("Cache-Control", "Vary")]
    sent = request.headers.get("if-none-match", "")
    etag = matching_etag(sent, file.etag, weak=True) or file.etag
    return Response(status=304, headers=[("ETag", etag), *kept])


def _snapshot(opened: int, limit: int) -> tuple[os.stat_result, bytes | None]:
    """Status and bytes of a file at one moment; no bytes if it is large.

    A file that is written while it is read is read again, and treated as a large
    one if that does not end.
    """
    for _ in range(3):
        status = os.fstat(opened)
        if status.st_size > limit:
            break
        content = os.pread(opened, status.st_size + 1, 0)
        if len(content) == status.st_size and identity_of(
            os.fstat(opened)
        ) == identity_of(status):
            return status, content
    return status, None


def _pass_over(request: Request, error: OSError) -> None:
    """Let pass what means that there is no file; raise the rest."""
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        raise Overload("too many open files") from error
    if isinstance(error, PermissionError):
        log.warning("%r: %s", request, error.strerror)
    elif not isinstance(error, FileNotFoundError | IsADirectoryError):
        raise error
