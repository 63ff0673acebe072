"""The types of Stripe's events, by the type of the object that they hold (https://docs.stripe.com/api/events/types)."""

from __future__ import annotations


def _of(*lines: str) -> tuple[str, ...]:
    """Of lines such as "customer created deleted"."""
    return tuple(f"{name}.{verb}" for line in lines for name, *verbs in [line.split()] for verb in verbs)


_SOURCE = _of("customer.source created deleted expiring updated")
_ACCOUNTS = _of(
    "financial_connections.account account_numbers_updated created deactivated disconnected"
    " expected_deactivation_date_updated reactivated refreshed_balance refreshed_ownership refreshed_transactions"
    " supported_payment_method_types_updated upcoming_account_number_expiry upcoming_deactivation"
)
_OUTBOUND = "canceled created expected_arrival_date_updated failed posted returned tracking_details_updated"

TYPES = {
    "application_fee": _of("application_fee created refunded"),
    "apps.install": _of("apps.install created deleted updated"),
    "bank_account": _SOURCE,
    "billing.credit_balance_transaction": _of("billing.credit_balance_transaction created"),
    "billing.credit_grant": _of("billing.credit_grant created updated"),
    "billing.meter": _of("billing.meter created deactivated reactivated updated"),
    "billing_portal.configuration": _of("billing_portal.configuration created updated"),
    "card": _SOURCE,
    "cash_balance": _of("cash_balance funds_available"),
    "charge": _of("charge captured expired failed pending refunded succeeded updated"),
    "checkout.session": _of("checkout.session async_payment_failed async_payment_succeeded completed expired"),
    "climate.order": _of("climate.order canceled created delayed delivered product_substituted"),
    "climate.product": _of("climate.product created pricing_updated"),
    "coupon": _of("coupon created deleted updated"),
    "credit_note": _of("credit_note created updated voided"),
    "customer": _of("customer created deleted updated"),
    "customer_cash_balance_transaction": _of("customer_cash_balance_transaction created"),
    "discount": _of("customer.discount created deleted updated"),
    "dispute": _of("charge.dispute closed created funds_reinstated funds_withdrawn updated"),
    "entitlements.active_entitlement_summary": _of("entitlements.active_entitlement_summary updated"),
    "fee_refund": _of("application_fee.refund updated"),
    "file": _of("file created"),
    "financial_connections.account": _ACCOUNTS,
    "identity.verification_session": _of(
        "identity.verification_session canceled created processing redacted requires_input verified"
    ),
    "invoice": _of(
        "invoice created deleted finalization_failed finalized marked_uncollectible overdue overpaid paid"
        " payment_action_required payment_attempt_required payment_failed payment_succeeded sent updated voided"
        " will_be_due"
    ),
    "invoice_payment": _of("invoice_payment paid"),
    "invoiceitem": _of("invoiceitem created deleted"),
    "issuing.authorization": _of("issuing_authorization created request updated"),
    "issuing.card": _of("issuing_card created updated"),
    "issuing.cardholder": _of("issuing_cardholder created updated"),
    "issuing.dispute": _of("issuing_dispute closed created funds_reinstated funds_rescinded submitted updated"),
    "issuing.token": _of("issuing_token created updated"),
    "issuing.transaction": _of("issuing_transaction created purchase_details_receipt_updated updated"),
    "payment_intent": _of(
        "payment_intent amount_capturable_updated canceled created partially_funded payment_failed processing"
        " requires_action succeeded"
    ),
    "payment_link": _of("payment_link created updated"),
    "payment_method": _of("payment_method attached automatically_updated detached updated"),
    "payout": _of("payout canceled created failed paid reconciliation_completed updated"),
    "plan": _of("plan created deleted updated"),
    "price": _of("price created deleted updated"),
    "product": _of("product created deleted updated"),
    "promotion_code": _of("promotion_code created updated"),
    "quote": _of("quote accepted canceled created finalized"),
    "radar.early_fraud_warning": _of("radar.early_fraud_warning created updated"),
    "refund": _of("charge.refund updated", "refund created failed updated"),
    "reporting.report_run": _of("reporting.report_run failed succeeded"),
    "review": _of("review closed opened"),
    "scheduled_query_run": _of("sigma.scheduled_query_run created"),
    "setup_intent": _of("setup_intent canceled created requires_action setup_failed succeeded"),
    "source": (*_SOURCE, *_of("source canceled chargeable failed refund_attributes_required")),
    "subscription": _of(
        "customer.subscription created deleted paused pending_update_applied pending_update_expired resumed"
        " trial_will_end updated"
    ),
    "subscription_schedule": _of("subscription_schedule aborted canceled completed created expiring released updated"),
    "tax_id": _of("customer.tax_id created deleted updated"),
    "tax_rate": _of("tax_rate created updated"),
    "test_helpers.test_clock": _of("test_helpers.test_clock advancing created deleted internal_failure ready"),
    "three_d_secure.authentication": _of(
        "three_d_secure.authentication canceled challenge_started errored failed requires_challenge"
        " requires_submission succeeded"
    ),
    "topup": _of("topup canceled created failed reversed succeeded"),
    "transfer": _of("transfer created reversed updated"),
    "treasury.credit_reversal": _of("treasury.credit_reversal created posted"),
    "treasury.debit_reversal": _of("treasury.debit_reversal completed created initial_credit_granted"),
    "treasury.financial_account": _of("treasury.financial_account closed created features_status_updated"),
    "treasury.inbound_transfer": _of("treasury.inbound_transfer canceled created failed succeeded"),
    "treasury.outbound_payment": _of(f"treasury.outbound_payment {_OUTBOUND}"),
    "treasury.outbound_transfer": _of(f"treasury.outbound_transfer {_OUTBOUND}"),
    "treasury.received_credit": _of("treasury.received_credit created failed succeeded"),
    "treasury.received_debit": _of("treasury.received_debit created"),
}

_CONNECTED = "they are about a connected account, and the platform reads that stream whole each time"
_SINGLE = "the object is read each time"
_NO_STREAM = "no list has their objects"
UNHEEDED = {  # events that nothing is read for, and why
    **dict.fromkeys(
        _of("account updated", "account.external_account created deleted updated", "capability updated")
        + _of("person created deleted updated", "account.application authorized deauthorized"),
        _CONNECTED,
    ),
    **dict.fromkeys(_of("balance available", "balance_settings updated", "tax.settings updated"), _SINGLE),
    **dict.fromkeys(
        _of("billing_portal.session created", "mandate updated", "source.transaction created updated")
        + _of("source mandate_notification", "reserve.hold created updated", "reserve.release created")
        + _of("reserve.plan created disabled expired updated")
        + _of("financial_connections.authorization expected_deactivation_date_updated upcoming_deactivation"),
        _NO_STREAM,
    ),
    "billing.alert.triggered": "the alert does not change, and its list is read whole each time",
    "invoice.upcoming": "the invoice does not exist yet",
    "reporting.report_type.updated": "the list is read whole each time",
    **dict.fromkeys(
        _of("terminal.reader action_failed action_succeeded action_updated")
        + _of("issuing_personalization_design activated deactivated rejected updated"),
        "no event reports new objects, and the list is read whole each time",
    ),
}
