"""Forms of tenants. What a name may be is asked of those who give out names."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from domicile.conf import conf
from domicile.exceptions import InvalidHost
from domicile.models import Status
from domicile.naming import usable_domain
from domicile.registry import domain_model, tenant_model

#: Sent with the values of a creation that failed: the reason. The form is shown again.
AGAIN = "_again"


def _placements() -> list[tuple[str, str]]:
    return [(key, key) for key, each in conf().placements.items() if not each.houses_periods]


class DomainsField(forms.Field):
    """Host names, one a line. Its value is a list of them as they are stored."""

    widget = forms.Textarea(attrs={"rows": 3, "class": "vLargeTextField"})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[str]:
        lines = value if isinstance(value, list) else (value or "").split()
        try:
            return list(dict.fromkeys(map(usable_domain, lines)))
        except InvalidHost as error:
            raise ValidationError(str(error), code="invalid") from error

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return self.to_python(data) != list(initial or [])
        except ValidationError:
            return True


class TenantForm(forms.ModelForm):
    """A tenant as it is created, and what of it can be changed later."""

    placement = forms.ChoiceField(
        label=_("Placement"),
        choices=_placements,
        initial=lambda: conf().default_placement,
        help_text=_("Where its data will be."),
    )
    domains = DomainsField(
        label=_("Domains"),
        required=False,
        help_text=_("Host names of its own, one on each line. The first is the primary one."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial.setdefault("domains", hosts_of(self.instance))

    def clean_domains(self) -> list[str]:
        hosts: list[str] = self.cleaned_data["domains"]
        slug = self.cleaned_data.get("slug") or self.instance.slug
        taken = domain_model()._base_manager.filter(host__in=hosts).exclude(tenant__slug=slug)
        errors = [_("The domain %s belongs to another tenant.") % domain.host for domain in taken]
        if errors:
            raise ValidationError(errors)
        return hosts

    def clean(self) -> Any:
        if AGAIN in self.data:
            raise ValidationError(self.data[AGAIN], code="again")
        return super().clean()

    def validate_unique(self) -> None:
        remains = tenant_model()._base_manager.filter(
            slug=self.instance.slug, status=Status.CREATING
        )
        # What a creation left that was cut off is cleared away by the next one.
        if self.instance.pk or not remains.exists():
            super().validate_unique()


class DropForm(forms.Form):
    """Asks for the slug in the hand of whoever wants a tenant dropped."""

    slug = forms.CharField(
        label=_("Slug"),
        help_text=_("Type it to show that you mean it."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    grace = forms.IntegerField(
        label=_("Days of grace"),
        required=False,
        min_value=0,
        max_value=3650,
        help_text=_("It is hidden at once and dropped after so many days. Empty: dropped now."),
    )

    def __init__(self, data: Any, *, tenant: Any) -> None:
        super().__init__(data)
        self.tenant = tenant

    def clean_slug(self) -> str:
        slug: str = self.cleaned_data["slug"]
        if slug != self.tenant.slug:
            raise ValidationError(_("This is not its slug: “%s”.") % self.tenant.slug)
        return slug


def hosts_of(tenant: Any) -> list[str]:
    """Return a tenant's hosts, the primary one first."""
    domains = sorted(tenant.domains.all(), key=lambda domain: (not domain.is_primary, domain.pk))
    return [domain.host for domain in domains]
