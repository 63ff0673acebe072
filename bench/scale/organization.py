"""What an organization of any size takes of memory, by a formula and without limits."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.rig.aws import organization_installation, watched
from bench.rig.meters import Peaks
from bench.rig.report import about, parsed, table
from bench.rig.testbed import AwsProxy, Request
from crawlerd.sources.aws.organization import aws_org

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, nargs="+", default=[120, 10_000])
    args = parsed(parser, accounts=[3])
    print(about("boto3"), "\n")
    rows: list[Sequence[object]] = []
    for count in args.accounts:
        with AwsProxy("", limits={}) as proxy, tempfile.TemporaryDirectory() as folder:
            proxy.own = Formula(count)
            buckets = dict.fromkeys(aws_org.limits.by_bucket, "1000/second burst 90")
            limits = {"bucket_limits": buckets, "concurrency": 16}
            here = organization_installation(Path(folder) / "here", "aws_org", proxy, **limits)
            began, peaks = time.monotonic(), Peaks()
            watched(here, "org", peaks)
            found = here.imported("org", "accounts", "aws_org")
            assert len(found) == len(here.imported("org", "tags", "aws_org")) - max(1, count // 20) - 1 == count
            seconds = time.monotonic() - began
            rows.append([f"{count:,}", f"{len(proxy.seen):,}", f"{seconds:.0f}", *peaks.mib()])
    print(table(["accounts", "requests", "seconds", "main, MiB", "worker, MiB"], rows))


if __name__ == "__main__":
    main()
