"""Each secret of a configuration is looked for wherever a daemon and its commands leave something."""

from __future__ import annotations

import base64
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import psutil
from support.installation import QUICK, Installation, fetch, until
from support.rest_api import Answer, Request, RestApi

if TYPE_CHECKING:
    from collections.abc import Callable

# By how the API is told of it. The first parts of pairs are names of users, which are no secrets.
SECRETS = {
    "bearer": "sk_live_bearer/0+1=23456789",
    "basic": "somebody:hunter2-Pa55w0rd&more",
    "query": "query-key-ABCDEFGHIJKL?#",
    "oauth2": "client-id-1:oauth-s3cret-s3cret-s3cret",
    "denied": "revoked-key-0123456789abcdef",
    "receiver": "receiver-token-zyxwvutsrq",
}
AUTH = {
    "bearer": '{ type = "bearer" }',
    "basic": '{ type = "basic" }',
    "query": '{ type = "query", name = "k" }',
    "oauth2": '{ type = "oauth2", token_url = "/oauth2/token" }',
    "denied": '{ type = "bearer" }',
}
ACCESS = "access-token-of-the-api-9876543210"
WAYS = ("json", "text", "header", "link", "redirect", "broken", "late", "unprintable")
ENDPOINTS = "".join(
    f'[endpoints.{way}]\npath = "/{way}"\nrecords = "data"\npaginator = {{ type = "next_url", url = "next" }}\n'
    for way in WAYS
)


def spellings(secret: str) -> set[str]:
    """As somebody might find it."""
    last = secret.rpartition(":")[2]
    packed = base64.b64encode(secret.encode()).decode()
    return {secret, last, quote(last), quote(last, safe=""), quote_plus(last), json.dumps(last)[1:-1], packed}


def script(request: Request, refused: set[str]) -> Answer:
    """An API that says in each way what key it was sent. refused: the paths of requests that it has throttled."""
    account, _, way = request.path.lstrip("/").partition("/")
    if request.path.endswith("/token"):
        return Answer({"access_token": ACCESS, "token_type": "bearer"})
    secret = SECRETS[account]
    said = f"{secret} {request.headers.get('authorization', '')} {request.target}"
    if account == "denied":
        return Answer({"message": f"no such key: {said}"}, 401, {"WWW-Authenticate": f'Bearer error="{secret}"'})
    if account == "receiver":
        return Answer({"message": f"not for {said}"}, 422)
    match way:
        case "text":
            return Answer(f"<h1>{said}</h1>".encode(), 400, {"Content-Type": f"text/html; of={quote(secret)}"})
        case "header":
            return Answer({}, 403, {"X-Reason": quote(said), "X-RateLimit-Reset": quote(secret)})
        case "link" if "page" not in request.query:
            more = f"/{account}/link?page=2&key={quote_plus(secret)}&k={quote(secret, safe='')}"
            return Answer({"data": [{"id": 1}], "next": f"http://{request.headers['host']}{more}"})
        case "redirect":
            return Answer({}, 302, {"Location": f"http://127.0.0.1:1/{quote(secret)}?key={quote_plus(secret)}"})
        case "broken":
            return Answer(b'{"data": [' + said.encode())
        case "late" if request.path not in refused:
            refused.add(request.path)
            return Answer({"message": said}, 429, {"Retry-After": quote(secret)})
        case "unprintable":
            return Answer({"message": f"\x1b[31m{said}\r\n\u202e{secret}"}, 400)
    return Answer({"error": {"code": secret, "detail": [said]}}, 400)


def configure(here: Installation, url: str) -> None:
    for place in ("keys", "sources"):
        (here.folder / place).mkdir()
    for number, (name, secret) in enumerate(SECRETS.items()):
        (here.folder / "keys" / name).write_text(f"{secret}\n")
        (here.folder / "keys" / name).chmod(0o600)
        here.environment[f"SECRET_{number}"] = secret
        command = [sys.executable, "-c", "import sys; print(open(sys.argv[1]).read(), end='')", f"keys/{name}"]
        reference = ({"file": f"keys/{name}"}, {"env": f"SECRET_{number}"}, {"command": command, "ttl": "1h"})[
            number % 3
        ]
        here.config["accounts"][name] = {"api_key": reference, "base_url": f"{url}/{name}", **QUICK, "attempts": 2}
        if name == "receiver":
            here.config["accounts"][name]["source"] = "http"
            continue
        (here.folder / "sources" / f"{name}.toml").write_text(f'name = "s{name}"\nauth = {AUTH[name]}\n{ENDPOINTS}')
        here.config["accounts"][name] |= {"source": "rest", "description": f"sources/{name}.toml"}
        here.config["imports"][name] = {"account": name, "sink": ["sink", "crm"], "streams": ["*"], "schedule": "1d"}
    here.config["sinks"]["crm"] = {"type": "http", "account": "receiver", "path": "/in", "database": "crm.db"}


def test_no_secret_of_the_configuration_is_found_anywhere(install: Callable[..., Installation]) -> None:
    """Neither in the log, the databases with their WALs, the sinks, the metrics, nor in what commands print."""
    refused: set[str] = set()
    with RestApi(lambda request: script(request, refused)) as api:
        here = install(accounts=0, daemon={"log_format": "json", "log_level": "debug"})
        configure(here, api.url)
        daemon = here.start("run")
        daemon.says('"event":"dead_letter"')
        live = {path: path.read_bytes() for path in here.folder.rglob("*-wal")}
        ended = '"event":"run_ended"'
        until(lambda: daemon.stderr.count(ended) >= len(AUTH) - 1 and "account_refused" in daemon.stderr, 60)
        until(lambda: any(request.path.endswith("/in") for request in api.requests))
        found = {"/metrics": fetch(daemon, "/metrics")[1], "/readyz": fetch(daemon, "/readyz")[1]}
        for command in (
            ["status", "--json"],
            ["dead", "list", "--json", "--limit", "1000"],
            ["config", "show"],
        ):
            done = here.run(*command)
            found[" ".join(command)] = done.stdout + done.stderr
        letters = json.loads(found["dead list --json --limit 1000"])
        shown = here.run("dead", "show", str(letters[0]["id"]))
        found["dead show"] = shown.stdout + shown.stderr
        for process in (psutil.Process(daemon.pid), *daemon.workers()):
            found[f"process {process.pid}"] = " ".join(process.cmdline())
        daemon.send(signal.SIGTERM)
        daemon.process.wait(60)
        found["log"] = daemon.stderr
    assert len(letters) > 3 * len(WAYS)
    assert any(live.values())
    assert "***" in found["log"]
    secrets = {spelling for secret in (*SECRETS.values(), ACCESS) for spelling in spellings(secret)}
    for where, text in found.items():
        assert not [each for each in secrets if each in text], where
    files = {path: path.read_bytes() for path in here.folder.rglob("*") if path.is_file() and "keys" not in path.parts}
    for where, data in [*files.items(), *live.items()]:
        assert not [each for each in secrets if each.encode() in data], where
    assert Path(here.state_dir / "frontier.db") in files
