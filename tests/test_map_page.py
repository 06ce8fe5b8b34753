"""The page of all databases, as a person sees it in Chromium.

SCREENSHOTS=folder keeps a picture of each page.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from playwright.sync_api import Browser, BrowserContext, Page, expect

from domicile.rules import Apps, Legacy, Replicas
from tests.browsing import (  # noqa: F401
    PASSWORD,
    Pictures,
    boss,
    browser,
    page,
    seen,
)
from tests.databases import databases
from tests.tenants import tenant

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "postgres15", "mariadb"])

PAGE = "/admin/domicile/databases/"
# Nobody connects to them: the page asks no database how it is.
NOWHERE = {"HOST": "db1.example", "PORT": 5432}
USERS = {"ENGINE": "domicile.backends.postgresql", "NAME": "campus_users", **NOWHERE}
POSTS = {"ENGINE": "domicile.backends.postgresql", "NAME": "campus_posts", **NOWHERE}
OLD = {"ENGINE": "domicile.backends.mysql", "NAME": "crm", "HOST": "old.example", "PORT": 3306}
EVENTS = {"ENGINE": "django.db.backends.sqlite3", "NAME": "/srv/campus/events.sqlite3"}

LOOKS = {
    f"{width}, {scheme}": {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    for width in (390, 1280)
    for scheme in ("light", "dark")
}


@pytest.fixture(autouse=True)
def campus() -> Iterator[None]:
    added = {
        "users": USERS,
        "users_replica": {**USERS, "HOST": "db2.example"},
        "a_replica_of_users_with_a_very_long_alias_indeed": {**USERS, "HOST": "db3.example"},
        "posts": POSTS,
        "legacy": OLD,
        "events": EVENTS,
    }
    replicas = ["users_replica", "a_replica_of_users_with_a_very_long_alias_indeed"]
    rules = [
        Apps({"people": "users", "posts": "posts", "events": "events"}),
        Legacy("legacy", apps=["customers"]),
        Replicas("users", replicas, policy="least_busy"),
    ]
    with override_settings(SITE_ID=1), databases(added, rules):
        yield


@pytest.fixture(params=LOOKS)
def look(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def context(browser: Browser, look: str) -> Iterator[BrowserContext]:  # noqa: F811
    with browser.new_context(**LOOKS[look]) as context:
        context.set_default_timeout(15_000)
        yield context


def test_page(page: Page, live_server: Any, look: str, seen: Pictures) -> None:  # noqa: F811
    page.goto(f"{live_server.url}/admin/")
    page.locator("#content").get_by_role("link", name="Databases").first.click()
    expect(page).to_have_url(f"{live_server.url}{PAGE}")
    page.wait_for_load_state()  # Before its style sheets are there it is wider.
    seen(page, "databases")
    shown = page.locator(".domicile-picture:visible")
    expect(shown).to_have_count(1)
    for alias in ("default", "users", "posts", "legacy", "events", "tenant:*"):
        expect(shown.locator(".domicile-name", has_text=alias).first).to_be_visible()
    expect(shown.locator(".domicile-replica")).to_have_count(2)
    expect(shown.locator(".domicile-link.domicile-undeclared")).to_have_count(1)
    row = page.get_by_role("row", name="posts.Post ").filter(has_text="Apps")
    expect(row).to_contain_text("posts")


def test_nothing_is_cut_off(page: Page, live_server: Any, look: str) -> None:  # noqa: F811
    """What is written in a card ends within it."""
    page.goto(f"{live_server.url}{PAGE}")
    outside = page.locator(".domicile-picture:visible .domicile-card").evaluate_all(
        """cards => cards.flatMap(card => {
            const edge = card.querySelector("rect:not(.domicile-paper)").getBoundingClientRect();
            return [...card.querySelectorAll("text")].filter(text => {
                const box = text.getBoundingClientRect();
                return box.right > edge.right || box.left < edge.left || box.bottom > edge.bottom;
            }).map(text => text.textContent);
        })"""
    )
    assert outside == []


def test_names_and_details_do_not_touch(page: Page, live_server: Any, look: str) -> None:  # noqa: F811
    page.goto(f"{live_server.url}{PAGE}")
    touching = page.locator(
        ".domicile-picture:visible :is(.domicile-app, .domicile-replica, .domicile-more)"
    ).evaluate_all(
        """lines => lines.filter(line => {
            const [name, detail] = [...line.children].map(text => text.getBoundingClientRect());
            return name.right + 2 > detail.left;
        }).map(line => line.textContent)"""
    )
    assert touching == []


def test_only_superusers_see_it(client: Client) -> None:
    client.force_login(User.objects.create_user("staff", password=PASSWORD, is_staff=True))
    assert client.get(PAGE).status_code == 403
    assert PAGE not in client.get("/admin/").content.decode()


def test_tenants_do_not_have_it() -> None:
    with tenant("accra") as accra:
        client = Client(headers={"host": "accra.localhost"})
        with accra.activate():
            client.force_login(User.objects.create_superuser("ama", password=PASSWORD))
        assert client.get(PAGE).status_code == 404
        assert "domicile/databases" not in client.get("/admin/").content.decode()
