"""The proxy for an address, from HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY in upper or lower case.

httpx reads these variables too, but it asks loopback addresses through the proxy, and a proxy that it cannot use stops
every client, even one that needs none.
"""

import ipaddress
from urllib.request import getproxies, proxy_bypass

import httpx


def proxy_for(url: httpx.URL) -> tuple[str, str] | None:
    """Return the variable that names the proxy, and the proxy's address; None: connect directly.

    Loopback addresses are always connected to directly.
    """
    if is_loopback(url.host) or proxy_bypass(url.host):
        return None
    proxies = getproxies()
    for kind in (url.scheme, "all"):
        if address := proxies.get(kind, "").strip():
            return f"{kind.upper()}_PROXY", address if "://" in address else f"http://{address}"
    return None


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    name = host.removesuffix(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.is_loopback or mapped.is_unspecified
