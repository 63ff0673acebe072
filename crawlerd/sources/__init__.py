"""Sources: one API each. They import `crawlerd.source` alone.

registry, importing: the sources that are installed, and how one is loaded.
http: a generic account that receives deliveries.
rest: APIs that a TOML file describes.
aws, mailchimp, s3_batch, stripe: one API each.
"""
