"""Pages of the admin in Chromium. A module that uses them has fixtures `context` and `look`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests import servers

CHROMIUM = Path("/usr/bin/chromium")
PASSWORD = "Sankofa-1948"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        servers.absent("Chromium comes with: scripts/system-packages")
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright keeps an event loop in this thread, which waits for nothing of Django's.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def boss() -> User:
    return User.objects.create_superuser("boss", password=PASSWORD)


@pytest.fixture
def page(context: BrowserContext, live_server: Any, boss: User) -> Page:
    """A page of the project's admin, logged in."""
    client = Client()
    client.force_login(boss)
    session = client.cookies["sessionid"].value
    context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
    page = context.new_page()
    page.errors = []  # type: ignore[attr-defined]
    page.on("pageerror", lambda error: page.errors.append(str(error)))  # type: ignore[attr-defined]
    return page


class Pictures:
    """Looks at a page: nothing reaches beyond its edge, and no script has failed."""

    def __init__(self, look: str) -> None:
        self.look = re.sub(r"\W+", "-", look)
        self.folder = os.environ.get("SCREENSHOTS")

    def __call__(self, page: Page, name: str) -> None:
        if self.folder:
            page.screenshot(path=f"{self.folder}/{name}-{self.look}.png", full_page=True)
        overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert overflow <= 0, f"{name} is {overflow} pixels too wide"
        assert not getattr(page, "errors", [])


@pytest.fixture
def seen(look: str) -> Pictures:
    return Pictures(look)
