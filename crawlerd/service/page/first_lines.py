"""A first configuration, for an installation that has none."""

TEXT = """\
[accounts.acme]
source = "stripe"
api_key = { env = "ACME_STRIPE_KEY" }   # never the key itself

[sinks.warehouse]
type = "sqlite"
path = "warehouse.db"

[imports.acme]
account = "acme"
sink = "warehouse"
streams = ["*"]
schedule = "every day at 03:00"
"""
