"""The SQL that creates a trigger, anew if there is one of its name."""


def sqlite_trigger(name: str, event: str, when: str, body: list[str]) -> list[str]:
    """Returns the statements for a trigger that runs after the event of each row, where `when` holds."""
    return [
        f"DROP TRIGGER IF EXISTS {name}",
        f"CREATE TRIGGER {name} AFTER {event} FOR EACH ROW WHEN {when} BEGIN {'; '.join(body)}; END",
    ]


def postgresql_function(
    name: str, body: str, declare: str = "series record; stored bigint; cause bigint;"
) -> list[str]:
    """Returns the statement for the function of a trigger, with the variables that its body may use."""
    return [
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ "
        f"DECLARE {declare} BEGIN {body} END $$"
    ]


def postgresql_trigger(name: str, table: str, event: str, body: str) -> list[str]:
    """Returns the statements for a trigger and its function; `event` goes on after AFTER."""
    return [
        *postgresql_function(name, body),
        f"DROP TRIGGER IF EXISTS {name} ON {table}",
        f"CREATE TRIGGER {name} AFTER {event} EXECUTE FUNCTION {name}()",
    ]
