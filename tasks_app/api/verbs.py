"""What the methods of the API's paths do, in the words of the browsable pages."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _

from tasks_app.api import examples

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


@dataclass(frozen=True)
class Verb:
    """The button of a method, what it does in a sentence, and a body to begin with (None: it takes none)."""

    title: "StrPromise"
    effect: "StrPromise | str" = ""
    example: Mapping[str, Any] | None = None

    @property
    def body(self) -> str:
        return json.dumps(self.example, indent=2)


START = Verb(
    _("Start a collection"),
    _("Starts a task. While another one runs, the response is 400 and names it."),
    examples.TWO_STOCKS.value,
)
ESTIMATE = Verb(
    _("Estimate a collection"),
    _("Starts nothing, and sends no request to a source."),
    examples.TWO_STOCKS.value,
)
CANCEL = Verb(
    _("Cancel the task"),
    _("It ends at once and for good. What it has stored stays; nothing more is written."),
)
RETRY = Verb(
    _("Retry"),
    _(
        "Collects the failed and unprocessed stocks as a new task; "
        "with “error_code” only those that failed with this code."
    ),
    {},
)
PAUSE = Verb(
    _("Pause the task"),
    _("It stays the running task, and sends no request until it is resumed."),
)
RESUME = Verb(_("Resume the task"), _("It goes on at once."))
MOVE_ORDER = Verb(
    _("Move the queued order"),
    _("Gives it another position or priority while it waits."),
    examples.FIRST_POSITION.value,
)
WITHDRAW_ORDER = Verb(_("Withdraw the queued order"), _("It leaves the queue and will not start."))
MAKE_PLAN = Verb(
    _("Create a plan"),
    _("It collects at its next time; see “next_at”."),
    examples.A_PLAN.value,
)
CHANGE_PLAN = Verb(_("Change the plan"), _("Keys left out stay as they are."), examples.SWITCH_OFF.value)
DELETE_PLAN = Verb(_("Delete the plan"), _("It collects no more. What it has collected stays."))
RUN_PLAN = Verb(_("Run the plan now"), _("Its next time stays the same."))
READ_BARS = Verb(
    _("Read bars of many stocks"),
    _("The same as GET, with the parameters as a body."),
    examples.CLOSES_OF_TWO.value,
)
START_EXPORT = Verb(
    _("Start an export"),
    _("The workers write into this folder below COLLECTOR_EXPORT_DIR."),
    examples.AN_EXPORT.value,
)
CANCEL_EXPORT = Verb(_("Cancel the export"), _("The files of the last complete export stay."))
