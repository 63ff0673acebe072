"""The lists of Stripe's second API that are read: accounts and money management. No v1 event reports their changes."""

from __future__ import annotations

from crawlerd.sources.stripe.entries import Below, Listing


def _list(path: str, *filters: tuple[str, str]) -> Listing:
    return Listing(f"/v2/{path}", created=False, filters=filters, optional=True)


V2_LISTS = {
    "v2_accounts": _list("core/accounts")._replace(
        platform=True,
        also=(("closed", "true"),),
        details=(
            "configuration.customer",
            "configuration.merchant",
            "configuration.recipient",
            "defaults",
            "future_requirements",
            "identity",
            "requirements",
        ),
    ),
    "v2_event_destinations": _list("core/event_destinations"),
    "v2_gb_bank_accounts": _list("core/vault/gb_bank_accounts"),
    "v2_us_bank_accounts": _list("core/vault/us_bank_accounts"),
    "v2_adjustments": _list("money_management/adjustments"),
    "v2_financial_accounts": _list(
        "money_management/financial_accounts",
        *((f"statuses[{place}]", status) for place, status in enumerate(("closed", "open", "pending"))),
    ),
    "v2_financial_addresses": _list("money_management/financial_addresses"),
    "v2_inbound_transfers": _list("money_management/inbound_transfers"),
    "v2_outbound_payments": _list("money_management/outbound_payments"),
    "v2_outbound_setup_intents": _list("money_management/outbound_setup_intents"),
    "v2_payout_intents": _list("money_management/payout_intents"),
    "v2_payout_methods": _list("money_management/payout_methods"),
    "v2_received_credits": _list("money_management/received_credits"),
    "v2_transaction_entries": _list("money_management/transaction_entries"),
    "v2_transactions": _list("money_management/transactions"),
}

V2_BELOW = {
    "v2_account_persons": Below("v2_accounts", "/v2/core/accounts/{parent}/persons", optional=True),
}
