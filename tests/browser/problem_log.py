"""Records what goes wrong in a browser unnoticed: console errors, exceptions, failed requests."""

from playwright.sync_api import BrowserContext, ConsoleMessage, Request, Response

# Leaving a page aborts its pending requests, which is no failure.
ABORTED = "net::ERR_ABORTED"


class ProblemLog:
    """Collects the problems of all pages of a browser context, each with the URL of its page."""

    def __init__(self, context: BrowserContext) -> None:
        self.problems: list[str] = []
        context.on("console", self._console)
        context.on("weberror", lambda error: self._add(f"exception: {error.error}"))
        context.on("requestfailed", self._failed)
        context.on("response", self._response)

    def _add(self, problem: str) -> None:
        self.problems.append(problem)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            place = message.page.url if message.page else ""
            self._add(f"console {message.type} on {place}: {message.text}")

    def _failed(self, request: Request) -> None:
        if request.failure != ABORTED:
            self._add(f"failed: {request.method} {request.url}: {request.failure}")

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self._add(f"{response.status}: {response.request.method} {response.url}")
