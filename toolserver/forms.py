"""Multipart form bodies, with files that go to disk past a size.

Spec: RFC 7578; the parser is the library ``multipart``.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, TYPE_CHECKING

from multipart import MultipartSegment, PushMultipartParser, parse_options_header

from toolserver.errors import InvalidRequest
from toolserver.spool import Spool

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
        Overload: There is no room for the files.
    """
    boundary = parse_options_header(content_type)[1].get("boundary", "")
    if not boundary:
        raise InvalidRequest("form: the content type has no boundary")
    try:
        # Not strict: that refuses the line end after the last boundary when it
        # arrives by itself.
        parser = PushMultipartParser(boundary, max_segment_count=limits.form_fields)
        return _read_parts(parser, stream, limits.upload_memory)
    except ValueError as error:  # the parser's errors are such
        raise InvalidRequest(f"form: {error}") from error


def _read_parts(
    parser: PushMultipartParser, stream: BodyReader, memory: int
) -> tuple[list[tuple[str, str]], Files]:
    fields: list[tuple[str, str]] = []
    files: list[UploadedFile] = []
    remaining = _FIELDS_SIZE
    content: io.BytesIO | Spool = io.BytesIO()
    spool = Spool(memory)
    for event in parser.parse_blocking(stream.read, _CHUNK):
        if isinstance(event, MultipartSegment):
            part = event
            if not part.name:
                raise InvalidRequest("form: a part has no name")
            content = io.BytesIO() if part.filename is None else spool
        elif event:
            content.write(event)
            if part.filename is None:
                remaining -= len(event)
                if remaining < 0:
                    raise InvalidRequest(
                        f"form: more than {_FIELDS_SIZE} bytes of plain fields"
                    )
        elif isinstance(content, io.BytesIO):
            fields.append((part.name, _decode_field(part, content.getvalue())))
        else:
            file = content.finish()
            # Without a name and content the user chose no file.
            if part.filename or part.size:
                kind = part.content_type or "application/octet-stream"
                files.append(
                    UploadedFile(part.name, part.filename or "", kind, part.size, file)
                )
    return fields, Files(files)


def _decode_field(part: MultipartSegment, content: bytes) -> str:
    charset = (part.charset or "utf-8").lower()
    if charset not in _CHARSETS:
        raise InvalidRequest(
            f"form: {part.name}: got the encoding {charset!r}, expected UTF-8"
        )
    return content.decode(charset)
