"""The tests of a group run in one process, which makes once what they share."""

import pytest


@pytest.mark.xdist_group("shared")
def test_id_names_the_group(request):
    """By which `--dist loadgroup` distributes: it asks each process for nothing else."""
    grouped = request.config.getoption("loadgroup", default=False)
    assert request.node.nodeid.endswith("@shared") == grouped
