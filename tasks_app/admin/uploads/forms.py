"""The form that uploads files of quotes."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from tasks_app.conf import MARKETS
from tasks_app.models.quotes import Adjust, Market
from tasks_app.sources.csv_folder.layout import SUFFIXES


class SeveralFiles(forms.FileInput):
    """The browser's field for one file or several."""

    allow_multiple_selected = True

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        """Returns the list of files."""
        return files.getlist(name) if hasattr(files, "getlist") else files.get(name)


class FilesField(forms.FileField):
    """A field whose value is a list of uploaded files."""

    widget = SeveralFiles

    def clean(self, data: Any, initial: Any = None) -> Any:
        """Returns the files. Raises `ValidationError` without any."""
        files = [file for file in data or [] if file]
        clean_one = super().clean
        return [clean_one(file, initial) for file in files] or clean_one(None, initial)


class UploadForm(forms.Form):
    """One file or several (`file`), and what they are of."""

    file = FilesField(
        label=_("Files"),
        allow_empty_file=True,  # refused by its own sentence
        widget=SeveralFiles(
            attrs={"accept": ",".join(SUFFIXES), "aria-describedby": "uf-help ss-file-error"}
        ),
        error_messages={"required": _("Choose a file.")},
    )
    market = forms.ChoiceField(
        label=_("Market"),
        required=False,
        choices=[("", _("according to the codes")), *((each, Market(each).label) for each in MARKETS)],
    )
    adjust = forms.ChoiceField(label=_("Adjustment"), choices=Adjust.choices, required=False)
