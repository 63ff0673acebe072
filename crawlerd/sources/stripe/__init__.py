"""Stripe: all its lists and those below them, in full or by what its events tell.

stripe_api: the source: address, version, options, limits; whose key it is.
entries, catalogue_lists, catalogue_below, catalogue_v2, catalogue_events: how the catalogue says what a list is and how
    it is followed; all lists, those below other objects, those of the second API, the types of events.
catalogue: what these tables say together.
plan, loading: how a run begins, of the account and of those connected to it; what is read in full and what is followed.
pages, paging, below: a list page by page; what follows a page; what lies below its objects.
windows: where a long list is cut into windows that are read side by side.
events, again: what has changed; one object that is read again.
missing: what a list did not have is asked for before it counts as gone.
followed: how each stream is followed, in words, for docs/stripe-streams.md.
answers: Stripe's errors told apart, and its bodies checked.
"""

from crawlerd.sources.stripe import plan  # registers how a run begins
from crawlerd.sources.stripe.stripe_api import stripe

__all__ = ["plan", "stripe"]
