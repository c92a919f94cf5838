"""The Content-Security-Policy: what a page may load and run. docs/security.md says more.

Every policy begins with nothing allowed: JSON, CSV, files and probes get NOTHING. Pages may load scripts,
styles and the rest from this host alone, and none of them inline. Two places need more:

- The admin needs 'unsafe-eval': the theme's Alpine compiles the expressions of its attributes (`x-data`,
  `x-on:click`) when a page is loaded. Injected markup still can't bring a script of its own, but it could
  bring such attributes: everything that is shown must be escaped, as it is.
- The API's documentation needs images from data: addresses, which Swagger's style sheet contains.
"""

from typing import Any

from csp.constants import NONE, SELF, UNSAFE_EVAL
from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest
from django.http.response import HttpResponseBase

Directives = dict[str, list[str]]

NOTHING: Directives = {
    "default-src": [NONE],  # object-src, frame-src, worker-src and all others fall back to it
    "base-uri": [NONE],
    "form-action": [NONE],
    "frame-ancestors": [NONE],
}
PAGE: Directives = {
    **NOTHING,
    **{f"{kind}-src": [SELF] for kind in ("script", "style", "img", "font", "connect")},
    "form-action": [SELF],
}
ADMIN: Directives = {**PAGE, "script-src": [SELF, UNSAFE_EVAL]}
DOCS: Directives = {**PAGE, "img-src": [SELF, "data:"]}
NOTHING_HEADER = "; ".join(f"{name} {' '.join(sources)}" for name, sources in NOTHING.items())
BY_PREFIX = {"/admin/": ADMIN, "/api/docs": DOCS}


def policy_for(path: str, content_type: str) -> Directives:
    """Returns the policy of a response."""
    if not content_type.startswith("text/html"):
        return NOTHING
    return next((policy for prefix, policy in BY_PREFIX.items() if path.startswith(prefix)), PAGE)


class CspMiddleware(CSPMiddleware):
    """django-csp's, with a policy per path."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if response.get("Content-Type", "").startswith("text/html"):
            return super().process_response(request, response)
        # The same for all, so it is not built again for each of the hundreds of clients that poll.
        response.headers.setdefault("Content-Security-Policy", NOTHING_HEADER)
        return response

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        if report_only:
            return PolicyParts()
        directives: dict[str, Any] = dict(policy_for(request.path_info, response.get("Content-Type", "")))
        return PolicyParts(config=directives)
