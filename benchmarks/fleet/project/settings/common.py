"""What all contenders share: a school, all of whose apps are its tenants' own."""

import os

SECRET_KEY = "a benchmark has none"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TENANT_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.admin",
    "school",
]
# Nothing is served here, so the admin lacks its templates and its middleware.
SILENCED_SYSTEM_CHECKS = ["admin.E403", "admin.E408", "admin.E409", "admin.E410"]
REFERENCE = os.environ.get("BENCH_REFERENCE")  # the schema where Django alone makes a home
CLONE = os.environ.get("BENCH_CLONE")  # the schema that peers clone
READY = int(os.environ.get("BENCH_READY", "0"))  # homes that Domicile keeps ready


def databases(engine: str) -> dict[str, dict[str, object]]:
    options = {"sslmode": "disable", "gssencmode": "disable"}
    if REFERENCE:
        engine = "django.db.backends.postgresql"
        options["options"] = f"-c search_path={REFERENCE}"
    return {
        "default": {
            "ENGINE": engine,
            "NAME": os.environ["BENCH_NAME"],
            "HOST": os.environ["BENCH_HOST"],
            "PORT": os.environ["BENCH_PORT"],
            "USER": os.environ["BENCH_USER"],
            "CONN_MAX_AGE": None,
            "OPTIONS": options,
        }
    }
