"""Arguments that repeat a credential, or merely contain its letters: they arrive as yielded, or not at all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.rest_api import Answer, Request, RestApi

from crawlerd.clients.http import HttpClient
from crawlerd.core.configuration import AccountSpec
from crawlerd.core.hiding import CredentialsChanged, is_hidden, with_field
from crawlerd.core.outcome import Bury, Comparison, Complete, Outcome
from crawlerd.core.redaction import Redaction
from crawlerd.core.spellings import forms_of, pattern, spelled
from crawlerd.core.task import NewTask, Task
from crawlerd.engine.attempt import NoRequest, OpenedWhenUsed, attempt
from crawlerd.source import ClientCredentials, Source, TaskArgs

if TYPE_CHECKING:
    from collections.abc import Iterator

characters = st.sampled_from("abAB19&+/=\"\\<>'é²€ :%-_.,;{}~\n")
keys = st.text(characters, min_size=8, max_size=30)


@st.composite
def spellings(draw: st.DrawFn, key: str) -> str:
    """Each character as it is, or as URLs, JSON and HTML may write it, with digits of either case."""

    def one(char: str) -> str:
        digits = f"{ord(char):02x}"
        forms = [char, f"%{digits}", f"%{digits.upper()}", f"%25{digits}", f"&#{ord(char)};", f"&#X{digits.upper()};"]
        forms += [f"\\u00{digits.upper()}", f"\\\\u00{digits}", f"\\{char}"]
        forms += ["&amp;"] if char == "&" else []
        return char if char.isalnum() else draw(st.sampled_from(forms))

    return "".join(map(one, key))


@st.composite
def arguments(draw: st.DrawFn, key: str) -> Any:
    parts = st.one_of(
        st.text(max_size=8),
        spellings(key),
        st.sampled_from(["{crawlerd:", "{crawlerd:=}", "{crawlerd:w0}", "}", "?next=", "&", "\\", '"', key[:7], key]),
    )
    texts = st.lists(parts, max_size=5).map("".join)
    values = st.one_of(texts, st.integers(), st.booleans(), st.none())
    return draw(st.dictionaries(texts, st.one_of(values, st.lists(values, max_size=3)), max_size=4))


def payload_of(value: Any) -> str:
    return msgspec.json.encode(value).decode()


@settings(max_examples=100)
@given(st.data(), keys, st.lists(keys, max_size=2))
def test_arguments_come_back_byte_for_byte(data: st.DataObject, key: str, others: list[str]) -> None:
    """Whatever else is known by then, and in whichever order."""
    payload = payload_of(data.draw(arguments(key)))
    hidden = Redaction([key]).hidden(payload)
    assert is_hidden(hidden) == (hidden != payload)
    if hidden != payload:
        json.loads(hidden)  # others read it
        assert Redaction([*others, key, *others]).restored(hidden) == payload
        assert Redaction([key]).hidden(payload) == hidden  # so that it is the same task


@settings(max_examples=100)
@given(st.data(), keys)
def test_no_spelling_is_mistaken_for_another(data: st.DataObject, key: str) -> None:
    text = data.draw(spellings(key))
    forms = forms_of(key, text)
    assert forms is not None
    assert spelled(key, forms) == text
    assert not set("{};") & set(forms)


@given(st.text(st.sampled_from("ab01+/-_"), min_size=8, max_size=20), st.integers(0, 2))
def test_base64_keeps_its_alphabet_and_its_end(text: str, padding: int) -> None:
    alike = str.maketrans("+/", "-_")
    for written in (text, text.translate(alike), text.replace("+", " ")):
        forms = forms_of(text, written + "=" * padding, packed=True)
        assert forms is not None
        assert spelled(text, forms) == written + "=" * padding
    assert pattern(text, packed=True)


@settings(max_examples=100)
@given(st.data(), st.text(characters, min_size=8, max_size=19), keys)
@example(None, "12345678", "87654321")
def test_after_a_rotation_nothing_comes_back_changed(data: st.DataObject | None, old: str, new: str) -> None:
    value = data.draw(arguments(old)) if data else {"key": "order-12345678", "since": 12345678}
    payload = payload_of(value)
    hidden = Redaction([old]).hidden(payload)
    if hidden == payload:
        return
    try:
        assert Redaction([new]).restored(hidden) == payload
    except CredentialsChanged:
        return
    assert old in new or new in old or old.rstrip("=") == new.rstrip("=") or Redaction([new]).found(payload)


@pytest.mark.parametrize("old", ["key-01234567890123456789", "a/b+c=0123456789-0123456"])
@pytest.mark.parametrize("new", ["another&key=9876543210", 'x"\\ 0123456789'])
def test_a_link_is_asked_for_with_the_key_of_then_where_that_is_a_whole_parameter(old: str, new: str) -> None:
    def renewed(at: str, after: str) -> None:
        hidden = Redaction([old]).hidden(payload_of({"at": at}))
        assert old not in hidden
        assert json.loads(Redaction([new]).restored(hidden)) == {"at": after}

    for written in (old, quote(old, safe="")):
        for before, after in (("https://x/?page=2&token=", ""), ("?t=", "&page=2"), ("/x?t=", "#there")):
            renewed(f"{before}{written}{after}", f"{before}{quote(new, safe='')}{after}")
        for part in (f"https://x/{written}", f"?at=o-{written}", f"?at={written}-1", written, f"t={written}"):
            with pytest.raises(CredentialsChanged):
                renewed(part, "")


def test_what_is_missing_is_added_to_hidden_arguments() -> None:
    key = "order-12345678"
    redaction = Redaction([key])
    hidden = redaction.hidden(payload_of({"at": f"/{key}", "missing": []}))
    then = NewTask("k", "", 5, hidden)
    missing = ["{crawlerd:w0}", "{crawlerd:=}", "plain"]
    following = Comparison("s", "", "", then, True).following(missing)
    assert json.loads(redaction.restored(following.payload)) == {"at": f"/{key}", "missing": missing}
    assert with_field('{"at":"{crawlerd:"}', "n", ["{crawlerd:"]) == '{"at":"{crawlerd:","n":["{crawlerd:"]}'


# attempts


def source_of(auth: Any, found: list[str], links: list[str], *, cost: int = 1) -> Source:
    @dataclass(frozen=True)
    class Page(TaskArgs, kind="api.page"):
        at: str = ""

    source = Source("api", auth=auth)

    @source.handles(Page, cost=cost)
    def page(api: Any, args: Page) -> Iterator[Any]:
        found.append(args.at)
        if cost:
            api.get("/")
        yield from map(Page, links)

    return source


def attempted(source: Source, api: Any, url: str, secret: str, payload: str = "{}") -> Outcome:
    account = AccountSpec(name="a", source="api", base_url=url, secret=secret)
    return attempt(source, account, api(source, account), Task(1, 0, 5, 1, "api.page", 0, payload), jitter=0.5)


@pytest.mark.parametrize("way", ["opened", "opened when used", "no request"])
@pytest.mark.parametrize("auth", ["oauth", "header"])
def test_credentials_that_are_not_at_hand_are_asked_for(auth: str, way: str) -> None:
    """As in a worker process that has just begun: an access token, and the word of a header, come with a request."""
    kind: Any = ClientCredentials(token_url="/token") if auth == "oauth" else lambda key: {"X-Key": f"prefix-{key}"}
    credential = "TOKEN-0123456789" if auth == "oauth" else "prefix-client1:s3cr3t-s3cr3t"
    links = [f"?access={credential}", f"order {credential} here"]
    found: list[str] = []

    def script(request: Request) -> Answer:
        return Answer({"access_token": "TOKEN-0123456789"} if request.path == "/token" else {})

    with RestApi(script) as api:
        client = HttpClient(connections=2)
        first = attempted(source_of(kind, found, links), client.open, api.url, "client1:s3cr3t-s3cr3t")
        client.close()
        assert isinstance(first, Complete)
        assert not [each for each in first.children if credential in each.payload]
        client = HttpClient(connections=2)
        ways: dict[str, Any] = {
            "opened": client.open,
            "opened when used": lambda *of: OpenedWhenUsed(lambda: client.open(*of)),
            "no request": lambda *of: NoRequest(lambda: client.open(*of)),
        }
        source = source_of(kind, found, links, cost=int(way != "no request"))
        for each in first.children:
            again = attempted(source, ways[way], api.url, "client1:s3cr3t-s3cr3t", each.payload)
            assert isinstance(again, Complete)
            assert again.children == first.children
        client.close()
    assert found == ["", *links]


def test_arguments_that_a_rotation_has_made_unknown_are_a_dead_letter() -> None:
    found: list[str] = []
    source = source_of(None, found, ["order-12345678"])
    with RestApi(lambda _: Answer({})) as api:
        client = HttpClient(connections=2)
        first = attempted(source, client.open, api.url, "12345678")
        assert isinstance(first, Complete)
        payload = first.children[0].payload
        assert "12345678" not in payload
        outcome = attempted(source, client.open, api.url, "87654321", payload)
        assert isinstance(outcome, Bury)
        assert "credentials of the account, which have changed since" in outcome.error
        assert found == [""]
        attempted(source, client.open, api.url, "12345678", payload)
        client.close()
    assert found == ["", "order-12345678"]
