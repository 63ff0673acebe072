"""What the local API's objects are made of: scattered ids, people and amounts, all from an account and an index."""

from __future__ import annotations

from typing import Any, NamedTuple

Fields = dict[str, Any]

# An id is 16 bits of account and 32 of index, scattered by an odd factor that can be inverted.
_BITS = 48
_MASK = (1 << _BITS) - 1
_FACTOR = 0x9E3779B97F4B
_INVERSE = pow(_FACTOR, -1, 1 << _BITS)

_FIRST = ("Ada", "Zoë", "Łukasz", "Grace", "Mei", "Noor", "Jürgen", "Chidi", "Ana", "Omar", "Siân", "Raj", "Eva", "Bo")
_LAST = ("Lovelace", "O'Brien", "Świątek", "Hopper", "Tanaka", "Haddad", "Groß", "Okafor", "Souza", "Nguyễn", "Patel")
_CITY = ("London", "Łódź", "São Paulo", "Osaka", "Zürich", "Lagos", "Reykjavík", "Québec", "Austin")
_COUNTRY = ("GB", "PL", "BR", "JP", "CH", "NG", "IS", "CA", "US")


class Account(NamedTuple):
    """An account.

    number: 1 to 65,535, as in its key `sk_test_account_<number>`.
    customers: how many the formula gives it.
    """

    number: int
    customers: int


def token(number: int, index: int) -> str:
    """Twelve hexadecimal digits, scattered like Stripe's own, so that a sink's primary key sees random inserts."""
    return f"{(number << 32 | index) * _FACTOR & _MASK:012x}"


def index_in(digits: str) -> int:
    """The index in a token. Raises ValueError if it is not hexadecimal."""
    return int(digits, 16) * _INVERSE & 0xFFFF_FFFF


def account_in(digits: str) -> int:
    """The account's number in a token. Raises ValueError if it is not hexadecimal."""
    return (int(digits, 16) * _INVERSE & _MASK) >> 32


def person_of(account: Account, index: int) -> Fields:
    place = index % len(_CITY)
    return {
        "address": {
            "city": _CITY[place],
            "country": _COUNTRY[place],
            "line1": f"{index % 250 + 1} High Street",
            "line2": None,
            "postal_code": f"{index * 7919 % 100_000:05d}",
            "state": None,
        },
        "email": f"customer{index}@account{account.number}.example",
        "name": f"{_FIRST[index % len(_FIRST)]} {_LAST[index // 3 % len(_LAST)]}",
        "phone": f"+4420{index % 100_000_000:08d}",
    }


def metadata_of(account: Account, index: int) -> Fields:
    return {"account": str(account.number), "index": str(index)}


def buyer_of(account: Account, index: int) -> str:
    return "cus_" + token(account.number, index % max(1, account.customers))


def amount_of(index: int) -> int:
    return 500 + index * 37 % 99_500
