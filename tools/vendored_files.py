"""Checks the third-party files in this repository: `python -m tools.vendored_files [--update]`.

Each is an unchanged file of an npm package whose integrity is pinned here. Fails unless every file is
identical. `--update` fetches the packages with npm and writes the files again; for another version,
change its line here first.
"""

import base64
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

PLACE = Path(__file__).resolve().parent.parent / "tasks_app" / "static" / "tasks_app" / "vendor"


@dataclass(frozen=True)
class Package:
    """A package's version, its integrity as npm states it, and its files: path → (our name, SHA-256)."""

    name: str
    version: str
    sha512: str
    files: dict[str, tuple[str, str]]


PACKAGES = [
    Package(
        "lightweight-charts",
        "5.2.1",
        "IVwoK1RLFiLPubaKIjNbtjWLnpPMqiABSrTay6whmNa8L1+19292VtHJ+BWyPUuLCwF0tcQlhEWd1CLB2a1nsQ==",
        {
            "package/dist/lightweight-charts.standalone.production.js": (
                "lightweight-charts.js",
                "e21cc5caa0226ef30bd8549c50b9ef926615f2a4ee6b4e486353477a55f598cf",
            ),
            "package/LICENSE": (
                "lightweight-charts.LICENSE",
                "70c9d5382506dd184465425c08a99ad9bd6d9ac1313c252968ba0b585e5ef823",
            ),
        },
    ),
]


def update() -> None:
    """Fetches, checks and writes every file."""
    PLACE.mkdir(exist_ok=True)
    for package in PACKAGES:
        with tempfile.TemporaryDirectory() as folder:
            command = ["npm", "pack", "--silent", f"{package.name}@{package.version}"]
            subprocess.run(command, cwd=folder, check=True)
            (archive,) = Path(folder).glob("*.tgz")
            actual = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
            if actual != package.sha512:
                sys.exit(f"{package.name} {package.version} is not the pinned package: sha512-{actual}")
            _write_files(package, archive)


def _write_files(package: Package, archive: Path) -> None:
    with tarfile.open(archive) as tar:
        for theirs, (ours, _digest) in package.files.items():
            member = tar.extractfile(theirs)
            assert member
            (PLACE / ours).write_bytes(member.read())


def differing() -> list[str]:
    """Returns the names of files that are missing, changed, or not pinned."""
    pinned = {ours: digest for package in PACKAGES for ours, digest in package.files.values()}
    actual = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in PLACE.iterdir()}
    return sorted(name for name in pinned | actual if pinned.get(name) != actual.get(name))


if __name__ == "__main__":
    if "--update" in sys.argv:
        update()
    if names := differing():
        sys.exit(f"Not as pinned: {', '.join(names)}")
