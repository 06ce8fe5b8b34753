from .common import *  # noqa: F403
from .common import DJANGO_APPS, DJANGO_MIDDLEWARE, TUNED, databases

SHARED_APPS = ["django_tenants", "directories.django_tenants"]
TENANT_APPS = [*DJANGO_APPS, "students"]
INSTALLED_APPS = [*SHARED_APPS, *TENANT_APPS]
TENANT_MODEL = "directory.University"
TENANT_DOMAIN_MODEL = "directory.Hostname"
TENANT_LIMIT_SET_CALLS = TUNED
MIDDLEWARE = ["django_tenants.middleware.main.TenantMainMiddleware", *DJANGO_MIDDLEWARE]
DATABASES = databases("django_tenants.postgresql_backend")
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
