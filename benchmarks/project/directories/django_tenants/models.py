from django_tenants.models import DomainMixin, TenantMixin


class University(TenantMixin):
    pass


class Hostname(DomainMixin):
    pass
