"""The folders below COLLECTOR_EXPORT_DIR, where pages, plans and the API may export."""

import re
from pathlib import Path

from django.conf import settings

from tasks_app.exports.errors import BadFolderName, NoExportFolder

NAME = re.compile(r"\w[\w.-]{0,63}")


def named_folder(name: str) -> Path:
    """Returns the folder of this name. Raises `NoExportFolder` or `BadFolderName`."""
    if not settings.COLLECTOR.export_dir:
        raise NoExportFolder
    root = Path(settings.COLLECTOR.export_dir)
    if not NAME.fullmatch(name) or (root / name).resolve().parent != root:
        raise BadFolderName(name=name[:64])
    return root / name
