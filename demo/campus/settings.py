from logging import LogRecord
from typing import Any

from django.utils.log import CallbackFilter
from domicile.rules import Apps, Legacy, Periods, Replicas

from campus.place import place

PLACE = place()

SECRET_KEY = PLACE.secret_key()
DEBUG = False
ALLOWED_HOSTS = ["*"]  # TenantMiddleware answers 404 to the hosts that are nobody's

INSTALLED_APPS = [
    "domicile",
    "universities",
    "students",
    "marks",
    "users",
    "blog",
    "analytics",
    "customers",
    "employees",
    "assets",
    "sensors",
    "domicile.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

SQLITE = {
    "ENGINE": "domicile.backends.sqlite3",
    "OPTIONS": {
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
        "transaction_mode": "IMMEDIATE",
    },
}


def sqlite(name: str) -> dict[str, Any]:
    return SQLITE | {"NAME": str(PLACE.data / f"{name}.sqlite3")}


def postgres(name: str) -> dict[str, Any]:
    return PLACE.postgres.settings(name) if PLACE.postgres else sqlite(name)


def mariadb(name: str) -> dict[str, Any]:
    return PLACE.mariadb.settings(name) if PLACE.mariadb else sqlite(name)


DATABASES = {
    "default": postgres("campus") if PLACE.postgres else sqlite("shared"),
    "users": postgres("users"),
    "blog": postgres("blog"),
    "analytics": postgres("analytics"),
    "legacy": mariadb("legacy"),
    "employees": mariadb("employees"),
    "cache": sqlite("cache"),
    "assets": sqlite("assets"),
}
PLACEMENTS = {
    "file": sqlite("tenants/{slug}"),
    "marks": sqlite("tenants/{slug}_{period}"),
    "months": sqlite("readings-{period}"),
}
RULES = [
    Apps(
        {
            "users": "users",
            "blog": "blog",
            "analytics": "analytics",
            "employees": "employees",
            "assets": "assets",
            "django_cache": "cache",
        }
    ),
    Legacy("legacy", apps=["customers"]),
    Periods(
        "sensors.Reading", field="taken_at", every="month", placement="months", unbounded="fan_out"
    ),
    # Of each university.
    Periods(
        "marks.Mark",
        field="given_on",
        every="year",
        placement="marks",
        unbounded="fan_out",
        ahead=0,
    ),
]
if PLACE.postgres:
    DATABASES["timeseries"] = postgres("timeseries")
    PLACEMENTS = {
        "schema": {"DATABASE": "default", "SCHEMA": "{slug}"},
        "file": PLACEMENTS["file"],
        "marks": {"DATABASE": "default", "SCHEMA": "{slug}_{period}"},
        "months": {"DATABASE": "timeseries", "SCHEMA": "readings_{period}"},
    }
if PLACE.replica:
    for name in ("users", "blog", "analytics"):
        DATABASES[f"{name}_replica"] = PLACE.replica.settings(name)
        RULES.append(Replicas(name, [f"{name}_replica"]))
DATABASE_ROUTERS = ["domicile.router.Router"]

DOMICILE = {
    "TENANT_MODEL": "universities.University",
    "DOMAIN_MODEL": "universities.Hostname",
    "TENANT_APPS": ["students", "marks", "admin", "auth", "contenttypes", "sessions"],
    "SHARED_APPS": ["admin", "auth", "contenttypes", "sessions"],
    "PLACEMENTS": PLACEMENTS,
    "RULES": RULES,
    "RELATIONS": [
        "blog.Post.author",
        "analytics.Event.person",
        "assets.Asset.holder",
        "marks.Mark.student",
    ],
    "SHARED_URLCONF": "campus.shared_urls",
    "BASE_DOMAINS": ["localhost"],
    "PUBLIC_HOSTS": ["127.0.0.1"],
    "RESOLVERS": [
        "domicile.resolvers.HeaderResolver",
        "domicile.resolvers.PathResolver",
        "domicile.resolvers.SubdomainResolver",
        "domicile.resolvers.DomainResolver",
    ],
    "TRUSTED_PROXIES": ["127.0.0.1/32"],
    "INITIAL_DATA": "universities.catalogue.furnish",
}

MIDDLEWARE = [
    "domicile.replicas.middleware.ReadYourWritesMiddleware",
    "domicile.middleware.TenantMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "cached",
    }
}
ROOT_URLCONF = "campus.urls"
WSGI_APPLICATION = "campus.wsgi.application"
ASGI_APPLICATION = "campus.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "universities.context_processors.university",
            ]
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "/static/"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True


def unexpected(record: LogRecord) -> bool:
    return getattr(record, "status_code", 500) != 503  # the answer of a suspended university


LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"unexpected": {"()": CallbackFilter, "callback": unexpected}},
    "handlers": {"console": {"class": "logging.StreamHandler", "filters": ["unexpected"]}},
    "loggers": {
        "django": {"handlers": ["console"], "level": "ERROR", "propagate": False},
        "waitress.queue": {"level": "ERROR"},  # it warns of every request that has to wait
    },
}
