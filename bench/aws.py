"""An organization's tree and contacts: crawlerd beside the script that users write, under AWS' documented limits.

`python bench/aws.py` crawls an organization of 120 accounts with each program in turn, each against fresh token
buckets, as the server counts. `python bench/aws.py memory ACCOUNTS` shows what a large one takes, without limits.
The server is moto's behind the tests' throttling proxy; the script is a thread pool over boto3 with adaptive retries.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import psutil
from botocore.config import Config
from rig import Others, about, table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from aws_proxy import DOCUMENTED, AwsProxy, Organization, Request, organization
from installation import Installation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MANAGEMENT = "123456789012"
LATENCY = 0.05  # seconds that a request takes at least, as from a machine in the same region
AT_ONCE = 6  # requests, beyond which the server refuses


class Script:
    """Walks level by level, with a pool; boto3 retries what is throttled, and slows down."""

    def __init__(self, url: str, threads: int) -> None:
        self._threads = threads
        session = boto3.Session(aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1")
        config = Config(retries={"mode": "adaptive", "max_attempts": 10}, max_pool_connections=threads)
        self._org = session.client("organizations", endpoint_url=url, config=config)
        self._account = session.client("account", endpoint_url=url, config=config)

    def _all(self, operation: str, items: str, **parameters: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = getattr(self._org, operation)(**parameters)
            found += page[items]
            if not page.get("NextToken"):
                return found
            parameters["NextToken"] = page["NextToken"]

    def tree(self) -> int:
        """Objects found."""
        with ThreadPoolExecutor(self._threads) as pool:
            self._org.describe_organization()
            (root,) = self._all("list_roots", "Roots")
            parents, todo, accounts = [root["Id"]], [root["Id"]], []
            while todo:
                units = pool.map(
                    lambda parent: self._all(
                        "list_organizational_units_for_parent", "OrganizationalUnits", ParentId=parent, MaxResults=20
                    ),
                    todo,
                )
                todo = [unit["Id"] for each in units for unit in each]
                parents += todo
            for each in pool.map(
                lambda parent: self._all("list_accounts_for_parent", "Accounts", ParentId=parent, MaxResults=20),
                parents,
            ):
                accounts += [account["Id"] for account in each]
            policies = self._all("list_policies", "Policies", Filter="SERVICE_CONTROL_POLICY", MaxResults=20)
            keys = [policy["Id"] for policy in policies]
            list(pool.map(lambda key: self._org.describe_policy(PolicyId=key), keys))
            targets = pool.map(
                lambda key: self._all("list_targets_for_policy", "Targets", PolicyId=key, MaxResults=20), keys
            )
            tags = pool.map(
                lambda key: self._all("list_tags_for_resource", "Tags", ResourceId=key),
                [*parents, *accounts, *(policy["Id"] for policy in policies if not policy["AwsManaged"])],
            )
            return len(parents) + len(accounts) + len(keys) + sum(map(len, targets)) + sum(map(len, tags))

    def contacts(self) -> int:
        """Contacts found, set or not."""

        def contact(account: str, kind: str) -> bool:
            parameters = {} if account == MANAGEMENT else {"AccountId": account}
            try:
                self._account.get_alternate_contact(AlternateContactType=kind, **parameters)
            except self._account.exceptions.ResourceNotFoundException:
                return False
            return True

        with ThreadPoolExecutor(self._threads) as pool:
            accounts = [each["Id"] for each in self._all("list_accounts", "Accounts", MaxResults=20)]
            asked = [(account, kind) for account in accounts for kind in ("BILLING", "OPERATIONS", "SECURITY")]
            return len(list(pool.map(lambda pair: contact(*pair), asked)))


def installation(folder: Path, source: str, proxy: AwsProxy, **account: Any) -> Installation:
    here = Installation(folder, accounts=0, daemon={"worker_processes": 2})
    here.environment |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    here.config["accounts"]["org"] = {"source": source, "endpoint_url": proxy.url, **account}
    here.config["imports"]["org"] = {"account": "org", "sink": "sink", "streams": ["*"]}
    return here


def crawled(source: str) -> Callable[[AwsProxy], None]:
    def run(proxy: AwsProxy) -> None:
        with tempfile.TemporaryDirectory() as folder:
            done = installation(Path(folder) / "here", source, proxy).run("import", "org", seconds=600)
            assert done.code == 0, done.stderr

    return run


def scripted(what: str, threads: int) -> Callable[[AwsProxy], None]:
    return lambda proxy: getattr(Script(proxy.url, threads), what)()


def measured(org: Organization, run: Callable[[AwsProxy], object]) -> list[str]:
    with AwsProxy(org.address, latency=LATENCY, most_at_once=AT_ONCE) as proxy:
        proxy.management = MANAGEMENT
        run(proxy)
        useful = [request for request in proxy.seen if not request.fault.startswith("TooMany")]
        counts = {name: sum(each.operation == name for each in useful) for name in DOCUMENTED}
        least = max((counts[name] - burst) / rate for name, (rate, burst) in DOCUMENTED.items())
        return [
            f"{proxy.took():.1f}",
            f"{100 * proxy.took() / least - 100:.1f}%",
            str(len(proxy.seen)),
            str(len(proxy.throttled)),
            str(proxy.most_seen_at_once),
        ]


def compare() -> None:
    print(about("boto3", "moto"))
    others = Others()
    header = ["program", "seconds", "over the limits", "requests", "throttled", "most at once"]
    with organization(120, 12, 3) as org:
        for what, source in (("tree", "aws_org"), ("contacts", "aws_contacts")):
            rows: list[Sequence[object]] = []
            for threads in (1, 4, 8):
                rows.append([f"script, {threads} threads", *measured(org, scripted(what, threads))])
            rows.append(["crawlerd", *measured(org, crawled(source))])
            print(f"\n{what} of 120 accounts\n\n{table(header, rows)}", flush=True)
    print(f"\n{others}")


class Formula:
    """An organization of any size by a formula, answered without moto, which would take an hour for 10,000 accounts."""

    def __init__(self, accounts: int) -> None:
        self._accounts = accounts
        self._units = max(1, accounts // 20)

    def _account(self, number: int) -> dict[str, Any]:
        key = f"{number:012}"
        return {
            "Id": key,
            "Arn": f"arn:aws:organizations::{0:012}:account/o-1/{key}",
            "Email": f"a{number}@example.com",
            "Name": f"account {number}",
            "Status": "ACTIVE",
        }

    def __call__(self, request: Request) -> dict[str, Any]:
        query, start = request.body, int(request.body.get("NextToken", 0))
        match request.operation:
            case "DescribeOrganization":
                return {"Organization": {"Id": "o-1"}}
            case "ListRoots":
                return {"Roots": [{"Id": "r-1", "Arn": "arn:aws:organizations::0:root/o-1/r-1", "PolicyTypes": []}]}
            case "ListAccounts":
                return self._page("Accounts", range(self._accounts), start, query["MaxResults"], self._account)
            case "ListAccountsForParent":
                below = range(self._accounts)
                unit = 0 if query["ParentId"] == "r-1" else int(query["ParentId"].removeprefix("ou-"))
                return self._page("Accounts", below[unit :: self._units + 1], start, 20, self._account)
            case "ListOrganizationalUnitsForParent":
                below = range(1, self._units + 1) if query["ParentId"] == "r-1" else range(0)
                return self._page("OrganizationalUnits", below, start, 20, lambda unit: {"Id": f"ou-{unit}"})
            case "ListTagsForResource":
                return {"Tags": [{"Key": "team", "Value": query["ResourceId"]}]}
        raise ValueError(request.operation)

    @staticmethod
    def _page(
        items: str, numbers: range, start: int, size: int, made: Callable[[int], dict[str, Any]]
    ) -> dict[str, Any]:
        page: dict[str, Any] = {items: [made(number) for number in numbers[start : start + size]]}
        return page | ({"NextToken": str(start + size)} if start + size < len(numbers) else {})


def memory(accounts: int) -> None:
    """Resident memory of the main process and of the largest worker, at its most."""
    print(about("boto3"))
    rows: list[Sequence[object]] = []
    for count in (120, accounts):
        with AwsProxy("", limits={}) as proxy, tempfile.TemporaryDirectory() as folder:
            proxy.own = Formula(count)
            buckets = dict.fromkeys(_buckets(), "1000/second burst 90")
            here = installation(Path(folder) / "here", "aws_org", proxy, bucket_limits=buckets, concurrency=16)
            running = here.start("import", "org")
            began, peak_main, peak_worker = time.monotonic(), 0, 0
            while running.running:
                with suppress(psutil.NoSuchProcess):
                    peak_main = max(peak_main, psutil.Process(running.pid).memory_info().rss)
                    peak_worker = max([peak_worker, *(each.memory_info().rss for each in running.workers())])
                with suppress(subprocess.TimeoutExpired):
                    running.process.wait(0.2)
            assert running.finish().code == 0
            found = here.imported("org", "accounts", "aws_org")
            assert len(found) == len(here.imported("org", "tags", "aws_org")) - max(1, count // 20) - 1 == count
            seconds = time.monotonic() - began
            rows.append([f"{count:,}", f"{len(proxy.seen):,}", f"{seconds:.0f}", peak_main >> 20, peak_worker >> 20])
    print(table(["accounts", "requests", "seconds", "main, MiB", "worker, MiB"], rows))


def _buckets() -> list[str]:
    from crawlerd.sources.aws.organization import aws_org

    return list(aws_org.by_bucket)


if __name__ == "__main__":
    if sys.argv[1:2] == ["memory"]:
        memory(int(sys.argv[2]))
    else:
        compare()
