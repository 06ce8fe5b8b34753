"""The template of a placement: a home as `migrate` makes it, which new ones are cloned from.

It stands beside the tenants' homes under a name that no slug can be, and belongs to none. A row of
its `django_migrations` is its label: written when it is complete, it says by which recipe the
template was made and what it looks like. The label goes with the template, into backups as well,
and is gone when somebody drops it. A template without a label, or by another recipe than the
project's, is thrown away and made anew by who holds its lock; meanwhile others do without.
"""

from __future__ import annotations

import logging
import uuid
from typing import NamedTuple

from django.db import DatabaseError
from django.utils import timezone

from domicile.backends.homes import Original, Row
from domicile.conf import conf
from domicile.exceptions import CloneDiffers, HomeMissing, InvalidName, NotSupported
from domicile.fleet.migrations import Progress, Step, migrate_home, silent
from domicile.fleet.site import Site, handler
from domicile.fleet.stock.recipe import recipe
from domicile.fleet.survey import drift
from domicile.placement import SHARED_ALIAS, TEMPLATE_NAME, Placement
from domicile.registry import tenant_model

logger = logging.getLogger("domicile.fleet")

#: The app that the label's row names; no app can be called so.
_LABEL_APP = "domicile: template"


class Label(NamedTuple):
    """What a template says of itself."""

    recipe: str
    fingerprint: str
    #: Another word each time that one is made.
    made: str

    def __str__(self) -> str:
        return " ".join(self)

    @property
    def row(self) -> Row:
        """Where it is written."""
        return Row("django_migrations", {"app": _LABEL_APP, "name": str(self)})


class Template:
    """The template of one placement."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.site = Site.of(Placement(key, TEMPLATE_NAME))

    def label(self) -> Label | None:
        """Return what the template says of itself; None where it is missing or not complete."""
        try:
            with self.site.session() as cursor:
                cursor.execute("SELECT name FROM django_migrations WHERE app = %s", [_LABEL_APP])
                row = cursor.fetchone()
        except (HomeMissing, DatabaseError):
            return None
        return Label(*row[0].split()) if row else None

    def current(self, progress: Progress = silent) -> Label | None:
        """Return the label of a template that is as the project asks for; None where none can be
        had now: somebody else is making it, or a transaction is open, which would keep others
        waiting and might be rolled back.
        """
        label = self.label()
        if label is not None and label.recipe == recipe(self.key):
            return label
        if self.site.store.connection.in_atomic_block:
            return None
        return self.make(progress, instead_of=label)

    def make(self, progress: Progress = silent, *, instead_of: Label | None = None) -> Label | None:
        """Make it anew; return its label, None where somebody else is doing that.

        One that was made meanwhile, so that its label is not `instead_of`, is left as it is.
        """
        with handler()[SHARED_ALIAS].named_lock(f"domicile:template:{self.key}") as free:
            if not free:
                return None
            label = self.label()
            if label not in (None, instead_of) and label.recipe == recipe(self.key):
                return label
            return self._make(progress)

    def _make(self, progress: Progress) -> Label:
        site, tenant = self.site, tenant_model()(slug=TEMPLATE_NAME, name=TEMPLATE_NAME)
        tenant.placement = site.placement
        handler().forget(tenant.alias)
        site.drop()
        site.store.create(site.name)
        migrate_home(tenant, lambda step: progress(Step("template", step.detail)))
        handler().forget(tenant.alias)
        fingerprint = site.store.fingerprints([site.name])[site.name]
        label = Label(recipe(self.key), fingerprint, uuid.uuid4().hex[:8])
        with site.session() as cursor:
            cursor.execute(
                "INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, %s)",
                [_LABEL_APP, str(label), timezone.now()],
            )
        return label

    def clone(self, site: Site, progress: Progress = silent) -> bool:
        """Make a home from the template; tell whether that could be done.

        Where it could not, nothing is left of it, and a warning says why.
        """
        label = self.current(progress)
        if label is None:
            return False
        try:
            self._clone(site, label)
            return True
        except CloneDiffers as error:
            if self.label() != label:  # It was made anew meanwhile.
                return False
            if not self._drifted(label):
                found = drift(dict(error.facts), dict(error.model))
                self._warn(site, "; ".join(found) or str(error))
                return False
        except (NotSupported, DatabaseError) as error:
            self._warn(site, str(error))
            return False
        return self._clone_renewed(site, label, progress)

    def _clone_renewed(self, site: Site, drifted: Label, progress: Progress) -> bool:
        """Make the template anew, which somebody has changed, and the home from that."""
        logger.warning("The %s is not as it was made.", self)
        if self.site.store.connection.in_atomic_block:
            return False
        label = self.make(progress, instead_of=drifted)
        if label is None:
            return False
        try:
            self._clone(site, label)
            return True
        except (CloneDiffers, NotSupported, DatabaseError) as error:
            self._warn(site, str(error))
            return False

    def _clone(self, site: Site, label: Label) -> None:
        site.store.clone(
            Original(self.site.name, label.fingerprint, version=str(label), label=label.row),
            site.name,
        )

    def _drifted(self, label: Label) -> bool:
        found = self.site.store.fingerprints([self.site.name])
        return found.get(self.site.name) != label.fingerprint

    def _warn(self, site: Site, reason: str) -> None:
        logger.warning(
            "The %s %r is made by migrations, since a clone of the template came out otherwise"
            " or not at all: %s",
            *(site.store.noun, site.name, reason),
        )

    def __str__(self) -> str:
        return f"template of placement {self.key!r} ({self.site.store.noun} {self.site.name!r})"


def cloned(site: Site, progress: Progress = silent) -> bool:
    """Make a home as a clone of its placement's template, if the settings and the engine allow it;
    tell whether there is a home now.
    """
    if not conf().clone or not site.store.clones:
        return False
    template = Template(site.placement.template)
    try:
        template.site.store.validate(template.site.name)
    except InvalidName:  # The pattern leaves room for short slugs alone.
        return False
    return template.clone(site, progress)
