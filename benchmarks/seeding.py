"""Creates any number of ended tasks in SQL, as copies of an existing one."""

from django.db import connection

from tasks_app.models import CollectionTask

DIALECT = {
    "postgresql": (
        "generate_series(1, %s) AS n",
        "gen_random_uuid()",
        "start_time - n * interval '1 minute'",
    ),
    "sqlite": (
        "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < %s) SELECT n FROM s)",
        "lower(hex(randomblob(16)))",
        "strftime('%%Y-%%m-%%d %%H:%%M:%%f', start_time, '-' || n || ' minutes')",
    ),
}


def past_tasks(count: int) -> None:
    """Inserts `count` copies of the newest ended task, each a minute older than the one before."""
    if count < 1:
        return
    table = CollectionTask._meta.db_table
    columns = [field.column for field in CollectionTask._meta.concrete_fields if not field.generated]
    series, uuid, earlier = DIALECT[connection.vendor]
    others = {"id": uuid, "start_time": earlier, "idempotency_key": "NULL"}
    chosen = ", ".join(others.get(column, f"old.{column}") for column in columns)
    newest = f"(SELECT * FROM {table} WHERE status <> 'running' ORDER BY start_time DESC LIMIT 1) AS old"
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {chosen} FROM {newest}, {series}", [count]
        )
        cursor.execute(f"ANALYZE {table}")
