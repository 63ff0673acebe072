"""What a message of a queue announces: notifications of S3 and events of EventBridge, directly or through SNS. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import unquote_plus

import msgspec

MOST_ENVELOPES = 3  # a topic may be subscribed to one of another account


class Object(NamedTuple):
    bucket: str
    key: str
    etag: str


def announced(body: str) -> list[Object]:
    """The objects that were created; none for a test event, or if objects were deleted or tagged. Raises ValueError,
    LookupError, TypeError or AttributeError for any other message.

    S3 encodes keys as in a form, "a+b.json"; EventBridge leaves them unchanged.
    """
    said: Any = msgspec.json.decode(body)
    for _ in range(MOST_ENVELOPES):
        if "Records" in said or "detail" in said or "Message" not in said:
            break
        said = msgspec.json.decode(said["Message"])
    if said.get("Event") == "s3:TestEvent":
        return []
    if said.get("source") == "aws.s3" and "detail-type" in said:
        if said["detail-type"] != "Object Created":
            return []
        detail = said["detail"]
        return [_object(detail["bucket"]["name"], detail["object"]["key"], detail["object"]["etag"])]
    if not isinstance(said["Records"], list):
        raise TypeError("no list of records")
    created = [each["s3"] for each in said["Records"] if each["eventName"].startswith("ObjectCreated:")]
    return [
        _object(each["bucket"]["name"], unquote_plus(each["object"]["key"]), each["object"]["eTag"]) for each in created
    ]


def _object(*facts: str) -> Object:
    if not all(isinstance(each, str) for each in facts):
        raise TypeError("a name that is not text")
    return Object(*facts)
