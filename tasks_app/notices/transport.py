"""Sends one message through apprise, and says in one sentence why it could not."""

import logging
from typing import NamedTuple

from tasks_app.models.notices import Severity
from tasks_app.notices import addresses
from tasks_app.reasons import sanitize_message


class Message(NamedTuple):
    """A message in the channel's language. `severity` is the highest of what it tells; None: all is over."""

    title: str
    body: str
    severity: Severity | None


def send(stored_address: str, message: Message) -> str:
    """Sends a message to an encrypted address. Returns "" if the service took it, else why it did not.

    Never raises for what a service or its client does: a channel that fails must harm nothing else.
    """
    try:
        address = addresses.decrypt(stored_address)
    except addresses.UnreadableAddress as error:
        return str(error)
    from apprise import NotifyFormat
    from apprise.logger import LogCapture

    with LogCapture(level=logging.WARNING, fmt="%(message)s") as captured:  # type: ignore[no-untyped-call]
        try:
            service = addresses.service(address)
            is_sent = service is not None and service.notify(
                title=message.title,
                body=message.body,
                notify_type=_type_of(message.severity),
                body_format=NotifyFormat.TEXT,
            )
        except Exception as error:  # of apprise, of the client of a service, or of what it answered
            return sanitize_message(f"{type(error).__name__}: {error}")
        said = " ".join(captured.getvalue().split())
    return "" if is_sent else sanitize_message(said or "The service did not take the message.")


def _type_of(severity: Severity | None) -> str:
    """Returns apprise's kind of a message, by which services choose colours."""
    kinds = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "failure"}
    return kinds[severity] if severity is not None else "success"
