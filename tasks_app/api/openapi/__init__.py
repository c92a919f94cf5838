"""Decorators that describe each operation in the OpenAPI schema. Tests compare them with the responses."""
