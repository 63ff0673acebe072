"""Stripe's lists that need no parent, and its objects that exist only once."""

from __future__ import annotations

from crawlerd.sources.stripe.catalogue_v2 import V2_LISTS
from crawlerd.sources.stripe.entries import EDITED, SETTLES, Listing

_METADATA = "edits, as of metadata, of an object made more than a day before the last run, unless it changes otherwise"

# Without filters, prices and products include active and inactive ones, and subscriptions exclude canceled ones.
_PAYMENTS = {
    "customers": Listing("/v1/customers", ("customer",), mentions=(("discount", "customer"),), expand=("tax",)),
    "invoices": Listing("/v1/invoices", ("invoice",), expand=("discounts",)),
    "charges": Listing("/v1/charges", ("charge",), mentions=(("dispute", "charge"), ("review", "charge"))),
    "payment_intents": Listing(
        "/v1/payment_intents",
        ("payment_intent",),
        lookback=EDITED,
        mentions=(("charge", "payment_intent"), ("review", "payment_intent")),
        missed=_METADATA,
    ),
    "setup_intents": Listing("/v1/setup_intents", ("setup_intent",), lookback=EDITED, missed=_METADATA),
    "checkout_sessions": Listing(
        "/v1/checkout/sessions",
        ("checkout.session",),
        lookback=SETTLES,
        missed="edits of a session made more than 7 days before the last run",
    ),
    "payment_links": Listing("/v1/payment_links", ("payment_link",), created=False),
    "balance_transactions": Listing(
        "/v1/balance_transactions",
        lookback=SETTLES,
        missed="a status that changes more than 7 days after the transaction was made",
    ),
    "refunds": Listing("/v1/refunds", ("refund",)),
    "disputes": Listing("/v1/disputes", ("dispute",)),
    "reviews": Listing("/v1/reviews", ("review",)),
    "early_fraud_warnings": Listing("/v1/radar/early_fraud_warnings", ("radar.early_fraud_warning",)),
    "value_lists": Listing("/v1/radar/value_lists"),
    "payment_records": Listing("/v1/payment_records", created=False, optional=True),
    "three_d_secure_authentications": Listing(
        "/v1/three_d_secure/authentications",
        ("three_d_secure.authentication",),
        lookback=EDITED,
        optional=True,
        missed="edits of one made more than a day before the last run, unless it changes otherwise",
    ),
}

_BILLING = {
    "subscriptions": Listing(
        "/v1/subscriptions",
        ("subscription",),
        mentions=(("discount", "subscription"),),
        filters=(("status", "all"),),
        expand=("discounts",),
    ),
    "subscription_schedules": Listing("/v1/subscription_schedules", ("subscription_schedule",)),
    "invoice_items": Listing(
        "/v1/invoiceitems",
        ("invoiceitem",),
        part=(("pending", "true"),),
        of=(("invoices", "invoice"),),
        expand=("discounts",),
        missed="edits of an item that is on an invoice, unless the invoice changes",
    ),
    "invoice_payments": Listing("/v1/invoice_payments", ("invoice_payment",), of=(("invoices", "invoice"),)),
    "invoice_rendering_templates": Listing("/v1/invoice_rendering_templates", created=False),
    "credit_notes": Listing("/v1/credit_notes", ("credit_note",)),
    "quotes": Listing(
        "/v1/quotes",
        ("quote",),
        created=False,
        part=(("status", "draft"),),
        expand=("discounts",),
        missed="metadata of a quote that is not a draft, unless it changes otherwise",
    ),
    "products": Listing("/v1/products", ("product",)),
    "prices": Listing("/v1/prices", ("price",), expand=("currency_options", "tiers")),
    "plans": Listing("/v1/plans", ("plan",), expand=("tiers",)),
    "trial_offers": Listing("/v1/product_catalog/trial_offers"),
    "coupons": Listing("/v1/coupons", ("coupon",), expand=("applies_to", "currency_options")),
    "promotion_codes": Listing("/v1/promotion_codes", ("promotion_code",)),
    "entitlement_features": Listing("/v1/entitlements/features", created=False),
    "billing_alerts": Listing("/v1/billing/alerts", created=False),
    "billing_credit_balance_transactions": Listing(
        "/v1/billing/credit_balance_transactions", ("billing.credit_balance_transaction",), created=False
    ),
    "billing_credit_grants": Listing("/v1/billing/credit_grants", ("billing.credit_grant",), created=False),
    "billing_feedback_options": Listing("/v1/billing/feedback_options", created=False),
    "billing_meters": Listing("/v1/billing/meters", ("billing.meter",), created=False),
    "billing_portal_configurations": Listing(
        "/v1/billing_portal/configurations", ("billing_portal.configuration",), created=False
    ),
    "tax_rates": Listing("/v1/tax_rates", ("tax_rate",)),
    "tax_ids": Listing("/v1/tax_ids", created=False),
    "tax_registrations": Listing("/v1/tax/registrations", created=False),
    "tax_settings": Listing("/v1/tax/settings", created=False, single=True, kept=True),
    "tax_locations": Listing("/v1/tax/locations", created=False, filters=(("type", "performance"),), optional=True),
    "tax_codes": Listing("/v1/tax_codes", created=False, optional=True),
    "shipping_rates": Listing("/v1/shipping_rates", expand=("fixed_amount.currency_options",)),
}

_MONEY = {
    "account": Listing("/v1/account", created=False, single=True, kept=True),
    "balance": Listing("/v1/balance", created=False, single=True, kept=True),
    "balance_settings": Listing("/v1/balance_settings", created=False, single=True, kept=True),
    "payouts": Listing("/v1/payouts", ("payout",)),
    "transfers": Listing("/v1/transfers", ("transfer",)),
    "topups": Listing("/v1/topups", ("topup",), lookback=EDITED, missed=_METADATA),
    "application_fees": Listing("/v1/application_fees", ("application_fee",)),
    "accounts": Listing("/v1/accounts", platform=True),
    "exchange_rates": Listing("/v1/exchange_rates", created=False, optional=True),
    "country_specs": Listing("/v1/country_specs", created=False, optional=True),
    "treasury_financial_accounts": Listing(
        "/v1/treasury/financial_accounts",
        ("treasury.financial_account",),
        optional=True,
        missed="metadata and the balance of an account, unless it changes otherwise",
    ),
    "financial_connections_accounts": Listing(
        "/v1/financial_connections/accounts", ("financial_connections.account",), created=False, optional=True
    ),
    "issuing_authorizations": Listing("/v1/issuing/authorizations", ("issuing.authorization",)),
    "issuing_cardholders": Listing("/v1/issuing/cardholders", ("issuing.cardholder",)),
    "issuing_cards": Listing("/v1/issuing/cards", ("issuing.card",)),
    "issuing_disputes": Listing("/v1/issuing/disputes", ("issuing.dispute",)),
    "issuing_transactions": Listing("/v1/issuing/transactions", ("issuing.transaction",)),
    "issuing_personalization_designs": Listing("/v1/issuing/personalization_designs", created=False, optional=True),
    "issuing_physical_bundles": Listing("/v1/issuing/physical_bundles", created=False, optional=True),
}

_OTHER = {
    "files": Listing("/v1/files", ("file",), lookback=EDITED),
    "file_links": Listing("/v1/file_links"),
    "payment_method_configurations": Listing("/v1/payment_method_configurations", created=False),
    "payment_method_domains": Listing("/v1/payment_method_domains", created=False),
    "apple_pay_domains": Listing("/v1/apple_pay/domains", created=False),
    "identity_verification_sessions": Listing(
        "/v1/identity/verification_sessions", ("identity.verification_session",), lookback=EDITED, missed=_METADATA
    ),
    "identity_verification_reports": Listing(
        "/v1/identity/verification_reports",
        lookback=SETTLES,
        of=(("identity_verification_sessions", "verification_session"),),
    ),
    "terminal_configurations": Listing("/v1/terminal/configurations", created=False),
    "terminal_locations": Listing("/v1/terminal/locations", created=False),
    "terminal_readers": Listing("/v1/terminal/readers", created=False),
    "report_runs": Listing("/v1/reporting/report_runs", ("reporting.report_run",), lookback=SETTLES),
    "report_types": Listing("/v1/reporting/report_types", created=False, paged=False, optional=True),
    "scheduled_query_runs": Listing(
        "/v1/sigma/scheduled_query_runs", ("scheduled_query_run",), created=False, optional=True
    ),
    "forwarding_requests": Listing("/v1/forwarding/requests", lookback=EDITED, optional=True),
    "apps_installs": Listing("/v1/apps/installs", ("apps.install",), optional=True),
    "climate_orders": Listing(
        "/v1/climate/orders",
        ("climate.order",),
        created=False,
        optional=True,
        missed="metadata of an order, unless it changes otherwise",
    ),
    "climate_products": Listing("/v1/climate/products", ("climate.product",), created=False, optional=True),
    "climate_suppliers": Listing("/v1/climate/suppliers", created=False, optional=True),
    "test_clocks": Listing("/v1/test_helpers/test_clocks", ("test_helpers.test_clock",), created=False, optional=True),
    "webhook_endpoints": Listing("/v1/webhook_endpoints", created=False),
    "events": Listing("/v1/events", lookback=SETTLES, kept=True),
}

LISTS: dict[str, Listing] = {**_PAYMENTS, **_BILLING, **_MONEY, **_OTHER, **V2_LISTS}

LEFT_OUT = {  # lists that no stream reads, and why
    "/v1/payment_methods": "the stream payment_methods reads them below their customers",
    "/v1/credit_notes/preview/lines": "previews of what does not exist",
    "/v1/billing/meters/{id}/event_summaries": "sums for one customer and time range that the caller chooses",
    "/v1/financial_connections/accounts/{account}/owners": "needs the id of an ownership, which changes when refreshed",
    "/v1/sources/{source}/source_transactions": "they belong to sources, which Stripe has replaced by payment methods",
    "/v1/apps/secrets": "secrets, in a scope that the caller chooses",
    "/v1/tax/calculations/{calculation}/line_items": "no list has the calculations, which expire after days",
    "/v1/tax/transactions/{transaction}/line_items": "no list has the transactions",
    "/v2/commerce/product_catalog/imports": "uploads of product feeds, by sellers that sell through agents",
    "/v2/core/events": "thin events of the last 30 days, about objects whose lists are read whole",
}
