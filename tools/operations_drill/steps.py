"""The steps of the drill, in their order."""

import subprocess
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from email.header import decode_header, make_header
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from tools.nginx_drill import children
from tools.operations_drill.site import RULE, Site
from tools.operations_drill.stage import Stage, note, told
from tools.operations_drill.vendor import STOCKS

ZONE = ZoneInfo("Asia/Shanghai")  # of the synthetic market
GOOD_ANSWERS = 45  # after which the vendor breaks down
ORDER = {"market": "SIM", "source": "vendor", "start_date": "2024-01-01", "end_date": "2024-03-29"}
ISSUE = (
    "from django.contrib.auth.models import User; from tasks_app.lifecycle import tokens; "
    "print(tokens.issue(User.objects.get(), 'drill', tokens.TokenScope.OPERATE, None)[1])"
)


def deploy(stage: Stage) -> None:
    """1. Deploy"""
    stage.manage("migrate", "--verbosity", "0")
    for install in stage.installs:
        install.manage("collectstatic", "--no-input", "--verbosity", "0")
    told("check --deploy", stage.manage("check", "--deploy").returncode, 0)
    stage.manage("createsuperuser", "--no-input", "--username", "admin", "--email", "admin@example.org")
    token = stage.manage("shell", "--verbosity", "0", "--command", ISSUE).stdout.split()[-1]
    stage.web.boot()
    for host in stage.hosts.values():
        host.boot()
    stage.site = Site(stage.address, token)
    stage.until(lambda: stage.site.ready() == 200, "/readyz answers 200")
    stage.site.sign_in()
    told("/readyz behind nginx", stage.site.ready(), 200)
    hosts = stage.database.rows("SELECT host, workers FROM tasks_app_workermachine ORDER BY 1")
    told("worker machines and their workers", hosts, [("worker-a", 2), ("worker-b", 2)])
    for name in stage.hosts:
        told(f"doctor on {name}, exit code and findings", stage.doctor(name), (1, ["backups_unknown"]))


def set_up_notices(stage: Stage) -> None:
    """2. Notices to a webhook and a mail server"""
    mail = f"mailto://{stage.net.address}:{stage.mail_port}?from=collector@example.org&to=ann@example.org&mode=insecure"
    for name, address in (("webhook", stage.hook.url), ("mail", mail)):
        values = {
            "name": name,
            "enabled": "on",
            "language": "en",
            "time_zone": "Asia/Shanghai",
            "grouping": "1",
        }
        stage.site.add("noticechannel", **values, address=address, **RULE)
    told("channels", stage.database.one("SELECT count(*) FROM tasks_app_noticechannel WHERE enabled"), 2)


def set_target_and_plan(stage: Stage) -> None:
    """3. A target, and a plan a minute before its deadline"""
    now = datetime.now(ZONE)
    due = (now + timedelta(seconds=80)).replace(second=0, microsecond=0)
    deadline = due + timedelta(seconds=45)
    session = next(day for day in (now.date() - timedelta(days=n) for n in range(1, 7)) if day.weekday() < 5)
    stage.session = session.isoformat()
    days_after = str((deadline.date() - session).days)
    values = {
        "name": "complete",
        "enabled": "on",
        "market": "SIM",
        "kind": "stock",
        "adjust": "",
        "source": "",
    }
    stage.site.add("target", **values, minimum="100", at=f"{deadline:%H:%M:%S}", days_after=days_after)
    plan = {"name": "daily", "market": "SIM", "source": "vendor", "rhythm": "daily", "days": 10}
    made = stage.site.api("plans", {**plan, "at": f"{due:%H:%M}"})
    note(f"target: session {session} is to be complete by {deadline:%Y-%m-%d %H:%M:%S}")
    told("plan, next run", _moment(made["next_at"]), f"{due:%H:%M:%S}")
    stage.vendor.good_for = GOOD_ANSWERS


def fire_plan(stage: Stage) -> None:
    """4. The plan fires once, and the vendor breaks down in mid-run"""
    tasks = lambda: stage.site.api("tasks")  # noqa: E731
    task = stage.until(tasks, "the plan's task")[0]
    stage.plan_task = task["task_id"]
    told("started by the plan", task["plan"]["name"], "daily")
    note(f"started at {_moment(task['start_time'])}")
    stage.until(lambda: stage.vendor.is_down, "the vendor's breakdown")
    stage.until(lambda: stage.status(stage.plan_task)["source_paused_until"], "the breaker")
    status = stage.status(stage.plan_task)
    note(f"breaker: {status['source_message']}")
    stage.until(
        lambda: stage.status(stage.plan_task)["processed_stocks"] == GOOD_ANSWERS, "the answers are stored"
    )
    told("stocks stored before the breakdown", stage.status(stage.plan_task)["success_count"], GOOD_ANSWERS)


def wait_for_notices(stage: Stage) -> None:
    """5. The deadline passes; notices of both incidents arrive"""
    wanted = ("source is paused", "data are behind")
    for text in wanted:
        stage.until(partial(_hook, stage, text), f"webhook: {text}")
        stage.until(partial(_mail, stage, text), f"mail: {text}")
        note(f"webhook: {_hook(stage, text)[0]}")
        note(f"mail:    {_mail(stage, text)[0]}")
    open_incidents = "SELECT event FROM tasks_app_incident WHERE closed_at IS NULL ORDER BY event"
    told(
        "open incidents",
        [event for (event,) in stage.database.rows(open_incidents)],
        ["data_behind", "source_paused"],
    )
    refused = stage.asked_since(0).refused()
    note(f"requests that the vendor refused up to now: {refused}")
    assert refused < 40, "the breaker does not keep the workers from asking"


def heal(stage: Stage) -> None:
    """6. The vendor heals; the run catches up, and the target is met late"""
    stage.vendor.is_down = False
    healed_at = time.monotonic()
    ended = stage.until_ended(stage.plan_task)
    note(f"the run ended {time.monotonic() - healed_at:.0f} s after the healing")
    told(
        "status, stocks, failed",
        (ended["status"], ended["success_count"], ended["failed_count"]),
        ("completed", STOCKS, 0),
    )
    _told_requests(stage, stage.plan_task, 0)
    session = stage.until(lambda: _session(stage), "the judgement")
    told("the target's session", session["state"], "late")
    note(
        f"deadline {_moment(session['deadline'])}, complete at {_moment(session['complete_at'])}: "
        f"{session['late_seconds']:.0f} s late"
    )
    told("bars and missing stocks of the session", (session["bars"], session["missing"]), (STOCKS, 0))
    for text in ("source is paused", "data are behind"):
        stage.until(partial(_ended, stage, text), f"the end of the incident: {text}")
        note(f"webhook: {_hook(stage, text)[-1]}")
    stage.until(
        lambda: stage.database.one("SELECT count(*) FROM tasks_app_incident WHERE closed_at IS NULL") == 0,
        "no open incident",
    )
    runs = stage.database.rows("SELECT count(*), count(DISTINCT plan_id) FROM tasks_app_planrun")
    tasks = stage.database.one("SELECT count(*) FROM tasks_app_collectiontask")
    told("runs of the plan, and tasks, with two watchdogs looking", (runs[0][0], tasks), (1, 1))


def rolling_restart(stage: Stage) -> None:
    """7. An upgrade, machine by machine, in the middle of a run"""
    task, began = _start(stage, seconds=1.0)  # so that it lasts for as long as the upgrade
    for name, host in stage.hosts.items():
        before = stage.status(task)["processed_stocks"]
        old = host.worker_pids()
        code = host.shut_down()
        host.install.upgrade()
        host.boot()
        after = stage.status(task)
        told(f"{name}: exit code after SIGTERM", code, 0)
        told(f"{name}: the run goes on", after["status"], "running")
        note(f"{name}: processed {before} before, {after['processed_stocks']} after its restart")
        told(
            f"{name}: old processes that are left",
            sorted(pid for pid in old if Path(f"/proc/{pid}").exists()),
            [],
        )
        if name == "worker-a":
            time.sleep(4)  # the heartbeat of the old processes counts for three seconds
            told("doctor meanwhile", stage.doctor(name)[1], ["backups_unknown", "versions_differ"])
    stage.web.install.upgrade()
    workers = children(stage.web.pid)
    stage.web.reload()
    stage.until(lambda: not children(stage.web.pid) & workers, "the end of the old web processes")
    told("web: /readyz after SIGHUP", stage.site.ready(), 200)
    told("the run is still going", stage.status(task)["status"], "running")
    stage.vendor.seconds = 0.1
    _told_complete(stage, task, began)
    hosts = stage.until(lambda: _one_code(stage), "all machines report the same code")
    told("codes of the worker machines", hosts, 1)


def pause_over_restart(stage: Stage) -> None:
    """8. A pause over a restart of all machines"""
    task, began = _start(stage, seconds=0.5, start_date="2023-01-02", end_date="2023-03-31")
    stage.until(lambda: stage.status(task)["processed_stocks"] >= 20, "20 stocks")
    stage.site.api(f"tasks/{task}/pause", {})
    stage.until(lambda: _idle(stage), "no slice runs")
    asked, stored = len(stage.vendor.answers), stage.status(task)["processed_stocks"]
    for host in stage.hosts.values():
        told(f"{host.name}: exit code after SIGTERM", host.shut_down(), 0)
    for host in stage.hosts.values():
        host.boot()
    time.sleep(5)  # in which workers would ask, if they did not know of the pause
    told("requests while it was paused", len(stage.vendor.answers) - asked, 0)
    told("status and processed stocks", _columns(stage, task), ("running", stored))
    stage.site.api(f"tasks/{task}/resume", {})
    stage.vendor.seconds = 0.1
    _told_complete(stage, task, began)


def back_up_and_restore(stage: Stage) -> None:
    """9. A backup in the middle of a run, the loss of everything, and the restored backup"""
    task, _ = _start(stage, seconds=0.5, start_date="2022-01-03", end_date="2022-03-31")
    stage.until(lambda: stage.status(task)["processed_stocks"] >= 40, "40 stocks")
    file, before = _back_up(stage)
    copied = stage.status(task)["processed_stocks"]
    stage.until(lambda: stage.status(task)["processed_stocks"] >= copied + 40, "40 further stocks")
    _lose_everything(stage)
    url = stage.database.url("restored")
    _shell(stage, f'createdb --maintenance-db "{stage.database.url("postgres")}" restored')
    _shell(stage, f'pg_restore --no-owner --exit-on-error -d "{url}" "{file}"')
    stage.database.name = "restored"
    with stage.database.snapshot() as (_name, after):
        differing = [name for name in before if before[name] != after.get(name)]
    rows = sum(count for count, _checksum in after.values())
    told(f"tables that differ, of {len(after)} with {rows:,} rows", differing, [])
    stored = _stored(stage, task)
    note(f"stocks of the run that were in the backup: {len(stored)}")
    for install in stage.installs:
        install.environment |= {"DATABASE_URL": url, "COLLECTOR_BACKUP_DIR": str(file.parent)}
    began, stage.vendor.seconds = len(stage.vendor.answers), 0.1
    told("migrate --check", stage.manage("migrate", "--check").returncode, 0)
    stage.web.boot()
    for host in stage.hosts.values():
        host.boot()
    stage.until(lambda: stage.site.ready() == 200, "/readyz answers 200")
    ended = stage.until_ended(task)
    told("the run: status, stocks", (ended["status"], ended["success_count"]), ("completed", STOCKS))
    asked = set(stage.asked_since(began).answered())
    told("stocks of the backup that were requested again", sorted(stored & asked), [])
    told("stocks that were requested after the restart", len(asked), STOCKS - len(stored))
    for name in stage.hosts:
        told(f"doctor on {name}, exit code and findings", stage.doctor(name), (0, []))


def _back_up(stage: Stage) -> tuple[Path, dict[str, Any]]:
    """Makes a backup while everything runs. Returns the file and the checksums of what it must hold."""
    folder = stage.folder / "backups"
    folder.mkdir()
    name = f'"{folder}/collector-$(date +%F)'
    with stage.database.snapshot() as (snapshot, sums):
        _shell(
            stage,
            f'pg_dump -Fc --snapshot={snapshot} -f {name}.tmp" "{stage.database.url()}"',
            f'mv {name}".{{tmp,dump}}',
        )
    (file,) = folder.iterdir()
    note(f"pg_dump -Fc: {file.stat().st_size:,} bytes")
    return file, sums


def _lose_everything(stage: Stage) -> None:
    """Kills all processes of the machines, and drops the database."""
    for host in stage.hosts.values():
        host.close()
    stage.web.kill()
    _shell(stage, f'psql -q -c "DROP DATABASE collector WITH (FORCE)" "{stage.database.url("postgres")}"')
    note("workers and web server killed, the database dropped")


def _stored(stage: Stage, task: str) -> set[str]:
    rows = f"SELECT code FROM tasks_app_collectionitem WHERE task_id = '{task}' AND state = 'succeeded'"
    return {str(code) for (code,) in stage.database.rows(rows)}


ALL: list[Callable[[Stage], None]] = [
    *(deploy, set_up_notices, set_target_and_plan, fire_plan, wait_for_notices, heal),
    *(rolling_restart, pause_over_restart, back_up_and_restore),
]


def _start(stage: Stage, *, seconds: float, **days: str) -> tuple[str, int]:
    """Starts a run of all stocks; each answer takes so long. Returns it, and its place in the log."""
    began, stage.vendor.seconds = len(stage.vendor.answers), seconds
    task = stage.site.api("historical", {**ORDER, **days})["task_id"]
    stage.until(lambda: len(stage.names_asking(began)) == len(stage.hosts), "requests from both machines")
    return task, began


def _told_complete(stage: Stage, task: str, began: int) -> None:
    """Demands that every stock of the run is stored, and none was lost or requested twice."""
    ended = stage.until_ended(task)
    told(
        "status, stocks, failed",
        (ended["status"], ended["success_count"], ended["failed_count"]),
        ("completed", STOCKS, 0),
    )
    _told_requests(stage, task, began)
    days = f"day BETWEEN '{ended['start_date']}' AND '{ended['end_date']}'"
    counts = "count(*), count(DISTINCT (symbol, day)), count(DISTINCT symbol)"
    bars = stage.database.rows(f"SELECT {counts} FROM tasks_app_dailybar WHERE {days}")
    sessions = sum(
        day.weekday() < 5
        for day in _days(date.fromisoformat(ended["start_date"]), date.fromisoformat(ended["end_date"]))
    )
    told("bars stored, different ones, stocks", bars, [(STOCKS * sessions, STOCKS * sessions, STOCKS)])


def _told_requests(stage: Stage, task: str, began: int) -> None:
    """Demands that the vendor answered each stock, and none was requested after it had been stored."""
    requests = stage.asked_since(began)
    again, twice = stage.asked_again(task, began)
    told("stocks that the vendor answered", len(requests.answered()), STOCKS)
    told("stocks that were requested again although they were stored", again, [])
    note(f"stocks of which a first answer was cut off: {twice}")
    note(f"requests by machine: {stage.names(requests)}, from {len(requests.pids())} processes")


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _hook(stage: Stage, text: str) -> list[str]:
    return [body["title"] for body in list(stage.hook.received) if text in body["title"] + body["message"]]


def _ended(stage: Stage, text: str) -> list[str]:
    return [title for title in _hook(stage, text) if title.startswith("[over]")]


def _mail(stage: Stage, text: str) -> list[str]:
    subjects = [str(make_header(decode_header(mail["Subject"]))) for mail in list(stage.mails)]
    return [subject for subject in subjects if text in subject]


def _session(stage: Stage) -> dict[str, object] | None:
    """Returns the target's session once it has been judged."""
    (target,) = stage.site.api("targets")
    found = stage.site.api(f"targets/{target['id']}/sessions")
    return next((row for row in found if row["session"] == stage.session and row["state"] != "pending"), None)


def _one_code(stage: Stage) -> int:
    """Returns 1 once the living machines run the same code."""
    recent = "seen_at > now() - interval '20 seconds'"
    rows = stage.database.rows(
        f"SELECT DISTINCT versions ->> 'code' FROM tasks_app_workermachine WHERE {recent}"
    )
    return int(len(rows) == 1)


def _idle(stage: Stage) -> bool:
    return not stage.database.one("SELECT count(*) FROM django_q_ormq")


def _columns(stage: Stage, task: str) -> tuple[str, int]:
    status = stage.status(task)
    return status["status"], status["processed_stocks"]


def _moment(text: str) -> str:
    return f"{datetime.fromisoformat(text).astimezone(ZONE):%H:%M:%S}"


def _shell(stage: Stage, *commands: str) -> None:
    """Runs commands of docs/operations.md with the server's own programs."""
    environment = {"PATH": f"{stage.database.programs}:{stage.environment['PATH']}"}
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
