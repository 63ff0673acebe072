"""By which names a listener may be asked for: a web site must not read it through a visitor's browser."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TYPE_CHECKING

from crawlerd.core.notation import is_loopback

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def is_known(headers: Sequence[str], names: Collection[str], *, remote: bool) -> bool:
    """Whether what requests say in `Host` names this listener. headers: all of a request's; a request without one comes
    from no browser. names: in lower case. remote: other machines may ask, by any address that leads here."""
    return len(headers) <= 1 and all(_is_ours(each, names, remote=remote) for each in headers)


def own_names(listen: str, configured: Sequence[str]) -> set[str]:
    """What the listener is called: as it is configured, and as the machine."""
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
    return remote  # an address is no name that somebody could have pointed here
