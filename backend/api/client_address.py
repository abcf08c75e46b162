"""The address by which limits count a client."""

import ipaddress


def client_address(client: tuple[str, int] | None) -> str:
    """Return the address of a connection's client: of IPv6 the network (/64), which one client has as a whole; "" if
    unknown."""
    host = client[0] if client else ""
    if ":" not in host:
        return host
    try:
        return str(ipaddress.IPv6Network((host.partition("%")[0], 64), strict=False))
    except ValueError:
        return host
