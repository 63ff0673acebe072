"""Adds the tags of an organization's delegated administrators to the source `aws_org`."""

from collections.abc import Iterator
from dataclasses import dataclass

from crawlerd.source import AwsApi, Output, Record, Sweep, TaskArgs, subscribe
from crawlerd.sources.aws.organization import aws_org


@dataclass(frozen=True)
class Tags(TaskArgs, kind="aws_org.administrator_tags"):
    account: str
    token: str = ""


@subscribe(aws_org, "delegated_administrators", streams=["administrator_tags"])
def administrators(record: Record) -> Iterator[Output]:
    if record.data is not None:
        yield Tags(record.key)


@aws_org.handles(Tags, bucket="list_tags_for_resource", sequential=True)
def tags(api: AwsApi, args: Tags) -> Iterator[Output]:
    more = {"NextToken": args.token} if args.token else {}
    page = api.call("organizations", "list_tags_for_resource", ResourceId=args.account, **more)
    for tag in page["Tags"]:
        yield Record("administrator_tags", f"{args.account}/{tag['Key']}", tag)
    if page.get("NextToken"):
        yield Tags(args.account, page["NextToken"])
    else:
        yield Sweep("administrator_tags", f"{args.account}/")
