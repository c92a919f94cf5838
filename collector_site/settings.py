"""Settings of the site. Those that an installation may change come from the environment: see the README."""

import hashlib
import logging
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import django_stubs_ext
from corsheaders.defaults import default_headers
from environs import Env, EnvError, validate

from collector_site import admin_theme, csp, q_cluster
from tasks_app import conf, logs

django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
# PostgreSQL drops the locks of a host that vanished in mid-transaction, and we notice a database that
# vanished, within ten seconds instead of the hours that TCP allows. Our transactions take milliseconds.
LOST_HOSTS = {
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,  # milliseconds
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "options": "-c idle_in_transaction_session_timeout=10s",
}
REDIS_SCHEMES = ("redis", "rediss", "unix")
ENGINES = ("django.db.backends.sqlite3", "django.db.backends.postgresql")
LOCAL_KEY = "only-for-localhost"
env = Env()


@env.parser_for("time_zone")
def _time_zone(text: str) -> str:
    """Returns the name of a zone in the time zone database. Raises `EnvError`."""
    try:
        return ZoneInfo(text).key
    except (ValueError, OSError, LookupError):  # ZoneInfoNotFoundError is a LookupError
        raise EnvError(f"“{text}” is not a time zone such as Asia/Shanghai") from None


@env.parser_for("redis")
def _redis(text: str) -> str:
    """Checks a Redis server's address. Raises `EnvError` without the text, which may hold a password."""
    try:
        url = urlsplit(text)
        is_server = url.scheme in REDIS_SCHEMES and (url.path if url.scheme == "unix" else url.hostname)
        if not text or (is_server and url.port != 0):
            return text
    except ValueError:  # a malformed port or host
        pass
    raise EnvError("it is not redis://host:port/number, rediss://… or unix:///path")


def _database(url: dict[str, Any]) -> dict[str, Any]:
    """Returns the database's settings. Raises `EnvError` for one that can't be used.

    A database in memory can't: each process would see another one. SQLite ignores select_for_update, and
    only BEGIN IMMEDIATE makes check-and-write safe there. PostgreSQL gets no connection pool, since a pool
    breaks when django-q2 forks.
    """
    if url["ENGINE"] not in ENGINES or url["NAME"] in ("", ":memory:"):
        raise EnvError("DATABASE_URL is neither sqlite:///path nor postgresql://user:password@host/name")
    url["CONN_MAX_AGE"] = 600
    if url["ENGINE"].endswith("sqlite3"):
        url["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
    else:
        url["CONN_HEALTH_CHECKS"] = True
        url["OPTIONS"] = {**LOST_HOSTS, **url.get("OPTIONS", {})}
    return url


def _fingerprint(database: dict[str, Any]) -> str:
    """Returns a folder name per database: two installations on a host must not share their cache."""
    identity = "|".join(str(database[key]) for key in ("ENGINE", "HOST", "PORT", "NAME"))
    return hashlib.sha256(identity.encode()).hexdigest()[:12]


try:
    IS_LOCAL = env.bool("DJANGO_DEBUG", True)  # tried out on this machine
    SECRET_KEY = (
        env.str("DJANGO_SECRET_KEY", LOCAL_KEY)
        if IS_LOCAL
        else env.str("DJANGO_SECRET_KEY", validate=validate.NoneOf(["", LOCAL_KEY]))
    )
    ALLOWED_HOSTS = env.list("DJANGO_ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
    CSRF_TRUSTED_ORIGINS: list[str] = env.list("DJANGO_CSRF_TRUSTED_ORIGINS", [])
    DATABASES = {"default": _database(env.dj_db_url("DATABASE_URL", f"sqlite:///{BASE_DIR / 'db.sqlite3'}"))}
    REDIS_URL = env.redis("REDIS_URL", "")
    COLLECTOR = conf.read(env)
    LOG_LEVEL = env.str("DJANGO_LOG_LEVEL", "INFO", validate=validate.OneOf(LOG_LEVELS))
    TIME_ZONE_IS_SET = "DJANGO_TIME_ZONE" in os.environ
    TIME_ZONE = env.time_zone(
        "DJANGO_TIME_ZONE", "Asia/Shanghai" if COLLECTOR.language == "zh-hans" else "UTC"
    )
    HTTPS = env.bool("DJANGO_HTTPS", not IS_LOCAL)
    HSTS_SECONDS = env.int("DJANGO_HSTS_SECONDS", 31_536_000, validate=validate.Range(0, 315_360_000))
    PROXIES = env.int("DJANGO_PROXIES", 0, validate=validate.Range(0, 10))
except EnvError as error:
    sys.exit(f"Settings: {error}")

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    # Its pages are imported by urls.py, not by workers, which start a third sooner and are 20 MB smaller.
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_q",
    "axes",
    "corsheaders",
    "tasks_app",
]

# Those for headers come first: they set them on every response, files and errors included.
MIDDLEWARE = [
    "collector_site.request_logs.RequestLogMiddleware",
    "collector_site.middleware.StripHeadBodyMiddleware",
    "collector_site.csp.CspMiddleware",
    "collector_site.middleware.NoNulMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "tasks_app.api.middleware.TrailingSlashMiddleware",
    "tasks_app.api.status_fast_path.StatusFastPath",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "collector_site.middleware.DefaultLanguageMiddleware",
    "tasks_app.api.middleware.BodyLimitMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "collector_site.middleware.SessionUseMiddleware",
    "collector_site.middleware.TimeZoneMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "axes.middleware.AxesMiddleware",
]

# Pages of other origins may use the API, with a token: no cookie is sent or read for them.
if COLLECTOR.cors_origins:
    MIDDLEWARE.insert(2, "corsheaders.middleware.CorsMiddleware")
    CORS_ALLOW_ALL_ORIGINS = "*" in COLLECTOR.cors_origins
    CORS_ALLOWED_ORIGINS = [origin for origin in COLLECTOR.cors_origins if origin != "*"]
    CORS_URLS_REGEX = r"^/api/"
    CORS_ALLOW_HEADERS = (*default_headers, "idempotency-key", "if-none-match", "x-request-id")
    CORS_EXPOSE_HEADERS = ["Link", "ETag", "Retry-After", "X-Request-ID"]

ROOT_URLCONF = "collector_site.urls"
WSGI_APPLICATION = "collector_site.wsgi.application"
ASGI_APPLICATION = "collector_site.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    },
]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

# Ten failures of one user name from one address: 15 minutes of 429, whatever the password.
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # else an attacker locks the user out for good
AXES_CLIENT_IP_CALLABLE = "collector_site.login_throttling.client_address"
AXES_LOCKOUT_CALLABLE = "collector_site.login_throttling.locked_out"
AXES_SENSITIVE_PARAMETERS = ["username", "csrfmiddlewaretoken"]  # people type passwords into the wrong field
AXES_DISABLE_ACCESS_LOG = True  # it would keep a row per login and never delete one
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False

CONTENT_SECURITY_POLICY = {"DIRECTIVES": csp.NOTHING}  # csp.CspMiddleware allows pages more
DEFAULT_EXCEPTION_REPORTER = "collector_site.error_reporting.MaskingReporter"
DEFAULT_EXCEPTION_REPORTER_FILTER = "collector_site.error_reporting.RedactingReporterFilter"

# Where `quickstart` keeps its API token: beside the database's file, else beside the cache.
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    QUICKSTART_TOKEN_FILE = Path(f"{DATABASES['default']['NAME']}.token")
else:
    QUICKSTART_TOKEN_FILE = BASE_DIR / ".cache" / f"{_fingerprint(DATABASES['default'])}.token"

# Heartbeats of clusters live in the cache, so all processes must share it: Redis, else files. What exchanges
# publish is the same for every database.
_FILES = "django.core.cache.backends.filebased.FileBasedCache"
CACHES = {
    "default": {"BACKEND": _FILES, "LOCATION": BASE_DIR / ".cache" / _fingerprint(DATABASES["default"])},
    "exchange_sessions": {"BACKEND": _FILES, "LOCATION": BASE_DIR / ".cache" / "exchange_sessions"},
}
if REDIS_URL:
    _REDIS = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
    CACHES = {"default": _REDIS, "exchange_sessions": _REDIS}
Q_CLUSTER = q_cluster.cluster_settings(COLLECTOR, "DEBUG" if LOG_LEVEL == "DEBUG" else "WARNING")
UNFOLD = admin_theme.unfold_settings()

# Django's debug pages are in English and show the code to everybody; the log has each traceback.
DEBUG = False

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
LOCALE_PATHS = [BASE_DIR / "tasks_app" / "locale"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = IS_LOCAL  # else from STATIC_ROOT, which collectstatic fills
WHITENOISE_ALLOW_ALL_ORIGINS = False

MAX_BODY_BYTES = 1_000_000
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY_BYTES

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "tasks_app.api.authentication.TokenAuthentication",
        "tasks_app.api.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["tasks_app.api.parsers.ObjectParser"],
    "DEFAULT_RENDERER_CLASSES": [
        "tasks_app.api.renderers.ApiJSONRenderer",
        "rest_framework.renderers.BrowsableAPIRenderer",
    ],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "tasks_app.api.renderers.ApiContentNegotiation",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "tasks_app.api.errors.exception_handler",
}
REST_KNOX = {"TOKEN_TTL": None}
SPECTACULAR_SETTINGS = {
    "TITLE": "Stock collector",
    "DESCRIPTION": "Start, watch and stop the collection of stock-market history.",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],  # public: the schema needs no user, and no database
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "tasks_app.api.openapi.translation.translate_schema",
    ],
    "TAGS": [
        {"name": "tasks", "description": "Start, watch, cancel and retry collections."},
        {"name": "quotes", "description": "Collected quotes."},
        {
            "name": "records",
            "description": "Findings, corrections, agreement of sources, calendar, events and targets.",
        },
        {"name": "health", "description": "Probes."},
    ],
    "ENUM_NAME_OVERRIDES": {
        "TaskStatus": "tasks_app.models.states.TaskStatus",
        "ItemState": "tasks_app.models.states.ItemState",
        "Market": "tasks_app.models.quotes.Market",
        "Adjust": "tasks_app.models.quotes.Adjust",
        "InstrumentKind": "tasks_app.models.quotes.InstrumentKind",
        "OrderKind": "tasks_app.models.quotes.ORDER_KINDS",
        "ActionKind": "tasks_app.models.adjustments.ActionKind",
        "FindingKind": "tasks_app.models.quotes.FindingKind",
        "EventKind": "tasks_app.models.events.EventKind",
        "QueuedOrderState": "tasks_app.models.queued_orders.QueuedOrderState",
        "QueueEventKind": "tasks_app.models.queued_orders.QueueEventKind",
        "Priority": "tasks_app.models.priorities.PRIORITY_NAMES",
        "PlanEventKind": "tasks_app.models.plans.PlanEventKind",
        "StepKind": "tasks_app.models.plan_runs.StepKind",
        "RunState": "tasks_app.models.plan_runs.RunState",
        "AttemptState": "tasks_app.models.plan_runs.AttemptState",
        "StartedStatus": "tasks_app.api.responses.tasks.STARTED",
        "ExportLayout": "tasks_app.models.transfers.ExportLayout",
        "DayKind": "tasks_app.market.calendar_days.DayKind",
    },
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "strip_traceback": {"()": "collector_site.error_reporting.StripTracebackFilter"},
    },
    "formatters": {"lines": {"()": lambda: logs.formatter(COLLECTOR.log_format)}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "lines"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "tasks_app": {"level": LOG_LEVEL},
        "django": {"handlers": [], "level": "INFO"},  # its own console handler would double each line
        "django.server": {"handlers": [], "propagate": True},
        "django.security.DisallowedHost": {"filters": ["strip_traceback"]},
        "django.request": {"level": "ERROR"},  # not the 4xx: they are the client's errors
    },
}

logging.captureWarnings(True)  # a vendor's client may warn with an address in which a secret is

if HTTPS:
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SECURE_SSL_REDIRECT = True
    SECURE_REDIRECT_EXEMPT = ["^(healthz|readyz|metrics)$"]  # asked for from inside, over plain HTTP
    SECURE_HSTS_SECONDS = HSTS_SECONDS
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

if not IS_LOCAL:
    STORAGES = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
    }
