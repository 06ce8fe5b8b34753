from .common import *  # noqa: F403
from .common import DJANGO_APPS, DJANGO_MIDDLEWARE, databases

TENANT_APPS = [*DJANGO_APPS, "students"]
INSTALLED_APPS = ["domicile", "directories.domicile", *TENANT_APPS]
MIDDLEWARE = ["domicile.middleware.TenantMiddleware", *DJANGO_MIDDLEWARE]
DATABASES = databases("domicile.backends.postgresql")
DATABASE_ROUTERS = ["domicile.router.Router"]
DOMICILE = {
    "TENANT_MODEL": "directory.University",
    "DOMAIN_MODEL": "directory.Hostname",
    "TENANT_APPS": TENANT_APPS,
    "PLACEMENTS": {"schema": {"DATABASE": "default", "SCHEMA": "{slug}"}},
    "RESOLVERS": ["domicile.resolvers.DomainResolver"],
}
