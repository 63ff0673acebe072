"""What people can do about an account of which nothing starts."""

from __future__ import annotations

import pytest

from crawlerd.core.refused_accounts import GONE, OF_OWNER, REPLACED, refusal_cure


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_key_is_corrected_where_the_api_has_refused_it_alone(in_memory: bool) -> None:
    assert "Correct the key" in refusal_cure("HTTP 401: invalid key", in_memory=in_memory)
    assert "run cancel" in refusal_cure(GONE, in_memory=in_memory)
    for check in (REPLACED, f"{OF_OWNER}acme"):
        assert refusal_cure(check, in_memory=in_memory).startswith("Nothing needs to be done")
