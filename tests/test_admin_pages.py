"""The admin as a person sees it, in Chromium.

SCREENSHOTS=folder keeps a picture of each page.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from playwright.sync_api import Browser, BrowserContext, Page, expect

import domicile
from domicile.models import Status
from tests.browsing import PASSWORD, Pictures, boss, browser, page, seen
from tests.testproject.students.models import Student
from tests.testproject.universities.models import University

__all__ = ["boss", "browser", "page", "seen"]
pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "postgres15", "mariadb"])

TENANTS = "/admin/universities/university/"
released = threading.Event()


def initial_data(tenant: Any) -> None:
    assert released.wait(20)


@pytest.fixture(autouse=True)
def dropped(settings: Any) -> Iterator[None]:
    """Drops what a test leaves."""
    settings.SITE_ID = 1
    settings.DOMICILE = {**settings.DOMICILE, "INITIAL_DATA": f"{__name__}.initial_data"}
    released.set()
    yield
    released.set()
    for thread in threading.enumerate():
        if thread.name == "domicile-create":
            thread.join(20)
    for tenant in University.objects.all():
        domicile.drop_tenant(tenant)


LOOKS = {
    "wide, light": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    "narrow, dark": {"viewport": {"width": 400, "height": 800}, "color_scheme": "dark"},
}


@pytest.fixture(params=LOOKS)
def look(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def context(browser: Browser, look: str) -> Iterator[BrowserContext]:
    with browser.new_context(**LOOKS[look]) as context:
        context.set_default_timeout(15_000)
        yield context


def fill(page: Page, live_server: Any) -> None:
    page.goto(f"{live_server.url}{TENANTS}add/")
    page.get_by_label("Name", exact=False).first.fill("University of Accra")
    page.get_by_label("Name", exact=False).first.blur()
    page.get_by_label("Slug").fill("accra")
    page.get_by_label("Placement").select_option("schema")
    page.get_by_label("Domains").fill("accra.example\nuni.example")
    page.get_by_label("Founded").fill("1948")


def save(page: Page) -> None:
    # The page that follows is not loaded until the work has ended.
    page.get_by_role("button", name="Save").click(no_wait_after=True)


def some_tenants() -> list[Any]:
    names = {
        "accra": "University of Accra",
        "nairobi": "University of Nairobi",
        "kigali": "Kigali Institute of Science, Technology and Management",
        "lagos": "Lagos State University",
    }
    tenants = [
        domicile.create_tenant(slug, name=name, domains=[f"{slug}.example", f"{slug}-uni.example"])
        for slug, name in names.items()
    ]
    domicile.maintain_tenant("nairobi")
    domicile.suspend_tenant("kigali")
    University.objects.filter(slug="lagos").update(status=Status.DROPPING)
    return tenants


def test_list(page: Page, live_server: Any, seen: Pictures) -> None:
    some_tenants()
    page.goto(f"{live_server.url}{TENANTS}")
    for status in ("active", "under maintenance", "suspended", "being dropped"):
        expect(page.locator("#result_list").get_by_text(status, exact=True)).to_be_visible()
    seen(page, "list")
    page.get_by_role("checkbox", name="University of Accra").check()
    page.get_by_role("combobox", name="Action").select_option("suspend")
    page.get_by_role("button", name="Run").or_(page.get_by_role("button", name="Go")).click()
    expect(page.get_by_text("University of Accra: Suspended.")).to_be_visible()


def test_creation(page: Page, live_server: Any, seen: Pictures) -> None:
    fill(page, live_server)
    seen(page, "add")
    released.clear()
    save(page)
    live = page.locator("[aria-live=polite]")
    expect(live.get_by_text("template of schema")).to_be_visible()
    expect(page.get_by_role("heading", name="Creating University of Accra")).to_be_visible()
    assert not University.objects.filter(status=Status.ACTIVE).exists()
    released.set()
    expect(live.get_by_text("University of Accra is ready.")).to_be_visible()
    seen(page, "progress-done")
    page.get_by_role("link", name="University of Accra").click()
    expect(page.get_by_label("Domains")).to_have_value("accra.example\nuni.example")
    seen(page, "change")


def test_creation_that_fails(page: Page, live_server: Any, seen: Pictures) -> None:
    fill(page, live_server)
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA accra")
    try:
        save(page)
        expect(page.get_by_text("There is a schema 'accra' already")).to_be_visible()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP SCHEMA accra")
    seen(page, "progress-failed")
    page.get_by_role("button", name="Back to the form").click()
    expect(page.get_by_label("Founded")).to_have_value("1948")
    expect(page.get_by_label("Domains")).to_have_value("accra.example\nuni.example")
    seen(page, "add-again")
    save(page)
    expect(page.get_by_text("University of Accra is ready.")).to_be_visible()


def test_errors_on_the_form(page: Page, live_server: Any, seen: Pictures) -> None:
    fill(page, live_server)
    page.get_by_label("Slug").fill("Not a slug")
    page.get_by_label("Domains").fill("x.localhost")
    save(page)
    expect(page.get_by_text("cannot be a tenant's slug")).to_be_visible()
    seen(page, "add-errors")


def test_without_javascript(browser: Browser, live_server: Any, boss: User) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{live_server.url}/admin/")
        page.get_by_label("Username").fill("boss")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        fill(page, live_server)
        released.clear()
        save(page)
        expect(page.get_by_text("template of schema")).to_be_visible()
        expect(page.get_by_text("is ready")).not_to_be_visible()
        released.set()
        expect(page.get_by_text("University of Accra is ready.")).to_be_visible()


def test_leaving_does_not_stop_a_creation(page: Page, live_server: Any, seen: Pictures) -> None:
    fill(page, live_server)
    released.clear()
    save(page)
    expect(page.get_by_text("template of schema")).to_be_visible()
    seen(page, "progress-working")
    page.close()
    released.set()
    for thread in threading.enumerate():
        if thread.name == "domicile-create":
            thread.join(20)
    assert University.objects.get().status == Status.ACTIVE


def test_status_and_drop(page: Page, live_server: Any, seen: Pictures) -> None:
    tenant = some_tenants()[0]
    page.goto(f"{live_server.url}{TENANTS}{tenant.pk}/change/")
    page.get_by_role("button", name="Suspend").click()
    expect(page.locator(".domicile-status")).to_have_text("suspended")
    seen(page, "change-suspended")
    page.locator(".deletelink").click()
    expect(page.get_by_role("heading", name="Drop University of Accra")).to_be_visible()
    seen(page, "drop")
    page.get_by_label("Slug").fill("nairobi")
    page.get_by_role("button", name="Drop").click()
    expect(page.get_by_text("This is not its slug")).to_be_visible()
    seen(page, "drop-wrong")
    page.get_by_label("Slug").fill("accra")
    page.get_by_label("Days of grace").fill("7")
    page.get_by_role("button", name="Drop").click()
    expect(page.get_by_text("To be dropped in 7 days.")).to_be_visible()
    page.goto(f"{live_server.url}{TENANTS}{tenant.pk}/change/")
    seen(page, "change-dropping")
    page.locator(".deletelink").click()
    page.get_by_label("Slug").fill("accra")
    page.get_by_role("button", name="Drop").click()
    expect(page.get_by_text("University of Accra: Dropped.")).to_be_visible()
    assert not University.objects.filter(slug="accra").exists()


def test_admin_of_a_tenant(context: BrowserContext, live_server: Any, seen: Pictures) -> None:
    tenant = some_tenants()[0]
    with tenant.activate():
        User.objects.create_superuser("ama", password=PASSWORD)
        Student.objects.create(registration="1", name="Kofi", home="accra")
    page = context.new_page()
    page.goto(f"{live_server.url.replace('localhost', 'accra.localhost')}/admin/")
    seen(page, "tenant-login")
    page.get_by_label("Username").fill("ama")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("banner")).to_contain_text("University of Accra")
    expect(page.locator("#content").get_by_role("link", name="Students").first).to_be_visible()
    expect(page.get_by_text("Universities")).to_have_count(0)
    seen(page, "tenant-index")


def test_every_field_has_a_label(page: Page, live_server: Any, seen: Pictures) -> None:
    tenant = some_tenants()[0]
    for path in ("add/", f"{tenant.pk}/change/", f"{tenant.pk}/delete/"):
        page.goto(f"{live_server.url}{TENANTS}{path}")
        unnamed = page.locator(
            "#content :is(input:not([type=hidden], [type=submit]), select, textarea)"
        ).evaluate_all("fields => fields.filter(f => !f.labels.length).map(f => f.outerHTML)")
        assert unnamed == []
