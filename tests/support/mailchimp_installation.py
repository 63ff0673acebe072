"""An installation that imports the local Mailchimp, and delivers its members to the local receiver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.installation import NO_LIMITS, QUICK, Installation
from support.mailchimp_api import KEY, Mailchimp
from support.receiver import TOKEN, Receiver

if TYPE_CHECKING:
    from collections.abc import Callable

FIELDS = {
    "id": "id",
    "list": "list_id",
    "email": "email_address",
    "first_name": "merge_fields.FNAME",
    "revision": "merge_fields.REVISION",
    "phone": "merge_fields.PHONE",
    "changed": "last_changed",
}


def news(
    install: Callable[..., Installation],
    api: Mailchimp,
    receiver: Receiver | None = None,
    *,
    deliver: dict[str, Any] | None = None,
    daemon: dict[str, Any] | None = None,
    account: dict[str, Any] | None = None,
    crm: dict[str, Any] | None = None,
    sink: bool = True,
    **options: Any,
) -> Installation:
    """The import `news` of the account `news`, delivered to the account `crm` if there is a receiver."""
    here = install(accounts=0, daemon=daemon)
    here.environment |= {"MC_KEY": KEY, "CRM_TOKEN": TOKEN}
    here.config["accounts"]["news"] = {
        "source": "mailchimp",
        "base_url": api.url,
        "api_key": {"env": "MC_KEY"},
        **QUICK,
        **(account or {}),
    }
    here.config["imports"]["news"] = {"account": "news", "streams": ["*"], **options}
    if sink:
        here.config["imports"]["news"]["sink"] = "sink"
    if receiver is not None:
        here.config["accounts"]["crm"] = {
            "source": "http",
            "base_url": receiver.url,
            "token": {"env": "CRM_TOKEN"},
            **NO_LIMITS,
            **(crm or {}),
        }
        here.config["imports"]["news"]["deliver"] = {
            "account": "crm",
            "path": "/contacts",
            "retry_delay": "50ms",
            "accepted": "accepted",
            "fields": FIELDS,
            **(deliver or {}),
        }
    return here
