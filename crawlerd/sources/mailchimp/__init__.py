"""Mailchimp's lists and their members."""
