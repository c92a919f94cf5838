"""The web server: what Django's own checks say of its security, and whether its files are collected."""

import filecmp
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles import finders
from django.core.checks import CheckMessage, Tags, run_checks

from tasks_app import checks
from tasks_app.diagnostics.findings import Finding, fault, ok, operations, runbook, warning
from tasks_app.diagnostics.texts import gettext_lazy as _, join

OURS = "tasks_app"  # the folder of our static files

SECURE = ok("deployment_checked", _("%(manage)s check --deploy finds nothing to complain about."))
DEBUG_ON = warning(
    "debug_on",
    _("DJANGO_DEBUG is on: for trying it out on this machine only."),
    _("For users or other machines, set DJANGO_DEBUG=off, DJANGO_SECRET_KEY and DJANGO_ALLOWED_HOSTS."),
    operations("production-in-short"),
)
ANY_HOST = warning(
    "allowed_hosts_any",
    _("DJANGO_ALLOWED_HOSTS allows any host name, so a foreign one gets into links."),
    _("Name the hosts under which the site is reached, separated by commas."),
    runbook("CollectorDown"),
)
LOCAL_HOSTS = warning(
    "allowed_hosts_local",
    _("DJANGO_ALLOWED_HOSTS has only names of this machine: %(hosts)s. Others get a 400."),
    _("Add the host names under which the site is reached."),
    runbook("CollectorDown"),
)
INSECURE = warning(
    "deployment_insecure",
    _("%(id)s: %(message)s"),
    _("HTTPS in front and DJANGO_HTTPS=on secure the cookies; set a long random DJANGO_SECRET_KEY."),
    operations("production-in-short"),
)
SETTINGS_WRONG = fault(
    "settings_contradict", _("%(message)s"), _("Correct it; %(manage)s check says whether all is well.")
)
COLLECTED = ok("static_files_collected", _("The static files are collected."))
NOT_COLLECTED = fault(
    "static_files_missing",
    _("Static files are not collected, so pages have no styles and scripts: %(names)s"),
    _("Run %(manage)s collectstatic --no-input, and restart the web server."),
    operations("production-in-short"),
)
OUTDATED = warning(
    "static_files_outdated",
    _("Collected static files are of another version: %(names)s"),
    _("Run %(manage)s collectstatic --no-input, and restart the web server."),
    operations("upgrades"),
)
LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})


def examine() -> Iterator[Finding]:
    """Runs the checks of our settings and, outside of debugging, those of a deployment. Takes no query."""
    for check in (
        checks.check_times,
        checks.check_chains,
        checks.check_sources,
        checks.check_source_settings,
    ):
        for message in check():
            if message.is_serious():
                yield SETTINGS_WRONG(message=message.msg)
    if settings.IS_LOCAL:
        yield DEBUG_ON()
        return
    yield from _deployment()
    yield from _static_files()


def _deployment() -> Iterator[Finding]:
    found = [INSECURE(id=message.id, message=" ".join(message.msg.split())) for message in _messages()]
    if "*" in settings.ALLOWED_HOSTS:
        found.append(ANY_HOST())
    elif set(settings.ALLOWED_HOSTS) <= LOCAL:
        found.append(LOCAL_HOSTS(hosts=join(settings.ALLOWED_HOSTS)))
    yield from found or [SECURE()]


def _messages() -> list[CheckMessage]:
    return list(run_checks(tags=[Tags.security], include_deployment_checks=True))


def _static_files() -> Iterator[Finding]:
    """Compares our own files with the collected ones; those of packages come with them."""
    missing, outdated = [], []
    folder = Path(str(finders.find(OURS)))
    for source in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = source.relative_to(folder)
        collected = Path(settings.STATIC_ROOT) / OURS / name
        if not collected.exists():
            missing.append(name)
        elif not filecmp.cmp(source, collected, shallow=False):
            outdated.append(name)
    if missing:
        yield NOT_COLLECTED(names=join(missing))
    if outdated:
        yield OUTDATED(names=join(outdated))
    if not (missing or outdated):
        yield COLLECTED()
