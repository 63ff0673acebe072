"""The host names that requests to a listener may have. This keeps a web site from reading it through a visitor's
browser."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TYPE_CHECKING

from crawlerd.core.notation import is_loopback

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def is_known(headers: Sequence[str], names: Collection[str], *, remote: bool) -> bool:
    """Whether the `Host` headers of a request name this listener.

    headers: all `Host` headers of the request. A request without one does not come from a browser.
    names: the listener's names, in lower case.
    remote: other machines may send requests, by any IP address that leads here.
    """
    return len(headers) <= 1 and all(_is_ours(each, names, remote=remote) for each in headers)


def own_names(listen: str, configured: Sequence[str]) -> set[str]:
    """The names of a listener: its configured address and names, and the machine's name."""
    machine = socket.gethostname().lower()
    return {listen.lower(), *configured, machine, machine.partition(".")[0]}


def _is_ours(header: str, names: Collection[str], *, remote: bool) -> bool:
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:]+))(?::[0-9]{1,5})?", header.strip())
    host = (found[1] or found[2]).lower().removesuffix(".") if found else ""
    if host in names or is_loopback(host):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return remote  # unlike a name, an IP address cannot be made to point here by an attacker
