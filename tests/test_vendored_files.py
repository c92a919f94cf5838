"""The files of others that are kept here are the very ones that were published."""

from tools import vendored_files


def test_vendored_files_match_their_digests():
    assert vendored_files.differing() == []


def test_vendored_packages_include_their_licence():
    for package in vendored_files.PACKAGES:
        assert any(ours.endswith("LICENSE") for ours, _digest in package.files.values())
