"""What plain Django and Domicile share: four apps in databases of their own, on one cluster."""

import os

SECRET_KEY = "a benchmark has none"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
APPS = ["notes", "blog", "people", "sensors"]
PORTS = os.environ["BENCH_PORTS"].split(",")  # the primary's, then those of its replicas
REPLICAS = [f"users_{number}" for number in range(1, len(PORTS))]


def database(engine: str, name: str, port: str = PORTS[0]) -> dict[str, object]:
    return {
        "ENGINE": engine,
        "NAME": name,
        "HOST": "127.0.0.1",
        "PORT": port,
        "USER": os.environ["BENCH_USER"],
        "CONN_MAX_AGE": None,
        "OPTIONS": {"sslmode": "disable", "gssencmode": "disable"},
    }


def databases(engine: str) -> dict[str, dict[str, object]]:
    return {
        "default": database(engine, "main"),
        "users": database(engine, "users"),
        "blog": database(engine, "blog"),
        "timeseries": database(engine, "timeseries"),
        **{
            alias: database(engine, "users", port)
            for alias, port in zip(REPLICAS, PORTS[1:], strict=True)
        },
    }
