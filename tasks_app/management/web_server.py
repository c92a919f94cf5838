"""The web server that `quickstart` runs: its socket, its program, and whether it answers."""

import errno
import http.client
import os
import socket
from urllib.parse import urlunsplit

from django.utils.translation import gettext_lazy as _

from tasks_app.errors import CollectorError

WORKERS, THREADS = 2, 4
GRACE_SECONDS = 5
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - a listener's, made reachable


class AddressTaken(CollectorError):
    code = "address_taken"
    template = _("Can't listen on %(host)s:%(port)s: %(reason)s. Choose another one with --port (0: any).")


class NotOurAddress(CollectorError):
    code = "not_our_address"
    template = _(
        "Can't listen on %(host)s: %(reason)s. --host takes an address of this machine: 127.0.0.1 for itself "
        "alone, 0.0.0.0 for others, too."
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises `AddressTaken` or `NotOurAddress`.

    It is opened before anything else starts, and held: a web server that is started again misses no request.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except UnicodeError as error:  # from a name that can be none
        raise NotOurAddress(host=host, reason=error) from error
    except OSError as error:
        number, (said, *_) = error.errno or 0, str(error.strerror).split(" (while")
        reason = os.strerror(number) if number > 0 else said
        unknown = number < 0 or number == errno.EADDRNOTAVAIL  # below zero: the name can't be resolved
        raise (NotOurAddress if unknown else AddressTaken)(host=host, port=port, reason=reason) from error


def command(listener: socket.socket) -> list[str]:
    """gunicorn on that socket: one program, loaded once and then forked."""
    options = {
        "bind": f"fd://{listener.fileno()}",
        "workers": WORKERS,
        "threads": THREADS,
        "worker-class": "gthread",
        "graceful-timeout": GRACE_SECONDS,
        "log-level": "warning",
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    return ["-m", "gunicorn", *flags, "--preload", "--no-control-socket", "collector_site.wsgi"]


def address(listener: socket.socket) -> tuple[str, int]:
    """Where this machine reaches it."""
    host, port = listener.getsockname()[:2]
    return ANYWHERE.get(host, host), port


def url(listener: socket.socket, path: str = "") -> str:
    """The same for people; without a slash at its end unless `path` has one."""
    host, port = address(listener)
    place = f"[{host}]" if ":" in host else host
    return urlunsplit(("http", f"{place}:{port}", path, "", ""))


def answers(listener: socket.socket) -> bool:
    """Whether /healthz does. A refused host name or a redirect to HTTPS is an answer, too."""
    connection = http.client.HTTPConnection(*address(listener), timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
