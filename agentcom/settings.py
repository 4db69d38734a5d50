"""Every setting of the hub, read from the environment; each has a default that is safe on one's own machine.

Names in the environment begin with AGENTCOM_, except those that are in common use: DATABASE_URL, REDIS_URL and
ANTHROPIC_API_KEY.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import django_stubs_ext
import environ

from agentcom.reading import channel_layer, chosen, database, networks, secret_key, whole
from apps.endpoints.sizes import SMALLEST_CONTEXT

django_stubs_ext.monkeypatch()  # ModelAdmin[Repo], at run time too

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

DATA_DIR = Path(env.str("AGENTCOM_DATA_DIR", default=str(BASE_DIR / "data"))).resolve()
DEBUG = env.bool("AGENTCOM_DEBUG", default=False)
SECRET_KEY = secret_key(env.str("AGENTCOM_SECRET_KEY", default=""), DATA_DIR / "secret_key")
ALLOWED_HOSTS = env.list("AGENTCOM_ALLOWED_HOSTS", default=["*"])
BASE_URL = env.str("AGENTCOM_BASE_URL", default="")
"""How people and agents reach the hub, such as https://hub.example; taken from the request when empty."""

HTTPS = env.bool("AGENTCOM_HTTPS", default=BASE_URL.startswith("https://"))
CSRF_TRUSTED_ORIGINS = [BASE_URL] if BASE_URL else []

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "rest_framework",
    "drf_spectacular",
    "django_q",
    "apps.events",
    "apps.ledger",
    "apps.repos",
    "apps.endpoints",
    "apps.agents",
    "apps.tasks",
    "apps.forge",
    "apps.goals",
    "apps.insight",
    "apps.ops",
    "apps.brain",
    "apps.gateway",
    "apps.dashboard",
    "apps.demo",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "apps.dashboard.headers.ContentSecurityPolicy",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "agentcom.urls"
ASGI_APPLICATION = "agentcom.asgi.application"
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
    }
]

# --- storage ----------------------------------------------------------------------------------------------------------

DATABASE_URL = env.str("DATABASE_URL", default=f"sqlite:///{DATA_DIR / 'hub.sqlite3'}")
DATABASES = {"default": database(DATABASE_URL, prepared=env.bool("AGENTCOM_PREPARED_STATEMENTS", default=True))}
DATABASE_LANES = env.int("AGENTCOM_DATABASE_LANES", default=4)
"""Threads with a lasting connection that each web process keeps for PostgreSQL; SQLite gets one."""
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REDIS_URL = env.str("REDIS_URL", default="")
CHANNEL_LAYERS = {"default": channel_layer(REDIS_URL)}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

# --- people -----------------------------------------------------------------------------------------------------------

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "overview"
LOGOUT_REDIRECT_URL = "login"
SESSION_COOKIE_AGE = 14 * 24 * 3600
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_SSL_REDIRECT = False  # the proxy in front does that; behind it every request looks like plain HTTP
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
X_FRAME_OPTIONS = "DENY"
SILENCED_SYSTEM_CHECKS = [
    "security.W005",  # whether subdomains are HTTPS only is for the owner of the domain to say
    "security.W008",  # the proxy in front redirects
    "security.W021",  # a preload list is for public sites
]

# --- language and files -----------------------------------------------------------------------------------------------

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
STATIC_URL = "static/"
STATIC_ROOT = None  # WhiteNoise serves the files where they are; nothing to collect
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_048_576
DATA_UPLOAD_MAX_NUMBER_FIELDS = 200

# --- REST -------------------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["apps.agents.authentication.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["apps.agents.permissions.Nobody"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["apps.events.parsing.StrictJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "apps.events.answering.answer",
    "DEFAULT_PAGINATION_CLASS": "apps.events.paging.Pages",
    "PAGE_SIZE": 50,
    "DEFAULT_THROTTLE_CLASSES": ["apps.agents.throttling.TokenRate"],
    "NUM_PROXIES": env.int("AGENTCOM_PROXIES", default=0),  # how many of ours stand in front and add X-Forwarded-For
    "UNAUTHENTICATED_USER": None,
}
REST_RATE = env.str("AGENTCOM_REST_RATE", default="6000/min")
"""Requests of one token in one web process; 429 with Retry-After beyond it."""

ENROLMENT_GUESS_RATE = env.str("AGENTCOM_ENROLMENT_GUESS_RATE", default="10/hour")
"""Wrong enrolment codes from one address."""

SPECTACULAR_SETTINGS = {
    "TITLE": "AgentCom",
    "DESCRIPTION": "Ideas enter a queue and come out as reviewed, merged pull requests.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["apps.agents.permissions.Anybody"],
    "SCHEMA_PATH_PREFIX": "/api",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "apps.agents.schema.add_refusals",
    ],
    "ENUM_NAME_OVERRIDES": {
        "TaskStatus": "apps.tasks.lifecycle.TASK.choices",
        "PullStatus": "apps.forge.lifecycle.PULL.choices",
        "BrainState": "apps.brain.lifecycle.BRAIN.choices",
        "VerificationStatus": "apps.forge.lifecycle.VERIFICATION.choices",
        "GoalStatus": "apps.goals.lifecycle.GOAL.choices",
        "MergeStatus": "apps.goals.lifecycle.MERGE.choices",
        "GoalSource": "apps.goals.models.Source.choices",
        "GivenSource": "apps.goals.serializers.GIVEN_SOURCES",
        "Tier": "apps.tasks.serializers.TIERS",
        "GivenTier": "apps.tasks.serializers.GIVEN_TIERS",
    },
}

# --- background jobs (docs/decisions/jobs.md) -------------------------------------------------------------------------

Q_CLUSTER = {
    "name": "default",
    "label": "Jobs",
    "orm": "default",
    "broker_class": "apps.ops.broker.Doorbell",
    "workers": env.int("AGENTCOM_JOB_WORKERS", default=1),
    "queue_limit": env.int("AGENTCOM_JOB_WORKERS", default=1),  # a prefetched job's retry clock is already running
    "bulk": 1,
    "timeout": 120,
    "retry": 180,
    "max_attempts": 5,
    "save_limit": -1,  # pruned by our own job; the built-in pruning costs a count per job
    "catch_up": False,
    "poll": 1.0,
    "time_zone": "UTC",
    "ALT_CLUSTERS": {"thinking": {"timeout": 900, "retry": 1000}},
}

REACTIONS = "agentcom.reactions.REACTIONS"
SCHEDULES = "agentcom.schedules.SCHEDULES"

# --- how AgentCom works -----------------------------------------------------------------------------------------------

LEASES = {
    "assigned": timedelta(seconds=env.float("AGENTCOM_LEASE_ASSIGNED_SECONDS", default=20)),
    "working": timedelta(seconds=env.float("AGENTCOM_LEASE_WORKING_SECONDS", default=20)),
    "blocked": timedelta(seconds=env.float("AGENTCOM_LEASE_BLOCKED_SECONDS", default=20)),
}
HEARTBEAT_SECONDS = env.float("AGENTCOM_HEARTBEAT_SECONDS", default=5)
IDLE_HEARTBEAT_SECONDS = env.float("AGENTCOM_IDLE_HEARTBEAT_SECONDS", default=20)
SWEEP_SECONDS = env.float("AGENTCOM_SWEEP_SECONDS", default=2)
"""How often each web process looks for lapsed leases and unmatched work; the clock's sweep is behind it."""

LANE_PATIENCE = timedelta(seconds=env.float("AGENTCOM_LANE_PATIENCE_SECONDS", default=600))
"""Anti-starvation: a task goes before any task of the next higher lane that came this much later."""

RETRY_BACKOFF = timedelta(seconds=env.float("AGENTCOM_RETRY_BACKOFF_SECONDS", default=10))
RETRY_BACKOFF_MAX = timedelta(seconds=env.float("AGENTCOM_RETRY_BACKOFF_MAX_SECONDS", default=600))
MAX_RECLAIMS = whole(env, "AGENTCOM_MAX_RECLAIMS", default=5, least=0, most=1_000)

# How far a model may go in one run, by the tier of its task: answers. In all runs of an attempt: tokens. How often
# failing checks go back to it within an attempt, when the task does not say.
MODEL_STEPS = {
    "trivial": whole(env, "AGENTCOM_STEPS_TRIVIAL", default=5, least=1, most=1_000),
    "standard": whole(env, "AGENTCOM_STEPS_STANDARD", default=10, least=1, most=1_000),
    "complex": whole(env, "AGENTCOM_STEPS_COMPLEX", default=20, least=1, most=1_000),
    "unknown": whole(env, "AGENTCOM_STEPS_UNKNOWN", default=10, least=1, most=1_000),
}
MODEL_TOKENS = whole(env, "AGENTCOM_ATTEMPT_TOKENS", default=400_000, least=1, most=10**9)
# The most that an attempt may cost when its model costs money, in micro-USD, and how many calls it may make.
ATTEMPT_MICROUSD = whole(env, "AGENTCOM_ATTEMPT_MICROUSD", default=1_000_000, least=1, most=10**12)
ATTEMPT_CALLS = whole(env, "AGENTCOM_ATTEMPT_CALLS", default=200, least=1, most=100_000)
# What is set aside for an attempt: the most that it may use, or what such attempts mostly needed. The second lets more
# of them run on a small budget, and ends some that would have needed more.
ESTIMATE = chosen(env, "AGENTCOM_ESTIMATE", ("worst", "p95"))
MODEL_FIXES = whole(env, "AGENTCOM_MODEL_FIXES", default=2, least=0, most=100)
# A model that could not be reached, or had too much to do, is no failure of the task; it waits so long.
MODEL_PAUSE = timedelta(seconds=env.float("AGENTCOM_MODEL_PAUSE_SECONDS", default=30))
# Where operators' endpoints may be, beside public addresses: networks such as 192.168.1.0/24; and on which ports.
ENDPOINT_NETWORKS = networks(env.list("AGENTCOM_ENDPOINT_NETWORKS", default=[]))
ENDPOINT_PORTS = tuple(env.list("AGENTCOM_ENDPOINT_PORTS", cast=int, default=[80, 443, 11434]))
# How many goals the hub carries out at once; how often it sets out anew for what is still missing of one.
GOALS_AT_ONCE = whole(env, "AGENTCOM_GOALS_AT_ONCE", default=3, least=1, most=100)
FOLLOW_UP_ROUNDS = whole(env, "AGENTCOM_FOLLOW_UP_ROUNDS", default=2, least=0, most=10)
# A call of a model that the hub makes for itself may take so long before another process makes it anew; one that failed
# is made again after a pause, which doubles, and so often in a row.
CLAIM = timedelta(seconds=env.float("AGENTCOM_CLAIM_SECONDS", default=900))
THINKING_BACKOFF = timedelta(seconds=env.float("AGENTCOM_THINKING_BACKOFF_SECONDS", default=30))
THINKING_TRIES = whole(env, "AGENTCOM_THINKING_TRIES", default=5, least=1, most=100)

# How the hub itself thinks. Who does is chosen by the routing rule "thinking"; this model when it is to be had.
THINKING_MODEL = env.str("AGENTCOM_THINKING_MODEL", default="")
# Tokens that a question and its answer may have together. Where agents use the same model give it theirs, 16384 as they
# come: another context makes Ollama load the model again.
THINKING_CONTEXT = whole(env, "AGENTCOM_THINKING_CONTEXT", default=8_192, least=SMALLEST_CONTEXT, most=1_000_000)
# A call that has not ended after so long has failed. The cluster's own limit (below 900 s) must leave room for several.
THINKING_SECONDS = env.float("AGENTCOM_THINKING_SECONDS", default=300)
# Claude thinks only when the rule names it and the hub's environment has a key.
THINKING_CLAUDE_MODEL = env.str("AGENTCOM_THINKING_CLAUDE_MODEL", default="claude-haiku-5-5")
THINKING_CLAUDE_URL = env.str("AGENTCOM_THINKING_CLAUDE_URL", default="https://api.anthropic.com")
ANTHROPIC_API_KEY = env.str("ANTHROPIC_API_KEY", default="")
QUEUE_TTL = timedelta(seconds=env.float("AGENTCOM_QUEUE_TTL_SECONDS", default=0))
"""A task that no agent took for so long is buried; zero, the default, keeps it for ever."""

MAX_PUSH_BYTES = env.int("AGENTCOM_MAX_PUSH_BYTES", default=200 * 1024 * 1024)
MAX_FILE_BYTES = env.int("AGENTCOM_MAX_FILE_BYTES", default=20 * 1024 * 1024)
MAX_PUSH_FILES = env.int("AGENTCOM_MAX_PUSH_FILES", default=5_000)
ENROLMENT_CODE_LIFETIME = timedelta(minutes=10)
LOGIN_LINK_LIFETIME = timedelta(hours=12)
TOKEN_OVERLAP = timedelta(minutes=10)
RETENTION = timedelta(days=env.float("AGENTCOM_RETENTION_DAYS", default=90))
LOCAL_REPOSITORIES = env.bool("AGENTCOM_LOCAL_REPOSITORIES", default=True)
"""Whether an operator may register a repository by a path on the hub's own disk."""

LOG_FORMAT = env.str("AGENTCOM_LOG_FORMAT", default="console")
LOG_LEVEL = env.str("AGENTCOM_LOG_LEVEL", default="INFO")
LOGGING_CONFIG = "apps.events.logs.configure"
LOGGING = {"format": LOG_FORMAT, "level": LOG_LEVEL}
