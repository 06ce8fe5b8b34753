from django.contrib import admin
from domicile.admin import DomainAdmin, TenantAdmin

from .models import Hostname, University


@admin.register(University)
class UniversityAdmin(TenantAdmin):
    pass


@admin.register(Hostname)
class HostnameAdmin(DomainAdmin):
    pass
