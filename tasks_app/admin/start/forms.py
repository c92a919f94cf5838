"""The start form: an order as staff fill it in, its errors beside its fields."""

from typing import Any
from uuid import uuid4

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _

from tasks_app import errors
from tasks_app.models.quotes import Adjust, Market
from tasks_app.orders import code_lists, order as orders
from tasks_app.orders.order import Order
from tasks_app.sources import registry

ALL, SOME = "all", "some"
SCOPES = [(ALL, _("The whole market")), (SOME, _("These stocks"))]
PLAINLY: dict[type[errors.CollectorError], Any] = {  # the API's sentences name its own fields
    errors.ReversedDates: _("The last day is before the first one."),
    errors.FutureStart: _("The first day is in the future: there are no quotes yet."),
}
MODES = ("test_mode", "full_collection_mode", "force_update")


def _day(label: Any) -> forms.DateField:
    widget = forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})
    return forms.DateField(label=label, input_formats=["%Y-%m-%d"], widget=widget)


class OrderForm(forms.Form):
    """`order` is the order, resolved, once the form is valid. `key` makes a second press harmless."""

    market = forms.ChoiceField(label=_("Market"), choices=Market.choices, widget=forms.RadioSelect)
    source = forms.ChoiceField(label=_("Source"), widget=forms.RadioSelect)
    adjust = forms.ChoiceField(
        label=_("Adjustment"), choices=Adjust.choices, widget=forms.RadioSelect, required=False
    )
    start_date = _day(_("First day"))
    end_date = _day(_("Last day"))
    scope = forms.ChoiceField(label=_("Stocks"), choices=SCOPES, widget=forms.RadioSelect)
    stock_codes = forms.CharField(
        label=_("Stock codes"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
    )
    file = forms.FileField(label=_("A file of codes"), required=False)
    test_mode = forms.BooleanField(label=_("Test mode"), required=False)
    full_collection_mode = forms.BooleanField(label=_("Full collection mode"), required=False)
    force_update = forms.BooleanField(label=_("Force update"), required=False)
    key = forms.CharField(max_length=64, required=False, widget=forms.HiddenInput)

    order: Order

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names: Any = self.fields["source"]
        names.choices = [(name, name) for name in registry.available(settings.COLLECTOR)]
        for name, field in self.fields.items():
            if name not in ("market", "source", "adjust", "scope"):  # a list of radios is named by its legend
                field.widget.attrs["aria-describedby"] = f"ss-{name}-more ss-{name}-error"

    def clean_file(self) -> list[str]:
        """The file's codes."""
        file: UploadedFile[Any] | None = self.cleaned_data["file"]
        try:
            return code_lists.parse_file(file.read(code_lists.MAX_BYTES + 1)) if file else []
        except errors.OrderError as error:
            raise forms.ValidationError(str(error)) from error

    def clean_stock_codes(self) -> list[str]:
        return code_lists.split_codes(self.cleaned_data["stock_codes"])

    def clean(self) -> dict[str, Any]:
        """The order, as far as the fields make sense by themselves."""
        data = self.cleaned_data
        if "scope" in data and not self._codes() and data["scope"] == SOME and "file" not in self.errors:
            self.add_error("stock_codes", _("Name at least one stock, or choose the whole market."))
        if not self.errors:
            self._resolve()
        return data

    def refuse(self, error: errors.CollectorError) -> None:
        """Put the error of a verb beside its field."""
        if isinstance(error, errors.IdempotencyConflict):
            self.renew()
            self.add_error(None, _("A task was started with this page already. Press again for another one."))
            return
        field = error.field if isinstance(error, errors.OrderError) else ""
        self.add_error(field if field in self.fields else None, str(PLAINLY.get(type(error), error)))

    def keep(self) -> None:
        """Keep what was given through an error: the file's codes, too, which go among the typed ones."""
        given = {"key": self.data.get("key") or new_key()}
        if codes := self.cleaned_data.get("file"):
            typed = code_lists.split_codes(self.data.get("stock_codes", ""))
            given |= {"stock_codes": " ".join(dict.fromkeys([*typed, *codes])), "scope": SOME}
        self._amend(given)

    def renew(self) -> None:
        """Let the next press count as a new one."""
        self._amend({"key": new_key()})

    def _amend(self, given: dict[str, str]) -> None:
        data: Any = self.data
        self.data = data = data.copy()
        for name, value in given.items():
            data[name] = value

    def _codes(self) -> list[str]:
        data = self.cleaned_data
        return [*data.get("stock_codes", ()), *data.get("file", ())]

    def _resolve(self) -> None:
        data = self.cleaned_data
        # A file says by itself that its stocks are meant.
        chosen = self._codes() if data["scope"] == SOME or data["file"] else []
        order = Order(
            **{name: data[name] for name in ("start_date", "end_date", "market", "source", "adjust", *MODES)},
            stock_codes=tuple(chosen) or None,
        )
        try:
            self.order = orders.resolve(order, orders.latest_today(), settings.COLLECTOR)
        except errors.OrderError as error:
            self.refuse(error)


def new_key() -> str:
    return uuid4().hex


def values_from_order(order: Order) -> dict[str, Any]:
    """What the form shows of an order."""
    names = ("start_date", "end_date", "market", "source", "adjust", *MODES)
    codes = order.stock_codes or ()
    return {
        **{name: getattr(order, name) for name in names},
        "scope": SOME if codes else ALL,
        "stock_codes": " ".join(codes),
        "key": new_key(),
    }
