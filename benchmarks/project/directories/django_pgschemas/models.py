from django_pgschemas.models import TenantModel
from django_pgschemas.routing.models import DomainModel


class University(TenantModel):
    pass


class Hostname(DomainModel):
    pass
