from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from domicile.conf import DEFAULT_RESOLVERS, PlacementTemplate, Settings, conf
from tests.tenants import domicile_settings


def test_defaults() -> None:
    settings = Settings.from_dict({})
    assert settings.resolvers == DEFAULT_RESOLVERS
    assert settings.default_placement == ""
    assert settings.placements == {}
    assert not settings.roles


def test_the_first_placement_is_the_default_one() -> None:
    placements = {
        "file": {"ENGINE": "domicile.backends.sqlite3", "NAME": "/srv/{slug}.sqlite3"},
        "schema": {"DATABASE": "default", "SCHEMA": "{slug}"},
    }
    assert Settings.from_dict({"PLACEMENTS": placements}).default_placement == "file"
    named = {"PLACEMENTS": placements, "DEFAULT_PLACEMENT": "schema"}
    assert Settings.from_dict(named).default_placement == "schema"


def test_lists_become_tuples_and_nothing_can_be_changed() -> None:
    settings = Settings.from_dict({"TENANT_APPS": ["students"]})
    assert settings.tenant_apps == ("students",)
    with pytest.raises(FrozenInstanceError):
        settings.roles = True  # type: ignore[misc]


def test_keys_that_mean_nothing_are_kept_for_a_check() -> None:
    settings = Settings.from_dict({"TENANT_MODLE": "a.B", "header": "X", "ROLES": True})
    assert settings.unknown == ("TENANT_MODLE", "header")
    assert Settings.from_dict({"UNKNOWN": 1}).unknown == ("UNKNOWN",)


def test_apps_in_both() -> None:
    settings = Settings.from_dict({"TENANT_APPS": ["a", "b"], "SHARED_APPS": ["b"]})
    assert settings.both_apps == {"b"}


def test_settings_are_read_again_after_a_change() -> None:
    before = conf()
    with override_settings(DOMICILE=domicile_settings(HEADER="X-University")):
        assert conf().header == "X-University"
        assert conf() is conf()
    assert conf() == before


@pytest.mark.parametrize(
    ("entry", "layout", "pattern"),
    [
        ({"DATABASE": "default", "SCHEMA": "{slug}"}, "schema", "{slug}"),
        ({"DATABASE": "default", "NAME": "campus_{slug}"}, "database", "campus_{slug}"),
        ({"ENGINE": "domicile.backends.sqlite3", "NAME": "{slug}.db"}, "database", "{slug}.db"),
    ],
)
def test_placement(entry: dict[str, str], layout: str, pattern: str) -> None:
    template = PlacementTemplate.from_settings("somewhere", entry)
    assert (template.layout, template.pattern) == (layout, pattern)
    assert template.database == entry.get("DATABASE")
    assert (template.settings is not None) == ("ENGINE" in entry)
    assert template.locate("acme") == pattern.replace("{slug}", "acme")


def test_a_name_is_put_in_as_it_is() -> None:
    entry = {"DATABASE": "default", "SCHEMA": "{slug}_{year}"}
    assert PlacementTemplate.from_settings("odd", entry).locate("{year}") == "{year}_{year}"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"SCHEMA": "{slug}"}, "neither a DATABASE"),
        ({"DATABASE": "default", "SCHEMA": "acme"}, "share one home"),
        ({"DATABASE": "default"}, "share one home"),
        ({"ENGINE": "domicile.backends.sqlite3", "NAME": "one.db"}, "share one home"),
    ],
)
def test_a_placement_that_cannot_be(entry: dict[str, str], message: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=message):
        Settings.from_dict({"PLACEMENTS": {"odd": entry}})


def test_an_unknown_placement_names_the_known_ones() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"'moon'.*schema, database"):
        conf().placement("moon")
