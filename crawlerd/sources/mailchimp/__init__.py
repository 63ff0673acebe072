"""Mailchimp Marketing.

members: lists and their members, which are followed by the time of change.
missing: what a sweep of them has not found.
marketing, marketing.toml: all else that has lists; the description of it, which the REST source performs.
activity: what contacts did with campaigns.
pages, answers: pages that move and times; addresses and refusals.
options: what an import may say.
"""
