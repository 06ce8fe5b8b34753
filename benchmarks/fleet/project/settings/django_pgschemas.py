from .common import *  # noqa: F403
from .common import CLONE, TENANT_APPS, databases

SHARED_APPS = ["django_pgschemas", "directories.django_pgschemas"]
TENANTS = {
    "public": {"APPS": SHARED_APPS},
    "default": {
        "TENANT_MODEL": "directory.University",
        "DOMAIN_MODEL": "directory.Hostname",
        "APPS": TENANT_APPS,
        "URLCONF": "school.urls",
        **({"CLONE_REFERENCE": CLONE} if CLONE else {}),
    },
}
INSTALLED_APPS = [*SHARED_APPS, *TENANT_APPS]
DATABASES = databases("django_pgschemas.postgresql")
DATABASE_ROUTERS = ["django_pgschemas.routers.TenantAppsRouter"]
