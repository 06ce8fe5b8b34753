from .common import *  # noqa: F403
from .common import DJANGO_APPS, DJANGO_MIDDLEWARE, ROOT_URLCONF, TUNED, databases

SHARED_APPS = ["django_pgschemas", "directories.django_pgschemas"]
TENANT_APPS = [*DJANGO_APPS, "students"]
TENANTS = {
    "public": {"APPS": SHARED_APPS},
    "default": {
        "TENANT_MODEL": "directory.University",
        "DOMAIN_MODEL": "directory.Hostname",
        "APPS": TENANT_APPS,
        "URLCONF": ROOT_URLCONF,
    },
}
PGSCHEMAS_LIMIT_SET_CALLS = TUNED
INSTALLED_APPS = [*SHARED_APPS, *TENANT_APPS]
MIDDLEWARE = ["django_pgschemas.routing.middleware.DomainRoutingMiddleware", *DJANGO_MIDDLEWARE]
DATABASES = databases("django_pgschemas.postgresql")
DATABASE_ROUTERS = ["django_pgschemas.routers.TenantAppsRouter"]
