"""Sources: one API each. They import only `crawlerd.source`.

registry, importing: the installed sources, and how one is loaded.
http: a generic account that receives deliveries.
rest: APIs that a TOML file describes.
aws, mailchimp, s3_batch, stripe: one API each.
"""
