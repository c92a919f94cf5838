"""Which process of a run gets the next test."""

from typing import Any

from xdist.scheduler import LoadGroupScheduling


class Scheduling(LoadGroupScheduling):
    """Forgets what has been done: xdist's own counts all tests of a process again whenever one has ended.

    With a few thousand tests, each of them a group, that takes seconds.
    """

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        super().mark_test_complete(node, item_index, duration)
        work = self.assigned_work[node]
        group = self._split_scope(self.registered_collections[node][item_index])
        if all(work[group].values()):
            del work[group]
