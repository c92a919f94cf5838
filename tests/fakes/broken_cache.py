"""A cache whose server is away."""

from typing import Any

from django.core.cache.backends.base import BaseCache


class BrokenCache(BaseCache):
    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)

    def get(self, *args: Any, **options: Any) -> Any:
        raise ConnectionError("The cache is away.")

    set = add = delete = touch = get
