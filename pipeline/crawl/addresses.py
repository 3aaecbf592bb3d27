"""Which addresses a crawler may connect to: those of the public Internet, and no one else's.

Asked about the address that a socket is about to be connected to, after name resolution, so that neither odd spellings nor a name
that changes its address between check and use (DNS rebinding) lead inside.
"""

from __future__ import annotations

import ipaddress

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_DEPRECATED = ipaddress.IPv6Network("fec0::/10")
_EXTRA = (
    ipaddress.IPv4Network("192.88.99.0/24"),  # 6to4 relays
    ipaddress.IPv4Network("168.63.129.16/32"),  # Azure's metadata, in public space
    ipaddress.IPv4Network("192.0.0.0/24"),  # protocol assignments; Oracle's metadata
)


def is_public(address: str) -> bool:
    """Whether an IP address, as text, belongs to the public Internet; what is none does not.

    IPv6 addresses that carry an IPv4 address (mapped, 6to4, Teredo, NAT64) are judged by that one as well.
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return is_public(str(found.ipv4_mapped))
        if found in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)))
        if found in _COMPATIBLE or found in _NAT64_LOCAL or found in _DEPRECATED:
            return False
        carried = [found.sixtofour, *(found.teredo or ())]
        if any(inner is not None and not is_public(str(inner)) for inner in carried):
            return False
    elif any(found in network for network in _EXTRA):
        return False
    return found.is_global and not (
        found.is_multicast
        or found.is_reserved
        or found.is_private
        or found.is_loopback
        or found.is_link_local
        or found.is_unspecified
    )
