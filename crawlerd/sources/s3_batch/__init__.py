"""Batches: objects of records in S3, processed in chunks into DynamoDB items, gathered into one object each."""

from crawlerd.sources.s3_batch import arrivals, gather, scan, scatter
from crawlerd.sources.s3_batch.batch import BatchImport, Process, s3_batch

__all__ = ["BatchImport", "Process", "arrivals", "gather", "s3_batch", "scan", "scatter"]
