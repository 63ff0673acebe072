"""Credentials in whatever an API says: none is left in a text, in a task, in a file, however it is written or cut."""

from __future__ import annotations

import base64
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, quote, quote_plus, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.installation import QUICK, Installation
from support.rest_api import Answer, Request, RestApi

from crawlerd.clients.http import HttpClient
from crawlerd.core.configuration import AccountSpec
from crawlerd.core.log_lines import OneLine
from crawlerd.core.outcome import Bury, Complete, Defer, Outcome, Pause, Retry
from crawlerd.core.redaction import Redaction, cut, printable, redacting
from crawlerd.core.task import Task
from crawlerd.engine.attempt import attempt
from crawlerd.engine.kinds import new_task
from crawlerd.engine.redacting import tried
from crawlerd.source import (
    ClientCredentials,
    Cursor,
    Gather,
    Identity,
    Marks,
    Note,
    Permanent,
    Record,
    Response,
    Skip,
    Source,
    Sweep,
    TaskArgs,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "sk_test_a/b+c=12345&67"
WAYS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in a path": quote,
    "in a query": lambda key: quote(key, safe=""),
    "in a form": quote_plus,
    "with small hexadecimal digits": lambda key: quote(key, safe="").replace("%2F", "%2f").replace("%2B", "%2b"),
    "encoded twice": lambda key: quote(quote(key, safe=""), safe=""),
    "in JSON": lambda key: json.dumps(key)[1:-1],
    "in JSON of PHP": lambda key: json.dumps(key)[1:-1].replace("/", "\\/"),
    "in JSON of .NET": lambda key: "".join(each if each.isalnum() else f"\\u{ord(each):04X}" for each in key),
    "in JSON in JSON": lambda key: json.dumps(json.dumps(key).replace("/", "\\/"))[3:-3],
    "in HTML": lambda key: key.replace("&", "&amp;").replace('"', "&#34;").replace("<", "&lt;"),
    "in base64": lambda key: base64.b64encode(key.encode()).decode(),
    "in base64 for URLs": lambda key: base64.urlsafe_b64encode(key.encode()).decode().rstrip("="),
    "as Basic without a password": lambda key: base64.b64encode(f"{key}:".encode()).decode(),
}
keys = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=60)


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=40)
@given(keys, st.text(max_size=20), st.text(max_size=20))
def test_no_way_of_writing_a_credential_is_missed(way: str, key: str, before: str, after: str) -> None:
    written = WAYS[way](key)
    if before.endswith("\\") or after.startswith("="):
        return
    said = Redaction([key]).text(f"{before} {written} {after}")
    assert written not in said
    assert "***" in said


@settings(max_examples=40)
@given(st.lists(keys, min_size=2, max_size=3))
def test_so_are_the_parts(parts: list[str]) -> None:
    whole = ":".join(parts)
    redaction = Redaction([whole])
    for each in [each for part in parts for each in part.split(":") if len(each) >= 8]:
        assert each not in redaction.text(f"<{each}>")
    first, _, rest = whole.partition(":")
    encoded = base64.b64encode(f"{quote_plus(first)}:{quote_plus(rest)}".encode()).decode()
    assert redaction.text(f"Basic {encoded}") == "Basic ***"


@pytest.mark.parametrize("secret", ["KEY-0123456789:X", "user:pw"])
def test_what_is_too_short_to_be_one_is_left(secret: str) -> None:
    assert Redaction([secret]).text("X marks the user of pw") == "X marks the user of pw"


@settings(max_examples=40)
@given(keys, st.text(max_size=30), st.sampled_from(["", "…", "...", '"', ") "]), st.integers(6, 59))
def test_what_somebody_else_has_cut_shows_no_beginning(key: str, before: str, end: str, length: int) -> None:
    beginning = key[:length]
    if len(beginning) == len(key) or beginning.rstrip("….)'\"` ") != beginning:
        return
    assert not Redaction([key]).text(f"{before} {beginning}{end}").rstrip("….)'\"` ").endswith(beginning)


@settings(max_examples=40)
@given(keys, st.text(max_size=400), st.integers(10, 300))
def test_a_text_is_cut_after_its_credentials_are_gone(key: str, before: str, limit: int) -> None:
    redaction = Redaction([key])
    whole = printable(redaction.text(f"{before} {key} and more {before}"))
    with redacting(lambda: redaction):
        said = cut(f"{before} {key} and more {before}", limit)
    assert said == whole[:limit]
    assert said.isprintable()


@settings(max_examples=40)
@given(keys, st.lists(st.sampled_from(list(WAYS)), max_size=4), st.text(max_size=30), st.booleans())
def test_arguments_come_back_as_they_were(key: str, ways: list[str], other: str, field: bool) -> None:
    """Byte for byte where a URL writes it as we would; another spelling of it means the same in a URL."""
    same = {"as it is", "in a path", "in a query", "in a form", "in base64", "in base64 for URLs"}
    texts = [WAYS[way](key) for way in ways if way in same]
    values = [*texts, other, "{crawlerd:w0}" if field else "", "{crawlerd:=}"]
    payload = json.dumps({"at": values})
    redaction = Redaction([key])
    hidden = redaction.hidden(payload)
    if hidden == payload:
        return
    json.loads(hidden)
    if "in base64 for URLs" not in ways:
        assert json.loads(redaction.restored(hidden)) == {"at": values}
    assert not redaction.found(hidden)


# what leaves an attempt


def handling(handler: Callable[..., Iterator[Any]], **options: Any) -> Source:
    @dataclass(frozen=True)
    class Page(TaskArgs, kind="api.page"):
        at: str = ""

    options.setdefault("auth", lambda key: {"Authorization": f"Bearer {key}"})
    source = Source("api", **options)

    @source.handles(Page)
    def page(api: Any, args: Page) -> Iterator[Any]:
        yield from handler(api, args, Page)

    return source


@pytest.fixture
def client() -> Iterator[HttpClient]:
    client = HttpClient(connections=2)
    yield client
    client.close()


def outcome_of(client: HttpClient, source: Source, url: str, secret: str = KEY, payload: str = "{}") -> Outcome:
    account = AccountSpec(name="a", source="api", base_url=url, secret=secret)
    task = Task(1, 0, 5, 1, "api.page", 0, payload)
    return attempt(source, account, client.open(source, account), task, jitter=0.5)


STATUSES = {200: Retry, 302: Bury, 400: Bury, 401: Pause, 403: Bury, 429: Defer, 500: Retry}


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("length", [0, 75, 290, 480])
@pytest.mark.parametrize("way", ["as it is", "in JSON of PHP", "in base64"])
def test_no_error_has_the_key(client: HttpClient, status: int, length: int, way: str) -> None:
    """Whatever the answer means, and wherever its words are cut."""
    written = WAYS[way](KEY)
    body = written.encode() if status == 200 else ('{"message": "' + "x" * length + " " + written + '"}').encode()
    headers = {"Content-Type": f"text/plain; q={KEY}", "Location": f"http://{KEY}/"}

    def page(api: Any, args: Any, _: Any) -> Iterator[Any]:
        yield Record("things", "1", api.get("/"))

    with RestApi(lambda _: Answer(body, status, headers)) as api:
        outcome = outcome_of(client, handling(page), api.url)
    assert type(outcome) is STATUSES[status]
    assert KEY[:9] not in str(outcome)
    assert written[:9] not in str(outcome)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://127.0.0.1:1/" + KEY, "ftp://x"])
def test_no_failure_to_send_has_it(client: HttpClient, url: str) -> None:
    def page(api: Any, args: Any, _: Any) -> Iterator[Any]:
        yield Record("things", "1", api.get("/", {"key": KEY}))

    assert KEY[:10] not in str(outcome_of(client, handling(page), url))


def test_a_sources_own_words_have_it_no_more(client: HttpClient) -> None:
    def classify(response: Response) -> Exception | None:
        return Permanent(f"no: {response.body.decode()[:12]}\n\x1b[2J")  # which cuts it, and cleans nothing

    def page(api: Any, args: Any, _: Any) -> Iterator[Any]:
        api.get("/")
        yield

    with RestApi(lambda _: Answer(KEY.encode(), 400)) as api:
        outcome = outcome_of(client, handling(page, classify=classify), api.url)
    assert outcome == Bury("Permanent: no: *** \\x1b[2J") or outcome == Bury("Permanent: no: ***\\x1b[2J")


@pytest.mark.parametrize("where", ["client", "token"])
def test_oauth_clients_and_their_tokens_are_credentials(client: HttpClient, where: str) -> None:
    """The token endpoint and the API quote what was sent to them."""

    def script(request: Request) -> Answer | None:
        sent = request.headers.get("authorization", "")
        if request.path == "/token" and where == "token":
            return Answer(b'{"access_token": "TOKEN-0123456789"}')
        return Answer({"message": f"odd: {sent} or s3cr3t-s3cr3t"}, 400)

    def page(api: Any, args: Any, _: Any) -> Iterator[Any]:
        api.get("/things")
        yield

    with RestApi(script) as api:
        source = handling(page, auth=ClientCredentials(token_url="/token"))
        said = str(outcome_of(client, source, api.url, secret="client1:s3cr3t-s3cr3t"))
    assert "s3cr3t" not in said
    assert "TOKEN-" not in said
    assert base64.b64encode(b"client1:s3cr3t-s3cr3t").decode()[:12] not in said
    assert "odd: B" in said


def test_what_is_set_aside_noted_and_done_next_has_it_no_more(client: HttpClient) -> None:
    """What was imported is the API's own, and stays."""

    def page(api: Any, args: Any, more: Any) -> Iterator[Any]:
        yield Record("things", "1", {"text": KEY})
        yield Skip("things", "2", f"has {KEY}\nforged: line")
        yield Note("things", "x" * 290 + KEY)
        yield Marks("things", 0, 1, f"is {KEY}")
        yield Cursor("things", KEY)
        yield Cursor("others", "kept")
        yield Identity(f"acct {KEY}")
        yield more(f"https://api.example.com/?next={quote_plus(KEY)}")
        yield Gather([more(f"?a={KEY}")], more(KEY))
        yield Sweep("things", otherwise=more(KEY))

    outcome = outcome_of(client, handling(page), "http://127.0.0.1:1")
    assert isinstance(outcome, Complete)
    (batch,) = outcome.batches
    assert batch.data == [json.dumps({"text": KEY}, separators=(",", ":")).encode()]
    assert outcome.cursors == [("others", "kept")]
    assert outcome.skipped[0].reason == "has *** forged: line"
    assert "each run reads all of it" in outcome.skipped[-1].reason
    rest = str([getattr(outcome, name) for name in outcome.__struct_fields__ if name != "batches"])
    assert KEY[:9] not in rest
    assert quote_plus(KEY)[:12] not in rest


def test_a_hidden_task_is_performed_with_what_was_taken_out(client: HttpClient) -> None:
    link = f"https://api.example.com/?next={quote_plus(KEY)}&plain=%7Bcrawlerd:w0%7D{{crawlerd:w0}}"
    found: list[str] = []

    def page(api: Any, args: Any, more: Any) -> Iterator[Any]:
        found.append(args.at)
        yield more(link)

    source = handling(page)
    first = outcome_of(client, source, "http://127.0.0.1:1")
    assert isinstance(first, Complete)
    payload = first.children[0].payload
    assert "sk_test" not in payload
    again = outcome_of(client, source, "http://127.0.0.1:1", payload=payload)
    assert found == ["", link]
    assert again == first  # so a page that leads to itself is known as such


def test_nothing_that_an_api_says_puts_a_key_into_a_request(client: HttpClient) -> None:
    found: list[str] = []

    def page(api: Any, args: Any, more: Any) -> Iterator[Any]:
        found.append(args.at)
        yield more("{crawlerd:w0} {crawlerd:p0}")

    source = handling(page)
    for _ in range(2):
        outcome = outcome_of(client, source, "http://127.0.0.1:1", payload='{"at":"{crawlerd:w0} {crawlerd:p0}"}')
    assert isinstance(outcome, Complete)
    assert set(found) == {"{crawlerd:w0} {crawlerd:p0}"}
    assert new_task(source, source.kinds["api.page"].args("x")).payload == '{"at":"x"}'


@given(keys, st.sampled_from(sorted(WAYS)))
def test_the_request_that_a_dead_letter_shows_has_no_key(key: str, way: str) -> None:
    url = f"https://shop.example/pages?key={WAYS[way](key)}&n=2"
    shown = tried(("GET", url, 500), 0.5, Redaction([key]))
    assert shown is not None
    assert key not in shown.url
    assert WAYS[way](key) not in shown.url
    assert (shown.method, shown.status, shown.seconds) == ("GET", 500, 0.5)
    assert shown.url.startswith("https://shop.example/pages?key=")
    assert tried(None, 0.0, Redaction([key])) is None


def test_a_log_line_of_an_attempt_has_no_key() -> None:
    record = logging.LogRecord("urllib3", logging.WARNING, "", 0, "%s\nforged", (f"GET /?k={quote_plus(KEY)}",), None)
    with redacting(lambda: Redaction([KEY])):
        assert OneLine("%(levelname)s %(message)s").format(record) == "WARNING GET /?k=***\\nforged"


# whole imports

DESCRIPTION = """
name = "shop"
auth = { type = "bearer" }
[endpoints.items]
path = "/items"
records = "data"
paginator = { type = "next_url", url = "next" }
"""


def test_a_next_link_that_repeats_the_key_leaves_it_nowhere(install: Callable[..., Installation]) -> None:
    """Not in the frontier, a dead letter or `source test`; and it is asked for as the API wrote it."""
    key = "key+with/odd=characters-0123456789"
    links: list[str] = []
    broken = True

    def script(request: Request) -> Answer | None:
        links.append(request.target)
        page = int(dict(parse_qsl(urlsplit(request.target).query)).get("page", 1))
        if page == 3 and broken:
            return Answer({"message": f"odd {request.target}"}, 400)
        more = f"{api.url}/items?page={page + 1}&access_token={quote_plus(key)}&b={quote(key)}" if page < 4 else None
        return Answer({"data": [{"id": page}], "next": more})

    with RestApi(script) as api:
        here = install(accounts=0)
        (here.folder / "source.toml").write_text(DESCRIPTION)
        here.config["accounts"]["a"] = {
            "source": "rest",
            "description": "source.toml",
            "base_url": api.url,
            "api_key": {"env": "SHOP_KEY"},
            **QUICK,
        }
        here.config["imports"]["a"] = {"account": "a", "sink": "sink", "streams": ["*"]}
        here.environment["SHOP_KEY"] = key
        outputs = [here.run("import", "a")]
        assert outputs[0].code == 3
        files = [path for path in here.folder.rglob("*") if path.is_file()]
        outputs += [
            here.run("dead", "list"),
            here.run("dead", "show", "3"),
            here.run("source", "test", "source.toml", "items"),
        ]
        shown = [each.stdout + each.stderr for each in outputs]
        for written in (key, quote_plus(key), quote(key), quote(key, safe="")):
            assert not [path for path in files if written.encode() in path.read_bytes()]
            assert not [each for each in shown if written in each]
        assert "next page: GET" in shown[-1]
        assert "***" in shown[-1]
        broken = False
        assert here.run("dead", "retry", "--all", "--yes").code == 0
        assert here.run("import", "a").code == 0
    query = parse_qs(urlsplit(links[-1]).query)
    assert query["access_token"] == [key]
    assert links[-1].endswith(f"&access_token={quote_plus(key)}&b={quote(key)}")
    assert len(here.select("SELECT id FROM shop_items", path=here.sink_path)) == 4
