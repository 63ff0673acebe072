"""What messages of a queue announce, and which are none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crawlerd.sources.s3_batch.announced import announced

# As docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html has it.
EVENT: dict[str, Any] = {
    "version": "0",
    "id": "17793124-05d4-b198-2fde-7ededc63b103",
    "detail-type": "Object Created",
    "source": "aws.s3",
    "account": "111122223333",
    "time": "2021-11-12T00:00:00Z",
    "region": "ca-central-1",
    "resources": ["arn:aws:s3:::amzn-s3-demo-bucket1"],
    "detail": {
        "version": "0",
        "bucket": {"name": "batches"},
        "object": {"key": "in/a+b%20c.json", "size": 5, "etag": "b1946ac9", "sequencer": "617f08299329d189"},
        "request-id": "N4N7GDK58NMKJ12R",
        "requester": "123456789012",
        "source-ip-address": "1.2.3.4",
        "reason": "PutObject",
    },
}
OBJECT = {"key": "in/a+b%20c.json", "eTag": "b1946ac9"}
NOTICE = {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "batches"}, "object": OBJECT}}]}


def by_topic(message: Any) -> dict[str, Any]:
    return {"Type": "Notification", "Message": json.dumps(message), "MessageAttributes": {}}


@pytest.mark.parametrize("wrap", [lambda each: each, by_topic, lambda each: by_topic(by_topic(each))])
def test_keys_are_read_as_each_service_writes_them(wrap: Any) -> None:
    assert announced(json.dumps(wrap(EVENT))) == [("batches", "in/a+b%20c.json", "b1946ac9")]
    assert announced(json.dumps(wrap(NOTICE))) == [("batches", "in/a b c.json", "b1946ac9")]


@pytest.mark.parametrize(
    "message",
    [
        {"Service": "Amazon S3", "Event": "s3:TestEvent"},
        EVENT | {"detail-type": "Object Deleted"},
        EVENT | {"detail-type": "Object Tags Added"},
        {"Records": []},
        {"Records": [{"eventName": "ObjectRemoved:Delete", "s3": {}}]},
    ],
)
def test_nothing_is_announced(message: Any) -> None:
    assert announced(json.dumps(message)) == []


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "5",
        "null",
        '"Records"',
        "[]",
        "[1]",
        "{}",
        json.dumps({"Message": 5}),
        json.dumps(by_topic("text")),
        json.dumps(by_topic(by_topic(by_topic(by_topic(EVENT))))),
        json.dumps(EVENT | {"source": "aws.ec2"}),
        json.dumps(EVENT | {"detail": None}),
        json.dumps(EVENT | {"detail": {"bucket": {"name": "b"}, "object": {"key": "k"}}}),
        json.dumps(EVENT | {"detail": {"bucket": {"name": "b"}, "object": {"key": 5, "etag": "e"}}}),
        json.dumps({"Records": {}}),
        json.dumps({"Records": [{}]}),
        json.dumps({"Records": [None]}),
        json.dumps(
            {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": {"key": 5}}}]}
        ),
        json.dumps({"Records": 5}),
        "[" * 100_000,
    ],
)
def test_what_is_no_message_of_theirs_raises(body: str) -> None:
    """One of those that the task of the queue takes for that."""
    with pytest.raises((ValueError, LookupError, TypeError, AttributeError, RecursionError)):
        announced(body)
