"""The page that lists a folder of static files.

Names are shown as text and linked to as percent-encoded bytes, so that any name that
a file can have is harmless and can be asked for. The page has no scripts, and its
style is allowed by its hash.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import quote

from markupsafe import Markup

from toolserver.message import Response
from toolserver.web.files import ListedFile

__all__ = ["listing"]

_STYLE = Markup("""
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; color: #222; background: #fff }
h1 { font-size: 1.25rem; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100% }
th { text-align: left; border-bottom: 1px solid #999 }
td, th { padding: .2rem .6rem }
td:first-child { overflow-wrap: anywhere }
.size { text-align: right; white-space: nowrap }
time { white-space: nowrap }
a { color: #0b57a4 }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #181818 }
  a { color: #8ab8ee }
}
""")

_PAGE = Markup("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
<table>
<thead><tr><th scope="col">Name</th><th scope="col" class="size">Size</th>
<th scope="col">Changed (UTC)</th></tr></thead>
<tbody>
{rows}</tbody>
</table>
{note}</body>
</html>
""")

_ROW = Markup(
    '<tr><td><a href="./{url}"><bdi>{name}</bdi></a></td>'
    '<td class="size">{size}</td><td><time datetime="{iso}">{time}</time></td></tr>\n'
)
_PARENT = Markup(
    '<tr><td><a href="../">Parent folder</a></td><td></td><td></td></tr>\n'
)
_MORE = Markup("<p>There are more files than are listed here.</p>\n")

_UNITS = ("KiB", "MiB", "GiB", "TiB")

_STYLE_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode()

_HEADERS = [
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "no-cache"),
    (
        "Content-Security-Policy",
        f"default-src 'self'; style-src 'sha256-{_STYLE_HASH}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
]


def listing(path: str, files: Sequence[ListedFile], *, has_more: bool) -> Response:
    """The page for a folder: folders first, then files, each by name.

    Args:
        path: Path of the folder, percent-decoded, with its slash at the end.
        files: Its members.
        has_more: Whether there are members that are not among them.
    """
    ordered = sorted(files, key=_order)
    rows = [_row(file) for file in ordered]
    if path != "/":
        rows.insert(0, _PARENT)
    page = _PAGE.format(
        title=_shown(path),
        style=_STYLE,
        rows=Markup("").join(rows),
        note=_MORE if has_more else "",
    )
    return Response(page, headers=_HEADERS)


def _order(file: ListedFile) -> tuple[bool, str, str]:
    return not file.is_folder, file.name.casefold(), file.name


def _row(file: ListedFile) -> Markup:
    slash = "/" if file.is_folder else ""
    changed = _moment(file.modified)
    return _ROW.format(
        url=quote(file.name, safe="", errors="surrogateescape") + slash,
        name=_shown(file.name) + slash,
        size="" if file.is_folder else _human_size(file.size),
        iso=changed.strftime("%Y-%m-%dT%H:%M:%SZ"),
        time=changed.strftime("%Y-%m-%d %H:%M"),
    )


def _moment(timestamp: float) -> datetime:
    try:
        return datetime.fromtimestamp(timestamp, UTC)
    except (ValueError, OverflowError, OSError):
        # File systems can hold times beyond the year 9999.
        return datetime.fromtimestamp(0, UTC)


def _shown(name: str) -> str:
    """A name as text; bytes that are not UTF-8 become replacement characters."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _human_size(size: int) -> str:
    if size < 1024:
        return f"{size} B"
    amount, power = size / 1024, 0
    # 1023.95 would be shown as 1024.0.
    while amount >= 1023.95 and power < len(_UNITS) - 1:
        amount, power = amount / 1024, power + 1
    return f"{amount:.1f} {_UNITS[power]}"
