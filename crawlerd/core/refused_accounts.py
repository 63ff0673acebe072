"""Why no task of an account starts while its credentials are in doubt, and what people can do. Pure."""

from __future__ import annotations

GONE = "not configured any more, but an import has tasks for it"
REPLACED = "its key or its address is being replaced"
OF_OWNER = "waits for the check of the credentials of "  # followed by the account's name

_ENDS_BY_ITSELF = "Nothing needs to be done: the check is under way."
_CONFIGURE = "Configure the account again, then `crawlerd reload`; or end its runs with `crawlerd run cancel ID`."
_WORKED_ON = (
    "Correct the key at the API, which is asked again every 5 minutes; "
    "or put another key where the configuration reads it, then `crawlerd reload`."
)
_AT_REST = "Correct the key, then `crawlerd reload`, or `crawlerd import` where no daemon runs."


def refusal_cure(refused: str, *, in_memory: bool) -> str:
    """What a person can do, as a sentence.

    refused: why no task of the account starts: one of the texts above, or the API's message.
    in_memory: whether a crawlerd works on its tasks.
    """
    if refused == GONE:
        return _CONFIGURE
    if refused == REPLACED or refused.startswith(OF_OWNER):
        return _ENDS_BY_ITSELF
    return _WORKED_ON if in_memory else _AT_REST
