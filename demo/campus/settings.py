from logging import LogRecord

from django.utils.log import CallbackFilter

from campus.place import place

PLACE = place()

SECRET_KEY = PLACE.secret_key()
DEBUG = False
ALLOWED_HOSTS = ["*"]  # TenantMiddleware answers 404 to the hosts that are nobody's

INSTALLED_APPS = [
    "domicile",
    "universities",
    "students",
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
FILE = SQLITE | {"NAME": str(PLACE.data / "tenants" / "{slug}.sqlite3")}

if PLACE.server:
    host, port = PLACE.server.address()
    DATABASES = {
        "default": {
            "ENGINE": "domicile.backends.postgresql",
            "NAME": "campus",
            "USER": "campus",
            "PASSWORD": PLACE.server.password(),
            "HOST": host,
            "PORT": port,
            "CONN_MAX_AGE": 60,
        }
    }
    PLACEMENTS = {"schema": {"DATABASE": "default", "SCHEMA": "{slug}"}, "file": FILE}
else:
    DATABASES = {"default": SQLITE | {"NAME": str(PLACE.data / "shared.sqlite3")}}
    PLACEMENTS = {"file": FILE}
DATABASE_ROUTERS = ["domicile.router.Router"]

DOMICILE = {
    "TENANT_MODEL": "universities.University",
    "DOMAIN_MODEL": "universities.Hostname",
    "TENANT_APPS": ["students", "admin", "auth", "contenttypes", "sessions"],
    "SHARED_APPS": ["admin", "auth", "contenttypes", "sessions"],
    "PLACEMENTS": PLACEMENTS,
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
    "domicile.middleware.TenantMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
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
