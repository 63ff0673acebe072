"""Batches: objects of records in S3, processed in chunks into DynamoDB items, gathered into one object each.

batch: what all tasks of a batch know, and the options of an import.
arrivals, announced: how a batch comes: by a listing, or by what a queue's messages say.
scan: an object is read range by range.
forms: what an object may be, by its name: records (of JSON), lines (of JSON), csv_rows.
unpacking, inflating: gzip, read on from where it was.
scatter, function, items: records are processed, and written one by one.
gather: they become one object.
"""

from crawlerd.sources.s3_batch import arrivals, gather, scan, scatter
from crawlerd.sources.s3_batch.batch import BatchImport, Process, s3_batch

__all__ = ["BatchImport", "Process", "arrivals", "gather", "s3_batch", "scan", "scatter"]
