"""The form that starts a collection. The errors of an order appear at the fields they are about."""

from typing import Any
from uuid import uuid4

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _

from tasks_app import errors
from tasks_app.admin.common.fields import day_field
from tasks_app.models.priorities import PRIORITY_NAMES
from tasks_app.models.quotes import Adjust, InstrumentKind, Market
from tasks_app.orders import code_lists, order as orders
from tasks_app.orders.order import Order
from tasks_app.sources import registry

ALL, SOME = "all", "some"
SCOPES = [(ALL, _("The whole market")), (SOME, _("These stocks"))]
KINDS = [
    (InstrumentKind.STOCK, _("Stocks")),
    (InstrumentKind.ETF, _("ETFs")),
    (InstrumentKind.INDEX, _("Indices")),
]
FORM_MESSAGES: dict[type[errors.CollectorError], Any] = {  # the errors' own name the API's fields
    errors.ReversedDates: _("The last day is before the first one."),
    errors.FutureStart: _("The first day is in the future. There are no quotes yet."),
}
FURTHER_HELP = _(
    "Tried in this order for stocks that fail, such as “baostock, akshare”. Empty: as COLLECTOR_FALLBACKS "
    "says; “none”: no further source."
)
VERIFY_HELP = _(
    "A second source. Its bars of the same stocks and days are compared, not stored; differences beyond "
    "rounding are listed as findings. Comparing costs requests to it."
)
FULL_LABEL = _("Skip completely collected stocks")
FULL_HELP = _(  # beside a switch, where it has one line
    "Leaves out stocks whose whole history was collected once, newer days included. For others the days "
    "stay as chosen."
)
FORCE_HELP = _("Requests days again that are already stored.")
MODES = ("test_mode", "full_collection_mode", "force_update")


class OrderForm(forms.Form):
    """A valid form has the resolved order in `order`.

    `key` is the idempotency key: pressing the button twice starts one task.
    """

    market = forms.ChoiceField(label=_("Market"), choices=Market.choices, widget=forms.RadioSelect)
    source = forms.ChoiceField(label=_("Source"), widget=forms.RadioSelect, required=False)
    fallbacks = forms.CharField(
        label=_("Further sources"), help_text=FURTHER_HELP, max_length=400, required=False
    )
    verify_with = forms.ChoiceField(label=_("Compare with"), help_text=VERIFY_HELP, required=False)
    verify_sample = forms.IntegerField(
        label=_("Sample (%)"),
        help_text=_("The share of the stocks that is compared."),
        min_value=1,
        max_value=100,
        initial=orders.WHOLE,
        required=False,
    )
    adjust = forms.ChoiceField(
        label=_("Adjustment"), choices=Adjust.choices, widget=forms.RadioSelect, required=False
    )
    start_date = day_field(_("First day"))
    end_date = day_field(_("Last day"))
    scope = forms.ChoiceField(label=_("Stocks"), choices=SCOPES, widget=forms.RadioSelect)
    kind = forms.ChoiceField(
        label=_("Kind of security"),
        choices=KINDS,
        widget=forms.RadioSelect,
        required=False,
        initial=InstrumentKind.STOCK,
    )
    stock_codes = forms.CharField(
        label=_("Stock codes"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
    )
    file = forms.FileField(label=_("File with codes"), required=False)
    test_mode = forms.BooleanField(
        label=_("Test mode"),
        help_text=_("Collects only the first five stocks, to try a source."),
        required=False,
    )
    full_collection_mode = forms.BooleanField(
        label=FULL_LABEL,
        help_text=FULL_HELP,
        required=False,
    )
    force_update = forms.BooleanField(
        label=_("Force update"),
        help_text=FORCE_HELP,
        required=False,
    )
    queue = forms.BooleanField(
        label=_("Queue if a task is running"),
        help_text=_(
            "Ticked: the order waits, and starts by itself once the running task has ended. Not ticked: "
            "while a task runs, the start is refused."
        ),
        required=False,
    )
    priority = forms.ChoiceField(
        label=_("Priority"),
        help_text=_(
            "The task yields to a due plan with a higher priority, and goes on by itself after it. Of "
            "waiting orders, those with a higher priority start first."
        ),
        choices=PRIORITY_NAMES,
        initial="normal",
        required=False,
    )
    key = forms.CharField(max_length=64, required=False, widget=forms.HiddenInput)

    order: Order

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names: Any = self.fields["source"]
        names.choices = [(name, name) for name in registry.available(settings.COLLECTOR)]
        seconds: Any = self.fields["verify_with"]
        seconds.choices = [("", _("none")), *names.choices]
        for name, field in self.fields.items():
            if not isinstance(field.widget, forms.RadioSelect):  # a radio group is described by its legend
                field.widget.attrs["aria-describedby"] = f"ss-{name}-more ss-{name}-error"

    def clean_file(self) -> list[str]:
        """Returns the codes in the file, [] without a file."""
        file: UploadedFile[Any] | None = self.cleaned_data["file"]
        try:
            return code_lists.parse_file(file.read(code_lists.MAX_BYTES + 1)) if file else []
        except errors.OrderError as error:
            raise forms.ValidationError(str(error)) from error

    def clean_stock_codes(self) -> list[str]:
        return code_lists.split_codes(self.cleaned_data["stock_codes"])

    def clean(self) -> dict[str, Any]:
        """Resolves the order, if the fields are valid by themselves."""
        data = self.cleaned_data
        if "scope" in data and not self._codes() and data["scope"] == SOME and "file" not in self.errors:
            self.add_error("stock_codes", _("Name at least one stock, or choose the whole market."))
        if not self.errors:
            self._resolve_order()
        return data

    def _codes(self) -> list[str]:
        data = self.cleaned_data
        return [*data.get("stock_codes", ()), *data.get("file", ())]

    def _resolve_order(self) -> None:
        data = self.cleaned_data
        # A file implies that its stocks are meant, whatever the scope says.
        codes = self._codes() if data["scope"] == SOME or data["file"] else []
        order = Order(
            **{name: data[name] for name in ("start_date", "end_date", "market", "source", "adjust", *MODES)},
            kind=data["kind"] or InstrumentKind.STOCK.value,
            stock_codes=tuple(codes) or None,
            fallbacks=orders.parse_fallbacks(data["fallbacks"]),
            verify_with=data["verify_with"],
            verify_sample=data["verify_sample"] or orders.WHOLE,
        )
        try:
            self.order = orders.resolve(order, orders.latest_today(), settings.COLLECTOR)
            orders.require_market(order, self.order)
            orders.require_usable_source(self.order, settings.COLLECTOR)
        except errors.OrderError as error:
            self.add_collector_error(error)

    def add_collector_error(self, error: errors.CollectorError) -> None:
        """Adds an error of the order, or of starting it, to the field that it is about."""
        if isinstance(error, errors.IdempotencyConflict):
            self._replace_data(key=new_key())
            self.add_error(None, _("This page has already started a task. Press again to start another one."))
            return
        field = error.field if isinstance(error, errors.OrderError) else ""
        self.add_error(field if field in self.fields else None, str(FORM_MESSAGES.get(type(error), error)))

    def keep_input(self) -> None:
        """Keeps what was entered when the form is shown again; the file's codes join the typed ones."""
        self._replace_data(key=self.data.get("key") or new_key())
        if file_codes := self.cleaned_data.get("file"):
            typed = code_lists.split_codes(self.data.get("stock_codes", ""))
            self._replace_data(stock_codes=" ".join(dict.fromkeys([*typed, *file_codes])), scope=SOME)

    def _replace_data(self, **values: str) -> None:
        posted: Any = self.data  # a QueryDict, which is immutable
        data = posted.copy()
        for name, value in values.items():
            data[name] = value
        self.data = data


def new_key() -> str:
    return uuid4().hex


def values_from_order(order: Order) -> dict[str, Any]:
    """Returns the form's values for an order, with a new idempotency key."""
    names = ("start_date", "end_date", "market", "source", "adjust", "kind", "verify_with", *MODES)
    codes = order.stock_codes or ()
    return {
        **{name: getattr(order, name) for name in names},
        "fallbacks": orders.write_fallbacks(order.fallbacks),
        "verify_sample": order.verify_sample,
        "scope": SOME if codes else ALL,
        "stock_codes": " ".join(codes),
        "key": new_key(),
    }
