"""Homes made ahead of time and migrated, and what becomes of those that a rule keeps no more."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from django.core import serializers

from domicile.context import no_tenant
from domicile.exceptions import HomeBusy, HomeExists, PeriodMissing, RowsDiffer, UnknownPlacement
from domicile.fleet.migrations import Progress, silent
from domicile.fleet.replay.plan import NEWEST, Plan
from domicile.fleet.site import handler
from domicile.periods.calendar import Period
from domicile.periods.homes import PeriodHomes
from domicile.periods.making import unmoved
from domicile.periods.survey import Seen, look_at
from domicile.rules.periods import Periods


@dataclass(frozen=True)
class Done:
    """What was done, or is to be done, to a period's home."""

    placement: str
    period: Period
    #: The schema, database or file.
    home: str
    #: made, migrated, kept, failed; dropped, detached, archived.
    how: str
    #: The migrations that were applied, or the path of the archive, or what went wrong.
    detail: str = ""
    #: The slug of the tenant whose it is; empty: no tenant's.
    tenant: str = ""

    @classmethod
    def to(cls, homes: PeriodHomes, period: Period, how: str, detail: str = "") -> Done:
        name = homes.site(period).name
        return cls(homes.placement, period, name, how, detail, homes.slug)


# Making ----------------------------------------------------------------------------------------


@no_tenant()
def ensure(
    ahead: int | None = None,
    *,
    periods: Iterable[str] = (),
    placement: str = "",
    tenant: str = "",
    progress: Progress = silent,
) -> Iterator[Done]:
    """Make the homes of the current period and of those ahead, and bring all that are there to the
    newest migrations. Whatever stops this, it can be run again.

    :param ahead: so many after the current one; None: as each rule says.
    :param periods: the names of further ones.
    :param placement: only homes of that placement. `tenant`: only of the tenant of that slug.

    What goes wrong with one tenant's homes is told, and stops nobody else's.
    """
    for seen in look_at(placement, tenant):
        homes = seen.homes
        wanted = {homes.now().plus(number) for number in range(_ahead(homes, ahead) + 1)}
        wanted |= {homes.calendar.parse(name) for name in periods}
        for period in sorted(wanted | seen.there):
            try:
                yield _ensured(seen, period, progress)
            except Exception as error:
                if not homes.slug:
                    raise
                yield Done.to(homes, period, "failed", str(error))
                break


def _ensured(seen: Seen, period: Period, progress: Progress) -> Done:
    homes, applied = seen.homes, seen.applied.get(period, frozenset())
    if period not in seen.there and homes.make(period, progress):
        return Done.to(homes, period, "made")
    plan = Plan.to(NEWEST)
    is_newest = period in seen.there and not plan.pending(applied)
    if is_newest and not plan.unmigrated_at(homes.alias(period)):
        return Done.to(homes, period, "kept")
    with held(homes, period):
        migrated = homes.migrate(period)
    return Done.to(homes, period, "migrated" if migrated else "kept", ", ".join(migrated))


def only_homes(placement: str = "", tenant: str = "") -> PeriodHomes:
    """Return the homes that are meant; `UnknownPlacement` where more, or none, could be."""
    found = [seen.homes for seen in look_at(placement, tenant)]
    if len(found) != 1:
        raise UnknownPlacement("Name the placement with --placement, and the tenant with --tenant.")
    return found[0]


# Listing ---------------------------------------------------------------------------------------


@no_tenant()
def listed(placement: str = "", tenant: str = "") -> Iterator[Done]:
    """Yield what there is: kept, current, ahead, over (to be pruned), incomplete, and missing where
    a write would have to make it now.
    """
    for seen in look_at(placement, tenant):
        homes, there = seen.homes, seen.there
        wanted = {homes.now().plus(number) for number in range(_ahead(homes) + 1)}
        for period in sorted(wanted | seen.applied.keys()):
            how = "missing" if period in wanted else ""
            if period in seen.applied:
                how = _state(homes, period) if period in there else "incomplete"
            yield Done.to(homes, period, how)


def _ahead(homes: PeriodHomes, asked: int | None = None) -> int:
    return max(rule.ahead for rule in homes.rules) if asked is None else asked


def _state(homes: PeriodHomes, period: Period) -> str:
    if any(homes.is_over(period, rule) for rule in homes.rules):
        return "over"
    now = homes.now()
    return "current" if period == now else "kept" if period < now else "ahead"


# Retiring --------------------------------------------------------------------------------------


@no_tenant()
def prune(*, dry_run: bool = False, placement: str = "", tenant: str = "") -> Iterator[Done]:
    """Archive, detach or drop the homes that are older than what their rule keeps.

    Whatever stops this, it can be run again. With `dry_run` nothing is done but told.
    """
    for seen in look_at(placement, tenant):
        homes = seen.homes
        rule = homes.rules[0]
        for period in sorted(seen.applied):
            if homes.is_over(period, rule):
                detail = "" if dry_run else retire(homes, period, rule)
                yield Done.to(homes, period, _PAST[rule.retire], detail)


_PAST = {"drop": "dropped", "detach": "detached", "archive": "archived"}


def retire(homes: PeriodHomes, period: Period, rule: Periods) -> str:
    """Archive, detach or drop one; return where it is now, if it is anywhere."""
    detail = ""
    with held(homes, period):
        site, there = homes.site(period), homes.look()
        if rule.retire == "archive" and period in there:
            path = archive_path(homes, period, rule)
            _archive(homes, period, path)
            detail = str(path)
        handler().forget(homes.alias(period))
        with unmoved(homes):
            if rule.retire == "detach":
                detail = homes.detached_name(period)
                site.store.rename(site.name, detail)
            else:
                site.drop()
        homes.forget()
    return detail


@contextmanager
def held(homes: PeriodHomes, period: Period) -> Iterator[None]:
    """Hold the lock of a period's home; `HomeBusy` where another process has it."""
    with homes.alone(period) as free:
        if not free:
            raise HomeBusy(
                f"Another process works on {homes.alias(period)!r}. Try again when it is done."
            )
        yield


def archive_path(homes: PeriodHomes, period: Period, rule: Periods) -> Path:
    names = filter(None, [homes.placement, homes.slug, str(period)])
    return Path(rule.archive) / f"{'-'.join(names)}.jsonl.gz"


def _archive(homes: PeriodHomes, period: Period, path: Path) -> None:
    """Write all rows to a file, which is there when it is whole. Nobody may write to a home that is
    over; what somebody wrote all the same would be missing, and is an error.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    querysets = [model._base_manager.using(homes.alias(period)) for model in homes.models()]
    with partial.open("wb") as file:
        with gzip.open(file, "wt", encoding="utf-8") as text:
            written = sum(_written(queryset, text) for queryset in querysets)
        file.flush()
        os.fsync(file.fileno())
    with gzip.open(partial, "rt", encoding="utf-8") as lines:
        readable = sum(1 for _ in lines)
    if not written == readable == sum(queryset.count() for queryset in querysets):
        raise RowsDiffer(
            f"The rows of {homes.alias(period)!r} changed while they were archived, or could not"
            f" all be read again from {partial}; nothing was dropped. Run `partitions prune` again."
        )
    os.replace(partial, path)


def _written(queryset: Any, text: IO[str]) -> int:
    serializer: Any = serializers.get_serializer("jsonl")()
    count = 0
    for row in queryset.order_by("pk").iterator():
        line = io.StringIO()
        serializer.serialize([row], stream=line)
        text.write(line.getvalue())
        count += 1
    return count


# Bringing back -----------------------------------------------------------------------------------


@no_tenant()
def attach(homes: PeriodHomes, period: Period, archive: Path | None = None) -> None:
    """Bring back a home that was detached, or, from its archive, one that was dropped.

    :raises HomeExists: there is one. `PeriodMissing`: nothing was detached.
    """
    with held(homes, period):
        site = homes.site(period)
        if site.exists():
            raise HomeExists(f"There is a {site.store.noun} {site.name!r} already.")
        if archive is None:
            name = homes.detached_name(period)
            if not site.store.exists(name):
                raise PeriodMissing(
                    f"There is no {site.store.noun} {name!r} to attach. If it was archived, give"
                    " the file with --archive."
                )
            with unmoved(homes):
                site.store.rename(name, site.name)
            homes.migrate(period)
    if archive is not None:
        homes.make(period)
        with gzip.open(archive, "rt", encoding="utf-8") as lines:
            alias = homes.alias(period)
            for row in serializers.deserialize("jsonl", lines, using=alias):
                row.save(using=alias)
    homes.forget()
