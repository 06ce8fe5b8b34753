"""Why a query goes where it goes: the router's own answer, with the rules that give it in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, router
from django.db.models import Model, QuerySet
from django.db.models.manager import BaseManager
from django.utils.dateparse import parse_date, parse_datetime

from domicile.context import active_home
from domicile.exceptions import DomicileError, InvalidName
from domicile.periods.calendar import Spans
from domicile.periods.lodging import PeriodLodging
from domicile.periods.querysets import PeriodQuerySet
from domicile.placement import (
    AT_REPLICA,
    SHARED_ALIAS,
    SHARED_ALIASES,
    is_tenant_alias,
    owner_of,
)
from domicile.replicas.reading import current_reading
from domicile.residence import Residence, residence_of
from domicile.router import Router, tenant_of_rows
from domicile.routing import lodging_of, primary_of, readers_of, rules, subject_of
from domicile.rules.base import Rule

#: What stands for a rule's name where none decides.
USING, TENANTS, SHARED = "using()", "tenants", "shared"


@dataclass(frozen=True)
class Route:
    """Where a query goes, and why."""

    #: The model's label, "app.Model".
    model: str
    is_write: bool
    #: The databases that it goes to: one, or for rows by time that of each period; none where it is
    #: refused.
    aliases: tuple[str, ...]
    #: What decides: the names of the rules' classes, the dotted path of a router of the project's
    #: own, "using()", "tenants" or "shared".
    rule: str
    #: Sentences, in the order in which it was decided.
    reasons: tuple[str, ...]
    #: Why the query is refused, None where it is not.
    refused: str | None = None

    @property
    def alias(self) -> str | None:
        """The first of the aliases, which is mostly the only one."""
        return next(iter(self.aliases), None)

    @property
    def operation(self) -> str:
        return "write" if self.is_write else "read"

    def __str__(self) -> str:
        told = self.reasons if self.refused is None else (*self.reasons, self.refused)
        return " ".join((self.answer, *told))

    @property
    def answer(self) -> str:
        """Where it goes, as a sentence."""
        done = "written to" if self.is_write else "read from"
        where = ", ".join(map(repr, self.aliases)) or "anywhere"
        return f"{self.model} {'is' if self.refused is None else 'cannot be'} {done} {where}."

    def as_record(self) -> dict[str, Any]:
        """Return it as a dict of plain values, for JSON."""
        return {
            "model": self.model,
            "operation": self.operation,
            "aliases": list(self.aliases),
            "rule": self.rule,
            "reasons": list(self.reasons),
            "refused": self.refused,
        }


def explain_route(subject: Any, *, write: bool = False, at: date | str | None = None) -> Route:
    """Return where a query would go now, and why; where it would be refused, why that.

    :param subject: a queryset, a manager or a model. A model is explained as the routers see it,
        whatever its default manager does.
    :param write: whether a write is meant; a queryset may also say so itself.
    :param at: for rows by time, the time of the row that is meant: a date, a datetime, or text
        ("2026-11", "2026-q4", "2026-11-21"). `InvalidName` where it is none of these, or the
        model's rows are not in homes by time.

    The query is not sent. Where a policy chooses among replicas it does so now, and for a range of
    periods the database may be asked which of them have a home.
    """
    question = _Question.of(subject, write=write)
    if at is not None:
        return _at(question, at)
    try:
        aliases = _aliases_of(question)
    except DomicileError as error:
        return question.answer((), refused=str(error))
    return question.answer(aliases, refused=_refusal(question))


def rule_of(model: type[Model], alias: str | None) -> str:
    """Return what decides that a model's rows are at `alias`, as `Route.rule` tells it."""
    lodging = lodging_of(model)
    if lodging is not None:
        name = _name(lodging.rule)
    elif residence_of(model) is Residence.SHARED or alias in SHARED_ALIASES:
        name = SHARED
    else:
        name = TENANTS
    if alias is None or primary_of(alias) == alias:
        return name
    return f"{name}, {_name(_rule_of_readers(alias))}"


@dataclass(frozen=True)
class _Question:
    model: type[Model]
    queryset: Any
    is_write: bool
    hints: Mapping[str, Any]
    #: The alias that the queryset names itself.
    named: str | None

    @classmethod
    def of(cls, subject: Any, *, write: bool) -> _Question:
        if isinstance(subject, BaseManager):
            subject = subject.get_queryset()
        if not isinstance(subject, QuerySet):
            return cls(subject, None, write, {}, None)
        queryset: Any = subject._chain()  # type: ignore[attr-defined]
        queryset._for_write = write or queryset._for_write
        return cls(queryset.model, queryset, queryset._for_write, queryset._hints, queryset._db)

    @property
    def ask(self) -> str:
        """The method by which routers are asked."""
        return "db_for_write" if self.is_write else "db_for_read"

    def answer(self, aliases: tuple[str, ...], *, refused: str | None = None) -> Route:
        stranger = _stranger(self)
        if self.named is not None and self.named not in SHARED_ALIASES:
            rule, reasons = USING, [f"using({self.named!r}) names it."]
        elif stranger is not None:
            rule, reasons = stranger, [f"{stranger} answers before the rules are asked."]
        else:
            alias = next(iter(aliases), None)
            rule, reasons = rule_of(self.model, alias), list(_reasons(self, alias))
        return Route(self.model._meta.label, self.is_write, aliases, rule, tuple(reasons), refused)


def _aliases_of(question: _Question) -> tuple[str, ...]:
    """Return where Django would send this very queryset, or what it would answer for the model."""
    lodging, queryset = lodging_of(question.model), question.queryset
    if queryset is None and not _is_of_tenants(lodging):
        return (getattr(router, question.ask)(question.model),)
    if isinstance(lodging, PeriodLodging) and lodging.is_of_tenants:
        return _aliases_in_tenant(question, lodging)
    if isinstance(lodging, PeriodLodging) and question.named in (None, lodging.alias):
        return tuple(lodging.aliases(queryset.query))
    return (queryset.db,)


def _is_of_tenants(lodging: Any) -> bool:
    return isinstance(lodging, PeriodLodging) and lodging.is_of_tenants


def _aliases_in_tenant(question: _Question, lodging: PeriodLodging) -> tuple[str, ...]:
    if isinstance(question.queryset, PeriodQuerySet):
        return tuple(question.queryset.aliases())
    if question.queryset is not None:
        return (question.queryset.db,)
    return (lodging.of_tenant(_tenant_of(question)).for_read(question.hints),)


def _tenant_of(question: _Question) -> str:
    if is_tenant_alias(question.named):
        return owner_of(str(question.named))
    hints = question.hints
    return tenant_of_rows(question.model, hints.get("instance"), hints, write=question.is_write)


def _at(question: _Question, moment: date | str) -> Route:
    lodging = lodging_of(question.model)
    if not isinstance(lodging, PeriodLodging):
        raise InvalidName(
            f"{question.model._meta.label} is in one place at all times: no Periods of"
            " DOMICILE['RULES'] names it. Ask without a time."
        )
    if lodging.is_of_tenants:
        try:
            tenant = _tenant_of(question)
        except DomicileError as error:
            return question.answer((), refused=str(error))
        lodging = lodging.of_tenant(tenant)
    calendar = lodging.homes.calendar
    if isinstance(moment, str):
        day = parse_datetime(moment) or parse_date(moment)
        period = calendar.parse(moment) if day is None else calendar.period_of(day)
    else:
        period = calendar.period_of(moment)
    route = replace(question, named=None).answer((lodging.homes.alias(period),))
    if lodging.homes.there(Spans.of((period.number, period.number))):
        return route
    missing = "It has no home yet; `partitions ensure` makes one."
    return replace(route, reasons=(*route.reasons, missing))


def _refusal(question: _Question) -> str | None:
    if not question.is_write:
        return None
    if current_reading().refusal is not None:
        return f"The write is refused: {current_reading().refusal}"
    lodging = lodging_of(question.model)
    if lodging is None or lodging.is_writable:
        return None
    return f"The write is refused: {_name(lodging.rule)} lets {lodging.alias!r} only be read."


def _stranger(question: _Question) -> str | None:
    """Return the dotted path of the project's own router that answers before ours does."""
    for each in router.routers:
        if isinstance(each, Router):
            return None
        ask = getattr(each, question.ask, None)
        if ask is not None and ask(question.model, **question.hints):
            return f"{type(each).__module__}.{type(each).__qualname__}"
    return None


def _reasons(question: _Question, alias: str | None) -> Iterator[str]:
    model = question.model
    subject = subject_of(model)
    if subject is not model:
        yield f"{model._meta.label} is where {subject._meta.label} is."
    lodging = lodging_of(model)
    if isinstance(lodging, PeriodLodging):
        rule = f"{_name(lodging.rule)} gives each {lodging.rule.every} of"
        where = ", in each tenant" if lodging.is_of_tenants else ""
        yield f"{rule} {subject._meta.label} a home of its own, by {lodging.rule.field!r}{where}."
    elif lodging is not None:
        yield f"{_name(lodging.rule)} puts {subject._meta.label} in {lodging.alias!r}."
    else:
        yield from _reasons_of_residence(model, alias)
    if alias is not None and not question.is_write:
        yield from _reasons_of_readers(alias)


def _reasons_of_residence(model: Any, alias: str | None) -> Iterator[str]:
    label, residence = model._meta.app_label, residence_of(model)
    if residence is Residence.SHARED:
        yield f"No rule names {label!r}, so it is in the shared home."
        if alias == SHARED_ALIAS:
            yield "That is called 'shared' while a tenant is active."
    elif alias in SHARED_ALIASES:
        yield f"{label!r} is in tenants and in the shared home, and no tenant is meant."
    elif alias is not None:
        home = active_home()
        which = "the active one" if home and home.alias == primary_of(alias) else "this one"
        yield f"{label!r} is in each tenant, and {which} is meant."


def _reasons_of_readers(alias: str) -> Iterator[str]:
    rule = _rule_of_readers(alias)
    if rule is None:
        return
    policy = getattr(rule, "policy", None)
    by = f", by {policy!r}" if isinstance(policy, str) else ""
    primary = _primary_of(alias)
    found = "this one now" if primary_of(alias) != alias else _why_none(primary)
    yield f"{_name(rule)} reads {primary!r} from its replicas{by}: {found}."


def _why_none(primary: str) -> str:
    if connections[primary].in_atomic_block:
        return "none inside its atomic()"
    if current_reading().wants_primary(primary):
        return "none, since this unit of work must see what was written"
    members = getattr(readers_of(primary), "members", ())
    out = [f"{each.alias!r} is left out ({each.trouble})" for each in members if each.trouble]
    return "; ".join(["none now", *out])


def _primary_of(alias: str) -> str:
    """Return the database that an alias or its replica stands for, of a tenant's its host."""
    if is_tenant_alias(alias):
        alias = alias.partition(AT_REPLICA)[2] or alias
    return DEFAULT_DB_ALIAS if alias in SHARED_ALIASES else primary_of(alias)


def _rule_of_readers(alias: str) -> Rule | None:
    primary = _primary_of(alias)
    if readers_of(primary) is None:
        return None
    return next((rule for rule in rules() if rule.readers(primary) is not None), None)


def _name(rule: Rule | None) -> str:
    return type(rule).__name__
