"""An organization's tree and contacts: crawlerd and the script that users write, under AWS' documented limits.

Each program crawls an organization in turn, against fresh token buckets, as the server counts. The server is moto's,
with the tests' throttling proxy before it; the script is a thread pool over boto3 with adaptive retries.
"""

from __future__ import annotations

import argparse
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from bench.rig.aws import organization_installation
from bench.rig.meters import Others
from bench.rig.report import about, parsed, table
from bench.rig.testbed import DOCUMENTED, AwsProxy, Organization, organization

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


def crawled(source: str) -> Callable[[AwsProxy], None]:
    def run(proxy: AwsProxy) -> None:
        with tempfile.TemporaryDirectory() as folder:
            done = organization_installation(Path(folder) / "here", source, proxy).run("import", "org", seconds=600)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=120)
    parser.add_argument("--units", type=int, default=12)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 4, 8], help="of the script")
    args = parsed(parser, accounts=2, units=1, threads=[2])
    print(about("boto3", "moto"))
    others = Others()
    header = ["program", "seconds", "over the limits", "requests", "throttled", "most at once"]
    with organization(args.accounts, args.units, 3) as org:
        for what, source in (("tree", "aws_org"), ("contacts", "aws_contacts")):
            rows: list[Sequence[object]] = []
            for threads in args.threads:
                rows.append([f"script, {threads} threads", *measured(org, scripted(what, threads))])
            rows.append(["crawlerd", *measured(org, crawled(source))])
            print(f"\n{what} of {args.accounts} accounts\n\n{table(header, rows)}", flush=True)
    print(f"\n{others}")


if __name__ == "__main__":
    main()
