"""A source without an API: a task for each number up to COUNT. `odd(number)`, which a test adds, may do harm."""

from __future__ import annotations

COUNT = 60
NUMBERS = """
source = Source("numbers", base_url="http://127.0.0.1:9", streams=["numbers"])


@dataclass(frozen=True)
class Number(TaskArgs, kind="numbers.numbers"):
    number: int


@source.starts
def numbers(plan):
    return map(Number, range(60))


@source.handles(Number)
def number(api, args):
    odd(args.number)
    yield Record("numbers", str(args.number), {"number": args.number})
"""
HARMLESS = """
def odd(number):
    pass
"""
