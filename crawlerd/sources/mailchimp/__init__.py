"""Mailchimp Marketing.

members: lists and their members, which are followed by the time of their last change.
missing: lists and members that a sweep has not found.
marketing, marketing.toml: all other lists; the description that the REST source performs.
activity: what contacts did with campaigns.
pages, answers: pages that move, and times; addresses and refusals.
options: the options of an import.
"""
