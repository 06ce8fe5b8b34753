"""System checks of the rules: a declaration that says nothing, or says two things at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage
from django.db import DEFAULT_DB_ALIAS, connections, models

from domicile.conf import conf
from domicile.findings import Findings, error, gathered, warning
from domicile.managers import databases_of_managers
from domicile.relations import crosses, declaration_of, find_field, is_declared_field, place_of
from domicile.residence import Residence, residence_of, residence_of_app
from domicile.routing import lodging_of, primary_of, rules, subject_of
from domicile.rules.base import Rule
from domicile.rules.replicas import Replicas

#: The app that Django's cache in a database tells routers that it is.
_CACHE = "django_cache"


def check_rules(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Check `RULES`, `RELATIONS` and what they refer to."""
    return gathered(
        *(_values, _aliases, _names, _unreached, _copies, _families, _relations, _crossings)
    )


def _values() -> Findings:
    if conf().writes_outside_atomic not in ("allow", "warn", "error"):
        yield error(
            26,
            f"DOMICILE['WRITES_OUTSIDE_ATOMIC'] is {conf().writes_outside_atomic!r}.",
            "Use 'allow', 'warn' or 'error'.",
        )
    entries: tuple[Any, ...] = conf().rules
    for rule in entries:
        if isinstance(rule, Rule):
            yield from rule.check()
        else:
            yield error(
                30,
                f"DOMICILE['RULES'] has {rule!r}, which is no rule.",
                "Use those of domicile.rules, or inherit from domicile.rules.Rule.",
            )


def _aliases() -> Findings:
    for rule in rules():
        for alias in sorted(set(rule.databases()) - set(settings.DATABASES)):
            yield error(
                31,
                f"{_named(rule)} names the database {alias!r}, which is not in DATABASES.",
                "Name an alias of DATABASES, or add it there.",
            )


def _names() -> Findings:
    for rule in rules():
        for name in rule.names():
            if not _is_known(name):
                yield error(
                    32,
                    f"{_named(rule)} names {name!r}, which is no installed app and no model.",
                    "Name an app by its label ('blog'), a model as 'blog.Post'.",
                )
            elif residence_of_app(_label(name)) is Residence.TENANT:
                yield error(
                    33,
                    f"{_named(rule)} names {name!r}, which lives in tenants, so that it has no"
                    " say.",
                    "Take it out of the rule, or its app out of DOMICILE['TENANT_APPS'].",
                )


def _unreached() -> Findings:
    """A database may also be meant for a router of the project's own, if there is one."""
    if settings.DATABASE_ROUTERS != ["domicile.router.Router"]:
        return
    reached = {DEFAULT_DB_ALIAS, *(t.database for t in conf().placements.values())}
    reached.update(alias for rule in rules() for alias in rule.databases())
    reached.update(databases_of_managers())
    for alias in sorted(set(settings.DATABASES) - reached):
        yield warning(
            34,
            f"No rule reaches DATABASES[{alias!r}]: nothing is read from there, or written.",
            "Name it in DOMICILE['RULES'], or in a placement, or take it out of DATABASES.",
        )


def _copies() -> Findings:
    """A database is a primary, or a copy of one other."""
    declared = [rule for rule in rules() if isinstance(rule, Replicas)]
    primaries = Counter(rule.primary for rule in declared)
    for primary in sorted(alias for alias, number in primaries.items() if number > 1):
        yield error(
            48,
            f"Two rules Replicas(…) are about {primary!r}, and only the first counts.",
            "Name all its replicas in one rule.",
        )
    for alias in sorted({member for rule in declared for member in rule.members}):
        # That it is its own replica the rule tells by itself.
        copied = {rule.primary for rule in declared if alias in rule.members} - {alias}
        named = " and ".join(map(repr, sorted(copied)))
        if len(copied) > 1:
            yield error(
                48,
                f"{alias!r} is a replica of {named}.",
                "It follows one of them: take it out of the rule of the other.",
            )
        if copied and alias in primaries:
            yield error(
                49,
                f"{alias!r} is a replica of {named}, and the primary of another rule: what would"
                " be written there is refused.",
                f"Take it out of `members`, or name its replicas as those of {named}.",
            )


def _families() -> Findings:
    """What is read by one join stands in one database."""
    for model in apps.get_models():
        root = subject_of(model)
        if root is model or residence_of(model) is Residence.TENANT:
            continue
        said = next(filter(None, (rule.lodging(model) for rule in rules())), None)
        if said is not None and said.alias != place_of(root):
            yield error(
                39,
                f"A rule puts {model._meta.label} into {said.alias!r}, and {root._meta.label},"
                f" whose rows it has, is in {place_of(root)!r}.",
                "Name both, or neither; or make what they share an abstract model.",
            )


def _relations() -> Findings:
    for declared in conf().relations:
        if find_field(declared) is None:
            yield error(
                36,
                f"DOMICILE['RELATIONS'] has {declared!r}, which is no relation of a model.",
                "Write foreign keys and many-to-many fields as 'app.Model.field'.",
            )


def _crossings() -> Findings:
    for model in apps.get_models(include_auto_created=True):
        fields: list[Any] = [*model._meta.local_fields]
        for field in fields:
            if not _crosses(field):
                continue
            if not is_declared_field(field):
                yield error(
                    35,
                    f"{field} is in {_place(model)} and refers to {field.related_model._meta.label}"
                    f" in {_place(field.related_model)}.",
                    f"If it may, add {declaration_of(field)!r} to DOMICILE['RELATIONS']; otherwise"
                    " put both models into one database.",
                )
            elif field.remote_field.on_delete is not models.DO_NOTHING:
                yield warning(
                    37,
                    f"{field} crosses databases and has"
                    f" on_delete={field.remote_field.on_delete.__name__}: Django would look for its"
                    f" rows in {_place(field.related_model)}, so deleting what it refers to is"
                    " refused.",
                    "Use on_delete=models.DO_NOTHING, and delete or mend what refers to a row"
                    " yourself.",
                )


def _crosses(field: Any) -> bool:
    return (
        field.remote_field is not None
        and isinstance(field.related_model, type)
        and not getattr(field.remote_field, "parent_link", False)
        and crosses(field.model, field.related_model)
    )


def check_twins(
    app_configs: Any, databases: Collection[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Find tables of models whose rows are read elsewhere: a query with `.using()`, or a join by
    hand, would read them without a word.
    """
    aliases = [alias for alias in databases or () if rules() and primary_of(alias) == alias]
    return [finding for alias in aliases for finding in _twins_at(alias)]


def _twins_at(alias: str) -> Findings:
    connection = connections[alias]
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor))
    kept = {
        _table(connection, model)
        for model in apps.get_models(include_auto_created=True)
        if _is_at(model, alias)
    }
    for model in apps.get_models(include_auto_created=True):
        table = _table(connection, model)
        if table in tables and table not in kept:
            yield warning(
                38,
                f"{alias!r} has a table {table!r}, and the rows of {model._meta.label} are in"
                f" {_place(model)}.",
                "Move its rows, if they are still wanted, and drop it.",
            )


def _is_at(model: Any, alias: str) -> bool:
    lodging = lodging_of(model)
    if lodging is not None:
        return lodging.alias == alias or lodging.is_at(alias)
    return residence_of(model) is Residence.TENANT or alias == DEFAULT_DB_ALIAS


def _table(connection: Any, model: Any) -> str:
    return str(connection.introspection.identifier_converter(model._meta.db_table))


def _is_known(name: str) -> bool:
    if _label(name) == _CACHE:
        return True
    if "." not in name:
        return name in apps.app_configs
    try:
        apps.get_model(name)
    except (LookupError, ValueError):
        return False
    return True


def _label(name: str) -> str:
    return name.partition(".")[0]


def _place(model: Any) -> str:
    place = place_of(model)
    return "tenants" if place is None else repr(place)


def _named(rule: Rule) -> str:
    return f"{type(rule).__name__}(…) in DOMICILE['RULES']"
