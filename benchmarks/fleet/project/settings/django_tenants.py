from .common import *  # noqa: F403
from .common import CLONE, TENANT_APPS, databases

SHARED_APPS = ["django_tenants", "directories.django_tenants"]
INSTALLED_APPS = [*SHARED_APPS, *TENANT_APPS]
TENANT_MODEL = "directory.University"
TENANT_DOMAIN_MODEL = "directory.Hostname"
if CLONE:
    TENANT_BASE_SCHEMA = CLONE
    TENANT_CREATION_FAKES_MIGRATIONS = True
DATABASES = databases("django_tenants.postgresql_backend")
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
