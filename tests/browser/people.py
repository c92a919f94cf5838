"""The roles of staff, and how they sign in."""

ROLES = ("viewer", "operator", "administrator")
PASSWORD = "pass-word-1"
