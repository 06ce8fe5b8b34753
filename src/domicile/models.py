"""The abstract models of tenants and their domains, and the counter that tells of their changes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import models, transaction
from django.db.models import F
from django.db.models.signals import class_prepared, pre_delete
from django.utils.translation import gettext_lazy as _

from domicile.conf import conf
from domicile.context import Activation
from domicile.exceptions import HomeInUse
from domicile.naming import (
    HOST_MAX_LENGTH,
    SLUG_MAX_LENGTH,
    host_validator,
    slug_validator,
    usable_domain,
)
from domicile.placement import SHARED_ALIAS, Home, Placement, tenant_alias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Status(models.TextChoices):
    """Where a tenant is in its life. Only visible ones are found by a request."""

    CREATING = "creating", _("being created")
    ACTIVE = "active", _("active")
    MAINTENANCE = "maintenance", _("under maintenance")
    SUSPENDED = "suspended", _("suspended")
    DROPPING = "dropping", _("being dropped")


VISIBLE = frozenset({Status.ACTIVE, Status.MAINTENANCE, Status.SUSPENDED})


class RegistryVersion(models.Model):
    """A counter, in one row, of changes to tenants and domains. Processes that keep tenants in
    memory look at it every `REGISTRY_MAX_AGE` seconds.
    """

    version = models.PositiveBigIntegerField(default=0)

    class Meta:
        verbose_name = _("registry version")

    @classmethod
    def current(cls) -> int:
        """Return the count."""
        return cls.objects.values_list("version", flat=True).filter(pk=1).first() or 0

    @classmethod
    def bump(cls) -> None:
        """Count one more change, in the transaction of the change itself."""
        if not cls.objects.filter(pk=1).update(version=F("version") + 1):
            cls.objects.get_or_create(pk=1)
            cls.objects.filter(pk=1).update(version=F("version") + 1)


class AnnouncingQuerySet(models.QuerySet[Any]):
    """Counts the changes that send no signal."""

    def update(self, **kwargs: Any) -> int:
        with _announced():
            return super().update(**kwargs)

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        with _announced():
            return super().bulk_create(objs, *args, **kwargs)


class TenantQuerySet(AnnouncingQuerySet):
    """Tenants."""

    def visible(self) -> TenantQuerySet:
        """Return those that a request can find."""
        return self.filter(status__in=VISIBLE)


@contextmanager
def _announced() -> Iterator[None]:
    """Count a change in its own transaction, so that no process can miss one that was committed.

    The counter comes first: two who change something then wait for each other in one order.
    """
    with transaction.atomic(using=SHARED_ALIAS, savepoint=False):
        _announce()
        yield


def _announce() -> None:
    from domicile.registry import registry

    registry.announce()


class Announcing(models.Model):
    """A model whose changes every process must see."""

    objects = AnnouncingQuerySet.as_manager()

    class Meta:
        abstract = True

    def save_base(self, *args: Any, **kwargs: Any) -> None:
        if self.is_unseen and kwargs.get("force_insert"):
            super().save_base(*args, **kwargs)
            return
        with _announced():
            super().save_base(*args, **kwargs)

    @property
    def is_unseen(self) -> bool:
        """Whether no process sees it, so that one which is new changes nothing for any."""
        return False

    def check_delete(self) -> None:
        """Raise where the row must not be deleted, by whatever way: also by a cascade."""


def _before_delete(*, instance: Announcing, **_: Any) -> None:
    instance.check_delete()
    _announce()


def _watch_deletes(*, sender: Any, **_: Any) -> None:
    if issubclass(sender, Announcing):
        pre_delete.connect(_before_delete, sender=sender, dispatch_uid="domicile.models")


class_prepared.connect(_watch_deletes, dispatch_uid="domicile.models")


class Tenant(Announcing):
    """A customer whose rows nobody else may see. A project's tenant model inherits from this.

    Saving a row makes, moves and drops nothing: that is done by `create_tenant()`, `drop_tenant()`
    and the commands.
    """

    slug = models.CharField(
        _("slug"),
        max_length=SLUG_MAX_LENGTH,
        unique=True,
        validators=[slug_validator],
        help_text=_("Lower-case letters, digits and hyphens. It cannot be changed later."),
    )
    name = models.CharField(_("name"), max_length=200)
    status = models.CharField(
        _("status"), max_length=12, choices=Status.choices, default=Status.CREATING, editable=False
    )
    placement_template = models.CharField(_("placement"), max_length=63, editable=False)
    placement_name = models.CharField(_("placement name"), max_length=255, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    changed_at = models.DateTimeField(_("changed"), auto_now=True)
    drop_after = models.DateTimeField(_("to be dropped after"), null=True, editable=False)

    objects = TenantQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name or self.slug

    @property
    def placement(self) -> Placement:
        return Placement(self.placement_template, self.placement_name)

    @placement.setter
    def placement(self, placement: Placement) -> None:
        self.placement_template, self.placement_name = placement.template, placement.name

    @property
    def alias(self) -> str:
        """The database alias of this tenant: for `.using()`, `atomic()`, `connections`."""
        return tenant_alias(self.slug)

    @property
    def home(self) -> Home:
        return Home(self.alias, self.placement)

    def activate(self) -> Activation:
        """Return what makes this the active tenant: `with`, `async with` or decorator."""
        return Activation(self.home, self)

    @property
    def is_unseen(self) -> bool:
        return self.status not in VISIBLE

    def check_delete(self) -> None:
        if self.status != Status.DROPPING or self.drop_after is not None:
            raise HomeInUse(
                f"The row of tenant {self.slug!r} cannot be deleted while its home"
                f" {self.placement} is there. Use drop_tenant() or `tenants drop {self.slug}`,"
                " which remove both."
            )


class Domain(Announcing):
    """A host name of a tenant. A project's domain model inherits from this."""

    tenant = models.ForeignKey(
        conf().tenant_model or "self", models.CASCADE, related_name="domains", editable=True
    )
    host = models.CharField(
        _("host"),
        max_length=HOST_MAX_LENGTH,
        unique=True,
        validators=[host_validator],
        help_text=_("A full domain name, such as uni.example."),
    )
    is_primary = models.BooleanField(_("primary"), default=False)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.host

    def clean_fields(self, exclude: Any = None) -> None:
        super().clean_fields(exclude)
        if "host" not in (exclude or ()):
            self.host = usable_domain(self.host)

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.host = usable_domain(self.host)
        super().save(*args, **kwargs)


# Django looks for an app's models here.
from domicile.records import MigrationRun, MigrationRunHome, Move, ReadyHome  # noqa: E402, F401
