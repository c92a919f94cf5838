"""The roles of staff users, the password of each user, and their sessions."""

ROLES = ("viewer", "operator", "administrator")
PASSWORD = "pass-word-1"


def session_of(role: str) -> str:
    """Returns the key of a session in which a user of that role is signed in."""
    return f"session-of-{role}"
