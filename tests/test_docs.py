"""The documentation names everything that there is."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from django.core.management import load_command_class

import domicile
from domicile import signals
from domicile.conf import Settings

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def text_of(*names: str) -> str:
    return "\n".join((DOCS / name).read_text() for name in names)


@pytest.mark.parametrize("name", [field.name for field in fields(Settings)])
def test_every_setting_is_documented(name: str) -> None:
    if name != "unknown":
        assert f"`{name.upper()}`" in text_of("settings.md")


def test_every_check_is_documented() -> None:
    package = Path(domicile.__file__).parent
    source = "".join(path.read_text() for path in package.rglob("*.py"))
    numbers = re.findall(r"\b_?(error|warning)\(\s*(\d+),", source)
    assert len(numbers) > 50
    for kind, number in numbers:
        assert f"`domicile.{kind[0].upper()}{int(number):03}`" in text_of("checks.md")


def test_every_action_is_documented() -> None:
    parser = load_command_class("domicile", "tenants").create_parser("manage.py", "tenants")
    (actions,) = (action for action in parser._actions if action.dest == "action")
    for name in actions.choices:
        assert f"`tenants {name}" in text_of("commands.md")


def test_every_signal_is_documented() -> None:
    for name in vars(signals):
        if name.startswith("tenant_"):
            assert f"`{name}`" in text_of("tenants.md")


def test_public_names_are_sorted_and_there() -> None:
    names = domicile.__all__
    assert names == sorted(names)
    assert all(getattr(domicile, name) is not None for name in names)


def test_links_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *DOCS.glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} → {target}"
