"""The admin of tenants, and the admin inside each of them.

`AdminSite` (installed by `domicile.apps.AdminConfig`) shows in each home what lives there.
`TenantAdmin` and `DomainAdmin` are for the project's tenant and domain models.
"""

from domicile.admin.domains import DomainAdmin
from domicile.admin.forms import TenantForm
from domicile.admin.sites import AdminSite
from domicile.admin.tenants import TenantAdmin

__all__ = ["AdminSite", "DomainAdmin", "TenantAdmin", "TenantForm"]
