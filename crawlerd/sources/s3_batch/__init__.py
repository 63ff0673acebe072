"""Batches: objects with records in S3, processed in chunks into DynamoDB items, which are gathered into one object for
each batch.

arrivals, announced: how a batch arrives, by a listing or a queue; what a message announces.
batch, items: what all tasks of a batch know about it; one record's item.
scan: reads a batch, range by range, into chunks.
forms: the formats of objects, by their names: records (JSON with a list), lines (JSON Lines), csv_rows (CSV).
unpacking, inflating: gzip in pieces; deflate data from any bit on.
scatter, function: processes chunks and writes items; the Python function of a configuration.
gather: makes one object of the items of a batch.
"""

from crawlerd.sources.s3_batch import arrivals, gather, scan, scatter
from crawlerd.sources.s3_batch.batch import BatchImport, Process, s3_batch

__all__ = ["BatchImport", "Process", "arrivals", "gather", "s3_batch", "scan", "scatter"]
