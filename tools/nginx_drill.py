"""nginx with deploy/nginx.conf in front of a real web server: `python -m tools.nginx_drill`.

Prints what was seen: the redirect to HTTPS, compressed pages, a 304, a streamed bulk read, the limits, and a
reload of the web server under requests. Exits with 1 when something else was seen than should be. Skipped
aloud where nginx is not installed.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import trustme

ROOT = Path(__file__).resolve().parent.parent
NAME, PASSWORD = "quotes.example.org", "a-password-for-the-drill"
PATIENCE = 60.0  # seconds
RELOADS = 3
BARS = "/admin/tasks_app/dailybar/"


def main() -> int:
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    if not nginx:
        print("skipped: nginx is not installed")
        return 0
    with tempfile.TemporaryDirectory(prefix="nginx-drill-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx's workers are of another user
        with web_server(folder) as (server, port, token), proxy(nginx, folder, port) as (plain, secure):
            run(server, plain, secure, token)
    print("everything was as it should be")
    return 0


@contextmanager
def web_server(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, str]]:
    """Runs gunicorn as in production, on a database with the sample. Yields it, its port and a token."""
    environment = {
        **os.environ,
        "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
        "DJANGO_SECRET_KEY": "only-for-the-drill-" * 4,
        "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
        "DJANGO_ALLOWED_HOSTS": NAME,
        "DJANGO_PROXIES": "1",
        "PYTHONWARNINGS": "ignore",
    }
    manage = [sys.executable, "manage.py"]
    subprocess.run(
        [*manage, "quickstart", "--once"], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL
    )
    make = (
        "from tasks_app.management import bootstrap, kept_token;"
        "print(kept_token.keep_token(bootstrap.ensure_admin()[0]))"
    )
    shell = [*manage, "shell", "--verbosity", "0", "--command", make]
    token = subprocess.run(
        shell, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    ).stdout
    port = free_port()
    gunicorn = [sys.executable, "-m", "gunicorn", "collector_site.wsgi", f"--bind=127.0.0.1:{port}"]
    command = [*gunicorn, "--workers=2", "--threads=4", "--log-level=warning", "--no-control-socket"]
    server = subprocess.Popen(command, cwd=ROOT, env={**environment, "DJANGO_DEBUG": "off"})
    try:
        yield server, port, token.split()[-1]
    finally:
        server.terminate()
        server.wait(timeout=PATIENCE)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


@contextmanager
def proxy(nginx: str, folder: Path, upstream: int) -> Iterator[tuple[str, str]]:
    """Runs nginx with the delivered configuration on other ports. Yields its addresses for HTTP and HTTPS."""
    authority = trustme.CA()
    certificate = authority.issue_cert(NAME)
    chain, key = folder / "chain.pem", folder / "key.pem"
    certificate.cert_chain_pems[0].write_to_path(str(chain))
    certificate.private_key_pem.write_to_path(str(key))
    plain, secure = free_port(), free_port()
    site = (ROOT / "deploy/nginx.conf").read_text()
    for before, after in (
        ("/etc/ssl/collector/fullchain.pem", str(chain)),
        ("/etc/ssl/collector/privkey.pem", str(key)),
        ("127.0.0.1:8000", f"127.0.0.1:{upstream}"),
        ("listen 80;", f"listen 127.0.0.1:{plain};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{secure} ssl;"),
    ):
        assert before in site
        site = site.replace(before, after)
    site = re.sub(r"listen \[::\].*\n", "", site)
    main = folder / "main.conf"
    main.write_text(
        f"pid {folder}/pid; error_log stderr;\nevents {{}}\nhttp {{ access_log off;\n{site}\n}}\n"
    )
    process = subprocess.Popen([nginx, "-c", str(main), "-g", "daemon off;"])
    try:
        yield f"http://127.0.0.1:{plain}", f"https://127.0.0.1:{secure}"
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE)


def run(server: "subprocess.Popen[bytes]", plain: str, secure: str, token: str) -> None:
    headers = {"Host": NAME}
    with httpx.Client(base_url=secure, headers=headers, verify=False, timeout=PATIENCE) as client:  # noqa: S501
        until_ready(client)
        redirect = httpx.get(f"{plain}/admin/", headers=headers)
        told("HTTP is redirected", redirect.status_code, 301)
        told(
            "an unknown host is refused",
            client.get("/admin/", headers={"Host": "evil.example"}).status_code,
            400,
        )
        api = {"Authorization": f"Bearer {token}"}
        compression(client, api)
        bulk_read(client, api)
        told(
            "a body of 2 MB",
            client.post("/api/data-collection/historical", content=b"x" * 2**21).status_code,
            413,
        )
        reload_under_requests(server, client, api)
        codes = [client.get("/admin/login/").status_code for _ in range(15)]
        told(
            "15 requests of the sign-in page at once, the first and the last",
            (codes[0], codes[-1]),
            (302, 429),
        )


def told(what: str, seen: object, expected: object) -> None:
    """Prints what was seen. Raises `AssertionError` if it is something else."""
    assert seen == expected, f"{what}: {seen}, not {expected}"
    print(f"{what}: {seen}", flush=True)


def until_ready(client: httpx.Client) -> None:
    """Waits until the web server answers behind nginx."""
    ends_at = time.monotonic() + PATIENCE
    while time.monotonic() < ends_at:
        try:
            if client.get("/healthz").status_code == 200:
                return
        except httpx.TransportError:  # nginx has not started yet
            pass
        time.sleep(0.2)
    raise AssertionError("the web server does not answer")


def compression(client: httpx.Client, api: dict[str, str]) -> None:
    """The list of 100 bars as a page, and a list of the API with its ETag."""
    form = client.get("/admin/login/").text
    csrf = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', form)[0]
    body = {"username": "admin", "password": PASSWORD, "csrfmiddlewaretoken": csrf, "next": BARS}
    signed_in = client.post("/admin/login/", data=body, headers={"Referer": f"https://{NAME}/admin/login/"})
    told("signing in", (signed_in.status_code, signed_in.headers["Location"]), (302, BARS))
    sizes = [transferred(client, BARS, {"Accept-Encoding": coding}) for coding in ("identity", "gzip")]
    print(f"the list of 100 bars: {sizes[0]:,} bytes, {sizes[1]:,} with gzip")
    assert sizes[1] * 5 < sizes[0]
    task = client.get("/api/data-collection/tasks", headers=api).json()[0]["task_id"]
    status = f"/api/data-collection/status/{task}"
    etag = client.get(status, headers={**api, "Accept-Encoding": "gzip"}).headers["ETag"]
    answer = client.get(status, headers={**api, "Accept-Encoding": "gzip", "If-None-Match": etag})
    told("a task's status with its ETag", answer.status_code, 304)


def transferred(client: httpx.Client, path: str, headers: dict[str, str]) -> int:
    """Returns the bytes of a response's body as they came."""
    with client.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200
        assert response.headers.get("Content-Encoding", "identity") == headers["Accept-Encoding"]
        return sum(map(len, response.iter_raw()))


def bulk_read(client: httpx.Client, api: dict[str, str]) -> None:
    """Arrow passes through as it is; CSV is compressed on its way."""
    for form, coding in (("arrow", "identity"), ("csv", "gzip")):
        query = {"market": "US", "format": form}
        headers = {**api, "Accept-Encoding": "gzip"}
        with client.stream("GET", "/api/data-collection/bars", params=query, headers=headers) as response:
            size = sum(map(len, response.iter_raw()))
            seen = (response.status_code, response.headers.get("Content-Encoding", "identity"))
        told(f"a bulk read as {form}, {size:,} bytes", seen, (200, coding))


def reload_under_requests(
    server: "subprocess.Popen[bytes]", client: httpx.Client, api: dict[str, str]
) -> None:
    """Sends SIGHUP to gunicorn, as `systemctl reload` does, while clients poll."""
    over, codes = Event(), []

    def poll() -> None:
        while not over.wait(0.05):
            codes.append(client.get("/api/data-collection/current-task", headers=api).status_code)

    polling = [Thread(target=poll) for _ in range(2)]
    for thread in polling:
        thread.start()
    left = 0
    for _ in range(RELOADS):
        asked = len(codes) + 20
        before = children(server.pid)
        server.send_signal(signal.SIGHUP)
        ends_at = time.monotonic() + PATIENCE
        while (children(server.pid) & before or len(codes) < asked) and time.monotonic() < ends_at:
            time.sleep(0.1)
        left += len(children(server.pid) & before)
    over.set()
    for thread in polling:
        thread.join()
    told(f"old processes after {RELOADS} reloads", left, 0)
    told(f"answers of {len(codes)} requests meanwhile", sorted(set(codes)), [200])


def children(pid: int) -> set[str]:
    """Returns the ids of a process's children (Linux)."""
    found: Any = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return set(found.split())


if __name__ == "__main__":
    sys.exit(main())
