"""The address of Mailchimp, by the key, and the meaning of its refusals."""

from __future__ import annotations

import re

import msgspec

from crawlerd.core.redaction import cut
from crawlerd.source import NotFound, Response, Throttled


def address(base_url: str, key: str) -> str:
    """The base URL. The key's last part names the data center; a base URL without that is of another server."""
    found = re.fullmatch(r".+-([a-z]{2,8}[0-9]{1,5})", key)
    if "//DC." in base_url and not found:
        raise ValueError('is missing, and the key does not end in a data center, such as "-us21"')
    base_url = base_url.replace("//DC.", f"//{found[1]}." if found else "")
    return base_url if base_url.endswith("/3.0") else f"{base_url}/3.0"


def classify(response: Response) -> Exception | None:
    """The error that a response means. At high volume, refusals come from a server in front of the API, as 429 or 403
    without JSON. A 404 of the API itself means that the object does not exist; its errors repeat the status, which a
    proxy's JSON does not."""
    if response.status not in (403, 404, 410, 429):
        return None
    try:
        said = msgspec.json.decode(response.body)
    except (ValueError, RecursionError):
        said = None
    if response.status in (404, 410):
        own = isinstance(said, dict) and said.get("status") == response.status
        return NotFound(cut(f"HTTP {response.status}: {said.get('detail')}", 200)) if own else None
    if not isinstance(said, dict):
        return Throttled(f"HTTP {response.status} without JSON: too many requests", scope="account")
    if response.status == 429:
        detail = cut(said.get("detail", ""), 200)
        return Throttled(f"HTTP 429: {detail}", scope="account", concurrency="simultaneous" in detail)
    return None
