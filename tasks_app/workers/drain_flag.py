"""“Please stop soon”: one flag that all processes of a cluster share.

A slice polls `requested()` between two stocks and, once it is true, hands back what it holds.
"""

import mmap

# One byte of shared memory, mapped when this module is first imported, hence before the cluster forks.
# No lock guards it: a process that is SIGKILLed while touching it can leave nobody waiting for ever,
# which multiprocessing.Event cannot promise.
_flag = mmap.mmap(-1, 1)


def request() -> None:
    """Ask every process of this cluster to finish what it does. Final: a cluster is never asked to go on."""
    _flag[0] = 1


def requested() -> bool:
    """True once the cluster is to stop. Cheap enough to ask on every turn of a loop."""
    return _flag[0] == 1
