"""How single values are written in the configuration: what text means which value, and what to write instead."""

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
    """Seconds, see `parse_duration`. ValueError when it is none."""
    if not isinstance(value, str):
        raise ValueError('must be a duration in quotes, such as "30s", "15m", "1h30m" or "1d"')
    return parse_duration(value)


def schedule(value: object) -> str:
    """The text of a schedule, see `parse_schedule`. ValueError when it is invalid."""
    if not isinstance(value, str):
        raise ValueError('must be text in quotes, such as "1h", "every day at 03:00" or "*/15 * * * *"')
    parse_schedule(value)
    return value


@lru_cache
def time_zone(name: str) -> str:
    """ValueError for a name that the IANA database does not have."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = get_close_matches(name, available_timezones(), 1, 0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f'"{name[:60]}" is not a time zone such as "Europe/Berlin" or "UTC"{hint}') from None
    return name


MOST_RATE = 100_000  # starts a second: more than any limit that would hold us back
UNIX = -1  # in the place of a port: a path in the file system
LONGEST_WINDOW = 366 * 86_400  # seconds
MOST_BURST = 1_000_000
_BURST = re.compile(r"(?P<limit>.{1,80}?)\s{1,20}burst\s{1,20}(?P<burst>[0-9]{1,20})")


class BurstLimit(RateLimitItemPerSecond):
    """A token bucket: full at first with `burst` tokens, its most; it gets `amount` in `multiples` seconds."""

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


@lru_cache(maxsize=1024)  # thousands of accounts may have the same
def limit(text: str) -> RateLimitItem:
    """The limit that a text means: "25/second" is a moving window, "10/second burst 15" a token bucket. ValueError
    says what is wrong with it."""
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
    """Single limits in `limits` notation, from one text or several; none twice, since a request counts against each.

    "auto", a limit that is to be found, may be among them. ValueError when one cannot be read or permits nothing.
    """
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise ValueError('must be a limit in quotes, such as "25/second", or a list of such')
    parts = [part.strip() for text in texts for part in re.split("[,;|]", text)]
    return tuple({part if part == "auto" else limit(part): part for part in parts}.values())


def socket_path(value: str) -> str:
    """Empty for the usual one. ValueError when no Unix socket can have this path."""
    return path_text(value) if value else value


def listen(value: object) -> tuple[str, int]:
    """Host and port of "host:port", an IPv6 host in brackets; path and UNIX of "unix:/path". ValueError when it is
    none."""
    if isinstance(value, str) and value.startswith("unix:"):
        return path_text(value.removeprefix("unix:")), UNIX
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    inner = re.fullmatch(r"\[(.+)\]", host)
    if (
        not host
        or (":" in host and not inner)
        or not re.fullmatch(r"[0-9]{1,5}", port)  # isdigit() would let other scripts' digits through
        or int(port) > 65535
    ):
        raise ValueError('must be "host:port", such as "127.0.0.1:9464" or "[::1]:9464"; port 0 takes any free one')
    return (inner[1] if inner else host), int(port)


def priority(value: object) -> int | None:
    """0 … 9, None for "auto". ValueError when it is neither."""
    if value == "auto":
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 9:
        raise ValueError('must be "auto" or a whole number from 0 (first) to 9 (last)')
    return value


def concurrency(value: object) -> int | str:
    """1 … 10,000, or "auto". ValueError when it is neither."""
    if value == "auto":
        return "auto"
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 10_000:
        raise ValueError('must be a whole number from 1 to 10000, or "auto"')
    return value


def name(value: str) -> str:
    """A name that is safe in file names, metrics and tables. ValueError when it is not."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", value):
        raise ValueError(
            'is no usable name; take 1 to 63 letters, digits, "_", "." or "-", beginning with a letter or digit'
        )
    return value


def redis_address(value: str) -> str:
    """Empty for none. ValueError when it is no address of a Redis."""
    if value and not re.fullmatch(r"(rediss?|redis\+(cluster|sentinel|unix))://\S+", value):
        raise ValueError('must be the address of a Redis, such as "redis://127.0.0.1:6379/0"')
    if ":" in value.partition("://")[2].rpartition("@")[0]:
        raise ValueError("must not carry a password; it belongs in limiter_password, by reference")
    return value


def path_text(value: str) -> str:
    """ValueError when no file can have this path."""
    if not value.strip() or "\0" in value:
        raise ValueError("must be a path")
    return value


def file_mode(value: object) -> int:
    """Rights of a file, as of chmod. ValueError for other text, and for rights that keep us out or let everybody
    change it."""
    if not isinstance(value, str) or not re.fullmatch("0?[0-7]{3}", value):
        raise ValueError('must be the rights of a file in quotes, such as "0640", "0600" or "0660"')
    mode = int(value, 8)
    if mode & 0o600 != 0o600 or mode & 0o111:
        raise ValueError('must let the owner read and write, and nobody execute, such as "0640", "0600" or "0660"')
    if mode & 0o002:
        raise ValueError('must not let everybody write; for a group that may, write "0660"')
    return mode


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach it."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def host_name(value: str) -> str:
    """A host without its port. ValueError when it is not a host."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,253}", value):
        raise ValueError('must be the name of a host without its port, such as "crawler.example.com"')
    return value.lower()


def ip_address(value: str) -> str:
    """As it is usually written. ValueError when it is none."""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError('must be an address, such as "127.0.0.1"') from None


def root_path(value: str) -> str:
    """Of a URL, without the last slash; "" for none. ValueError when it is none."""
    if value and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+/?", value):
        raise ValueError('must be a path, such as "/crawlerd"')
    return value.rstrip("/")


def base_url(value: str) -> str:
    """Without the last slash. ValueError when credentials sent there could be read by others, or it is no address."""
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
