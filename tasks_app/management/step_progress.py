"""The progress of a command that works in steps: a bar on a terminal, nothing elsewhere."""

from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn


class StepProgress:
    """Context of a bar that is redrawn at each step."""

    def __init__(self, console: Console, *, disabled: bool = False) -> None:
        columns = (BarColumn(), TextColumn("{task.fields[text]}", markup=False))
        disabled = disabled or not console.is_terminal
        self.progress = Progress(*columns, console=console, auto_refresh=False, disable=disabled)
        self.row = self.progress.add_task("", text="")

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def show(self, done: int, total: int, text: str) -> None:
        self.progress.update(self.row, completed=done, total=total, text=text, refresh=True)
