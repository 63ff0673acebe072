"""What the benchmarks borrow of the tests: servers that behave like AWS and batches, installations for them."""

from __future__ import annotations

import sys

from bench.rig.process import ROOT

sys.path.insert(0, str(ROOT / "tests"))
from support.aws_proxy import DOCUMENTED, AwsProxy, Organization, Request, organization
from support.batches import Pricing, Store, assert_exact, doubled, records, settle
from support.installation import Installation
from support.postgres_server import PostgresServer, postgres_server

__all__ = [
    "DOCUMENTED",
    "AwsProxy",
    "Installation",
    "Organization",
    "PostgresServer",
    "Pricing",
    "Request",
    "Store",
    "assert_exact",
    "doubled",
    "organization",
    "postgres_server",
    "records",
    "settle",
]
