"""Python client of Stock Collector."""

from stock_collector_client.bars import BarsIncomplete
from stock_collector_client.client import Client
from stock_collector_client.errors import CollectorError, Forbidden, NotFound, Unauthorized

__all__ = ["BarsIncomplete", "Client", "CollectorError", "Forbidden", "NotFound", "Unauthorized"]
