"""The fields of the local API's objects, stream by stream, in the shape of Stripe's own."""

from __future__ import annotations

from crawlerd.demo.formula import Account, Fields, amount_of, buyer_of, metadata_of, person_of, token

EMBEDDED_LINES = 10  # how many lines Stripe embeds in an invoice
METHODS_STRIDE = 4  # index of a payment method = its customer's times this, plus its place
LINES_STRIDE = 256  # index of an invoice line = its invoice's times this, plus its place

_BRAND = ("visa", "mastercard", "amex")
_STATUS = ("canceled", "active", "active", "trialing", "past_due")


def customer(account: Account, index: int, created: int) -> Fields:
    return {
        "id": "cus_" + token(account.number, index),
        "object": "customer",
        "created": created,
        "metadata": metadata_of(account, index),
        **person_of(account, index),
        "balance": -500 if index % 11 == 0 else 0,
        "currency": "eur",
        "default_source": None,
        "delinquent": index % 17 == 0,
        "description": f"Customer {index} of account {account.number}",
        "discount": None,
        "invoice_prefix": f"{index:08X}",
        "invoice_settings": {"custom_fields": None, "default_payment_method": None, "footer": None},
        "livemode": False,
        "next_invoice_sequence": 1 + index % 5,
        "preferred_locales": ["en", "pl"] if index % 2 else [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }


def payment_method(account: Account, index: int, created: int) -> Fields:
    owner = index // METHODS_STRIDE
    return {
        "id": "pm_" + token(account.number, index),
        "object": "payment_method",
        "created": created,
        "metadata": metadata_of(account, index),
        "allow_redisplay": "unspecified",
        "billing_details": person_of(account, owner),
        "card": {
            "brand": _BRAND[index % 3],
            "country": "GB",
            "exp_month": 1 + index % 12,
            "exp_year": 2030 + index % 5,
            "fingerprint": token(account.number, index),
            "funding": "credit",
            "last4": f"{index % 10_000:04d}",
        },
        "customer": "cus_" + token(account.number, owner),
        "livemode": False,
        "type": "card",
    }


def charge(account: Account, index: int, created: int) -> Fields:
    own = token(account.number, index)
    return {
        "id": f"ch_{own}",
        "object": "charge",
        "created": created,
        "metadata": metadata_of(account, index),
        "amount": amount_of(index),
        "amount_captured": amount_of(index),
        "amount_refunded": 0,
        "balance_transaction": f"txn_{own}",
        "billing_details": person_of(account, index // 2),
        "captured": True,
        "currency": "eur",
        "customer": buyer_of(account, index // 2),
        "description": None,
        "disputed": False,
        "failure_code": None,
        "invoice": None,
        "livemode": False,
        "outcome": {"network_status": "approved_by_network", "risk_level": "normal", "type": "authorized"},
        "paid": True,
        "payment_intent": f"pi_{own}",
        "receipt_url": f"https://pay.example/receipts/ch_{own}",
        "refunded": False,
        "status": "succeeded",
    }


def payment_intent(account: Account, index: int, created: int) -> Fields:
    return {
        "id": "pi_" + token(account.number, index),
        "object": "payment_intent",
        "created": created,
        "metadata": metadata_of(account, index),
        "amount": amount_of(index),
        "amount_received": amount_of(index),
        "capture_method": "automatic",
        "confirmation_method": "automatic",
        "currency": "eur",
        "customer": buyer_of(account, index // 2),
        "last_payment_error": None,
        "latest_charge": "ch_" + token(account.number, index),
        "livemode": False,
        "next_action": None,
        "payment_method_types": ["card"],
        "status": "succeeded",
    }


def invoice_line(account: Account, index: int, created: int) -> Fields:
    return {
        "id": "il_" + token(account.number, index),
        "object": "line_item",
        "metadata": metadata_of(account, index),
        "amount": amount_of(index),
        "currency": "eur",
        "description": f"1 item {index % 97}",
        "discountable": True,
        "invoice": "in_" + token(account.number, index // LINES_STRIDE),
        "livemode": False,
        "period": {"start": created, "end": created + 2_592_000},
        "quantity": 1,
    }


def subscription(account: Account, index: int, created: int) -> Fields:
    status = _STATUS[index % len(_STATUS)]
    own = token(account.number, index)
    item = {"id": f"si_{own}", "object": "subscription_item", "quantity": 1, "subscription": f"sub_{own}"}
    return {
        "id": f"sub_{own}",
        "object": "subscription",
        "created": created,
        "metadata": metadata_of(account, index),
        "cancel_at_period_end": False,
        "canceled_at": created + 86_400 if status == "canceled" else None,
        "collection_method": "charge_automatically",
        "currency": "eur",
        "customer": buyer_of(account, index),
        "items": {"object": "list", "data": [item], "has_more": False, "url": "/v1/subscription_items"},
        "latest_invoice": None,
        "livemode": False,
        "start_date": created,
        "status": status,
    }


def product(account: Account, index: int, created: int) -> Fields:
    return {
        "id": "prod_" + token(account.number, index),
        "object": "product",
        "created": created,
        "metadata": metadata_of(account, index),
        "active": index % 4 != 3,
        "default_price": "price_" + token(account.number, index * 3),
        "description": None,
        "images": [],
        "livemode": False,
        "name": f"Product {index}",
        "type": "service",
    }


def price(account: Account, index: int, created: int) -> Fields:
    return {
        "id": "price_" + token(account.number, index),
        "object": "price",
        "created": created,
        "metadata": metadata_of(account, index),
        "active": index % 3 != 2,
        "billing_scheme": "per_unit",
        "currency": "eur",
        "livemode": False,
        "product": "prod_" + token(account.number, index // 3),
        "recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed"},
        "type": "recurring",
        "unit_amount": amount_of(index),
        "unit_amount_decimal": str(amount_of(index)),
    }


def refund(account: Account, index: int, created: int) -> Fields:
    return {
        "id": "re_" + token(account.number, index),
        "object": "refund",
        "created": created,
        "metadata": metadata_of(account, index),
        "amount": amount_of(index * 20),
        "charge": "ch_" + token(account.number, index * 20),
        "currency": "eur",
        "payment_intent": "pi_" + token(account.number, index * 20),
        "reason": "requested_by_customer",
        "status": "succeeded",
    }


def dispute(account: Account, index: int, created: int) -> Fields:
    return {
        "id": "du_" + token(account.number, index),
        "object": "dispute",
        "created": created,
        "metadata": metadata_of(account, index),
        "amount": amount_of(index * 200),
        "charge": "ch_" + token(account.number, index * 200),
        "currency": "eur",
        "evidence": {"customer_name": None, "uncategorized_text": None},
        "is_charge_refundable": False,
        "livemode": False,
        "reason": "fraudulent",
        "status": "needs_response",
    }


def balance_transaction(account: Account, index: int, created: int) -> Fields:
    fee = 25 + amount_of(index) * 14 // 1000
    return {
        "id": "txn_" + token(account.number, index),
        "object": "balance_transaction",
        "created": created,
        "amount": amount_of(index),
        "available_on": created + 172_800,
        "currency": "eur",
        "exchange_rate": None,
        "fee": fee,
        "fee_details": [{"amount": fee, "currency": "eur", "description": "processing fees", "type": "stripe_fee"}],
        "net": amount_of(index) - fee,
        "reporting_category": "charge",
        "source": "ch_" + token(account.number, index),
        "status": "available",
        "type": "charge",
    }


def payout(account: Account, index: int, created: int) -> Fields:
    return {
        "id": "po_" + token(account.number, index),
        "object": "payout",
        "created": created,
        "metadata": metadata_of(account, index),
        "amount": 40 * amount_of(index),
        "arrival_date": created + 86_400,
        "automatic": True,
        "currency": "eur",
        "livemode": False,
        "method": "standard",
        "status": "paid",
        "type": "bank_account",
    }


def transfer(account: Account, index: int, created: int) -> Fields:
    return {
        "id": "tr_" + token(account.number, index),
        "object": "transfer",
        "created": created,
        "metadata": metadata_of(account, index),
        "amount": amount_of(index),
        "amount_reversed": 0,
        "currency": "eur",
        "destination": f"acct_{token(account.number, 1)}",
        "livemode": False,
        "reversed": False,
        "reversals": {"object": "list", "data": [], "has_more": False, "url": "/v1/transfers"},
    }


def coupon(account: Account, index: int, created: int) -> Fields:
    return {
        "id": token(account.number, index),
        "object": "coupon",
        "created": created,
        "metadata": metadata_of(account, index),
        "amount_off": None,
        "currency": None,
        "duration": "once",
        "livemode": False,
        "name": f"{5 * (index % 19 + 1)}% off at account {account.number}",
        "percent_off": 5.5 * (index % 18 + 1),
        "times_redeemed": index,
        "valid": True,
    }


def credit_note(account: Account, index: int, created: int) -> Fields:
    return {
        "id": "cn_" + token(account.number, index),
        "object": "credit_note",
        "created": created,
        "metadata": metadata_of(account, index),
        "amount": amount_of(index),
        "currency": "eur",
        "customer": buyer_of(account, index),
        "invoice": "in_" + token(account.number, index),
        "lines": {"object": "list", "data": [], "has_more": False, "url": "/v1/credit_notes"},
        "livemode": False,
        "number": f"CN-{index:04d}",
        "reason": "order_change",
        "status": "issued",
        "type": "post_payment",
    }


def line_count(invoice: int) -> int:
    """Lines of an invoice: 1 to 3 for most, 11 to 130 for one in twenty."""
    return 11 + invoice // 20 * 37 % 120 if invoice % 20 == 7 else 1 + invoice % 3


def invoice(account: Account, index: int, created: int) -> Fields:
    own = token(account.number, index)
    lines = range(index * LINES_STRIDE, index * LINES_STRIDE + line_count(index))
    total = sum(amount_of(line) for line in lines)
    return {
        "id": f"in_{own}",
        "object": "invoice",
        "created": created,
        "metadata": metadata_of(account, index),
        "amount_due": total,
        "amount_paid": total,
        "billing_reason": "subscription_cycle",
        "collection_method": "charge_automatically",
        "currency": "eur",
        "customer": buyer_of(account, index),
        "lines": {
            "object": "list",
            "data": [invoice_line(account, line, created) for line in reversed(lines[-EMBEDDED_LINES:])],
            "has_more": len(lines) > EMBEDDED_LINES,
            "total_count": len(lines),
            "url": f"/v1/invoices/in_{own}/lines",
        },
        "livemode": False,
        "number": f"{index % max(1, account.customers):08X}-{index:04d}",
        "paid": True,
        "status": "paid",
        "total": total,
    }


def event(account: Account, index: int, created: int) -> Fields:
    return {
        "id": "evt_" + token(account.number, index),
        "object": "event",
        "created": created,
        "api_version": "2026-10-28.endive",
        "data": {"object": customer(account, index % max(1, account.customers), created)},
        "livemode": False,
        "pending_webhooks": 0,
        "request": {"id": f"req_{token(account.number, index)}", "idempotency_key": None},
        "type": "customer.created",
    }


def own_account(number: int) -> Fields:
    """What `GET /v1/account` returns."""
    return {
        "id": f"acct_{token(number, 0)}",
        "object": "account",
        "business_profile": {"name": f"Account {number} Ltd", "mcc": "5734", "url": f"https://account{number}.example"},
        "business_type": "company",
        "charges_enabled": True,
        "country": "GB",
        "created": 1_640_995_200 + number,
        "default_currency": "eur",
        "details_submitted": True,
        "email": f"owner@account{number}.example",
        "metadata": {},
        "payouts_enabled": True,
        "type": "standard",
    }
