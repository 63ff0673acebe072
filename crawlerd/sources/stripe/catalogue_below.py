"""Stripe's lists below the objects of other ones."""

from __future__ import annotations

from crawlerd.sources.stripe.catalogue_v2 import V2_BELOW
from crawlerd.sources.stripe.entries import Below

_OF_CUSTOMERS = {
    "payment_methods": Below(
        "customers",
        "/v1/customers/{parent}/payment_methods",
        objects=("payment_method",),
        one="/v1/payment_methods/{id}",
        owner="customer",
        orphaned=True,
    ),
    "customer_balance_transactions": Below("customers", "/v1/customers/{parent}/balance_transactions", orphaned=True),
    "customer_cash_balance_transactions": Below(
        "customers",
        "/v1/customers/{parent}/cash_balance_transactions",
        objects=("customer_cash_balance_transaction",),
        one="/v1/customers/{parent}/cash_balance_transactions/{id}",
        owner="customer",
        orphaned=True,
    ),
    "customer_cash_balances": Below(
        "customers",
        "/v1/customers/{parent}/cash_balance",
        mentions=(("cash_balance", "customer"), ("customer_cash_balance_transaction", "customer")),
        keyed=True,
        single=True,
        optional=True,
        missed="the settings of a balance",
    ),
    "customer_sources": Below(
        "customers",
        "/v1/customers/{parent}/sources",
        embedded="sources",
        asked=True,
        objects=("card", "bank_account", "source"),
        one="/v1/customers/{parent}/sources/{id}",
        owner="customer",
        orphaned=True,
    ),
    "customer_tax_ids": Below(
        "customers",
        "/v1/customers/{parent}/tax_ids",
        embedded="tax_ids",
        asked=True,
        objects=("tax_id",),
        one="/v1/customers/{parent}/tax_ids/{id}",
        owner="customer",
        orphaned=True,
    ),
    "active_entitlements": Below(
        "customers",
        "/v1/entitlements/active_entitlements",
        parameter="customer",
        mentions=(("entitlements.active_entitlement_summary", "customer"),),
        keyed=True,
        optional=True,
    ),
}

_OF_BILLING = {
    "invoice_lines": Below(
        "invoices",
        "/v1/invoices/{parent}/lines",
        embedded="lines",
        orphaned=True,
        expand=("discounts",),
        missed="a lost line that the event of its invoice does not name; of more than 10 lines, any lost one",
    ),
    "credit_note_lines": Below("credit_notes", "/v1/credit_notes/{parent}/lines", embedded="lines"),
    "checkout_session_line_items": Below(
        "checkout_sessions",
        "/v1/checkout/sessions/{parent}/line_items",
        embedded="line_items",
        asked=True,
        expand=("discounts", "taxes"),
    ),
    "payment_link_line_items": Below(
        "payment_links",
        "/v1/payment_links/{parent}/line_items",
        embedded="line_items",
        asked=True,
        expand=("discounts", "taxes"),
    ),
    "quote_line_items": Below(
        "quotes",
        "/v1/quotes/{parent}/line_items",
        embedded="line_items",
        asked=True,
        expand=("discounts", "taxes"),
        missed="a lost line of a draft",
    ),
    "quote_computed_upfront_line_items": Below(
        "quotes",
        "/v1/quotes/{parent}/computed_upfront_line_items",
        expand=("discounts", "taxes"),
        keyed=True,
        optional=True,
    ),
    "subscription_items": Below(
        "subscriptions",
        "/v1/subscription_items",
        parameter="subscription",
        embedded="items",
        one="/v1/subscription_items/{id}",
        owner="subscription",
        expand=("discounts",),
        missed="a lost item that the event of its subscription does not name",
    ),
    "product_features": Below("products", "/v1/products/{parent}/features", whole=True, keyed=True, optional=True),
}

_OF_PAYMENTS = {
    "payment_intent_line_items": Below(
        "payment_intents",
        "/v1/payment_intents/{parent}/amount_details_line_items",
        keyed=True,
        optional=True,
    ),
    "payment_attempt_records": Below(
        "payment_records", "/v1/payment_attempt_records", parameter="payment_record", optional=True
    ),
    "setup_attempts": Below(
        "setup_intents", "/v1/setup_attempts", parameter="setup_intent", unless_null="latest_attempt"
    ),
    "value_list_items": Below(
        "value_lists", "/v1/radar/value_list_items", parameter="value_list", embedded="list_items"
    ),
    "transfer_reversals": Below("transfers", "/v1/transfers/{parent}/reversals", embedded="reversals"),
    "payout_balance_transactions": Below(
        "payouts",
        "/v1/balance_transactions",
        parameter="payout",
        only_if=("automatic", "true"),
        keyed=True,
    ),
    "application_fee_refunds": Below(
        "application_fees",
        "/v1/application_fees/{parent}/refunds",
        embedded="refunds",
        objects=("fee_refund",),
        with_parent=True,
        one="/v1/application_fees/{parent}/refunds/{id}",
        owner="fee",
    ),
    "issuing_tokens": Below(
        "issuing_cards",
        "/v1/issuing/tokens",
        parameter="card",
        objects=("issuing.token",),
        one="/v1/issuing/tokens/{id}",
        owner="card",
        optional=True,
    ),
    "financial_connections_transactions": Below(
        "financial_connections_accounts", "/v1/financial_connections/transactions", parameter="account", optional=True
    ),
}

# Events about persons, external accounts and capabilities are in the lists of the connected accounts.
_OF_ACCOUNTS = {
    "persons": Below("accounts", "/v1/accounts/{parent}/persons"),
    "external_accounts": Below(
        "accounts", "/v1/accounts/{parent}/external_accounts", embedded="external_accounts", carried=True
    ),
    "capabilities": Below("accounts", "/v1/accounts/{parent}/capabilities", keyed=True, paged=False, optional=True),
}


def _treasury(name: str, *objects: str, whole: bool = False) -> Below:
    """A list below a financial account."""
    return Below(
        "treasury_financial_accounts",
        f"/v1/treasury/{name}",
        parameter="financial_account",
        objects=objects,
        whole=whole,
        one=f"/v1/treasury/{name}/{{id}}" if objects else "",
        optional=True,
    )


_OF_TREASURY = {
    "treasury_credit_reversals": _treasury("credit_reversals", "treasury.credit_reversal"),
    "treasury_debit_reversals": _treasury("debit_reversals", "treasury.debit_reversal"),
    "treasury_inbound_transfers": _treasury("inbound_transfers", "treasury.inbound_transfer"),
    "treasury_outbound_payments": _treasury("outbound_payments", "treasury.outbound_payment"),
    "treasury_outbound_transfers": _treasury("outbound_transfers", "treasury.outbound_transfer"),
    "treasury_received_credits": _treasury("received_credits", "treasury.received_credit"),
    "treasury_received_debits": _treasury("received_debits", "treasury.received_debit"),
    "treasury_transaction_entries": _treasury("transaction_entries", whole=True),
    "treasury_transactions": _treasury("transactions", whole=True),
}

BELOW: dict[str, Below] = {
    **_OF_CUSTOMERS,
    **_OF_BILLING,
    **_OF_PAYMENTS,
    **_OF_ACCOUNTS,
    **_OF_TREASURY,
    **V2_BELOW,
}
