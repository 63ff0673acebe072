"""Objects of a local Stripe, and changes of them that have no event of their own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from support import stripe_sdk as sdk
from support.strict_stripe import Ref

if TYPE_CHECKING:
    from support.strict_stripe import StrictStripe

NOW = int(time.time())
MONTH = 30 * 86_400
STREAMS = (  # of which it has objects, or gets some
    "customers", "invoices", "invoice_items", "invoice_payments", "quotes", "quote_line_items", "application_fees",
    "application_fee_refunds", "payment_intents", "setup_intents", "charges", "disputes", "persons", "capabilities",
    "identity_verification_sessions", "identity_verification_reports", "reviews", "prices", "products", "files",
    "product_features", "active_entitlements", "customer_cash_balances", "payouts", "payout_balance_transactions",
    "balance_transactions", "subscriptions", "billing_credit_balance_transactions", "balance", "payment_methods",
    "customer_sources", "customer_tax_ids", "customer_balance_transactions", "customer_cash_balance_transactions",
)  # fmt: skip


class Shop:
    """A few objects of every kind that changes in its own way, and the changes."""

    def __init__(self, server: StrictStripe) -> None:
        self.server = server
        add = server.add
        old = NOW - 2 * MONTH  # no lookback reaches it
        self.customer = add("/v1/customers", "cus_1", created=old, email="a@example.org")
        self.other = add("/v1/customers", "cus_2", created=old)
        self.invoice = add("/v1/invoices", "in_1", created=old, status="draft")
        self.item = add("/v1/invoiceitems", "ii_1", created=old, invoice=None, amount=5)
        self.later = add("/v1/invoiceitems", "ii_2", created=old, invoice=None, amount=6)
        self.payment = add("/v1/invoice_payments", "inpay_1", created=old, invoice="in_1", status="open")
        self.quote = add("/v1/quotes", "qt_1", created=old, status="draft", description="first")
        self.line = add("/v1/quotes/qt_1/line_items", "li_1", quantity=1)
        self.fee = add("/v1/application_fees", "fee_1", created=old)
        self.intent = add("/v1/payment_intents", "pi_1", created=NOW - 600)
        self.setup = add("/v1/setup_intents", "seti_1", created=NOW - 600)
        self.charge = add("/v1/charges", "ch_1", created=old, disputed=False)
        self.account = add("/v1/accounts", "acct_1", created=old)
        self.person = add("/v1/accounts/acct_1/persons", "person_1", first_name="Ada")
        self.left = add("/v1/accounts/acct_1/persons", "person_2")
        self.capability = add("/v1/accounts/acct_1/capabilities", "card_payments", status="pending")
        self.session = add("/v1/identity/verification_sessions", "vs_1", created=old)
        self.report = add(
            "/v1/identity/verification_reports",
            "vr_1",
            created=old,
            verification_session="vs_1",
            document={"number": "7"},
        )
        self.review = add("/v1/reviews", "prv_1", created=old, open=True)
        self.inline = add("/v1/prices", "price_1", created=old)
        self.product = add("/v1/products", "prod_1", created=old)
        add("/v1/products/prod_1/features", "prodft_1")
        self.entitled = add("/v1/entitlements/active_entitlements", "ent_1", of={"customer": "cus_2"})
        self.cash = add("/v1/customers/cus_2/cash_balance", "cash", customer="cus_2", available=None)
        self.payout = add("/v1/payouts", "po_1", created=old, automatic=True)
        self.subscription = add("/v1/subscriptions", "sub_1", created=old, discounts=[])
        self.grant = add("/v1/billing/credit_grants", "credgr_1", created=old)
        server.edit(self.inline, _listed=False)  # made by a checkout session, and listed nowhere

    def change(self) -> None:
        """Everything that changes without an event of its own, and a few things that have one."""
        server, add, edit, tell = self.server, self.server.add, self.server.edit, self.server.tell
        add("/v1/application_fees/fee_1/refunds", "fr_1", fee="fee_1")
        tell("application_fee.refunded", self.fee)
        add("/v1/files", "file_1")  # uploaded
        add("/v1/invoice_payments", "inpay_2", invoice="in_1", status="open")
        edit(self.payment, status="canceled")
        edit(self.item, invoice="in_1")
        edit(self.invoice, "invoice.finalized", status="open")
        edit(self.later, amount=7)
        edit(self.quote, description="second")
        edit(self.line, quantity=2)
        add("/v1/quotes/qt_1/line_items", "li_2", discounts=[{"amount": 1, "discount": "di_1"}])
        edit(self.intent, metadata={"order": "1"})
        edit(self.setup, metadata={"order": "2"})
        edit(self.charge, disputed=True)
        add("/v1/disputes", "dp_1", charge="ch_1", event="charge.dispute.created")
        edit(self.person, first_name="Grace")
        add("/v1/accounts/acct_1/persons", "person_3")
        server.delete(self.left)
        edit(self.capability, status="active")
        edit(self.session, "identity.verification_session.redacted", redaction={"status": "redacted"})
        edit(self.report, document=None)
        edit(self.review, "review.closed", open=False, _listed=False)
        add("/v1/prices", "price_2", event="price.created", _listed=False)
        add("/v1/products/prod_1/features", "prodft_2")
        server.delete(self.entitled)
        add("/v1/entitlements/active_entitlements", "ent_2", of={"customer": "cus_2"})
        summary = {**sdk.sample(sdk.of_kind("entitlements.active_entitlement_summary"), "")}
        tell("entitlements.active_entitlement_summary.updated", summary | {"customer": "cus_2"})
        edit(self.cash, "cash_balance.funds_available", available={"eur": 5})
        add("/v1/balance_transactions", "txn_1", of={"payout": "po_1"})
        tell("payout.reconciliation_completed", self.payout)
        discount = Ref(sdk.sample(sdk.of_kind("discount"), "di_2"), customer="cus_1", subscription="sub_1")
        edit(self.subscription, discounts=[discount])
        tell("customer.discount.created", discount)
        edit(self.customer, discount=discount)
        add("/v1/billing/credit_balance_transactions", "cbtxn_1", event="billing.credit_balance_transaction.created")
        edit(server.objects["/v1/balance"][0], available=[{"amount": 5, "currency": "eur"}])
