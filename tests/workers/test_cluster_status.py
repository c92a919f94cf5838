"""A worker machine appears among django-q2's clusters, as one of its own would."""

import socket

import pytest
from django_q.conf import Conf
from django_q.status import Stat

from tasks_app.queue import dispatch
from tasks_app.workers import cluster_status
from tasks_app.workers.process_state import shared_states


class Stopped(Exception):
    """Ends the endless loop."""


@pytest.mark.parametrize(("is_busy", "status"), [(False, "Idle"), (True, "Working")])
@pytest.mark.usefixtures("own_cache")  # others would see this worker machine for three seconds
def test_machine_is_listed_with_its_live_workers(monkeypatch, is_busy, status):
    def stop(seconds: float) -> None:
        raise Stopped

    monkeypatch.setattr(cluster_status.time, "sleep", stop)
    workers = shared_states(3)
    workers[0].pid, workers[1].pid = 11, 12  # the third is being replaced
    workers[1].is_busy = is_busy
    with pytest.raises(Stopped):
        cluster_status.publish_forever(10, workers)
    (cluster,) = dispatch.live_clusters()
    assert (cluster.host, cluster.pid, cluster.workers) == (socket.gethostname(), 10, 2)
    assert str(cluster.status) == status == str(Conf.WORKING if is_busy else Conf.IDLE)
    assert Stat.get_all()[0].workers == [11, 12]
