"""Multipart form bodies, with files that go to disk past a size.

Spec: RFC 7578; the parser is the library ``multipart``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, BinaryIO

from multipart import MultipartError, MultipartParser, parse_options_header

from toolserver.errors import InvalidRequest

if TYPE_CHECKING:
    from toolserver.message import BodyReader
    from toolserver.settings import Limits

__all__ = ["UploadedFile", "read_multipart"]

#: Bytes of all plain fields of one form that are kept in memory.
_FIELDS_SIZE = 1024 * 1024


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
        self, name: str, filename: str, content_type: str, size: int, file: BinaryIO
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


def read_multipart(
    stream: BodyReader, content_type: str, limits: Limits
) -> tuple[list[tuple[str, str]], Mapping[str, UploadedFile]]:
    """Read a multipart body to its end.

    Args:
        stream: The body.
        content_type: The header field, with the boundary.
        limits: How many parts there may be, and which go to disk.

    Returns:
        The plain fields as pairs, and the files by the names of their fields.

    Raises:
        InvalidRequest: The body is malformed or has too many parts.
    """
    boundary = parse_options_header(content_type)[1].get("boundary", "")
    if not boundary:
        raise InvalidRequest("form: the content type has no boundary")
    fields: list[tuple[str, str]] = []
    files: dict[str, UploadedFile] = {}
    parser = MultipartParser(
        stream,
        boundary,
        part_limit=limits.form_fields,
        spool_limit=limits.upload_memory,
        memory_limit=max(_FIELDS_SIZE, limits.upload_memory * limits.form_fields),
        strict=True,
    )
    try:
        for part in parser:
            if part.filename is None:
                fields.append((part.name, part.value))
            else:
                part.file.seek(0)
                files[part.name] = UploadedFile(
                    part.name, part.filename, part.content_type, part.size, part.file
                )
    except (MultipartError, ValueError) as error:
        raise InvalidRequest(f"form: {error}") from error
    return fields, files
