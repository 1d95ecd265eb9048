"""Multipart form bodies, with files that go to disk past a size.

Spec: RFC 7578; the parser is the library ``multipart``.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING

from multipart import MultipartSegment, PushMultipartParser, parse_options_header

from toolserver.errors import InvalidRequest

if TYPE_CHECKING:
    from toolserver.message import BodyReader
    from toolserver.settings import Limits

__all__ = ["Files", "UploadedFile", "read_multipart"]

#: Bytes that all plain fields of one form may have; files have no such bound.
_FIELDS_SIZE = 1024 * 1024
_CHUNK = 65536
#: Encodings of plain fields. Others are rare, and some cost a lot to decode.
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1"})


class UploadedFile:
    """A file that came with a form; it is closed when nothing refers to it any more.

    Attributes:
        name: Name of the form field.
        filename: The name that the client gave; never to be used as a path.
        content_type: The media type that the client gave.
        size: Bytes.
        file: The content, open for reading at its start.
    """

    __slots__ = ("content_type", "file", "filename", "name", "size")

    def __init__(
        self, name: str, filename: str, content_type: str, size: int, file: IO[bytes]
    ) -> None:
        self.name = name
        self.filename = filename
        self.content_type = content_type
        self.size = size
        self.file = file

    def __del__(self) -> None:
        self.file.close()

    def read(self) -> bytes:
        """The whole content."""
        self.file.seek(0)
        return self.file.read()

    def close(self) -> None:
        """Let go of the content, on disk too; a second time does nothing."""
        self.file.close()


class Files(Mapping[str, UploadedFile]):
    """Uploaded files; of several of one name the first, as with other fields.

    Args:
        files: The files in the order in which they were sent.
    """

    __slots__ = ("_files",)

    def __init__(self, files: Iterable[UploadedFile] = ()) -> None:
        self._files: dict[str, list[UploadedFile]] = {}
        for file in files:
            self._files.setdefault(file.name, []).append(file)

    def __getitem__(self, name: str) -> UploadedFile:
        return self._files[name][0]

    def get_all(self, name: str) -> list[UploadedFile]:
        """Each file of a field; an empty list where none was sent."""
        return list(self._files.get(name, ()))

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def close(self) -> None:
        """Let go of the content of all files."""
        for files in self._files.values():
            for file in files:
                file.close()


def read_multipart(
    stream: BodyReader, content_type: str, limits: Limits
) -> tuple[list[tuple[str, str]], Files]:
    """Read a multipart body to its end.

    Args:
        stream: The body.
        content_type: The header field, with the boundary.
        limits: How many parts there may be, and which go to disk.

    Returns:
        The plain fields as pairs, and the files. A file field that was left empty
        is not among them.

    Raises:
        InvalidRequest: The body is malformed or has too many parts, or its plain
            fields are too large.
    """
    boundary = parse_options_header(content_type)[1].get("boundary", "")
    if not boundary:
        raise InvalidRequest("form: the content type has no boundary")
    with ExitStack() as opened:
        try:
            # Not strict: that refuses the line end after the last boundary when it
            # arrives by itself.
            parser = PushMultipartParser(boundary, max_segment_count=limits.form_fields)
            found = _read_parts(parser, stream, limits.upload_memory, opened)
        except ValueError as error:  # the parser's errors are such
            raise InvalidRequest(f"form: {error}") from error
        # All is well: the files stay open.
        opened.pop_all()
    return found


def _read_parts(
    parser: PushMultipartParser, stream: BodyReader, memory: int, opened: ExitStack
) -> tuple[list[tuple[str, str]], Files]:
    fields: list[tuple[str, str]] = []
    files: list[UploadedFile] = []
    remaining = _FIELDS_SIZE
    content: IO[bytes] = io.BytesIO()
    for event in parser.parse_blocking(stream.read, _CHUNK):
        if isinstance(event, MultipartSegment):
            part = event
            if not part.name:
                raise InvalidRequest("form: a part has no name")
            if part.filename is None:
                content = io.BytesIO()
            else:
                # Zero would mean that it never goes to disk.
                spool = tempfile.SpooledTemporaryFile(  # noqa: SIM115  # see below
                    max(1, memory)
                )
                content = opened.enter_context(spool)
        elif event:
            content.write(event)
            if part.filename is None:
                remaining -= len(event)
                if remaining < 0:
                    raise InvalidRequest(
                        f"form: more than {_FIELDS_SIZE} bytes of plain fields"
                    )
        elif part.filename is None:
            content.seek(0)
            fields.append((part.name, _decode_field(part, content.read())))
        elif part.filename or part.size:
            content.seek(0)
            kind = part.content_type or "application/octet-stream"
            files.append(
                UploadedFile(part.name, part.filename, kind, part.size, content)
            )
        else:
            # The user chose no file.
            content.close()
    return fields, Files(files)


def _decode_field(part: MultipartSegment, content: bytes) -> str:
    charset = (part.charset or "utf-8").lower()
    if charset not in _CHARSETS:
        raise InvalidRequest(
            f"form: {part.name}: got the encoding {charset!r}, expected UTF-8"
        )
    return content.decode(charset)
