"""Which user of this machine is at the other end of a TCP connection over loopback, from the kernel's table of
connections."""

from __future__ import annotations

import ipaddress
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from typing import Any

ESTABLISHED = "01"
TABLES = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))


def loopback_uid(connection: socket.socket) -> int | None:
    """The user who owns the other end; None if that is not an open socket of this machine. Not for the event loop: the
    kernel's file has a line for each connection of the machine."""
    try:
        ours, theirs = connection.getsockname(), connection.getpeername()
    except OSError:
        return None
    for table in TABLES:  # an IPv4 client may use an IPv6 socket
        with suppress(OSError), table.open() as lines:
            found = uid_of(lines, theirs, ours, wide=table.name.endswith("6"))
            if found is not None:
                return found
    return None


def uid_of(lines: Any, local: tuple[Any, ...], remote: tuple[Any, ...], *, wide: bool) -> int | None:
    """The user of a connection in the table.

    lines: the lines of the table.
    local, remote: address and port, as seen from the end whose user is wanted.
    wide: for IPv6.
    """
    try:
        wanted = [_spelled(local, wide=wide), _spelled(remote, wide=wide)]
    except ValueError:
        return None
    for line in lines:
        words = line.split()
        # a socket that its program has closed has no inode, and would seem to belong to root
        if words[1:3] == wanted and words[3] == ESTABLISHED and words[9] != "0":
            return int(words[7])
    return None


def _spelled(end: tuple[Any, ...], *, wide: bool) -> str:
    """An address as the kernel prints it: 32-bit words in the machine's byte order, and the port in hexadecimal."""
    address = ipaddress.ip_address(str(end[0]).partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    if wide:
        packed = address.packed if address.version == 6 else b"\0" * 10 + b"\xff\xff" + address.packed
    elif isinstance(address, ipaddress.IPv4Address) or mapped:
        packed = (mapped or address).packed
    else:
        raise ValueError("not an IPv4 address")
    words = (packed[at : at + 4] for at in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words) + f":{int(end[1]):04X}"
