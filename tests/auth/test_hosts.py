"""Names for addresses and networks."""

from __future__ import annotations

import ipaddress
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolserver.auth.hosts import parse_hosts

LIST = """
# who comes from where
front:192.0.2.1        # the proxy
office:192.0.2.0/24
office:2001:db8::/32
mapped: ::ffff:10.0.0.0/104
all4:0.0.0.0/0
"""


@pytest.mark.parametrize(
    ("peer", "name"),
    [
        ("192.0.2.1", "front"),
        ("192.0.2.255", "office"),
        ("::ffff:192.0.2.1", "front"),
        ("2001:db8::1", "office"),
        ("2001:db9::1", None),
        ("10.9.8.7", "mapped"),
        ("203.0.113.5", "all4"),
        ("fe80::1%eth0", None),
        ("", None),
        ("nonsense", None),
    ],
)
def test_the_smallest_network_is_found(peer, name):
    assert parse_hosts(LIST).find(peer) == name


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a:1.2.3.4\nb", "2: expected name:value"),
        ("a:", "1: expected name:value"),
        (":1.2.3.4", "1: got the name ''"),
        ("a b:1.2.3.4", "1: got the name 'a b'"),
        ("a:1.2.3.400", "1: got '1.2.3.400'"),
        ("a:1.2.3.4/8", "host bits set"),
        ("\n\na:example.org", "3: got 'example.org'"),
    ],
)
def test_what_cannot_be_read_names_its_line(text, problem):
    with pytest.raises(ValueError, match=re.escape(problem)):
        parse_hosts(text)


networks = st.builds(
    lambda address, bits: ipaddress.ip_network((address, bits), strict=False),
    st.ip_addresses(v=4),
    st.integers(0, 32),
) | st.builds(
    lambda address, bits: ipaddress.ip_network((address, bits), strict=False),
    st.ip_addresses(v=6).filter(lambda address: address.ipv4_mapped is None),
    st.integers(97, 128),
)


@given(st.lists(networks, max_size=8), st.ip_addresses())
def test_what_is_found_is_what_a_slow_search_finds(entries, address):
    text = "\n".join(f"n{number}:{each}" for number, each in enumerate(entries))
    seen = getattr(address, "ipv4_mapped", None) or address
    fitting = [
        (-each.prefixlen, number) for number, each in enumerate(entries) if seen in each
    ]
    expected = f"n{min(fitting)[1]}" if fitting else None
    assert parse_hosts(text).find(str(address)) == expected


@given(st.text())
def test_any_text_is_read_or_refused(text):
    try:
        parse_hosts(text)
    except ValueError as error:
        where = str(error).partition(":")[0]
    else:
        where = "1"
    assert where.isdigit()
