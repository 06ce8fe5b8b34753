"""Rows in the shared home that tell how far work on the fleet has got."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import models
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from domicile.placement import Home, Placement, tenant_alias


class MigrationRun(models.Model):
    """One run of migrations over the fleet: who started it, what was asked, how it ended."""

    class State(models.TextChoices):
        #: Its homes are being listed.
        PLANNING = "planning", _("planning")
        #: Only its canaries are migrated.
        CANARY = "canary", _("canary")
        RUNNING = "running", _("running")
        DONE = "done", _("done")
        #: All homes were tried and some failed.
        FAILED = "failed", _("failed")
        #: A failure, or a person, ended it before all homes were tried.
        STOPPED = "stopped", _("stopped")

    started_at = models.DateTimeField(_("started"), auto_now_add=True)
    ended_at = models.DateTimeField(_("ended"), null=True)
    started_by = models.CharField(_("started by"), max_length=200)
    state = models.CharField(
        _("state"), max_length=10, choices=State.choices, default=State.PLANNING
    )
    #: `app_label` and `migration`, as given.
    target = models.JSONField(_("target"), default=dict)
    options = models.JSONField(_("options"), default=dict)
    #: What is pending: `[{"migrations": ["app.0001_initial", …], "homes": 12, …}, …]`.
    plan = models.JSONField(_("plan"), default=list)
    #: How many homes had nothing pending; they have no row.
    unchanged = models.PositiveIntegerField(_("unchanged"), default=0)

    class Meta:
        verbose_name = _("migration run")


class MigrationRunHome(models.Model):
    """What a run did to one home."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        RUNNING = "running", _("running")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")

    run = models.ForeignKey(MigrationRun, models.CASCADE, related_name="homes")
    #: The alias of the home: `tenant:<slug>`, or one of `DATABASES`.
    alias = models.CharField(_("alias"), max_length=100)
    state = models.CharField(
        _("state"), max_length=10, choices=State.choices, default=State.WAITING
    )
    is_canary = models.BooleanField(_("canary"), default=False)
    #: nothing, captured, replayed, django, faked; or gone, where the tenant was dropped meanwhile.
    how = models.CharField(_("how"), max_length=10, blank=True)
    error = models.TextField(_("error"), blank=True)
    worker = models.CharField(_("worker"), max_length=64, blank=True)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    #: How many homes by time of its tenant were migrated with it.
    by_time = models.PositiveIntegerField(_("by time"), default=0)
    #: Where a migration that is no transaction stands, in it or in a home by time of its tenant: a
    #: note by alias; see `domicile.fleet.replay.notes`.
    note = models.JSONField(_("note"), default=dict)
    #: Whether there is such a note, so that it is found in a long history.
    is_noted = models.BooleanField(_("noted"), default=False)
    #: It was busy, and is tried again after this.
    not_before = models.DateTimeField(_("not before"), null=True)
    started_at = models.DateTimeField(_("started"), null=True)
    ended_at = models.DateTimeField(_("ended"), null=True)
    seconds = models.FloatField(_("seconds"), null=True)

    class Meta:
        verbose_name = _("migrated home")
        constraints = [
            models.UniqueConstraint(fields=["run", "alias"], name="domicile_run_home_once")
        ]
        indexes = [
            models.Index(fields=["run", "state"], name="domicile_run_home_state"),
            models.Index(fields=["is_noted", "alias"], name="domicile_run_home_noted"),
        ]


class ReadyHome(models.Model):
    """A home that waits for a tenant, or is being made to."""

    placement_template = models.CharField(_("placement"), max_length=63)
    placement_name = models.CharField(_("placement name"), max_length=255)
    #: What `domicile.fleet.stock.recipe` said when it was made.
    recipe = models.CharField(_("recipe"), max_length=64, blank=True)
    #: Empty while it is being made.
    fingerprint = models.CharField(_("fingerprint"), max_length=64, blank=True)
    made_at = models.DateTimeField(_("made"), auto_now_add=True)

    class Meta:
        verbose_name = _("ready home")
        constraints = [
            models.UniqueConstraint(
                fields=["placement_template", "placement_name"], name="domicile_ready_home_once"
            )
        ]


class AddedDatabase(models.Model):
    """A database that was added while the project runs; see `domicile.added`."""

    alias = models.CharField(_("alias"), max_length=63, unique=True)
    #: As in `DATABASES`; with `LIKE`, what differs from the alias that it names.
    settings = models.JSONField(_("settings"), default=dict)
    added_at = models.DateTimeField(_("added"), auto_now_add=True)

    class Meta:
        verbose_name = _("added database")

    @cached_property
    def completed(self) -> dict[str, Any]:
        """All of its settings; `ImproperlyConfigured` where it is like one that is gone."""
        from domicile.added import complete

        return complete(self.alias, self.settings)


class Move(models.Model):
    """A tenant's way from one home to another; see `domicile.fleet.moves.move`."""

    class Phase(models.TextChoices):
        PREPARING = "preparing", _("preparing")
        COPYING = "copying", _("copying")
        SWITCHING = "switching", _("switching")
        UNDOING = "undoing", _("being undone")
        SWITCHED = "switched", _("switched")
        DONE = "done", _("done")

    slug = models.CharField(_("slug"), max_length=63, db_index=True)
    source_template = models.CharField(max_length=63)
    source_name = models.CharField(max_length=255)
    target_template = models.CharField(max_length=63)
    target_name = models.CharField(max_length=255)
    phase = models.CharField(
        _("phase"), max_length=10, choices=Phase.choices, default=Phase.PREPARING
    )
    #: The name under which the source waits for its end.
    retired_name = models.CharField(max_length=255, blank=True)
    #: How long the source is kept once the tenant has moved, and until when that is.
    grace = models.DurationField(default=timedelta)
    drop_source_after = models.DateTimeField(null=True)
    read_only_seconds = models.FloatField(null=True)
    started_at = models.DateTimeField(_("started"), auto_now_add=True)
    ended_at = models.DateTimeField(_("ended"), null=True)

    class Meta:
        verbose_name = _("move")

    @property
    def source(self) -> Placement:
        return Placement(self.source_template, self.source_name)

    @source.setter
    def source(self, placement: Placement) -> None:
        self.source_template, self.source_name = placement.template, placement.name

    @property
    def target(self) -> Placement:
        return Placement(self.target_template, self.target_name)

    @target.setter
    def target(self, placement: Placement) -> None:
        self.target_template, self.target_name = placement.template, placement.name

    @property
    def source_home(self) -> Home:
        return Home(tenant_alias(self.slug), self.source)

    @property
    def target_home(self) -> Home:
        return Home(tenant_alias(self.slug), self.target)
