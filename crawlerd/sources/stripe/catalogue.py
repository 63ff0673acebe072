"""What Stripe has: its lists and the lists below their objects, as a table (https://docs.stripe.com/api)."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple


class Listing(NamedTuple):
    """A list that needs no parent, newest first.

    objects: the object types by which events speak of it, none where Stripe sends no events.
    created: it takes `created` filters.
    grows: new objects come without an event, so that its newest part is read again each time.
    """

    path: str
    objects: tuple[str, ...] = ()
    created: bool = True
    grows: bool = False
    filters: tuple[tuple[str, str], ...] = ()


class Below(NamedTuple):
    """A list below each object of another one.

    path: with {parent}.
    parameter: that carries the parent's id instead.
    embedded: the parent's field that holds its first objects, "" where each parent takes a request.
    expand: the parent's list must be asked for that field.
    unless_null: a field of the parent that is null where there is nothing below.
    objects: as of a Listing; without any, it is read again whenever its parent changes.
    one: where an object is read again, with {id} and perhaps {parent}.
    owner: the object's field with its parent's id; null once it is nobody's.
    """

    parent: str
    path: str
    parameter: str = ""
    embedded: str = ""
    expand: bool = False
    unless_null: str = ""
    objects: tuple[str, ...] = ()
    one: str = ""
    owner: str = ""


# Without filters, prices and products come active and inactive, and subscriptions without the canceled ones.
LISTS = {
    "customers": Listing("/v1/customers", ("customer",)),
    "invoices": Listing("/v1/invoices", ("invoice",)),
    "charges": Listing("/v1/charges", ("charge",)),
    "payment_intents": Listing("/v1/payment_intents", ("payment_intent",)),
    "setup_intents": Listing("/v1/setup_intents", ("setup_intent",)),
    "checkout_sessions": Listing("/v1/checkout/sessions", ("checkout.session",), grows=True),
    "payment_links": Listing("/v1/payment_links", ("payment_link",), created=False),
    "balance_transactions": Listing("/v1/balance_transactions", grows=True),
    "refunds": Listing("/v1/refunds", ("refund",)),
    "disputes": Listing("/v1/disputes", ("dispute",)),
    "reviews": Listing("/v1/reviews", ("review",)),
    "early_fraud_warnings": Listing("/v1/radar/early_fraud_warnings", ("radar.early_fraud_warning",)),
    "value_lists": Listing("/v1/radar/value_lists"),
    "subscriptions": Listing("/v1/subscriptions", ("subscription",), filters=(("status", "all"),)),
    "subscription_schedules": Listing("/v1/subscription_schedules", ("subscription_schedule",)),
    "invoice_items": Listing("/v1/invoiceitems", ("invoiceitem",)),
    "invoice_payments": Listing("/v1/invoice_payments", ("invoice_payment",), created=False),
    "invoice_rendering_templates": Listing("/v1/invoice_rendering_templates", created=False),
    "credit_notes": Listing("/v1/credit_notes", ("credit_note",)),
    "quotes": Listing("/v1/quotes", ("quote",), created=False),
    "products": Listing("/v1/products", ("product",)),
    "prices": Listing("/v1/prices", ("price",)),
    "plans": Listing("/v1/plans", ("plan",)),
    "coupons": Listing("/v1/coupons", ("coupon",)),
    "promotion_codes": Listing("/v1/promotion_codes", ("promotion_code",)),
    "tax_rates": Listing("/v1/tax_rates", ("tax_rate",)),
    "tax_ids": Listing("/v1/tax_ids", created=False),
    "tax_registrations": Listing("/v1/tax/registrations", created=False),
    "shipping_rates": Listing("/v1/shipping_rates"),
    "payouts": Listing("/v1/payouts", ("payout",)),
    "transfers": Listing("/v1/transfers", ("transfer",)),
    "topups": Listing("/v1/topups", ("topup",)),
    "application_fees": Listing("/v1/application_fees", ("application_fee",)),
    "accounts": Listing("/v1/accounts"),
    "files": Listing("/v1/files", ("file",)),
    "file_links": Listing("/v1/file_links"),
    "billing_meters": Listing("/v1/billing/meters", ("billing.meter",), created=False),
    "billing_credit_grants": Listing("/v1/billing/credit_grants", ("billing.credit_grant",), created=False),
    "billing_portal_configurations": Listing(
        "/v1/billing_portal/configurations", ("billing_portal.configuration",), created=False
    ),
    "payment_method_configurations": Listing("/v1/payment_method_configurations", created=False),
    "payment_method_domains": Listing("/v1/payment_method_domains", created=False),
    "identity_verification_sessions": Listing("/v1/identity/verification_sessions", ("identity.verification_session",)),
    "identity_verification_reports": Listing("/v1/identity/verification_reports", grows=True),
    "issuing_authorizations": Listing("/v1/issuing/authorizations", ("issuing.authorization",)),
    "issuing_cardholders": Listing("/v1/issuing/cardholders", ("issuing.cardholder",)),
    "issuing_cards": Listing("/v1/issuing/cards", ("issuing.card",)),
    "issuing_disputes": Listing("/v1/issuing/disputes", ("issuing.dispute",)),
    "issuing_transactions": Listing("/v1/issuing/transactions", ("issuing.transaction",)),
    "terminal_configurations": Listing("/v1/terminal/configurations", created=False),
    "terminal_locations": Listing("/v1/terminal/locations", created=False),
    "terminal_readers": Listing("/v1/terminal/readers", created=False),
    "report_runs": Listing("/v1/reporting/report_runs", ("reporting.report_run",), grows=True),
    "webhook_endpoints": Listing("/v1/webhook_endpoints", created=False),
    "events": Listing("/v1/events", grows=True),
}

BELOW = {
    "payment_methods": Below(
        "customers",
        "/v1/customers/{parent}/payment_methods",
        objects=("payment_method",),
        one="/v1/payment_methods/{id}",
        owner="customer",
    ),
    "customer_balance_transactions": Below("customers", "/v1/customers/{parent}/balance_transactions"),
    "customer_cash_balance_transactions": Below(
        "customers",
        "/v1/customers/{parent}/cash_balance_transactions",
        objects=("customer_cash_balance_transaction",),
        one="/v1/customers/{parent}/cash_balance_transactions/{id}",
        owner="customer",
    ),
    "customer_sources": Below(
        "customers",
        "/v1/customers/{parent}/sources",
        embedded="sources",
        expand=True,
        objects=("card", "bank_account", "source"),
        one="/v1/customers/{parent}/sources/{id}",
        owner="customer",
    ),
    "customer_tax_ids": Below(
        "customers",
        "/v1/customers/{parent}/tax_ids",
        embedded="tax_ids",
        expand=True,
        objects=("tax_id",),
        one="/v1/customers/{parent}/tax_ids/{id}",
        owner="customer",
    ),
    "invoice_lines": Below("invoices", "/v1/invoices/{parent}/lines", embedded="lines"),
    "credit_note_lines": Below("credit_notes", "/v1/credit_notes/{parent}/lines", embedded="lines"),
    "checkout_session_line_items": Below(
        "checkout_sessions", "/v1/checkout/sessions/{parent}/line_items", embedded="line_items", expand=True
    ),
    "payment_link_line_items": Below(
        "payment_links", "/v1/payment_links/{parent}/line_items", embedded="line_items", expand=True
    ),
    "quote_line_items": Below("quotes", "/v1/quotes/{parent}/line_items", embedded="line_items", expand=True),
    "subscription_items": Below("subscriptions", "/v1/subscription_items", parameter="subscription", embedded="items"),
    "setup_attempts": Below(
        "setup_intents", "/v1/setup_attempts", parameter="setup_intent", unless_null="latest_attempt"
    ),
    "value_list_items": Below(
        "value_lists", "/v1/radar/value_list_items", parameter="value_list", embedded="list_items"
    ),
    "transfer_reversals": Below("transfers", "/v1/transfers/{parent}/reversals", embedded="reversals"),
    "application_fee_refunds": Below(
        "application_fees",
        "/v1/application_fees/{parent}/refunds",
        embedded="refunds",
        objects=("fee_refund",),
        one="/v1/application_fees/{parent}/refunds/{id}",
        owner="fee",
    ),
    "persons": Below(
        "accounts",
        "/v1/accounts/{parent}/persons",
        objects=("person",),
        one="/v1/accounts/{parent}/persons/{id}",
        owner="account",
    ),
}

STREAMS = (*LISTS, *BELOW)
OF_OBJECT = {kind: stream for table in (LISTS, BELOW) for stream, each in table.items() for kind in each.objects}


@cache  # asked for each object
def below(stream: str) -> tuple[str, ...]:
    """The streams below the objects of a list."""
    return tuple(name for name, each in BELOW.items() if each.parent == stream)


def one(stream: str) -> str:
    """Where one object is read, with {id} and perhaps {parent}."""
    return BELOW[stream].one if stream in BELOW else LISTS[stream].path + "/{id}"
