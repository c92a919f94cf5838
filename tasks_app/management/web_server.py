"""The web server of `quickstart`: its socket, its command, and whether it responds."""

import errno
import http.client
import os
import socket
from urllib.parse import urlunsplit

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from tasks_app.errors import CollectorError

WORKERS, THREADS = 2, 4
GRACE_SECONDS = 5
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - a reachable address for a wildcard


class AddressTaken(CollectorError):
    code = "address_taken"
    template = _("Can't listen on %(host)s:%(port)s: %(reason)s. Choose another port with --port (0: any).")


class NotOurAddress(CollectorError):
    code = "not_our_address"
    template = _(
        "Can't listen on %(host)s: %(reason)s. --host takes an address of this machine: 127.0.0.1 for itself "
        "only, 0.0.0.0 for other machines as well."
    )


def listen(host: str, port: int) -> socket.socket:
    """Returns a listening socket; port 0 takes a free one. Raises `AddressTaken` or `NotOurAddress`.

    It is opened before anything else starts, and kept: a restarted web server misses no request.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except UnicodeError as error:  # an impossible host name
        raise NotOurAddress(host=host, reason=error) from error
    except OSError as error:
        number, (message, *_) = error.errno or 0, str(error.strerror).split(" (while")
        reason = os.strerror(number) if number > 0 else message
        unknown = number < 0 or number == errno.EADDRNOTAVAIL  # below zero: the name can't be resolved
        raise (NotOurAddress if unknown else AddressTaken)(host=host, port=port, reason=reason) from error


def gunicorn_command(listener: socket.socket) -> list[str]:
    """Returns the command of gunicorn on that socket; it loads the site once and then forks."""
    options = {
        "bind": f"fd://{listener.fileno()}",
        "workers": WORKERS,
        "threads": THREADS,
        "worker-class": "gthread",
        "graceful-timeout": GRACE_SECONDS,
        "log-level": "warning",
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    return [
        "-m",
        "gunicorn",
        "--config",
        str(settings.BASE_DIR / "gunicorn.conf.py"),
        *flags,
        "--preload",
        "--no-control-socket",
        "collector_site.wsgi",
    ]


def local_address(listener: socket.socket) -> tuple[str, int]:
    """Returns host and port by which this machine reaches it."""
    host, port = listener.getsockname()[:2]
    return ANYWHERE.get(host, host), port


def url(listener: socket.socket, path: str = "") -> str:
    """Returns its URL, without a trailing slash unless `path` has one."""
    host, port = local_address(listener)
    name = f"[{host}]" if ":" in host else host
    return urlunsplit(("http", f"{name}:{port}", path, "", ""))


def is_responding(listener: socket.socket) -> bool:
    """Whether /healthz responds. A refused host name or a redirect to HTTPS counts as well."""
    connection = http.client.HTTPConnection(*local_address(listener), timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
