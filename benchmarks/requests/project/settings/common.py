"""The project that `startproject` makes, less its admin: what all contenders share."""

import os

SECRET_KEY = "a benchmark has none"
DEBUG = False
ALLOWED_HOSTS = [".bench.test"]
USE_TZ = True
ROOT_URLCONF = "students.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

DJANGO_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
]
STARTPROJECT_MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
BARE = bool(os.environ.get("BENCH_BARE"))
TUNED = bool(os.environ.get("BENCH_TUNED"))
DJANGO_MIDDLEWARE = [] if BARE else STARTPROJECT_MIDDLEWARE


def databases(engine: str) -> dict[str, dict[str, object]]:
    """A connection for ever under WSGI; Django's pool under ASGI, where threads end."""
    pooled = os.environ.get("BENCH_SERVER") == "asgi"
    options: dict[str, object] = {"sslmode": "disable", "gssencmode": "disable"}
    if pooled:
        options["pool"] = {"min_size": 1, "max_size": 1}
    return {
        "default": {
            "ENGINE": engine,
            "NAME": os.environ["BENCH_NAME"],
            "HOST": os.environ["BENCH_HOST"],
            "PORT": os.environ["BENCH_PORT"],
            "USER": os.environ["BENCH_USER"],
            "CONN_MAX_AGE": 0 if pooled else None,
            "OPTIONS": options,
        }
    }
