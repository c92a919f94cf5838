"""Breaks rules of the product one after the other; the suite must go red for each.

`python -m tests.mutations [part of a rule's name]`. Each rule is broken in a temporary copy of the tree,
where the tests that guard it run on SQLite. Exits with 1 when a broken rule goes unnoticed.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "*.sqlite3*", "staticfiles", "docs")
PASSED, FAILED = 0, 1  # of pytest's exit codes; any other means that the tests did not run
WIDTH = 52


@dataclass(frozen=True)
class Mutation:
    """A rule, the text of the one place that keeps it, what breaks it, and the tests that guard it."""

    rule: str
    file: str
    old: str
    new: str
    tests: str

    def apply(self, tree: Path) -> None:
        """Raises `ValueError` unless the text stands in the file exactly once."""
        path = tree / self.file
        text = path.read_text()
        if (count := text.count(self.old)) != 1:
            raise ValueError(f"{self.rule}: the text to break stands {count} times in {self.file}")
        path.write_text(text.replace(self.old, self.new))


MUTATIONS = (
    Mutation(
        "a claim's writes need its fence",
        "tasks_app/lifecycle/claims.py",
        "pk=self.item_id, fence=self.fence, state=CLAIMED",
        "pk=self.item_id, state=CLAIMED",
        "tests/lifecycle/test_transitions.py",
    ),
    Mutation(
        "a lane's writes need its generation",
        "tasks_app/lifecycle/claims.py",
        "number=self.number, generation=self.generation",
        "number=self.number",
        "tests/lifecycle/test_transitions.py",
    ),
    Mutation(
        "a slice begins once",
        "tasks_app/lifecycle/worker_actions.py",
        "lane.row.filter(begun=False).update",
        "lane.row.update",
        "tests/lifecycle/test_transitions.py",
    ),
    Mutation(
        "a stock waits for its next attempt",
        "tasks_app/lifecycle/claims.py",
        "filter(DUE, may_claim(lane.task_id), losses=0)",
        "filter(may_claim(lane.task_id), state=PENDING, losses=0)",
        "tests/lifecycle/test_transitions.py",
    ),
    Mutation(
        "no stock of a paused task is claimed",
        "tasks_app/lifecycle/claims.py",
        "filter(pk=task_id, paused_at__isnull=True, yielding_at__isnull=True)",
        "filter(pk=task_id, yielding_at__isnull=True)",
        "tests/lifecycle/test_pauses.py",
    ),
    Mutation(
        "no stock of a task that yields is claimed",
        "tasks_app/lifecycle/claims.py",
        "filter(pk=task_id, paused_at__isnull=True, yielding_at__isnull=True)",
        "filter(pk=task_id, paused_at__isnull=True)",
        "tests/lifecycle/test_yielding.py",
    ),
    Mutation(
        "only a task of a lower priority yields",
        "tasks_app/lifecycle/yielding.py",
        "filter(pk=task_id, status=RUNNING, priority__lt=plan.priority)",
        "filter(pk=task_id, status=RUNNING)",
        "tests/lifecycle/test_yielding.py",
    ),
    Mutation(
        "no paused task yields",
        "tasks_app/lifecycle/yielding.py",
        "filter(paused_at__isnull=True, yielding_at__isnull=True)",
        "filter(yielding_at__isnull=True)",
        "tests/lifecycle/test_yielding.py",
    ),
    Mutation(
        "a task yields when nothing of it is under way",
        "tasks_app/lifecycle/yielding.py",
        "if is_held(task.pk) or not yielding",
        "if not yielding",
        "tests/lifecycle/test_yielding.py",
    ),
    Mutation(
        "a task is continued once (unique index)",
        "tasks_app/migrations/0001_squashed_0059_sorted_stocks.py",
        "fields=('continues',), name='one_continuation_per_task'",
        "fields=('continues', 'id'), name='one_continuation_per_task'",
        "tests/lifecycle/test_yielding.py",
    ),
    Mutation(
        "a run's next step goes before waiting orders",
        "tasks_app/lifecycle/order_queue.py",
        "if run_order.goes_before_order(row):",
        "if False:",
        "tests/lifecycle/test_plan_runs.py",
    ),
    Mutation(
        "a run's next step goes before due plans",
        "tasks_app/lifecycle/plan_runs.py",
        "if run_order.goes_before_run(run, plan.priority):",
        "if False:",
        "tests/lifecycle/test_plan_runs.py",
    ),
    Mutation(
        "a paused task gets no slices",
        "tasks_app/lifecycle/recovery.py",
        "if not CollectionTask.objects.filter(may_claim(task_id), pk=task_id).exists()",
        "if False",
        "tests/lifecycle/test_pauses.py",
    ),
    Mutation(
        "only a running task's stocks are recorded",
        "tasks_app/lifecycle/completion.py",
        "CollectionTask.objects.filter(pk=claim.lane.task_id, status=RUNNING)",
        "CollectionTask.objects.filter(pk=claim.lane.task_id)",
        "tests/lifecycle/test_transitions.py",
    ),
    Mutation(
        "only a running task ends",
        "tasks_app/lifecycle/completion.py",
        "task.filter(status__in=statuses_before(status)).update",
        "task.update",
        "tests/lifecycle/test_transitions.py",
    ),
    Mutation(
        "the database keeps a final task (trigger)",
        "tasks_app/db/triggers.py",
        "(OLD.status {final} AND ({changed})) OR NEW.processed_stocks",
        "NEW.processed_stocks",
        "tests/lifecycle/test_transitions.py",
    ),
    Mutation(
        "one task runs at a time (unique index)",
        "tasks_app/migrations/0001_squashed_0059_sorted_stocks.py",
        "condition=models.Q(('status', 'running')), fields=('status',)",
        "condition=models.Q(('status', 'running')), fields=('id',)",
        "tests/lifecycle/test_transitions.py",
    ),
    Mutation(
        "an item is released when its lease expires",
        "tasks_app/lifecycle/recovery.py",
        "filter(state=CLAIMED, lease_until__lt=Now())",
        "filter(state=CLAIMED)",
        "tests/lifecycle/test_transitions.py",
    ),
    Mutation(
        "a loss costs a stock an attempt only in isolation",
        "tasks_app/lifecycle/recovery.py",
        "attempts=claim.attempts if counts else claim.attempts - 1",
        "attempts=claim.attempts",
        "tests/lifecycle/test_transitions.py",
    ),
    Mutation(
        "a suspect is claimed by a lane that holds nothing",
        "tasks_app/lifecycle/worker_actions.py",
        "if may_isolate and not held else",
        "if may_isolate else",
        "tests/lifecycle/test_transitions.py",
    ),
    Mutation(
        "a lane that holds a suspect claims nothing",
        "tasks_app/lifecycle/worker_actions.py",
        "if any(held):",
        "if False:",
        "tests/lifecycle/test_transitions.py",
    ),
    Mutation(
        "a suspect's worker makes no other request",
        "tasks_app/engine/request_queue.py",
        "return self.is_empty() and not self.calls.abandoned",
        "return True",
        "tests/engine/test_request_queue.py",
    ),
    Mutation(
        "a stock list's batch is fenced by its lane",
        "tasks_app/engine/item_planner.py",
        "fence=partial(lifecycle.lock_lane, lane),",
        "",
        "tests/engine/test_item_planner.py",
    ),
    Mutation(
        "a slice fails its task only while it has its lane",
        "tasks_app/lifecycle/worker_actions.py",
        "        lock_lane(lane)\n        fail(lane",
        "        fail(lane",
        "tests/engine/test_slice.py",
    ),
    Mutation(
        "an unexpected error makes a slice's stocks suspects",
        "tasks_app/engine/slice.py",
        "lifecycle.abort(lane, type_name(error))",
        "pass",
        "tests/engine/test_slice.py",
    ),
    Mutation(
        "days are given up only for losses with a day in flight",
        "tasks_app/lifecycle/recovery.py",
        "lanes.filter(fetches_day=True).exists()",
        "True",
        "tests/engine/test_day_fetches.py",
    ),
    Mutation(
        "a lane is free when its lease expires",
        "tasks_app/lifecycle/recovery.py",
        "Q(lease_until__isnull=True) | Q(lease_until__lt=Now())",
        "Q(lease_until__isnull=True)",
        "tests/lifecycle/test_transitions.py",
    ),
    Mutation(
        "old tasks are deleted by their end",
        "tasks_app/lifecycle/retention.py",
        "of_chains.filter(chain_end__lt=since)",
        "of_chains",
        "tests/lifecycle/test_retention.py",
    ),
    Mutation(
        "only a whole plan may be claimed from",
        "tasks_app/lifecycle/worker_actions.py",
        "            if is_last:\n                complete_plan",
        "            if True:\n                complete_plan",
        "tests/lifecycle/test_planning.py",
    ),
    Mutation(
        "an interrupted plan leaves no items",
        "tasks_app/lifecycle/worker_actions.py",
        "while _drop_unplanned(lane):",
        "while False:",
        "tests/lifecycle/test_planning.py",
    ),
    Mutation(
        "out of memory beside others, a stock is tried again alone",
        "tasks_app/engine/request_queue.py",
        "isinstance(error, OutOfMemory) and not item.claim.is_isolated:\n            lifecycle",
        "False:\n            lifecycle",
        "tests/engine/test_request_queue.py",
    ),
    Mutation(
        "one worker takes a job",
        "tasks_app/queue/broker.py",
        "self._due().filter(pk=job.pk).update",
        "self._jobs().filter(pk=job.pk).update",
        "tests/queue/test_broker.py",
    ),
    Mutation(
        "a source's rate",
        "tasks_app/throttle/limiter.py",
        "self.interval = 1 / limits.rate",
        "self.interval = 0.5 / limits.rate",
        "tests/throttle/test_limiter.py",
    ),
    Mutation(
        "a source's daily cap",
        "tasks_app/throttle/limiter.py",
        "used + cost > self.limits.daily",
        "used > self.limits.daily",
        "tests/throttle/test_limiter.py",
    ),
    Mutation(
        "a full window opens a whole length later",
        "tasks_app/throttle/windows.py",
        "time + self.seconds, surplus - number",
        "time + self.seconds / 2, surplus - number",
        "tests/throttle/test_quotas.py",
    ),
    Mutation(
        "the further requests of a call wait for their permits",
        "tasks_app/engine/call_pool.py",
        "while (early := permit.since - time.monotonic()) > 0 and not call.recalled.wait(early):",
        "while False:",
        "tests/engine/test_call_pool.py",
    ),
    Mutation(
        "one stock's error in a batch is that stock's alone",
        "tasks_app/engine/answers.py",
        "answers[code] = to_source_error(error)",
        "raise",
        "tests/engine/test_batches.py",
    ),
    Mutation(
        "stored messages have no secrets",
        "tasks_app/reasons.py",
        "return mask(message[:MASKED])[:most]",
        "return message[:most]",
        "tests/security/test_sources_secrets.py",
    ),
    Mutation(
        "the environment wins over stored settings",
        "tasks_app/source_settings.py",
        "environment.get(variable) or stored.get(variable)",
        "stored.get(variable) or environment.get(variable)",
        "tests/lifecycle/test_source_settings.py",
    ),
    Mutation(
        "refusals of everything are counted while they are identical",
        "tasks_app/throttle/limiter.py",
        'Case(When(same, then=F("refusals") + 1), default=Value(1))',
        'F("refusals") + 1',
        "tests/throttle/test_limiter.py",
    ),
    Mutation(
        "the last five stored bars are compared",
        "tasks_app/engine/request_planner.py",
        '"day", "source")[:OVERLAP_BARS]',
        '"day", "source")[:1]',
        "tests/engine/test_late_figures.py",
    ),
    Mutation(
        "a history that may have been cut is not answered",
        "tasks_app/engine/recorder.py",
        "if was_told_before or first - max",
        "if True or first - max",
        "tests/engine/test_cut_histories.py",
    ),
    Mutation(
        "the breaker opens after so many refusals",
        "tasks_app/throttle/limiter.py",
        "surplus = row.refusals - conf.breaker_after",
        "surplus = row.refusals - conf.breaker_after - 1",
        "tests/throttle/test_limiter.py",
    ),
    Mutation(
        "an answer is read up to its limit",
        "tasks_app/engine/answers.py",
        "if number > most:",
        "if number > most + 1:",
        "tests/engine/test_answers.py",
    ),
    Mutation(
        "a source may raise anything",
        "tasks_app/engine/call_pool.py",
        "except BaseException as error:",
        "except Exception as error:",
        "tests/engine/test_answers.py",
    ),
    Mutation(
        "every value of a bar is of its column's type",
        "tasks_app/engine/answers.py",
        "set(kinds[place::WIDTH]) <= field.plain",
        "set(kinds[place::WIDTH])",
        "tests/engine/test_answers.py",
    ),
    Mutation(
        "a volume in lots becomes shares",
        "tasks_app/sources/akshare/frames.py",
        "round(lots * lot)",
        "round(lots)",
        "tests/sources/test_akshare.py",
    ),
    Mutation(
        "another representation of a number is no correction",
        "tasks_app/quotes/corrections.py",
        "REPRESENTATION = 1e-9",
        "REPRESENTATION = 0.0",
        "tests/quotes/test_upsert.py",
    ),
    Mutation(
        "a page begins after its key",
        "tasks_app/db/keyset.py",
        "_Less if runs[n][0][0].descending else _Greater",
        "_Greater if runs[n][0][0].descending else _Less",
        "tests/db/test_keyset.py",
    ),
    Mutation(
        "a verb of the API needs its permission",
        "tasks_app/api/permissions.py",
        "return request.user.has_perm(self.permission)",
        "return True",
        "tests/api/test_permissions.py",
    ),
    Mutation(
        "made-up quotes stay out of real markets",
        "tasks_app/db/triggers.py",
        "{row}.source <> '' AND",
        "{row}.source = '' AND",
        "tests/quotes/test_synthetic_apart.py",
    ),
    Mutation(
        "nothing is deleted or started beside a running task",
        "tasks_app/lifecycle/slot.py",
        "if found and (still_running := running.first()):",
        "if found and (still_running := running.none().first()):",
        "tests/lifecycle/test_data_deletion.py",
    ),
    Mutation(
        "a day is settled as without quotes by five stocks of one task",
        "tasks_app/market/silent_days.py",
        "Q(is_proven=True) | Q(task_id=task_id) if with_proven",
        "Q() if with_proven",
        "tests/engine/test_silent_days.py",
    ),
    Mutation(
        "a full history is the whole listed life",
        "tasks_app/engine/request_planner.py",
        "life = stock.listed_on, life[1]",
        "life = max(stock.listed_on, days.last_closed - date_ranges.DAY), life[1]",
        "tests/engine/test_request_planner.py",
    ),
    Mutation(
        "deleted days no longer count as answered",
        "tasks_app/quotes/deletion.py",
        "covered = date_ranges.subtract_ranges(date_ranges.parse(row.covered), holes)",
        "covered = date_ranges.parse(row.covered) if holes else []",
        "tests/lifecycle/test_data_deletion.py",
    ),
    Mutation(
        "the amounts prove the prices of a .day file",
        "tasks_app/sources/csv_folder/tdx_day.py",
        "or best[0] != ticks or",
        "or",
        "tests/sources/test_csv_archives.py",
    ),
    Mutation(
        "an upload replaces a file only when asked",
        "tasks_app/quotes/uploads.py",
        "if replace_existing:",
        "if True:",
        "tests/admin/test_uploads.py",
    ),
)


def run_tests(tree: Path, *tests: str) -> int:
    """Returns pytest's exit code."""
    command = [sys.executable, "-m", "pytest", "-qq", "-x", "--no-header", "-p", "no:cacheprovider", *tests]
    database = f"sqlite:///{tree / 'mutations.sqlite3'}"
    environment = {**os.environ, "DATABASE_URL": database, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (PASSED, FAILED):
        print(done.stdout + done.stderr)
    return done.returncode


def check(mutation: Mutation) -> bool:
    """Breaks the rule in a copy of the tree and prints a row about it; whether its tests went red."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        tree = Path(shutil.copytree(ROOT, Path(folder) / "tree", ignore=LEFT_OUT))
        mutation.apply(tree)
        began = time.monotonic()
        is_red = run_tests(tree, mutation.tests) == FAILED
    word = "red" if is_red else "SURVIVED"
    print(f"{mutation.rule:{WIDTH}} {word:9} {time.monotonic() - began:5.1f} s  {mutation.tests}", flush=True)
    return is_red


def main() -> int:
    """0 when the tests are green as they are and red for every broken rule."""
    part = " ".join(sys.argv[1:])
    chosen = [mutation for mutation in MUTATIONS if part in mutation.rule]
    if not chosen:
        sys.exit(f"No rule has “{part}” in its name.")
    if run_tests(ROOT, *sorted({mutation.tests for mutation in chosen})) != PASSED:
        sys.exit("The tests must be green before a rule is broken.")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        red = list(pool.map(check, chosen))
    print(f"{sum(red)} of {len(red)} broken rules turn the suite red.")
    return 0 if all(red) else 1


if __name__ == "__main__":
    sys.exit(main())
