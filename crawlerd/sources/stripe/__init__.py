"""Stripe: all its lists and those below them, in full or by what its events tell."""

from crawlerd.sources.stripe import plan  # registers how a run begins
from crawlerd.sources.stripe.pages import stripe

__all__ = ["plan", "stripe"]
