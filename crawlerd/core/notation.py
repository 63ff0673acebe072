"""Parses single values of the configuration. Each error says what to write instead."""

from __future__ import annotations

import ipaddress
import re
from difflib import get_close_matches
from functools import lru_cache
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from limits import RateLimitItem, RateLimitItemPerSecond, parse

from crawlerd.core.durations import parse_duration
from crawlerd.core.schedule_rules import parse_schedule


def duration(value: object) -> float:
    """The seconds of a duration, see `parse_duration`. Raises ValueError when it is not a duration."""
    if not isinstance(value, str):
        raise ValueError('must be a duration in quotes, such as "30s", "15m", "1h30m" or "1d"')
    return parse_duration(value)


def schedule(value: object) -> str:
    """The text of a schedule, see `parse_schedule`. Raises ValueError when it is invalid."""
    if not isinstance(value, str):
        raise ValueError('must be text in quotes, such as "1h", "every day at 03:00" or "*/15 * * * *"')
    parse_schedule(value)
    return value


@lru_cache
def time_zone(name: str) -> str:
    """The name of a time zone. Raises ValueError for a name that is not in the IANA database."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = get_close_matches(name, available_timezones(), 1, 0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f'"{name[:60]}" is not a time zone such as "Europe/Berlin" or "UTC"{hint}') from None
    return name


MOST_RATE = 100_000  # starts per second; a higher limit would never hold us back
UNIX = -1  # used as a port: the host is the path of a Unix socket
LONGEST_WINDOW = 366 * 86_400  # seconds
MOST_BURST = 1_000_000
_BURST = re.compile(r"(?P<limit>.{1,80}?)\s{1,20}burst\s{1,20}(?P<burst>[0-9]{1,20})")


class BurstLimit(RateLimitItemPerSecond):
    """A token bucket: holds at most `burst` tokens, is full at first, and gains `amount` in `multiples` seconds."""

    __slots__ = ["burst"]

    def __init__(self, amount: int, seconds: int, burst: int) -> None:
        super().__init__(amount, seconds)
        self.burst = burst

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BurstLimit) and super().__eq__(other) and self.burst == other.burst

    def __hash__(self) -> int:
        return hash((super().__hash__(), self.burst))

    def __repr__(self) -> str:
        return f"{super().__repr__()} burst {self.burst}"


@lru_cache(maxsize=1024)  # thousands of accounts may have the same limit
def limit(text: str) -> RateLimitItem:
    """Parses a limit: "25/second" is a moving window, "10/second burst 15" a token bucket. Raises ValueError, which
    says what is wrong."""
    match = _BURST.fullmatch(text.strip())
    try:
        if re.search(r"\d{100}", text):
            raise ValueError("a limit has fewer digits")
        item = parse(match["limit"] if match else text)
    except ValueError:
        raise ValueError(
            f'"{text}" is not a limit; write for example "25/second", "100/10 seconds", "10000/day" or '
            '"10/second burst 15"'
        ) from None
    if not all(int(number) for number in re.findall(r"\d+", text)):  # the library reads "5/0 seconds" as "5/second"
        raise ValueError(f'"{text}" permits nothing; write for example "1/second"')
    if item.get_expiry() > LONGEST_WINDOW:
        raise ValueError(f'"{text}" is for more than a year; write for example "10000/day"')
    if match and int(match["burst"]) > MOST_BURST:
        raise ValueError(f'"{text}" has a burst of more than {MOST_BURST:,}; write for example "10/second burst 15"')
    if item.amount > MOST_RATE * item.get_expiry():
        raise ValueError(f'"{text}" is more than {MOST_RATE:,} a second, which holds nothing back; leave it out')
    if match is None:
        return item
    if not isinstance(item, RateLimitItemPerSecond):
        raise ValueError(f'"{text}" is not a limit: only one of seconds may have a burst, as "10/second burst 15"')
    return BurstLimit(item.amount, item.multiples, int(match["burst"]))


def limits(value: object) -> tuple[str, ...]:
    """Parses one or several limits, in the notation of the library `limits`. Removes repetitions, since a request would
    count against each. "auto", a limit to learn, may be among them. Raises ValueError for an invalid limit, or one that
    permits nothing.
    """
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise ValueError('must be a limit in quotes, such as "25/second", or a list of such')
    parts = [part.strip() for text in texts for part in re.split("[,;|]", text)]
    return tuple({part if part == "auto" else limit(part): part for part in parts}.values())


def socket_path(value: str) -> str:
    """The path of a socket; empty for the default one. Raises ValueError when a Unix socket cannot have this path."""
    return path_text(value) if value else value


def listen(value: object) -> tuple[str, int]:
    """The host and port of "host:port", with an IPv6 host in brackets; or the path and UNIX of "unix:/path". Raises
    ValueError for other values."""
    if isinstance(value, str) and value.startswith("unix:"):
        return path_text(value.removeprefix("unix:")), UNIX
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    inner = re.fullmatch(r"\[(.+)\]", host)
    if (
        not host
        or (":" in host and not inner)
        or not re.fullmatch(r"[0-9]{1,5}", port)  # isdigit() would accept digits of other scripts
        or int(port) > 65535
    ):
        raise ValueError('must be "host:port", such as "127.0.0.1:9464" or "[::1]:9464"; port 0 takes any free one')
    return (inner[1] if inner else host), int(port)


def priority(value: object) -> int | None:
    """A priority from 0 to 9, None for "auto". Raises ValueError for other values."""
    if value == "auto":
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 9:
        raise ValueError('must be "auto" or a whole number from 0 (first) to 9 (last)')
    return value


def concurrency(value: object) -> int | str:
    """A number of requests from 1 to 10,000, or "auto". Raises ValueError for other values."""
    if value == "auto":
        return "auto"
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 10_000:
        raise ValueError('must be a whole number from 1 to 10000, or "auto"')
    return value


def name(value: str) -> str:
    """A name that is safe in file names, metrics and tables. Raises ValueError for other names."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", value):
        raise ValueError(
            'is not allowed as a name; use 1 to 63 letters, digits, "_", "." or "-", beginning with a letter or digit'
        )
    return value


def redis_address(value: str) -> str:
    """The address of a Redis; empty for none. Raises ValueError for other values."""
    if value and not re.fullmatch(r"(rediss?|redis\+(cluster|sentinel|unix))://\S+", value):
        raise ValueError('must be the address of a Redis, such as "redis://127.0.0.1:6379/0"')
    if ":" in value.partition("://")[2].rpartition("@")[0]:
        raise ValueError("must not carry a password; it belongs in limiter_password, by reference")
    return value


def path_text(value: str) -> str:
    """A path. Raises ValueError when a file cannot have it."""
    if not value.strip() or "\0" in value:
        raise ValueError("must be a path")
    return value


def file_mode(value: object) -> int:
    """The permissions of a file, as for chmod. Raises ValueError for other text, and for permissions that keep us out
    or let everybody write."""
    if not isinstance(value, str) or not re.fullmatch("0?[0-7]{3}", value):
        raise ValueError('must be the rights of a file in quotes, such as "0640", "0600" or "0660"')
    mode = int(value, 8)
    if mode & 0o600 != 0o600 or mode & 0o111:
        raise ValueError('must let the owner read and write, and nobody execute, such as "0640", "0600" or "0660"')
    if mode & 0o002:
        raise ValueError('must not let everybody write; for a group that may, write "0660"')
    return mode


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can connect to the host."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def host_name(value: str) -> str:
    """A host without its port. Raises ValueError for other values."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,253}", value):
        raise ValueError('must be the name of a host without its port, such as "crawler.example.com"')
    return value.lower()


def ip_address(value: str) -> str:
    """An IP address in its usual notation. Raises ValueError for other values."""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError('must be an address, such as "127.0.0.1"') from None


def root_path(value: str) -> str:
    """The path of a URL, without a slash at its end; "" for none. Raises ValueError for other values."""
    if value and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+/?", value):
        raise ValueError('must be a path, such as "/crawlerd"')
    return value.rstrip("/")


def base_url(value: str) -> str:
    """A base URL, without a slash at its end. Raises ValueError when it is invalid, or when others could read
    credentials that are sent there."""
    try:
        url = urlsplit(value)
        host, _ = url.hostname or "", url.port
    except ValueError:
        host = ""
    if not host or url.scheme not in ("http", "https") or re.search("[^!-~]|[?#]", value):
        raise ValueError('must be an address such as "https://api.example.com", without "?" and "#"')
    if "@" in url.netloc:
        raise ValueError("must not carry a user or password; the key belongs in api_key, by reference")
    if url.scheme == "http" and not is_loopback(host):
        raise ValueError("must begin with https:// (http:// would send the key in clear; it is for localhost only)")
    return value.rstrip("/")
