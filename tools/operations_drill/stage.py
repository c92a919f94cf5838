"""Everything that the steps of the drill work on, and how they look at it."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from email.message import Message as Mail
from pathlib import Path
from typing import Any

from tools import notice_receivers
from tools.notice_receivers import Webhook
from tools.operations_drill import installation, network, servers
from tools.operations_drill.installation import Install, Web, WorkerHost
from tools.operations_drill.site import Site
from tools.operations_drill.vendor import Requests, Vendor, vendor

# Seconds: only where something is broken does anything take as long. A source is paused for five minutes
# before anybody is told of it (`HOLDS` in tasks_app/notices/routing.py).
PATIENCE = 480.0


class Stage:
    """The machines, the vendor, the receivers of notices, and the site as a user sees it."""

    site: Site
    mails: list[Mail]
    mail_port: int
    web: Web
    hosts: dict[str, WorkerHost]
    address: str  # of nginx
    plan_task = ""

    def __init__(
        self, net: network.Network, database: servers.Database, source: Vendor, folder: Path
    ) -> None:
        self.net, self.database, self.vendor, self.folder = net, database, source, folder
        self.hook = Webhook()
        self.environment: dict[str, str] = {}
        self.found: list[str] = []  # the last doctor's sentences
        self.session = ""  # the one that the target judges

    @classmethod
    @contextmanager
    def built(cls, folder: Path) -> Iterator["Stage"]:
        """Starts the servers, which are there before anything is deployed, and ends everything."""
        with ExitStack() as stack:
            net = stack.enter_context(network.network())
            database = stack.enter_context(servers.postgresql(net))
            redis = stack.enter_context(servers.redis(net, folder))
            stage = cls(net, database, stack.enter_context(vendor(net.address)), folder)
            stage.hook = stack.enter_context(notice_receivers.webhook(net.address))
            stage.mail_port, stage.mails = stack.enter_context(notice_receivers.mail_server(net.address))
            stage.environment = installation.settings(
                database.url(), redis, stage.vendor.url, len(network.HOSTS)
            )
            stage.web = Web(Install(folder / "web/collector", stage.environment))
            stage.hosts = {
                name: WorkerHost(net, name, Install(folder / name / "collector", stage.environment))
                for name in network.HOSTS
            }
            for host in stage.hosts.values():
                stack.callback(host.close)
            stack.callback(stage.web.shut_down)
            stage.address = stack.enter_context(installation.https(folder, stage.web))
            yield stage

    @property
    def installs(self) -> list[Install]:
        """The folders with the code, the web server's first."""
        return [self.web.install, *(host.install for host in self.hosts.values())]

    def manage(self, *arguments: str, **options: Any) -> installation.Done:
        """Runs a command of manage.py where the web server runs."""
        return self.web.install.manage(*arguments, **options)

    def doctor(self, host: str) -> tuple[int, list[str]]:
        """Returns the exit code of the doctor on a machine, and the codes of its warnings and faults."""
        machine = self.hosts[host]
        done = machine.install.manage("doctor", "--json", launcher=self.net.on(host), check=False)
        assert done.stdout, done.stderr
        found = [each for area in json.loads(done.stdout)["areas"] for each in area["findings"]]
        bad = [each for each in found if each["severity"] in ("warning", "fault")]
        self.found = [each["found"] for each in bad]
        return done.returncode, sorted(each["code"] for each in bad)

    def status(self, task: str) -> dict[str, Any]:
        """Returns a task as the API shows it."""
        found: dict[str, Any] = self.site.api(f"status/{task}")
        return found

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Returns what the condition returns once it is true. Raises `AssertionError` if it never is."""
        ends_at = time.monotonic() + PATIENCE
        while time.monotonic() < ends_at:
            if found := condition():
                return found
            time.sleep(0.25)
        raise AssertionError(f"not within {PATIENCE:.0f} s: {what}")

    def until_ended(self, task: str) -> dict[str, Any]:
        """Returns the task once it has ended."""
        self.until(lambda: self.status(task)["status"] != "running", f"the end of task {task}")
        return self.status(task)

    def asked_since(self, begin: int) -> Requests:
        """Returns the vendor's requests from a position in its log on."""
        return Requests(self.vendor.answers[begin:])

    def asked_again(self, task: str, begin: int) -> tuple[list[str], int]:
        """Returns the stocks that were requested after they were stored, and how many were answered twice.

        A request that a stopped worker has not finished is made again: its stock is not stored.
        """
        rows = self.database.rows(
            f"SELECT code, finished_at FROM tasks_app_collectionitem WHERE task_id = '{task}'"
        )
        stored = {str(code): at.timestamp() for code, at in rows}
        requests = self.asked_since(begin)
        late = {each.code for each in requests.answers if each.at > stored[each.code]}
        return sorted(late), sum(count > 1 for count in requests.answered().values())

    def names_asking(self, begin: int) -> set[str]:
        """Returns the addresses from which the vendor was asked since then."""
        return {each.address for each in self.vendor.answers[begin:]}

    def names(self, requests: Requests) -> dict[str, int]:
        """Returns the number of requests from each worker machine, by its name."""
        by_address = requests.by_address()
        known = {name: by_address.pop(address, 0) for name, address in self.net.addresses.items()}
        assert not by_address, f"requests from elsewhere: {by_address}"
        return known

    def logs(self) -> str:
        """Returns the ends of all logs."""
        files = sorted(self.folder.glob("*.log")) + sorted(self.folder.glob("*/*.log"))
        told = [f"doctor: {text}" for text in self.found]
        told += [f"webhook: {body['title']}: {body['message']}" for body in self.hook.received]
        told += [f"mail: {mail['Subject']}" for mail in self.mails]
        return "\n".join([*told, *(f"== {file.name}\n" + file.read_text()[-3000:] for file in files)])


def told(what: str, seen: object, expected: object = True) -> None:
    """Prints what was seen. Raises `AssertionError` if it is something else."""
    assert seen == expected, f"{what}: {seen!r}, not {expected!r}"
    print(f"  {what}: {seen}" if expected is not True else f"  {what}", flush=True)


def note(text: str) -> None:
    """Prints what was seen and may be different each time."""
    print(f"  {text}", flush=True)
