"""The local Stripe-shaped API: an HTTP server with keys, limits, latency and faults. `python -m crawlerd.demo.api`."""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import re
import signal
import socket
import struct
import sys
import time
from base64 import b64decode
from binascii import Error as NotBase64
from contextlib import suppress
from dataclasses import fields
from email.utils import formatdate
from functools import lru_cache
from hashlib import blake2b
from typing import get_args, get_type_hints

import msgspec
from aiohttp import web

from crawlerd.demo.server import Fault, FaultKind, Options, Order, Stats
from crawlerd.demo.stripe import Refusal, Stripe, error_body, split
from crawlerd.demo.traffic import Traffic

MIX = ("500", "reset", "truncated", "html", "drip")
DRIP_STEP = 0.1  # seconds between two pieces of a dripped body
HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
THROTTLED = error_body("Request rate limit exceeded.", code="rate_limit")
ERRORS = {
    "403": error_body("The provided key does not have the required permissions for this endpoint."),
    "429": error_body("This object cannot be accessed right now: another request has it.", code="lock_timeout"),
    "500": error_body("An unknown error occurred.", type="api_error"),
}


def shares(text: str) -> dict[str, float]:
    """`Options.faults` as shares by kind. Raises ValueError if it is neither a number nor known kinds with a share
    each."""
    if "=" not in text:
        return dict.fromkeys(MIX, float(text or 0) / len(MIX))
    found = {kind: float(share) for kind, _, share in (part.partition("=") for part in text.split(","))}
    if unknown := found.keys() - get_args(FaultKind):
        raise ValueError(f"unknown faults: {', '.join(sorted(unknown))}")
    return found


def chance(seed: int, account: int, request: int, what: str) -> float:
    """A number from 0 to below 1 that depends only on its arguments."""
    digest = blake2b(f"{seed}:{account}:{request}:{what}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


@lru_cache(maxsize=10_000)
def key_of(authorization: str) -> str:
    """The key in an Authorization header: Bearer, or the user of Basic; "" if there is none."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return b64decode(value, validate=True).decode().partition(":")[0]
        except (NotBase64, UnicodeDecodeError):
            return ""
    return ""


def masked(key: str) -> str:
    """A key as Stripe shows it in errors: its kind and its last four characters."""
    return f"{key[:8]}{'*' * max(0, len(key) - 12)}{key[-4:]}" if len(key) > 12 else "*" * len(key)


class LocalApi:
    """Answers requests. Used by one event loop."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.stripe = Stripe(options.customers, options.accounts, options.connected)
        self.traffic = {number: self._new_traffic() for number in range(1, options.accounts + 1)}
        self.shares = shares(options.faults)
        self.ordered: list[Fault] = []
        self.unauthorized = 0
        self._cache: dict[tuple[int, str], bytes] = {}
        self._cached = 0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers any request."""
        now = time.monotonic()
        target = request.raw_path
        if not target.startswith("/v1/"):
            return await self._order(request)
        key = key_of(request.headers.get("Authorization", ""))
        number, denied = self._account(key)
        if number is None:
            self.unauthorized += 1
            message = f"Invalid API Key provided: {masked(key)}" if key else "You did not provide an API key."
            return _json(Refusal(401, message).body, 401)
        path, _, query = target.partition("?")
        endpoint = split(path).stream
        if connected := request.headers.get("Stripe-Account"):
            number = self.stripe.connected_as(number, connected)
            if number is None:
                message = f"The provided key does not have access to account '{connected}'."
                return _json(Refusal(403, message, code="account_invalid").body, 403)
        traffic = self.traffic.setdefault(number, self._new_traffic())
        reason = traffic.admit(endpoint, now)
        if reason is not None:
            return _json(THROTTLED, 429, {"Stripe-Rate-Limited-Reason": reason} | self._retry_after())
        try:
            serial = traffic.stats.requests
            fault = self._fault(number, endpoint, serial)
            if wait := self._wait(number, serial):
                await asyncio.sleep(wait)
            try:
                if endpoint in denied:
                    raise Refusal(403, f"The provided key may not read {endpoint}.")
                if request.method != "GET":
                    raise Refusal(404, f"Unrecognized request URL ({request.method}: {path}).")
                body = self._body(number, target, path, query)
            except Refusal as refusal:
                traffic.stats.refused += 1
                return _json(refusal.body, refusal.status)
            if fault is not None:
                traffic.fail(fault)
                return await self._misbehave(fault, request, body)
            traffic.serve(endpoint)
            return _json(body)
        finally:
            traffic.leave()

    def _new_traffic(self) -> Traffic:
        return Traffic(self.options.rate, self.options.endpoint_rate, self.options.concurrency)

    def _account(self, key: str) -> tuple[int | None, list[str]]:
        """The number of a key's account, None for an unknown key; and the streams that it may not read."""
        found = re.fullmatch(r"(?:sk|rk)_test_account_([1-9][0-9]*)((?:-[a-z_]+)*)", key)
        if found is None or key.startswith("sk") == bool(found[2]) or not 1 <= int(found[1]) <= self.options.accounts:
            return None, []
        return int(found[1]), found[2].split("-")[1:]

    def _body(self, number: int, target: str, path: str, query: str) -> bytes:
        body = self._cache.get((number, target))
        if body is None:
            body = self._cache[number, target] = self.stripe.answer(number, path, query)
            self._cached += len(body)
            while self._cached > self.options.cache_mb * 1_000_000:
                self._cached -= len(self._cache.pop(next(iter(self._cache))))
        return body

    def _retry_after(self) -> dict[str, str]:
        match self.options.retry_after:
            case "":
                return {}
            case "date":
                return {"Retry-After": formatdate(math.ceil(time.time()) + 1, usegmt=True)}
            case seconds:
                return {"Retry-After": seconds}

    def _fault(self, number: int, endpoint: str, serial: int) -> str | None:
        for ordered in self.ordered:
            if ordered.account in (None, number) and ordered.endpoint in (None, endpoint):
                ordered.count -= 1
                if ordered.count <= 0:
                    self.ordered.remove(ordered)
                return ordered.kind
        if not self.options.faults:
            return None
        drawn = chance(self.options.seed, number, serial, "fault")
        for kind, share in self.shares.items():
            if drawn < share:
                return kind
            drawn -= share
        return None

    def _wait(self, number: int, serial: int) -> float:
        jitter = self.options.jitter
        return self.options.latency + (jitter and jitter * chance(self.options.seed, number, serial, "jitter"))

    async def _misbehave(self, fault: str, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        transport = request.transport
        if fault in ERRORS:
            return _json(ERRORS[fault], int(fault))
        if fault == "html":
            return web.Response(body=HTML, content_type="text/html")
        if transport is None:
            return web.Response()
        if fault == "reset":
            # With linger 0 the kernel sends RST instead of FIN.
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
            return web.Response()
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
        with suppress(ConnectionError):  # the client may give up, as it should
            await response.prepare(request)
            if fault == "truncated":
                await response.write(body[: len(body) // 2])
                transport.close()
                return response
            pieces = max(1, round(self.options.drip_seconds / DRIP_STEP))
            size = math.ceil(len(body) / pieces)
            for start in range(0, len(body), size):
                await asyncio.sleep(DRIP_STEP)
                await response.write(body[start : start + size])
        return response

    async def _order(self, request: web.BaseRequest) -> web.StreamResponse:
        match request.method, request.path:
            case "GET", "/_stats":
                seen = Stats({number: traffic.report() for number, traffic in self.traffic.items()}, self.unauthorized)
                return _json(msgspec.json.encode(seen))
            case "POST", "/_reset":
                self.unauthorized = 0
                for traffic in self.traffic.values():
                    traffic.reset()
                return _json(b"{}")
            case "POST", "/_control":
                try:
                    order = msgspec.json.decode(await request.read(), type=Order)
                    if order.account is not None and order.account not in self.traffic:
                        raise ValueError(f"there is no account {order.account}")
                    if isinstance(order, Fault):
                        self.ordered.append(order)
                        return _json(b"[]")
                    self._cache.clear()
                    self._cached = 0
                    return _json(msgspec.json.encode(self.stripe.edit(order, int(time.time()))))
                except ValueError as error:
                    return _json(msgspec.json.encode({"error": str(error)}), 400)
        return _json(b'{"error":"not found"}', 404)


def _json(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


async def serve(options: Options, kind: type[LocalApi] = LocalApi) -> None:
    """Serves until SIGTERM, SIGINT or the end of the parent. Prints its address on stdout as soon as it listens.

    kind: the class that answers, for callers that want to see each request.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.parent:
        # A pidfd also reports a parent that was killed; PR_SET_PDEATHSIG would follow the parent's thread instead.
        loop.add_reader(os.pidfd_open(options.parent), stop.set)
    runner = web.ServerRunner(web.Server(kind(options).handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", options.port, backlog=1024).start()
    sys.stdout.write("listening on http://{}:{}\n".format(*runner.addresses[0]))
    sys.stdout.flush()
    await stop.wait()
    await runner.cleanup()


def main() -> None:
    """The command line: one option for each field of Options."""
    parser = argparse.ArgumentParser(prog="python -m crawlerd.demo.api", description=__doc__, epilog=Options.__doc__)
    types = get_type_hints(Options)
    for option in fields(Options):
        flag = f"--{option.name.replace('_', '-')}"
        parser.add_argument(flag, type=types[option.name], default=option.default, help="(default: %(default)r)")
    options = Options(**vars(parser.parse_args()))
    try:
        shares(options.faults)
    except ValueError as error:
        parser.error(str(error))
    asyncio.run(serve(options))


if __name__ == "__main__":
    main()
