"""Media types of files by the ends of their names, the same on every machine.

The system's own lists (``/etc/mime.types``) are left aside: a server should not serve
scripts as plain text because a package is missing.
"""

from __future__ import annotations

import mimetypes

__all__ = ["media_type_of", "with_charset"]

_OWN = {
    ".7z": "application/x-7z-compressed",
    ".atom": "application/atom+xml",
    ".avif": "image/avif",
    ".bz2": "application/x-bzip2",
    ".css": "text/css",
    ".csv": "text/csv",
    ".epub": "application/epub+zip",
    ".flac": "audio/flac",
    ".geojson": "application/geo+json",
    ".gz": "application/gzip",
    ".htm": "text/html",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".ics": "text/calendar",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".js": "text/javascript",
    ".json": "application/json",
    ".jsonld": "application/ld+json",
    ".log": "text/plain",
    ".m4a": "audio/mp4",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".mp3": "audio/mpeg",
    ".mp4": "video/mp4",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".ogv": "video/ogg",
    ".opus": "audio/ogg",
    ".otf": "font/otf",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".rst": "text/x-rst",
    ".rss": "application/rss+xml",
    ".svg": "image/svg+xml",
    ".tgz": "application/gzip",
    ".toml": "application/toml",
    ".ttf": "font/ttf",
    ".txt": "text/plain",
    ".vtt": "text/vtt",
    ".wasm": "application/wasm",
    ".wav": "audio/wav",
    ".webm": "video/webm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".wsdl": "application/wsdl+xml",
    ".xhtml": "application/xhtml+xml",
    ".xml": "application/xml",
    ".xsd": "application/xml",
    ".xsl": "application/xslt+xml",
    ".xz": "application/x-xz",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".zip": "application/zip",
    ".zst": "application/zstd",
}

# A MimeTypes of its own holds what Python knows, without the system's files.
_TYPES = {**mimetypes.MimeTypes().types_map[True], **_OWN}


def media_type_of(name: str) -> str:
    """The Content-Type field for a file.

    Text is declared as UTF-8; XML and JSON are not, as they tell for themselves
    (RFC 7303, section 3.2; RFC 8259, section 8.1).

    Args:
        name: Name of the file; only what follows its last dot matters.

    Returns:
        The media type; octets where the end of the name is not known.
    """
    stem, dot, extension = name.rpartition(".")
    found = _TYPES.get(f".{extension.lower()}") if stem and dot else None
    if found is None:
        return "application/octet-stream"
    return f"{found}; charset=utf-8" if found.startswith("text/") else found


def with_charset(content_type: str) -> str:
    """The Content-Type field for a text that is sent as UTF-8.

    Args:
        content_type: What is known of it; empty for nothing.
    """
    if content_type.startswith("text/") and "charset" not in content_type:
        return f"{content_type}; charset=utf-8"
    return content_type
