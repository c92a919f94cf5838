"""Sources: whether those in use can be used, what the breaker and quotas say, and how their
last checks went."""

from collections.abc import Iterator, Mapping

from django.conf import settings

from tasks_app.diagnostics.findings import Finding, fault, ok, operations, runbook, warning
from tasks_app.diagnostics.texts import gettext_lazy as _, join
from tasks_app.lifecycle import selectors, source_settings
from tasks_app.models import CollectionPlan, SourceCheck
from tasks_app.sources import registry
from tasks_app.throttle import source_list, status
from tasks_app.throttle.status import LimiterState, LimiterStatus

NEARLY = 0.9  # of the day's quota, as in the alert CollectorQuotaNearlyUsed
SEE = operations("sources-rates-pauses-fallbacks")

USABLE = ok("sources_usable", _("Usable sources: %(names)s"))
OTHERS = ok("sources_not_installed", _("Not usable here, and not in use: %(names)s"))
UNUSABLE = fault(
    "source_unusable",
    _("The source %(source)s is to be used (%(users)s), but can't be: %(reason)s"),
    _(
        "Install its package on all machines, or set what it lacks (Collection → Sources); or"
        " name another source."
    ),
    SEE,
)
BROKEN = warning(
    "source_broken",
    _("The source %(source)s can't be used: %(reason)s"),
    _("Correct or remove it."),
    operations("sources-rates-pauses-fallbacks"),
)
SETTING_BAD = fault(
    "source_setting_bad",
    _("%(variable)s: %(reason)s"),
    _("Enter it again on the source's page (Collection → Sources), or correct the environment."),
    SEE,
)
PAUSED = warning(
    "source_paused",
    _("%(source)s is paused until %(until)s: %(reason)s"),
    _("One request probes it then. Lower its rate before a ban returns; a refused token has to be replaced."),
    runbook("CollectorSourcePaused"),
)
QUOTA_USED = warning(
    "quota_used",
    _("%(source)s takes no requests until %(until)s: %(reason)s"),
    _(
        "Tasks go on then. If the vendor allows more, raise the quota; otherwise order less, or"
        " name a fallback."
    ),
    runbook("CollectorQuotaNearlyUsed"),
)
QUOTA_NEARLY = warning(
    "quota_nearly_used",
    _("%(source)s: %(used)d of the day's %(most)d requests are used."),
    _(
        "If the vendor allows more, raise COLLECTOR_<SOURCE>_DAILY; otherwise order less per"
        " day, or name a fallback."
    ),
    runbook("CollectorQuotaNearlyUsed"),
)
QUOTA_LEFT = ok("quota_left", _("%(source)s: %(used)d of the day's %(most)d requests are used."))
CHECK_FAILED = warning(
    "source_check_failed",
    _("The last check of %(source)s (%(at)s) failed: %(reason)s"),
    _("Remove the cause, then check it again: %(manage)s sources check %(source)s."),
    runbook("CollectorSourceRefuses"),
)
CHECKED = ok("source_checked", _("The last check of %(source)s (%(at)s) found that it works."))
NO_THROTTLE = warning(
    "throttle_off",
    _(
        "COLLECTOR_NO_THROTTLE is on: rate limits, quotas and circuit breakers are switched off, and"
        " vendors may ban this address."
    ),
    _("It is for drills only. Remove it, and restart everything."),
    SEE,
)


def examine() -> Iterator[Finding]:
    """Takes some ten queries, and no request to a vendor."""
    conf, users = settings.COLLECTOR, _users()
    if conf.no_throttle:
        yield NO_THROTTLE()
    yield from _usable(users)
    for limiter in status.all_statuses():
        yield from _limiter(limiter)
    for name in registry.available(conf):
        for setting in source_settings.statuses(name):
            if setting.problem:
                yield SETTING_BAD(variable=setting.variable, reason=setting.problem)
    for check in SourceCheck.objects.filter(ended_at__isnull=False).order_by("source"):
        yield _check(check)


def _users() -> Mapping[str, set[str]]:
    """Returns what uses each source: settings, plans that are switched on, the running task."""
    conf = settings.COLLECTOR
    users: dict[str, set[str]] = {conf.default_source: {"COLLECTOR_DEFAULT_SOURCE"}}
    for _market, chain in conf.fallbacks:
        for name in chain:
            users.setdefault(name, set()).add("COLLECTOR_FALLBACKS")
    rows: list[tuple[str, list[str]]] = [
        (plan.name, [plan.source, *(plan.fallbacks or ()), plan.verify_with])
        for plan in CollectionPlan.objects.filter(enabled=True)
    ]
    if task := selectors.get_running_task():
        rows.append((str(task.pk)[:8], [task.source, *task.fallbacks, task.verify_with]))
    for user, names in rows:
        for name in filter(None, names):
            users.setdefault(name, set()).add(user)
    return users


def _usable(users: Mapping[str, set[str]]) -> Iterator[Finding]:
    conf = settings.COLLECTOR
    entries = {entry.name: entry for entry in source_list.all_sources(conf)}
    for name in sorted(users):
        problem = entries[name].problem if name in entries else str(_("there is no source of this name"))
        if problem:
            yield UNUSABLE(source=name, users=join(sorted(users[name])), reason=problem)
    broken = registry.broken(conf)
    # What a built-in one may lack is its time zone: that is a finding of the installation.
    for name in sorted(broken.keys() - users.keys() - registry.BUILT_IN.keys()):
        yield BROKEN(source=name, reason=broken[name])
    usable = [entry.name for entry in entries.values() if not entry.problem]
    others = [name for name, entry in entries.items() if entry.problem and name not in {*users, *broken}]
    if usable:
        yield USABLE(names=", ".join(usable))
    if others:
        yield OTHERS(names=", ".join(others))


def _limiter(limiter: LimiterStatus) -> Iterator[Finding]:
    if limiter.state in (LimiterState.PAUSED, LimiterState.CAPPED):
        kind = PAUSED if limiter.state is LimiterState.PAUSED else QUOTA_USED
        until = f"{limiter.paused_until:%Y-%m-%d %H:%M:%S %Z}"
        yield kind(source=limiter.source, until=until, reason=limiter.reason)
    elif limiter.was_asked and (most := registry.limits(limiter.source, settings.COLLECTOR).daily):
        kind = QUOTA_NEARLY if limiter.requests_today > NEARLY * most else QUOTA_LEFT
        yield kind(source=limiter.source, used=limiter.requests_today, most=most)


def _check(check: SourceCheck) -> Finding:
    at = f"{check.ended_at:%Y-%m-%d %H:%M %Z}"
    failed = [result for result in check.results if not result["works"]]
    if not failed:
        return CHECKED(source=check.source, at=at)
    return CHECK_FAILED(source=check.source, at=at, reason=failed[0]["error"] or failed[0]["error_code"])
