"""Serializers that describe the responses in the OpenAPI schema. Views return plain values."""
