"""Batches: objects of records in S3, processed in chunks into DynamoDB items, gathered into one object each.

arrivals, announced: how a batch comes, by a listing or a queue; what a message announces.
batch, items: what all tasks of a batch know about it; one record's item.
scan: a batch is read, range by range, into chunks.
forms: what objects may look like, by their names: records (JSON with a list), lines (JSON Lines), csv_rows (CSV).
unpacking, inflating: gzip piece by piece; deflate data from any bit on.
scatter, function: chunks are processed and written item by item; the Python function of a configuration.
gather: the items of a batch become one object.
"""

from crawlerd.sources.s3_batch import arrivals, gather, scan, scatter
from crawlerd.sources.s3_batch.batch import BatchImport, Process, s3_batch

__all__ = ["BatchImport", "Process", "arrivals", "gather", "s3_batch", "scan", "scatter"]
