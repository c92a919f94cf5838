"""The ASGI entry point."""

import asyncio

from asgiref.testing import ApplicationCommunicator

from collector_site.asgi import application

SCOPE = {"type": "http", "method": "GET", "path": "/healthz", "headers": [(b"host", b"localhost")]}


def test_asgi_application_answers_the_liveness_probe() -> None:
    async def get() -> tuple[int, bytes]:
        communicator = ApplicationCommunicator(application, {**SCOPE, "query_string": b""})
        await communicator.send_input({"type": "http.request", "body": b""})
        start, body = [await communicator.receive_output(60) for _ in range(2)]
        return start["status"], body["body"]

    assert asyncio.run(get()) == (200, b'{"alive":true}')
