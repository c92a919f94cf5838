"""What a page may load and run: the Content-Security-Policy. docs/security.md says what was tried.

Everything starts from nothing: JSON, CSV, files and probes get NOTHING. Pages load scripts, styles
and the rest from this host alone, and none of them may stand in the page itself. Two exceptions:

- The admin's pages need 'unsafe-eval': the theme's Alpine compiles the expressions of its attributes
  (`x-data`, `x-on:click`) when the page is loaded. Injected markup still can't bring a script of its
  own, but it could bring such attributes: whatever is shown must be escaped, as it is.
- The API's document needs images from data: addresses, which Swagger's style sheet holds.
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
NO_PAGE = "; ".join(f"{name} {' '.join(sources)}" for name, sources in NOTHING.items())
PLACES = {"/admin/": ADMIN, "/api/docs": DOCS}


def policy_for(path: str, content_type: str) -> Directives:
    """The policy of an answer."""
    if not content_type.startswith("text/html"):
        return NOTHING
    return next((policy for place, policy in PLACES.items() if path.startswith(place)), PAGE)


class CspMiddleware(CSPMiddleware):
    """django-csp's, with a policy that depends on the place. Django's debug pages go without, as there."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """What is no page gets its policy without being put together each time: it is polled by hundreds."""
        if response.get("Content-Type", "").startswith("text/html"):
            return super().process_response(request, response)
        response.headers.setdefault("Content-Security-Policy", NO_PAGE)
        return response

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        if report_only:
            return PolicyParts()
        directives: dict[str, Any] = dict(policy_for(request.path_info, response.get("Content-Type", "")))
        return PolicyParts(config=directives)
