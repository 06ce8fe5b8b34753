from .common import *  # noqa: F403
from .common import READY, REFERENCE, SILENCED_SYSTEM_CHECKS, TENANT_APPS, databases

INSTALLED_APPS = ["domicile", "directories.domicile", *TENANT_APPS]
SILENCED_SYSTEM_CHECKS = [*SILENCED_SYSTEM_CHECKS, "domicile.W016"]  # that about its middleware
DATABASES = databases("domicile.backends.postgresql")
DATABASE_ROUTERS = ["settings.routers.TenantApps" if REFERENCE else "domicile.router.Router"]
DOMICILE = {
    "TENANT_MODEL": "directory.University",
    "DOMAIN_MODEL": "directory.Hostname",
    "TENANT_APPS": TENANT_APPS,
    "PLACEMENTS": {"schema": {"DATABASE": "default", "SCHEMA": "{slug}"}},
    "RESOLVERS": ["domicile.resolvers.DomainResolver"],
    **({"READY": {"schema": READY}} if READY else {}),
}
