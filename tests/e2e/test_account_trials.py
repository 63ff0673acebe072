"""`accounts test` and `config check --online`, as the servers see them."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.aws_proxy import organization
from support.installation import Installation, until
from support.rest_api import Answer, Request, RestApi
from support.shops import serve, shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DOWN = "http://127.0.0.1:9"


@pytest.fixture
def api() -> Iterator[RestApi]:
    with RestApi() as api:
        serve(api, 3)
        yield api


@pytest.fixture
def stripe_api() -> Iterator[RestApi]:
    """A Stripe whose keys belong to accounts of the same name."""

    def script(request: Request) -> Answer:
        key = request.headers["authorization"].removeprefix("Bearer ")
        if key == "sk_test_revoked":
            return Answer({"error": {"message": f"Invalid API Key provided: {key}"}}, 401)
        return Answer({"id": key.replace("sk_test_", "acct_")})

    with RestApi(script) as api:
        yield api


def with_stripe(install: Callable[..., Installation], api: RestApi, *keys: str, **account: Any) -> Installation:
    here = install(accounts=0)
    for number, key in enumerate(keys):
        (here.folder / f"{number}.key").write_text(key)
        (here.folder / f"{number}.key").chmod(0o600)
        here.config["accounts"][f"a{number}"] = {
            "source": "stripe",
            "base_url": api.url,
            "api_key": {"file": f"{number}.key"},
            **account,
        }
    return here


def test_whom_the_key_belongs_to(install: Callable[..., Installation], stripe_api: RestApi) -> None:
    here = with_stripe(install, stripe_api, "sk_test_acme", "sk_test_revoked")
    done = here.run("accounts", "test", "a0")
    assert (done.code, done.stdout) == (0, "a0: works, and belongs to acct_acme:test\n")
    assert [each.target for each in stripe_api.requests] == ["/v1/account"]
    assert not (here.folder / "state").exists()
    done = here.run("accounts", "test", "a1")
    assert done.code == 1
    assert done.stdout.startswith("a1: refused: ")
    assert "sk_test_revoked" not in done.stdout + done.stderr
    assert here.run("accounts", "test", "a2").code == 2
    told = here.run("accounts", "test", "a0", "--json").json
    assert (told["state"], told["identity"], told["source"]) == ("works", "acct_acme:test", "stripe")


def test_all_accounts_a_few_at_once(install: Callable[..., Installation]) -> None:
    busy, most, lock = 0, 0, threading.Lock()
    gate = threading.Barrier(2)

    def script(request: Request) -> Answer:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        try:
            gate.wait(10)  # two at once, or it breaks
        finally:
            with lock:
                busy -= 1
        return Answer({"id": "acct_1"})

    with RestApi(script) as api:
        here = with_stripe(install, api, *["sk_test_1"] * 40)
        done = here.run("config", "check", "--online")
        assert done.code == 0, done.stderr
        assert "40 accounts" in done.stdout
        assert sum("works, and belongs to acct_1:test" in line for line in done.stdout.splitlines()) == 40
        assert len(api.requests) == 40
        assert 2 <= most <= 8


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({}, 0, "a0: works, and belongs to acct_acme:test"),
        ({"base_url": DOWN}, 69, "a0: unanswered: "),
    ],
)
def test_the_exit_code_of_a_check(
    install: Callable[..., Installation], stripe_api: RestApi, change: dict[str, str], code: int, said: str
) -> None:
    here = with_stripe(install, stripe_api, "sk_test_acme", **change)
    done = here.run("config", "check", "--online")
    assert (done.code, said in done.stdout) == (code, True), done.stdout


def test_a_source_without_a_check_reads_a_first_page(install: Callable[..., Installation], api: RestApi) -> None:
    here = shop(install, api, {"orders": ["orders"]})
    done = here.run("accounts", "test", "acme")
    assert (done.code, done.stdout) == (0, "acme: works: the first page of orders has 3 records\n")
    assert [each.path for each in api.requests] == ["/orders"]
    api.script = lambda request: Answer(b"<html>", 200, {"Content-Type": "text/html"})
    done = here.run("accounts", "test", "acme")
    assert done.code == 69, done.stdout
    api.script = lambda request: Answer({}, 404)
    assert here.run("accounts", "test", "acme").code == 1


def test_a_test_counts_against_the_limits_of_the_daemon(install: Callable[..., Installation], api: RestApi) -> None:
    """The bucket's two a day: one is a run's, one a test's, the third is not sent."""
    here = shop(install, api, {"stores": ["stores"]}, bucket_limits={"default": ["100/second"], "orders": ["2/day"]})
    daemon = here.start("run")
    daemon.says("pid ")
    for _ in range(2):
        assert here.run("accounts", "test", "acme").code == 0
    daemon.send(signal.SIGTERM)
    assert daemon.finish().code == 0
    held = here.start("accounts", "test", "acme")  # by itself, within what the state directory knows
    time.sleep(3)
    assert held.running
    assert len(api.asked("/orders")) == 2
    held.send(signal.SIGINT)
    assert held.finish(10).code != 0  # it does not wait for the end of its half minute


def test_a_description_says_what_to_ask(install: Callable[..., Installation], api: RestApi) -> None:
    def script(request: Request) -> Answer:
        if request.path == "/of/eu%2F/me":
            return Answer({"who": {"login": "acme"}})
        return Answer({}, 404)

    here = shop(install, api, {"orders": ["orders"]}, variables={"region": "eu/"})
    api.script = script
    source = here.folder / "source.toml"
    endpoints = source.read_text().replace('name = "shop"', "")
    top = 'name = "shop"\nvariables = ["region"]\n'
    path = "/of/{variables.region}/me"
    source.write_text(f'{top}test = {{ path = "{path}", identity = "who.login" }}\n{endpoints}')
    assert here.run("accounts", "test", "acme").stdout == "acme: works, and belongs to acme\n"
    assert [each.target for each in api.requests] == ["/of/eu%2F/me"]
    source.write_text(f'{top}test = {{ path = "{path}", identity = "name" }}\n{endpoints}')
    done = here.run("accounts", "test", "acme")
    assert (done.code, 'no value at test.identity, which is "name"' in done.stdout) == (1, True)
    source.write_text(f'{top}test = {{ path = "{path}" }}\n{endpoints}')
    assert here.run("accounts", "test", "acme").stdout == "acme: works; the API does not say who owns the account\n"
    source.write_text(
        f'{top}test = {{ path = "{path}" }}\n[[errors]]\nstatus = 200\nheader = "Content-Length"\n'
        f'action = "pause"\n{endpoints}'
    )
    assert here.run("accounts", "test", "acme").stdout.startswith("acme: refused: ")
    source.write_text(f'{top}test = {{ path = "/{{parent.id}}" }}\n{endpoints}')
    done = here.run("accounts", "test", "acme")
    assert (done.code, "test.path: concerns the account itself" in done.stderr) == (78, True)


def test_whom_a_description_says_the_key_belongs_to_is_kept(install: Callable[..., Installation], api: RestApi) -> None:
    here, owner = shop(install, api, {"orders": ["orders"]}), ["acme"]
    api.script = lambda request: Answer({"login": owner[0]} if request.path == "/me" else [{"id": 1}])
    source = here.folder / "source.toml"
    source.write_text(
        source.read_text().replace(
            "[endpoints.orders]", 'test = { path = "/me", identity = "login" }\n[endpoints.orders]'
        )
    )
    here.start("run").says("pid ")
    assert here.run("accounts", "test", "acme").code == 0
    until(lambda: "account acme of shop, which is acme\n" in here.run("accounts", "show", "acme").stdout)
    owner[0] = "other"
    assert here.run("accounts", "test", "acme").code == 1
    until(lambda: "its key belongs to other" in here.run("accounts", "show", "acme").stdout)
    owner[0] = "acme"
    assert here.run("accounts", "test", "acme").code == 0
    until(lambda: "belongs to other" not in here.run("accounts", "show", "acme").stdout)


@pytest.mark.alone
def test_a_test_beside_a_daemon_is_paced_with_its_tasks(install: Callable[..., Installation], api: RestApi) -> None:
    serve(api, 40)
    here = shop(install, api, {"orders": ["orders", "lines"]}, limits=["5/second"])
    here.config["imports"]["orders"]["schedule"] = "1d"
    daemon = here.start("run")
    until(lambda: len(api.requests) > 3)
    assert here.run("accounts", "test", "acme").code == 0
    until(lambda: len(api.requests) > 20)
    times = sorted(each.at for each in api.requests)
    assert all(times[number + 6] - times[number] > 0.95 for number in range(len(times) - 6))
    assert len(api.asked("/orders")) == 2
    assert daemon.running


def test_the_other_tasks_do_not_wait_for_a_slow_test(install: Callable[..., Installation], api: RestApi) -> None:
    go_on, serving = threading.Event(), api.script

    def script(request: Request) -> Answer | None:
        if request.path == "/orders":
            go_on.wait(20)
        return serving(request)

    here = shop(install, api, {"stores": ["stores", "shelves"]})
    here.config["imports"]["stores"]["schedule"] = "1d"
    api.script = script
    daemon = here.start("run")
    daemon.says("pid ")
    asking = here.start("accounts", "test", "acme")
    until(lambda: api.asked("/orders"))
    done = here.run("import", "stores")
    assert done.code == 0, done.stderr
    assert asking.running
    go_on.set()
    assert asking.finish().code == 0


def test_a_key_that_works_again_lets_the_account_go_on(install: Callable[..., Installation]) -> None:
    good = threading.Event()

    def script(request: Request) -> Answer:
        if not good.is_set():
            return Answer({"error": {"message": "Invalid API Key"}}, 401)
        return Answer({"id": "acct_1"} if request.path == "/v1/account" else {"data": [], "has_more": False})

    with RestApi(script) as api:
        here = with_stripe(install, api, "sk_test_1")
        here.config["imports"]["a"] = {
            "account": "a0",
            "sink": "sink",
            "streams": ["customers"],
            "schedule": "1d",
        }
        here.start("run")
        until(lambda: "refused" in here.run("accounts").stdout)
        assert here.run("accounts", "test", "a0").code == 1
        good.set()
        done = here.run("accounts", "test", "a0")
        assert (done.code, done.stdout) == (0, "a0: works, and belongs to acct_1:test\n")
        until(lambda: here.run("runs", "--json").json["runs"][0]["state"] == "completed")


def test_a_check_beside_a_daemon_says_which_keys_it_has_not(
    install: Callable[..., Installation], stripe_api: RestApi
) -> None:
    here = with_stripe(install, stripe_api, "sk_test_acme", "sk_test_other")
    daemon = here.start("run")
    daemon.says("pid ")
    (here.folder / "1.key").write_text("sk_test_new")
    (here.folder / "2.key").write_text("sk_test_third")
    here.config["accounts"]["a2"] = {**here.config["accounts"]["a1"], "api_key": {"file": "2.key"}}
    done = here.run("config", "check", "--online")
    assert done.code == 69
    assert "a0: works, and belongs to acct_acme:test" in done.stdout
    assert "a1: waits: the running daemon uses other credentials or another address for account a1" in done.stdout
    assert "a2: works, and belongs to acct_third:test" in done.stdout
    assert all("new" not in each.headers["authorization"] for each in stripe_api.requests)


def test_another_account_than_before(install: Callable[..., Installation], stripe_api: RestApi) -> None:
    here = with_stripe(install, stripe_api, "sk_test_acme")
    daemon = here.start("run")
    daemon.says("pid ")
    assert here.run("accounts", "test", "a0").code == 0
    daemon.send(signal.SIGTERM)
    daemon.finish()
    (here.folder / "0.key").write_text("sk_test_other")
    done = here.run("accounts", "test", "a0")
    assert done.code == 1
    assert "belongs to acct_other:test, but what was imported so far came from acct_acme:test" in done.stdout


def test_mailchimp(install: Callable[..., Installation]) -> None:
    with RestApi(lambda request: Answer({"account_id": "abc"})) as api:
        here = with_stripe(install, api, "key-us1", source="mailchimp")
        assert here.run("accounts", "test", "a0").stdout == "a0: works, and belongs to abc\n"


def test_aws_and_s3(install: Callable[..., Installation]) -> None:
    with organization(accounts=3, units=1, policies=0) as moto:
        here = install(accounts=0)
        here.environment |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
        for source in ("aws_org", "aws_contacts", "s3_batch"):
            here.config["accounts"][source] = {
                "source": source,
                "endpoint_url": f"http://{moto.address}",
                "region": "us-east-1",
            }
        done = here.run("config", "check", "--online")
        assert done.code == 0, done.stdout + done.stderr
        lines = dict(line.split(": ", 1) for line in done.stdout.splitlines())
        assert lines["s3_batch"].startswith("works, and belongs to ")
        assert lines["aws_org"].startswith("works, and belongs to o-")
        assert lines["aws_contacts"] == lines["aws_org"]


def test_an_account_that_only_receives_is_not_asked(install: Callable[..., Installation], api: RestApi) -> None:
    here = install(accounts=0)
    here.config["accounts"]["crm"] = {"source": "http", "base_url": api.url}
    done = here.run("config", "check", "--online")
    assert done.code == 0
    assert "crm: the source http has no request that could test an account" in done.stdout
    assert api.requests == []
