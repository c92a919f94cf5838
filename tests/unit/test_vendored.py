"""The files of others that are kept here are the very ones that were published."""

from tests import vendored


def test_every_vendored_file_is_as_pinned():
    assert vendored.differing() == []


def test_each_comes_with_its_licence():
    for package in vendored.PACKAGES:
        assert any(ours.endswith("LICENSE") for ours, _digest in package.files.values())
