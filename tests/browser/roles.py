"""The roles of staff users, and the password of each user."""

ROLES = ("viewer", "operator", "administrator")
PASSWORD = "pass-word-1"
