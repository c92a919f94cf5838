"""Fills a database with any number of bars in SQL: weekdays of made-up stocks, stored series by series."""

from datetime import date, timedelta

from django.db import connection, transaction

from tasks_app.db import change_triggers, triggers
from tasks_app.models import Change, DailyBar

MARKET, FIRST = "CN", date(2014, 1, 6)  # a Monday
COUNTED = {
    "postgresql": "generate_series({first}, {last}) AS {name}",
    "sqlite": "(WITH RECURSIVE up({name}) AS (SELECT {first} UNION ALL SELECT {name} + 1 FROM up "
    "WHERE {name} < {last}) SELECT {name} FROM up)",
}
SQL = {  # code {n}, session {d}, numbered from 0
    "postgresql": {
        "code": "lpad({n}::text, 6, '0')",
        "day": f"date '{FIRST}' + {{d}} / 5 * 7 + {{d}} % 5",
        "now": "now()",
        "double": "({})::float8",
    },
    "sqlite": {
        "code": "printf('%%06d', {n})",
        "day": f"date('{FIRST}', '+' || ({{d}} / 5 * 7 + {{d}} %% 5) || ' days')",
        "now": "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')",
        "double": "CAST({} AS REAL)",
    },
}
PRICE = "10 + (n * 31 + d * 17) % 997 / 100.0"


def session(number: int) -> date:
    """Returns the day of a session, counted from 0."""
    return FIRST + timedelta(days=number // 5 * 7 + number % 5)


def fill(stocks: int, sessions: int) -> None:
    """Stores `stocks` × `sessions` bars with their series and changes in an empty, migrated database."""
    vendor = connection.vendor
    write, count = SQL[vendor], COUNTED[vendor].format
    code, day, now = write["code"].format(n="n"), write["day"].format(d="d"), write["now"]
    price = write["double"].format(PRICE.replace("%", "%%") if vendor == "sqlite" else PRICE)
    codes = count(name="n", first=1, last=stocks)
    last = sessions - 1
    first_day, last_day = (write["day"].format(d=number) for number in (0, last))
    # OFFSET 0 and CROSS JOIN: a loop over the sessions inside one over the stocks.
    bars = f"""SELECT n, code, d, day, price FROM (SELECT n, {code} AS code FROM {codes}) AS stock CROSS JOIN
        LATERAL (SELECT d, {day} AS day, {price} AS price FROM {count(name="d", first=0, last=last)} OFFSET 0)
        AS bar"""
    if vendor == "sqlite":
        bars = f"""SELECT n, {code} AS code, d, {day} AS day, {price} AS price FROM {codes} AS stock
            CROSS JOIN {count(name="d", first=0, last=last)} AS bar"""
    statements = [
        f"""INSERT INTO tasks_app_stock (market, code, name, exchange, former_names, created_at,
            full_collection_completed) SELECT '{MARKET}', {code}, '', '', '[]', {now}, false FROM {codes}""",
        f"""INSERT INTO tasks_app_dailybar (market, symbol, adjust, day, open, high, low, close, prev_close,
            volume, amount, amplitude, change, change_pct, turnover, source, collected_at)
            SELECT '{MARKET}', code, '', day, price, price * 1.02, price * 0.98, price * 1.01, price,
            1000000 + d, price * 1000000, 4, price * 0.01, 1, 0.5, 'csv', {now} FROM ({bars}) AS made""",
        f"""INSERT INTO tasks_app_series (market, symbol, adjust, bars, first_day, last_day, covered,
            absences, updated_at)
            SELECT '{MARKET}', {code}, '', {sessions}, {first_day}, {last_day}, '[]', '[]', {now}
            FROM {codes}""",
        f"""INSERT INTO {change_triggers.CHANGE} (number, at, kind, market, symbol, adjust, first_day,
            last_day, rows) SELECT n, {now}, 'bar', '{MARKET}', {code}, '', {first_day}, {last_day},
            {sessions} FROM {codes}""",
    ]
    _without_triggers(statements)


def change_later(stocks: int, sessions: int, days: int) -> int:
    """Lets the last sessions have been stored day by day, and corrects three bars of each stock afterwards.

    Returns the number of the last change before all of that. Does nothing if it was done before.
    """
    if Change.objects.filter(number__gt=stocks).exists():
        return stocks
    write, count = SQL[connection.vendor], COUNTED[connection.vendor].format
    first, code = sessions - days, write["code"].format(n="n")
    day = write["day"].format(d="d")
    statements = [
        f"UPDATE {change_triggers.CHANGE} SET last_day = '{session(first - 1)}' WHERE kind = 'bar'",
        f"""INSERT INTO {change_triggers.CHANGE} (number, at, kind, market, symbol, adjust, first_day,
            last_day, rows) SELECT {stocks} + (d - {first}) * {stocks} + n, {write["now"]}, 'bar', '{MARKET}',
            {code}, '', {day}, {day}, 1 FROM {count(name="d", first=first, last=sessions - 1)}
            CROSS JOIN {count(name="n", first=1, last=stocks)} ORDER BY d, n""",
    ]
    _without_triggers(statements)
    corrected = [session(number) for number in (first // 10, first - 1, first + 1)]
    with transaction.atomic():
        DailyBar.objects.filter(day__in=corrected).update(volume=77)
    return stocks


def _without_triggers(statements: list[str]) -> None:
    """Runs statements that write what the triggers would."""
    tables = ("tasks_app_stock", "tasks_app_dailybar", change_triggers.CHANGE)
    is_postgresql = connection.vendor == "postgresql"
    triggers.remove(plan=["everything"])  # SQLite's
    with connection.cursor() as cursor:
        for table in tables if is_postgresql else ():
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        for statement in statements:
            cursor.execute(statement.replace("%%", "%"))
        for table in tables if is_postgresql else ():
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    triggers.install()
