"""The descriptions in config/sources, imported from local fakes of their APIs; and those who ask for one page first."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from support.installation import QUICK, Installation
from support.rest_api import Answer, Request, RestApi

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCES = Path(__file__).parents[2] / "config/sources"
KEY = "example-key-0123456789"


def example(
    install: Callable[..., Installation], name: str, url: str, streams: tuple[str, ...] = ("*",), **account: Any
) -> Installation:
    here = install(accounts=0)
    here.environment["KEY"] = KEY
    here.config["accounts"]["a"] = {
        "source": "rest", "description": str(SOURCES / f"{name}.toml"), "base_url": url, "api_key": {"env": "KEY"},
        "limits": [], **{key: value for key, value in QUICK.items() if "limits" not in key}, **account,
    }  # fmt: skip
    here.config["imports"]["a"] = {"account": "a", "sink": "sink", "streams": list(streams)}
    return here


def moment(minute: int) -> str:
    return f"2024-05-{1 + minute // 1440:02}T{minute // 60 % 24:02}:{minute % 60:02}:00Z"


class GitHub:
    """3 repositories, the last one empty, with lists as https://docs.github.com/rest pages them: `Link`, a most of 100.
    A request in 40 is over the limit."""

    def __init__(self, api: RestApi) -> None:
        api.script = self.answer
        self.url = api.url
        self.count = 0
        self.lists: dict[str, list[dict[str, Any]]] = {
            "/orgs/acme/repos": [
                {"id": number, "name": name, "full_name": f"acme/{name}", "owner": {"login": "acme"}}
                for number, name in enumerate(["one", "two.x", "empty"])
            ]
        }
        for repository in ("one", "two.x", "empty"):
            many = 0 if repository == "empty" else 130
            start = {"one": 1000, "two.x": 2000, "empty": 3000}[repository]
            dated = [{"id": start + number, "updated_at": moment(number)} for number in range(many)]
            base = f"/repos/acme/{repository}"
            self.lists[f"{base}/issues"] = list(dated)
            self.lists[f"{base}/pulls"] = dated[::-1]
            self.lists[f"{base}/issues/comments"] = list(dated)
            self.lists[f"{base}/labels"] = [{"id": start + number, "name": str(number)} for number in range(many // 40)]
            self.lists[f"{base}/commits"] = [
                {"sha": f"{number:040x}", "commit": {"committer": {"date": moment(number)}}} for number in range(many)
            ][::-1]

    def answer(self, request: Request) -> Answer:
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.headers["x-github-api-version"] == "2022-11-28"
        assert request.headers["accept"] == "application/vnd.github+json"
        self.count += 1
        if self.count % 40 == 0:
            reset = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 1)}
            return Answer({"message": "API rate limit exceeded"}, 403, reset)
        found = self.lists.get(request.path)
        if found is None:
            return Answer({"message": "Not Found"}, 404)
        if request.path.endswith("empty/commits"):
            return Answer({"message": "Git Repository is empty."}, 409)
        since = request.query.get("since")
        if since and not request.path.endswith("/pulls"):
            found = [
                each for each in found
                if (each.get("updated_at") or each["commit"]["committer"]["date"]) >= since
            ]  # fmt: skip
        size, page = min(100, int(request.query.get("per_page", 30))), int(request.query.get("page", 1))
        headers = {}
        if page * size < len(found):
            query = urlencode({**request.query, "page": page + 1})
            headers["Link"] = f'<{self.url}{request.path}?{query}>; rel="next", <{self.url}/last>; rel="last"'
        return Answer(found[(page - 1) * size : page * size], headers=headers)

    def expected(self, stream: str) -> dict[str, dict[str, Any]]:
        names = {"issues": "issues", "pull_requests": "pulls", "comments": "issues/comments", "labels": "labels"}
        repositories = self.lists["/orgs/acme/repos"]
        if stream == "repositories":
            return {str(each["id"]): each for each in repositories}
        return {
            f"{repository['id']}/{each['sha']}" if stream == "commits" else str(each["id"]): {
                **each, "repository_id": repository["id"]
            }
            for repository in repositories
            for each in self.lists[f"/repos/acme/{repository['name']}/{names.get(stream, stream)}"]
        }  # fmt: skip


GITHUB = ("repositories", "issues", "pull_requests", "commits", "comments", "labels")


def test_github(install: Callable[..., Installation]) -> None:
    with RestApi() as api:
        fake = GitHub(api)
        here = example(install, "github", api.url, variables={"org": "acme"})
        done = here.run("import", "--all", "--json")
        assert done.code == 0, done
        for stream in GITHUB:
            assert here.imported("a", stream, "github") == fake.expected(stream), stream
        issues, pulls = fake.lists["/repos/acme/one/issues"], fake.lists["/repos/acme/two.x/pulls"]
        issues.append({**issues.pop(3), "updated_at": moment(5000), "edited": True})
        pulls.insert(0, {"id": 2999, "updated_at": moment(5001)})
        before = len(api.requests)
        assert here.run("import", "--all").code == 0
        for stream in GITHUB:
            assert here.imported("a", stream, "github") == fake.expected(stream), stream
        assert len(api.requests) - before < 23  # some 27 in full
    assert KEY not in done.stderr + done.stdout


class Shopify:
    """Products, orders and what is below them, as https://shopify.dev/docs/api/admin-rest pages them: `Link` with
    page_info, beside which no other parameter than limit is taken. Over the limit, 429 and Retry-After."""

    def __init__(self, api: RestApi) -> None:
        api.script = self.answer
        self.url = api.url
        self.count = 0
        base = "/admin/api/2025-07"
        self.lists = {
            f"{base}/customers.json": [{"id": 100 + each, "updated_at": moment(each)} for each in range(300)],
            f"{base}/products.json": [{"id": each} for each in range(1, 13)],
            f"{base}/orders.json": [{"id": 500 + each, "updated_at": moment(each)} for each in range(20)],
            f"{base}/locations.json": [{"id": 1}],
        }
        for each in range(1, 13):
            self.lists[f"{base}/products/{each}/metafields.json"] = [{"id": 10 * each + n} for n in range(each % 4)]
        for each in range(500, 520):
            self.lists[f"{base}/orders/{each}/transactions.json"] = [{"id": 10 * each, "order_id": each}]
            self.lists[f"{base}/orders/{each}/refunds.json"] = []
        del self.lists[f"{base}/orders/507/refunds.json"]  # deleted in the meantime

    def answer(self, request: Request) -> Answer:
        if request.headers.get("x-shopify-access-token") != KEY:
            return Answer({"errors": "[API] Invalid API key or access token"}, 401)
        self.count += 1
        if self.count % 25 == 0:
            return Answer({"errors": "Exceeded 2 calls per second"}, 429, {"Retry-After": "0.2"})
        if request.path.endswith("/shop.json"):
            return Answer({"shop": {"id": 7, "name": "acme"}})
        found = self.lists.get(request.path)
        if found is None:
            return Answer({"errors": "Not Found"}, 404)
        first = int(request.query.get("page_info", 0))
        assert not first or set(request.query) == {"page_info", "limit"}
        if "orders.json" in request.path:
            assert first or request.query["status"] == "any"
        since = request.query.get("updated_at_min")
        found = [each for each in found if since is None or str(each["updated_at"]) >= since]
        size = min(250, int(request.query["limit"]))
        headers = {}
        if first + size < len(found):
            link = f"{self.url}{request.path}?limit={size}&page_info={first + size}"
            headers["Link"] = f'<{link}>; rel="next"'
        return Answer({request.path.rpartition("/")[2][:-5]: found[first : first + size]}, headers=headers)

    def expected(self, stream: str) -> set[int]:
        last = {"product_metafields": "metafields", "inventory_locations": "locations"}.get(stream, stream)
        return {
            int(each["id"]) for path, found in self.lists.items() if path.endswith(f"/{last}.json") for each in found
        }


def test_shopify(install: Callable[..., Installation]) -> None:
    with RestApi() as api:
        fake = Shopify(api)
        here = example(install, "shopify", api.url)
        done = here.run("import", "--all", "--json")
        assert done.code == 0, done
        for stream in (
            "customers", "products", "product_metafields", "orders", "transactions", "refunds", "inventory_locations",
        ):  # fmt: skip
            assert set(map(int, here.imported("a", stream, "shopify"))) == fake.expected(stream), stream
        assert here.imported("a", "shop", "shopify") == {"7": {"id": 7, "name": "acme"}}
        metafields = here.imported("a", "product_metafields", "shopify")
        assert all(each["product_id"] == each["id"] // 10 for each in metafields.values())
        before = len(api.requests)
        here.config["imports"]["a"]["streams"] = ["customers"]
        assert here.run("import", "--all").code == 0
        assert [each.query["updated_at_min"] for each in api.requests[before:]] == [moment(294)]


# ---- crawlerd source test


def test_one_page_is_shown(install: Callable[..., Installation]) -> None:
    with RestApi() as api:
        GitHub(api)
        here = example(install, "github", api.url, variables={"org": "acme"})
        shown = here.run("source", "test", str(SOURCES / "github.toml"), "issues")
        assert shown.code == 0, shown
        lines = shown.stdout.splitlines()
        assert lines[0] == (
            "repositories: GET /orgs/acme/repos?type=all&sort=created&direction=asc&page=1&per_page=100"
        )
        assert lines[1].startswith("  HTTP 200, ")
        assert lines[2] == "  leads to 3 lists below; continuing with the first"
        assert lines[3] == (
            "issues: GET /repos/acme/one/issues?state=all&sort=updated&direction=asc&page=1&per_page=100"
        )
        assert "  100 records, 0 set aside" in lines
        assert "  keys: 1000, 1001, 1002, 1003, 1004, …" in lines
        assert "  fields: id, updated_at, repository_id" in lines
        assert "  the latest change is of 2024-05-01T01:39:00.000000Z" in lines
        assert (
            "  next page: GET /repos/acme/one/issues?state=all&sort=updated&direction=asc&since=2024-05" in shown.stdout
        )
        assert KEY not in shown.stdout + shown.stderr
        assert len(api.requests) == 2
        assert not here.state_dir.exists()


@pytest.mark.parametrize(
    ("answer", "code", "told"),
    [
        (Answer({"shop": [1]}), 1, "set aside: shop #0: is not an object but a list"),
        (Answer({"stop": {}}), 1, "set aside: shop #0: is not an object but nothing"),
        (Answer([]), 1, "set aside: shop #0: is not an object but nothing"),
        (Answer({}, 401), 1, "HTTP 401\n  the account would be paused"),
        (Answer({}, 429, {"Retry-After": "7"}), 1, "the request would be repeated after 7 s"),
        (Answer({}, 503), 1, "the request would be retried"),
        (Answer(b"<html>"), 1, "is not JSON"),
        (Answer({"errors": f"no such key: {KEY}"}, 404), 1, "it would be a dead letter"),
    ],
)
def test_what_is_wrong_with_a_page_is_shown(
    answer: Answer, code: int, told: str, install: Callable[..., Installation]
) -> None:
    with RestApi(lambda _: answer) as api:
        here = install(accounts=0)
        here.environment["KEY"] = KEY
        file = str(SOURCES / "shopify.toml")
        shown = here.run("source", "test", file, "shop", "--base-url", api.url, "--key-env", "KEY")
    assert shown.code == code, shown
    assert told in shown.stdout
    assert KEY not in shown.stdout + shown.stderr


def test_a_record_that_cannot_be_used_is_shown(install: Callable[..., Installation]) -> None:
    with RestApi(lambda _: Answer({"products": [{"title": "x"}, {"id": 7}]})) as api:
        here = install(accounts=0)
        here.environment["KEY"] = KEY
        file = str(SOURCES / "shopify.toml")
        shown = here.run("source", "test", file, "products", "--base-url", api.url, "--key-env", "KEY")
        below = here.run("source", "test", file, "product_metafields", "--base-url", api.url, "--key-env", "KEY")
    assert shown.code == 1
    assert shown.stdout.splitlines()[2:] == [
        "  1 records, 1 set aside",
        "  keys: 7",
        "  fields: id",
        '  set aside: products #0: has no primary key: "id" is missing or null',
        "  no next page",
    ]
    assert (
        "continuing with the first\nproduct_metafields: GET /admin/api/2025-07/products/7/metafields.json"
        in below.stdout
    )
    assert 'records = "metafields" finds nothing, not a list, in the response: an object with products' in below.stdout


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            Answer(b'{"d": [{"id": 1, "n": NaN}, {"id": 2}]}'),
            ["1 records, 1 set aside", "keys: 2", "set aside: 1: cannot"],
        ),
        (
            Answer({"d": [{"id": 1}], "next": "https://elsewhere.example/2"}),
            ["next page: GET https://elsewhere.example/2", "would be a dead letter: not a path, and not a URL of http"],
        ),
    ],
)
def test_what_an_import_would_set_aside_or_refuse_is_shown(
    answer: Answer, told: list[str], install: Callable[..., Installation]
) -> None:
    here = install(accounts=0)
    (here.folder / "api.toml").write_text(
        'name = "api"\npaginator = { type = "next_url", url = "next" }\n[endpoints.a]\npath = "/a"\nrecords = "d"\n'
    )
    with RestApi(lambda _: answer) as api:
        shown = here.run("source", "test", "api.toml", "a", "--base-url", api.url)
    assert shown.code == 1
    assert [each for each in told if each not in shown.stdout] == []


def test_a_cursor_that_goes_into_a_header_is_shown(install: Callable[..., Installation]) -> None:
    here = install(accounts=0)
    (here.folder / "api.toml").write_text(
        'name = "api"\npaginator = { type = "cursor_in_header", header = "X-Next", send_header = "X-From" }\n'
        '[endpoints.a]\npath = "/a"\n'
    )
    with RestApi(lambda _: Answer([{"id": 1}], headers={"X-Next": "c1"})) as api:
        shown = here.run("source", "test", "api.toml", "a", "--base-url", api.url)
    assert (shown.code, shown.stdout.splitlines()[-1]) == (0, "  next page: GET /a, X-From: c1")


def test_a_list_by_number_is_shown_with_its_number_and_all_that_is_set_aside_is_counted(
    install: Callable[..., Installation],
) -> None:
    here = install(accounts=0)
    (here.folder / "api.toml").write_text(
        'name = "api"\n[endpoints.a]\npath = "/a"\n'
        'incremental = { field = "version", parameter = "from", format = "number" }\n'
    )
    records = [*({"id": number, "version": number + 40} for number in range(3)), *[{"name": "no key"}] * 7]
    with RestApi(lambda _: Answer(records)) as api:
        shown = here.run("source", "test", "api.toml", "a", "--base-url", api.url)
    assert shown.code == 1
    assert "  the latest change is of 42\n" in shown.stdout
    assert shown.stdout.count("set aside: a #") == 5
    assert "  set aside: 2 more\n" in shown.stdout


def test_what_a_trial_cannot_begin_with_is_told(install: Callable[..., Installation]) -> None:
    here = install(accounts=0)
    file = str(SOURCES / "github.toml")
    (here.folder / "broken.toml").write_text('name = "b"\n[endpoints.a]\npath = "x"\nrecords = "["\n')
    broken = here.run("source", "test", "broken.toml", "a")
    assert broken.code == 78
    assert len(broken.stderr.splitlines()) == 2
    for arguments, code, told in [
        (["broken.toml", "a"], 78, "endpoints.a.path"),
        (["nowhere.toml", "a"], 78, "cannot be read"),
        ([file, "issues"], 78, 'needs variables = { org = "…" }'),
        ([file, "issues", "--variable", "org"], 2, "NAME=VALUE"),
        ([file, "issues", "--variable", "org=a"], 2, "--key-env"),
        ([file, "issuse", "--variable", "org=a", "--key-env", "HOME"], 2, 'did you mean "issues"?'),
        ([str(SOURCES / "shopify.toml"), "shop"], 2, "--base-url"),
        ([file, "issues", "--variable", "org=a", "--key-env", "NOWHERE"], 2, "variable NOWHERE is not set"),
        ([file, "issues", "--account", "nobody"], 2, "there is no [accounts.nobody]"),
        ([file, "issues", "--account", "a", "--variable", "org=a"], 2, "leave out the other options"),
    ]:
        done = here.run("source", "test", *arguments)
        assert (done.code, told in done.stderr) == (code, True), (arguments, done)
