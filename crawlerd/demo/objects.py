"""The objects of the local API as a pure formula: from account, stream and index to what Stripe would return.

Index 0 is the oldest object of a stream. Ids decode back to their index, so that a cursor needs no lookup table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from crawlerd.demo import shapes
from crawlerd.demo.formula import Account, Fields, index_in, token
from crawlerd.demo.shapes import LINES_STRIDE, METHODS_STRIDE, line_count

START = 1_672_531_200  # 2023-01-01T00:00:00Z, the oldest object of every stream
SPAN = 63_072_000  # seconds between the oldest and the newest: two years, so that none is in the future

Shape = Callable[[Account, int, int], Fields]


@dataclass(frozen=True, slots=True)
class Stream:
    """One kind of object.

    shape: (account, index, created) to the object.
    count: how many there are, from the number of customers; of a child stream, from its parent's index.
    stride: a child's index is its parent's times this, plus its place.
    filters: fields that its list can be filtered by.
    """

    name: str
    prefix: str
    shape: Shape
    count: Callable[[int], int]
    parent: str | None = None
    stride: int = 1
    filters: tuple[str, ...] = ()

    def created(self, index: int, customers: int) -> int:
        """Unix seconds. They never fall as the index rises, and three neighbors share a second, as may happen at
        Stripe.

        A child has its parent's.
        """
        if self.parent:
            return STREAMS[self.parent].created(index // self.stride, customers)
        return START + index // 3 * 3 * (SPAN // max(1, self.count(customers)))


STREAMS = {
    stream.name: stream
    for stream in (
        Stream("customers", "cus_", shapes.customer, lambda customers: customers),
        Stream(
            "payment_methods",
            "pm_",
            shapes.payment_method,
            lambda customer: (customer * 5 + customer // 4) % 4,
            parent="customers",
            stride=METHODS_STRIDE,
        ),
        Stream("charges", "ch_", shapes.charge, lambda customers: 2 * customers),
        Stream("payment_intents", "pi_", shapes.payment_intent, lambda customers: 2 * customers),
        Stream("invoices", "in_", shapes.invoice, lambda customers: customers // 2),
        Stream("invoice_lines", "il_", shapes.invoice_line, line_count, parent="invoices", stride=LINES_STRIDE),
        Stream("subscriptions", "sub_", shapes.subscription, lambda customers: customers // 3, filters=("status",)),
        Stream("products", "prod_", shapes.product, lambda customers: min(12, customers), filters=("active",)),
        Stream("prices", "price_", shapes.price, lambda customers: 3 * min(12, customers), filters=("active",)),
        Stream("refunds", "re_", shapes.refund, lambda customers: customers // 10),
        Stream("disputes", "du_", shapes.dispute, lambda customers: customers // 100),
        Stream("balance_transactions", "txn_", shapes.balance_transaction, lambda customers: 2 * customers),
        Stream("payouts", "po_", shapes.payout, lambda customers: customers // 20),
        Stream("transfers", "tr_", shapes.transfer, lambda _: 0),
        Stream("coupons", "", shapes.coupon, lambda customers: min(5, customers)),
        Stream("credit_notes", "cn_", shapes.credit_note, lambda customers: customers // 25),
        Stream("events", "evt_", shapes.event, lambda customers: customers),
    )
}


def id_of(number: int, stream: str, index: int) -> str:
    """The id of an account's object."""
    return STREAMS[stream].prefix + token(number, index)


def index_of(number: int, stream: str, key: str) -> int | None:
    """The index from which `id_of` made the key; None if it is of another account or stream, or not an id at all."""
    try:
        index = index_in(key.removeprefix(STREAMS[stream].prefix))
    except ValueError:
        return None
    return index if id_of(number, stream, index) == key else None


def count(stream: str, customers: int) -> int:
    """How many objects `expected` yields."""
    known = STREAMS[stream]
    if known.parent:
        return sum(known.count(parent) for parent in range(count(known.parent, customers)))
    return known.count(customers)


def expected(number: int, stream: str, customers: int) -> Iterator[tuple[str, Fields]]:
    """Every (id, object) of a stream, in the order of its lists, newest first: exactly what an import must contain.

    The lines of all invoices are a stream of their own, `invoice_lines`, including those embedded in their invoice.
    """
    account, known = Account(number, customers), STREAMS[stream]
    for index in _indexes(stream, customers):
        data = known.shape(account, index, known.created(index, customers))
        yield data["id"], data


def _indexes(stream: str, customers: int) -> Iterator[int]:
    known = STREAMS[stream]
    if known.parent is None:
        yield from reversed(range(known.count(customers)))
    else:
        for parent in _indexes(known.parent, customers):
            start = parent * known.stride
            yield from reversed(range(start, start + known.count(parent)))
