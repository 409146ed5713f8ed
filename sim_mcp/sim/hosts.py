"""Which addresses a SIM base URL may name.

A tenant types the base URL, our process makes the request: without a rule, a tenant could make us
ask our own network. So only public hosts over https pass, unless the operator lists the host in
`SIM_MCP_SIM_ALLOWED_HOSTS`. A *name* may still resolve to a private address; the resolver of
`pool.py` applies `is_public_address` to what DNS answered, at the moment of connecting.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from sim_mcp.model.errors import Fault, InvalidInput

ALLOWED_HOSTS_VARIABLE = "SIM_MCP_SIM_ALLOWED_HOSTS"

_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".intranet", ".lan", ".home.arpa", ".onion")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_NEVER_PUBLIC = (  # what some Python releases call global although nobody is reached there
    ipaddress.ip_network("192.88.99.0/24"),  # 6to4 relays, RFC 7526
    ipaddress.ip_network("3fff::/20"),  # documentation, RFC 9637
)
_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_MAX_URL_CHARACTERS = 2_000

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """The operator's exceptions. A pattern is `host` or `*.domain`, either with `:port`."""

    patterns: tuple[str, ...]

    def admits(self, host: str, port: int) -> bool:
        """Whether a pattern names `host` (lower case, no brackets) at `port`."""
        return any(_matches(pattern.strip().lower(), host, port) for pattern in self.patterns)


def check_base_url(url: str, *, allowed_hosts: Sequence[str]) -> str:
    """Return `url` in the form the client uses: a path prefix kept, no trailing slash.

    Args:
        url: What the tenant typed, for example `https://www.sim.ai` or `https://host/prefix/`.
        allowed_hosts: Host patterns that may be plain http, local or private.

    Raises:
        InvalidInput: It is no usable base URL; the message names the fix.
    """
    text = url.strip()
    if not text or len(text) > _MAX_URL_CHARACTERS or re.search(r"[\s\\\x00-\x1f\x7f]", text):
        raise _refusal("is not a URL; write it as https://host")
    try:
        parts = urlsplit(text)
        port = parts.port or (80 if parts.scheme == "http" else 443)
        host = _plain_host(parts.hostname or "")
    except ValueError as error:
        raise _refusal("is not a valid URL; write it as https://host") from error
    if parts.scheme not in {"http", "https"}:
        raise _refusal("must begin with https://")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise _refusal("must not contain a user name or password; the API key has its own field")
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise _refusal("must not contain a query or a fragment")
    if any(segment in {".", ".."} for segment in parts.path.lower().replace("%2e", ".").split("/")):
        raise _refusal("must not contain '.' or '..' in its path")
    if not AllowedHosts(tuple(allowed_hosts)).admits(host, port):
        _check_public(host, parts.scheme, port)
    return f"{parts.scheme}://{_authority(host, parts.port)}{parts.path.rstrip('/')}"


def is_public_address(text: str) -> bool:
    """Whether `text` is an IP address of the public internet; wrapped IPv4 ones count as themselves."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return _is_public(address)


def _check_public(host: str, scheme: str, port: int) -> None:
    address = _address_of(host)
    remedy = f"ask the operator to add {_authority(host, port)!r} to {ALLOWED_HOSTS_VARIABLE}"
    if address is not None:
        if not _is_public(address):
            raise _refusal(f"names the private or reserved address {host!r}; {remedy}")
    elif "." not in host or host.endswith(_PRIVATE_SUFFIXES):
        raise _refusal(f"names the local host {host!r}; {remedy}")
    if scheme != "https":
        raise _refusal(f"must use https, or the API key travels in the clear; otherwise {remedy}")


def _plain_host(host: str) -> str:
    """The host in lower case, ASCII, without a final dot, an address in its usual spelling.

    Raises `ValueError` when it is none.
    """
    host = host.lower().removesuffix(".")
    if ":" in host:
        return ipaddress.IPv6Address(host).compressed
    name = host if host.isascii() else host.encode("idna").decode("ascii")
    if not _HOST_NAME.fullmatch(name):
        raise ValueError("not a host name")
    return str(_address_of(name) or name)


def _address_of(host: str) -> _Address | None:
    """The literal address that `host` spells, in every spelling that the system's resolver accepts."""
    if ":" in host:
        return ipaddress.IPv6Address(host)
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id or address.teredo or address.is_site_local:
            return False
        wrapped = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            wrapped = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if wrapped is not None:
            return _is_public(wrapped)
        if address not in _GLOBAL_UNICAST:
            return False
    if any(address in network for network in _NEVER_PUBLIC):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _matches(pattern: str, host: str, port: int) -> bool:
    name, port_text = _split_port(pattern)
    if port_text and port_text != str(port):
        return False
    if name.startswith("*."):  # a domain's hosts; `*.1` is nobody's domain
        return host.endswith(name[1:]) and len(host) > len(name) - 1 and _address_of(host) is None
    return name == host


def _split_port(pattern: str) -> tuple[str, str]:
    """The host of a pattern as `_plain_host` writes hosts, and its port. What is no host matches none."""
    bracketed = re.fullmatch(r"\[([0-9a-f:.]+)\](?::(\d+))?", pattern)
    name, _, port = pattern.partition(":") if pattern.count(":") == 1 else (pattern, "", "")
    if bracketed:
        name, port = bracketed[1], bracketed[2] or ""
    try:
        if name.startswith("*."):
            return f"*.{_plain_host(name[2:])}", port
        return _plain_host(name), port
    except ValueError:
        return "", port


def _authority(host: str, port: int | None) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"


def _refusal(what: str) -> InvalidInput:
    return InvalidInput(
        f"The SIM base URL {what}.", faults=(Fault("$.base_url", f"The SIM base URL {what}."),)
    )
