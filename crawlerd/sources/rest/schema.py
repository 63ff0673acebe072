"""The JSON schema of descriptions, for editors that complete and check TOML as it is written."""

from __future__ import annotations

import json

from crawlerd.sources.rest.description import Description


def schema() -> str:
    """The text of config/sources/rest.schema.json."""
    return json.dumps(Description.model_json_schema(), indent=2, ensure_ascii=False) + "\n"
