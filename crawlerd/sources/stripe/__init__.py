"""Stripe: all its lists and those below them, read in full or followed by events.

stripe_api: the source: address, version, options, limits; the owner of a key.
entries, catalogue_lists, catalogue_below, catalogue_v2, catalogue_events: the catalogue: the form of its entries; all
    lists, those below other objects, those of the second API, the types of events.
catalogue: what follows from these tables together.
plan, loading: how a run begins, for the account and those connected to it; what is read in full and what is followed.
pages, paging, below: a list page by page; what follows a page; what is below its objects.
windows: divides a long list into windows that are read in parallel.
events, again: what has changed; one object that is read again.
missing: objects that a list did not have are requested before they count as deleted.
followed: how each stream is followed, in words, for docs/stripe-streams.md.
answers: distinguishes Stripe's errors, and checks its bodies.
"""

from crawlerd.sources.stripe import plan  # registers how a run begins
from crawlerd.sources.stripe.stripe_api import stripe

__all__ = ["plan", "stripe"]
