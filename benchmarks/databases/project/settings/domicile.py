from domicile.rules import Apps, Periods, Replicas

from .common import *  # noqa: F403
from .common import APPS, REPLICAS, databases

INSTALLED_APPS = ["domicile", "directories.domicile", *APPS, "students"]
DATABASES = databases("domicile.backends.postgresql")
DATABASE_ROUTERS = ["domicile.router.Router"]
DOMICILE = {
    "TENANT_MODEL": "directory.University",
    "DOMAIN_MODEL": "directory.Hostname",
    "TENANT_APPS": ["students"],
    "PLACEMENTS": {
        "schema": {"DATABASE": "users", "SCHEMA": "{slug}"},
        "months": {"DATABASE": "timeseries", "SCHEMA": "readings_{period}"},
    },
    "RULES": [
        Apps({"people": "users", "blog": "blog"}),
        Periods("sensors.Reading", field="taken_at", every="month", placement="months"),
        *([Replicas("users", REPLICAS)] if REPLICAS else []),
    ],
}
