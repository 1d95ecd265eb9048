r"""The header that a proxy puts before a connection, to tell whose it is.

Spec: The PROXY protocol, versions 1 & 2 (HAProxy, ``doc/proxy-protocol.txt``).
Version 1 is a line of at most 107 bytes::

    PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n
    PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n
    PROXY UNKNOWN ...\r\n

with source and destination address, source and destination port. Version 2:

    offset  size    meaning
    0       12      the signature
    12      1       version 2 in the upper half; LOCAL 0 or PROXY 1 in the lower
    13      1       family in the upper half: 0 unspecified, 1 IPv4, 2 IPv6, 3 Unix;
                    transport in the lower: 0 unspecified, 1 stream, 2 datagram
    14      2       length of what follows, in network order
    16      4, 16   source address of IPv4 or IPv6, then the destination's
    ..      2       source port, then the destination's
    ..      ..      type-length-values, which are skipped

Where it tells of no TCP connection (UNKNOWN, LOCAL and whatever else is valid), the
connection is the proxy's own.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address

__all__ = ["MOST_BYTES", "ProxyHeader"]

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED = 16
#: More is nobody's header: HAProxy's own buffers have this size.
MOST_BYTES = 16384
_LINE = b"PROXY "
_MOST_LINE = 107
_PORT = r"(0|[1-9][0-9]{0,4})"
_TOLD = re.compile(
    rf"PROXY TCP(?:4 ([0-9.]+) ([0-9.]+)|6 ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+))"
    rf" {_PORT} {_PORT}\r\n"
)
_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?\r\n")
#: By family: the class of an address and its size.
_FAMILIES: dict[int, tuple[type[IPv4Address | IPv6Address], int]] = {
    1: (IPv4Address, 4),
    2: (IPv6Address, 16),
}
_MOST_FAMILY, _MOST_TRANSPORT = 3, 2
_STREAM = 1
_LOCAL, _PROXY = 0, 1


class ProxyHeader:
    """Reads a header, in whatever pieces it comes.

    Attributes:
        is_complete: Whether all of it is here.
        source: Address and port of the client; None where the connection is the
            proxy's own. Addresses of IPv4 that IPv6 carries are those of IPv4.
    """

    def __init__(self) -> None:
        self.is_complete = False
        self.source: tuple[str, int] | None = None
        # What is kept of it: what follows the addresses of version 2 is not.
        self._begun = b""
        # Of version 2: bytes that are still to come.
        self._left = -1

    def feed(self, data: bytes) -> int:
        """Read on.

        Args:
            data: What has arrived and was not read before; not empty.

        Returns:
            How many bytes of it are the header's; what follows them is the client's.

        Raises:
            ValueError: It is no header of a version that is known.
        """
        if self._left >= 0:
            return self._feed_block(data)
        begun = self._begun + data
        if not begun.startswith(_SIGNATURE[: len(begun)]):
            return self._feed_line(data)
        if len(begun) < _FIXED:
            self._begun = begun
            return len(data)
        used = _FIXED - len(self._begun)
        self._begun = begun[:_FIXED]
        self._left = _length(self._begun)
        return used + self._feed_block(data[used:])

    def _feed_line(self, data: bytes) -> int:
        begun = self._begun + data
        if not begun.startswith(_LINE[: len(begun)]):
            raise ValueError(f"got {begun[:_FIXED]!r}, expected a PROXY header")
        end = begun.find(b"\r\n", 0, _MOST_LINE)
        if end >= 0:
            line = begun[: end + 2]
            self.source = _told_by_line(line)
            self.is_complete = True
            return len(line) - len(self._begun)
        if len(begun) >= _MOST_LINE:
            raise ValueError(f"got no end of the line in {_MOST_LINE} bytes")
        self._begun = begun
        return len(data)

    def _feed_block(self, data: bytes) -> int:
        used = min(len(data), self._left)
        self._left -= used
        missing = _FIXED + _addresses(self._begun) - len(self._begun)
        self._begun += data[: min(used, missing)]
        if not self._left:
            self.source = _told_by_block(self._begun)
            self.is_complete = True
        return used


def _told_by_line(line: bytes) -> tuple[str, int] | None:
    if _UNKNOWN.fullmatch(line):
        return None
    # Latin-1 reads any byte; the expression takes ASCII alone.
    told = _TOLD.fullmatch(line.decode("latin-1"))
    if told is None:
        raise ValueError(f"got {line!r}")
    four, other_four, six, other_six, port, other_port = told.groups()
    if int(port) > 65535 or int(other_port) > 65535:
        raise ValueError(f"got {line!r}: expected ports up to 65535")
    kind = IPv6Address if four is None else IPv4Address
    try:
        source, _ = kind(four or six), kind(other_four or other_six)
    except ValueError as error:
        raise ValueError(f"got {line!r}: {error}") from error
    return _plain(source), int(port)


def _length(fixed: bytes) -> int:
    """Check the first bytes of version 2; how many follow."""
    version, command = divmod(fixed[12], 16)
    family, transport = divmod(fixed[13], 16)
    if version != 2 or command not in (_LOCAL, _PROXY):
        raise ValueError(f"got version {version} and command {command}")
    is_known = family <= _MOST_FAMILY and transport <= _MOST_TRANSPORT
    # The family of a connection that the proxy makes for itself says nothing.
    if command == _PROXY and not is_known:
        raise ValueError(f"got family {family} and transport {transport}")
    length = int.from_bytes(fixed[14:])
    if length > MOST_BYTES - _FIXED:
        raise ValueError(f"got {length} bytes, expected {MOST_BYTES - _FIXED} at most")
    if length < _addresses(fixed):
        raise ValueError(f"got {length} bytes, expected {_addresses(fixed)} at least")
    return length


def _addresses(fixed: bytes) -> int:
    """How many bytes of version 2 tell addresses and ports that are of use."""
    command = fixed[12] & 15
    family, transport = divmod(fixed[13], 16)
    if command != _PROXY or transport != _STREAM or family not in _FAMILIES:
        return 0
    return 2 * _FAMILIES[family][1] + 4


def _told_by_block(header: bytes) -> tuple[str, int] | None:
    if not _addresses(header):
        return None
    kind, size = _FAMILIES[header[13] >> 4]
    port = _FIXED + 2 * size
    address = kind(header[_FIXED : _FIXED + size])
    return _plain(address), int.from_bytes(header[port : port + 2])


def _plain(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)
