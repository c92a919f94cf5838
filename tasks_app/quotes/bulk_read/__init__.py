"""Bars of many stocks at once, as Arrow record batches in flat memory.

`query.BulkQuery` says what is wanted, `batches.record_batches` reads it, `formats` writes it as Arrow,
Parquet, CSV or JSON, and `version` names the stored content. All but `query` import pyarrow and numpy, which
a process that reads nothing in bulk should not hold.
"""
