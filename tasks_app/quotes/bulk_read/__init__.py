"""Bars of many stocks at once, as Arrow record batches in flat memory.

`query.BulkQuery` says what is wanted, `batches.record_batches` reads it, `formats` writes it as Arrow,
Parquet, CSV or JSON, and `version` names the stored content. All but `query` import pyarrow and numpy, which
a process that reads nothing in bulk should not hold.
"""

import os

# Heeded when pyarrow is first imported, which the modules of this package do. Its
# other pools keep freed memory.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
