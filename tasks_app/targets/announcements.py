"""Where a notice of a target begins, goes on and ends."""

import logging

from tasks_app.models import TargetSession

logger = logging.getLogger(__name__)


def announce(row: TargetSession) -> None:
    """Tells that a session passed its deadline, was judged, or, though missed, has become complete.

    Called once for each of these, by the host whose update made it true, within no transaction.
    """
    logger.info("target %s, session %s: %s", row.target.name, row.session, row.state)
