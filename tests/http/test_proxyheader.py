from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from toolserver.http.proxyheader import MOST_BYTES, ProxyHeader

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
#: A name for a server and its checksum, as HAProxy appends them.
TLVS = b"\x02\x00\x0bexample.org" + b"\x03\x00\x04abcd"
FOUR = bytes([192, 0, 2, 7, 198, 51, 100, 1]) + b"\xdc\x04\x01\xbb"
SIX = (
    IPv6Address("2001:db8::7").packed + IPv6Address("::1").packed + b"\xdc\x04\x01\xbb"
)
REST = b"GET / HTTP/1.1\r\n\r\n"

ports = st.integers(0, 65535)
fours = st.ip_addresses(v=4).map(str)
sixes = st.ip_addresses(v=6).map(str)


def block(command=1, kind=0x11, body=FOUR, version=2):
    return (
        SIGNATURE + bytes([version * 16 + command, kind]) + len(body).to_bytes(2) + body
    )


def read(data, cuts=()):
    """Feed pieces, as a socket has them; what the header says, and what follows it."""
    header = ProxyHeader()
    ends = [*sorted(set(cuts)), len(data)]
    start = 0
    for end in ends:
        while start < end and not header.is_complete:
            used = header.feed(data[start:end])
            assert 0 < used <= end - start
            start += used
    assert header.is_complete
    return header.source, data[start:]


@st.composite
def headers(draw):
    """A header, and the source that it tells."""
    port, other = draw(ports), draw(ports)
    if draw(st.booleans()):
        family, addresses = draw(st.sampled_from([("4", fours), ("6", sixes)]))
        source, destination = draw(addresses), draw(addresses)
        line = f"PROXY TCP{family} {source} {destination} {port} {other}\r\n"
        return line.encode(), (source, port)
    kind, addresses = draw(st.sampled_from([(0x11, fours), (0x21, sixes)]))
    make = IPv4Address if kind == 0x11 else IPv6Address
    source, destination = draw(addresses), draw(addresses)
    body = make(source).packed + make(destination).packed
    body += port.to_bytes(2) + other.to_bytes(2) + draw(st.binary(max_size=60))
    return block(kind=kind, body=body), (source, port)


@given(headers(), st.lists(st.integers(1, 150), max_size=12))
def test_headers_are_read_in_any_pieces(told, cuts):
    data, (source, port) = told
    mapped = ":" in source and IPv6Address(source).ipv4_mapped
    expected = (str(mapped) if mapped else source, port)
    cuts = [cut for cut in cuts if cut < len(data)]
    assert read(data + REST, cuts) == (expected, REST)


@pytest.mark.parametrize(
    ("data", "source"),
    [
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n", ("192.0.2.7", 56324)),
        (b"PROXY TCP6 2001:DB8:0::7 ::1 56324 443\r\n", ("2001:db8::7", 56324)),
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n", ("192.0.2.7", 1)),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN \xff\0 whatever\r\n", None),
        (b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n", None),
        (block(), ("192.0.2.7", 56324)),
        (block(body=FOUR + TLVS), ("192.0.2.7", 56324)),
        (block(body=FOUR + bytes(MOST_BYTES - 28)), ("192.0.2.7", 56324)),
        (block(kind=0x21, body=SIX + TLVS), ("2001:db8::7", 56324)),
        # The proxy's own connections, as those that look whether the server is there.
        (block(command=0, body=b""), None),
        (block(command=0), None),
        (block(command=0, kind=0xFF, body=b"anything"), None),
        # What tells of no TCP connection.
        (block(kind=0x00, body=b""), None),
        (block(kind=0x00, body=TLVS), None),
        (block(kind=0x10, body=b""), None),
        (block(kind=0x12), None),
        (block(kind=0x31, body=bytes(216)), None),
    ],
)
def test_each_place_may_be_cut(data, source):
    places = range(1, len(data)) if len(data) < 300 else [1, 16, 17, 28, 29, 5000]
    assert read(data + REST, places) == (source, REST)
    for place in places:
        assert read(data + REST, [place]) == (source, REST)


@pytest.mark.parametrize(
    "data",
    [
        REST,
        b"\x16\x03\x01\x02\x00",
        b"\r\n\r\nGET / HTTP/1.1\r\n",
        b"proxy TCP4 192.0.2.7 198.51.100.1 1 2\r\n",
        b"PROXY\tTCP4 192.0.2.7 198.51.100.1 1 2\r\n",
        b"PROXY  TCP4 192.0.2.7 198.51.100.1 1 2\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2 \r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 +1 2\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 2\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 1 65536\r\n",
        b"PROXY TCP4 192.0.2.07 198.51.100.1 1 2\r\n",
        b"PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100 1 2\r\n",
        b"PROXY TCP4 2001:db8::7 ::1 1 2\r\n",
        b"PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        b"PROXY TCP6 1::2::3 ::1 1 2\r\n",
        b"PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n\r\n",
        b"PROXY UNKNOWN\n\r\n",
        b"PROXY UNKNOWN " + b"f" * 92 + b"\r\n",
        b"PROXY UNKNOWNS\r\n",
        "PROXY TCP4 192.0.2.\u0667 198.51.100.1 1 2\r\n".encode(),
        block(version=1),
        block(version=3),
        block(command=2),
        block(command=15),
        block(kind=0x41),
        block(kind=0x13),
        block(body=FOUR[:-1]),
        block(kind=0x21),
        block(body=bytes(MOST_BYTES - 15)),
        block(command=0, body=bytes(MOST_BYTES - 15)),
    ],
)
def test_what_is_no_header_is_refused(data):
    with pytest.raises(ValueError, match=r"^got "):
        read(data)
    with pytest.raises(ValueError, match=r"^got "):
        read(data, range(1, len(data)))


@example(b"PROXY ")
@given(
    st.binary(min_size=1, max_size=40) | st.binary(max_size=40).map(SIGNATURE.__add__)
)
def test_any_bytes_are_read_refused_or_waited_for(data):
    header = ProxyHeader()
    start = 0
    try:
        while start < len(data) and not header.is_complete:
            start += header.feed(data[start:])
    except ValueError:
        return
    assert header.is_complete or start == len(data)
