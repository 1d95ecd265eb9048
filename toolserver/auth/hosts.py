"""Names for addresses: the lists ``hosts.allow`` and ``hosts.deny``.

Each line is ``name:address`` or ``name:network``: ``office:192.0.2.0/24``.
"""

from __future__ import annotations

import ipaddress

from toolserver.auth.lines import named_lines

__all__ = ["HostList", "address_of", "parse_hosts"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def address_of(peer: str) -> Address | None:
    """Read the address of a client.

    Args:
        peer: As the socket tells it.

    Returns:
        The address; an IPv4 one where IPv6 carries it. None for what is no address,
        such as the end of a Unix socket.
    """
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address
    return address


class HostList:
    """Addresses and networks with a name each; the smallest that fits is found.

    Args:
        entries: The networks by name.
    """

    def __init__(self, entries: list[tuple[str, Network]]) -> None:
        by_size: dict[tuple[int, int], dict[int, str]] = {}
        for name, network in entries:
            key = network.version, network.prefixlen
            names = by_size.setdefault(key, {})
            # As with other lists of this kind, the first line holds.
            names.setdefault(int(network.network_address), name)
        self._by_size = sorted(
            by_size.items(), key=lambda item: item[0][1], reverse=True
        )

    def __bool__(self) -> bool:
        return bool(self._by_size)

    @property
    def names(self) -> set[str]:
        """All names in the list."""
        return {name for _, names in self._by_size for name in names.values()}

    def find(self, peer: str) -> str | None:
        """The name of an address.

        Args:
            peer: The address.

        Returns:
            The name, or None.
        """
        if not self._by_size:
            return None
        address = address_of(peer)
        if address is None:
            return None
        number, bits = int(address), address.max_prefixlen
        for (version, length), names in self._by_size:
            if version == address.version:
                found = names.get(number >> (bits - length) << (bits - length))
                if found is not None:
                    return found
        return None


def parse_hosts(text: str) -> HostList:
    """Read a list of hosts.

    Args:
        text: The list.

    Returns:
        The same.

    Raises:
        ValueError: A line cannot be read; begins with its number.
    """
    entries = []
    for number, name, value in named_lines(text):
        try:
            network = ipaddress.ip_network(value)
        except ValueError as error:
            raise ValueError(
                f"{number}: got {value!r}, expected an address or a network such as "
                f"192.0.2.0/24: {error}"
            ) from error
        if isinstance(network, ipaddress.IPv6Network):
            network = _unmapped(network)
        entries.append((name, network))
    return HostList(entries)


def _unmapped(network: ipaddress.IPv6Network) -> Network:
    """The IPv4 network that an IPv6 one carries."""
    mapped = network.network_address.ipv4_mapped
    if mapped is None or network.prefixlen < 96:
        return network
    return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
