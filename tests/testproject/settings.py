"""A project on Domicile with every kind of placement.

TESTPROJECT_DEFAULT, TESTPROJECT_POSTGRES15 and TESTPROJECT_MARIADB are the URLs of its databases,
TESTPROJECT_FILES is the folder of its SQLite files; tests/conftest.py sets them. With
TESTPROJECT_MIGRATES new tenants are made by migrations; TESTPROJECT_READY homes are kept ready.
"""

import os
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

ENGINES = {"postgresql": "domicile.backends.postgresql", "mysql": "domicile.backends.mysql"}

# Nothing listens there: what needs no database, such as mypy, runs without a server.
NOWHERE = "postgresql://postgres@127.0.0.1:1/test_domicile"


def database(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    name = parts.path.removeprefix("/")
    return {
        "ENGINE": ENGINES[parts.scheme],
        "NAME": name,
        "HOST": parts.hostname,
        "PORT": parts.port,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        # The same name in tests, for the processes that tests start; made when a test needs it.
        "TEST": {"NAME": name, "DEPENDENCIES": []},
    }


DATABASES = {"default": database(os.environ.get("TESTPROJECT_DEFAULT", NOWHERE))}
PLACEMENTS = {
    "schema": {"DATABASE": "default", "SCHEMA": "{slug}"},
    "database": {"DATABASE": "default", "NAME": "test_{slug}"},
    "file": {
        "ENGINE": "domicile.backends.sqlite3",
        "NAME": str(
            Path(os.environ.get("TESTPROJECT_FILES", tempfile.gettempdir()), "{slug}.sqlite3")
        ),
    },
}
if "TESTPROJECT_POSTGRES15" in os.environ:
    DATABASES["postgres15"] = database(os.environ["TESTPROJECT_POSTGRES15"])
    PLACEMENTS["schema15"] = {"DATABASE": "postgres15", "SCHEMA": "{slug}"}
if "TESTPROJECT_MARIADB" in os.environ:
    DATABASES["mariadb"] = database(os.environ["TESTPROJECT_MARIADB"])
    PLACEMENTS["mariadb"] = {"DATABASE": "mariadb", "NAME": "test_{slug}"}

DATABASE_ROUTERS = ["domicile.router.Router"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

APPS_OF_BOTH = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.sites",
    "django.contrib.admin",
]
INSTALLED_APPS = [
    "domicile",
    "tests.testproject.universities",
    *APPS_OF_BOTH[:-1],
    "domicile.apps.AdminConfig",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "tests.testproject.students",
    "tests.testproject.people",
    "tests.testproject.posts",
    "tests.testproject.events",
    "tests.testproject.customers",
    "tests.testproject.sensors",
    "tests.testproject.marks",
]

DOMICILE = {
    "TENANT_MODEL": "universities.University",
    "DOMAIN_MODEL": "universities.Hostname",
    "TENANT_APPS": ["students", "marks", *APPS_OF_BOTH],
    "SHARED_APPS": APPS_OF_BOTH,
    "PLACEMENTS": PLACEMENTS,
    "DEFAULT_PLACEMENT": "schema",
    # For the processes that tests start.
    "CLONE": "TESTPROJECT_MIGRATES" not in os.environ,
    "READY": int(os.environ.get("TESTPROJECT_READY", "0")),
    "SHARED_URLCONF": "tests.testproject.shared_urls",
    # Seconds: longer than any test, so that a test says by itself when it looks.
    "REGISTRY_MAX_AGE": 3600,
    "BASE_DOMAINS": ["localhost"],
    "PUBLIC_HOSTS": ["testserver", "127.0.0.1"],
    "RESOLVERS": ["domicile.resolvers.SubdomainResolver", "domicile.resolvers.DomainResolver"],
}

# A test may give the app other migrations than its own; see tests/growing.py.
if "TESTPROJECT_MIGRATIONS" in os.environ:
    MIGRATION_MODULES = {"students": os.environ["TESTPROJECT_MIGRATIONS"]}

ROOT_URLCONF = "tests.testproject.urls"
MIDDLEWARE = [
    "domicile.middleware.TenantMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
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

ALLOWED_HOSTS = ["*"]
SECRET_KEY = "only for tests"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STATIC_URL = "static/"
USE_TZ = True
