from django.db import models

import domicile


class University(domicile.Tenant):
    founded = models.IntegerField(null=True, blank=True)

    class Meta(domicile.Tenant.Meta):
        verbose_name_plural = "universities"


class Hostname(domicile.Domain):
    pass
