from __future__ import annotations

import asyncio
import html
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.admin.models import ADDITION, DELETION, LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, connections
from django.test import AsyncClient, Client

import domicile
from domicile.exceptions import TenantBusy, TenantRequired
from domicile.models import Status
from domicile.placement import Placement
from tests.testproject.students.models import Course, Student
from tests.testproject.universities.models import Hostname, University

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "postgres15", "mariadb"])

TENANTS = "/admin/universities/university/"
DOMAINS = "/admin/universities/hostname/"
STUDENTS = "/admin/students/student/"
PASSWORD = "Sankofa-1948"


@pytest.fixture(autouse=True)
def dropped(settings: Any) -> Iterator[None]:
    """Drops what a test leaves."""
    # `django.contrib.sites` is asked for the site of the login page.
    settings.SITE_ID = 1
    yield
    for tenant in University.objects.all():
        domicile.drop_tenant(tenant)


@pytest.fixture
def boss(client: Client) -> User:
    user = User.objects.create_superuser("boss", password=PASSWORD)
    client.force_login(user)
    return user


def tenant_with_admin(slug: str) -> Any:
    tenant = domicile.create_tenant(slug, name=slug.capitalize(), domains=[f"{slug}.example"])
    with tenant.activate():
        User.objects.create_superuser(slug, password=PASSWORD)
    return tenant


@pytest.fixture
def accra() -> Any:
    return tenant_with_admin("accra")


def at(tenant: Any) -> dict[str, Any]:
    return {"headers": {"host": f"{tenant.slug}.localhost"}}


def visitor(tenant: Any) -> Client:
    """The browser of a tenant's superuser."""
    client = Client(headers={"host": f"{tenant.slug}.localhost"})
    with tenant.activate():
        client.force_login(User.objects.get())
    return client


def login(client: Client, tenant: Any, username: str) -> bool:
    data = {"username": username, "password": PASSWORD}
    return client.post("/admin/login/", data, **at(tenant)).status_code == 302


def body(response: Any) -> str:
    content = response.getvalue() if response.streaming else response.content
    return html.unescape(content.decode())


def entries(tenant: Any) -> list[str]:
    return [str(entry) for entry in LogEntry.objects.filter(object_id=tenant.pk).order_by("pk")]


class TestSite:
    def test_lists_what_lives_in_the_tenant(self, accra: Any) -> None:
        page = body(visitor(accra).get("/admin/"))
        assert STUDENTS in page
        assert "/admin/auth/user/" in page
        assert "/universities/" not in page

    def test_lists_what_lives_in_the_shared_home(self, client: Client, boss: User) -> None:
        page = body(client.get("/admin/"))
        assert TENANTS in page
        assert "/students/" not in page

    def test_names_the_tenant(self, accra: Any, client: Client) -> None:
        for path in ("/admin/", "/admin/login/"):
            assert "Accra · Django administration" in body(visitor(accra).get(path, follow=True))
        assert "·" not in body(client.get("/admin/login/"))

    @pytest.mark.parametrize("page", ["", "add/", "1/change/", "1/history/", "1/delete/"])
    def test_pages_of_others_are_not_found(
        self, accra: Any, client: Client, boss: User, page: str
    ) -> None:
        assert client.get(f"{STUDENTS}{page}").status_code == 404
        assert visitor(accra).get(f"{TENANTS}{page}").status_code == 404
        assert visitor(accra).post(f"{TENANTS}{page}", {"post": "yes"}).status_code == 404

    @pytest.mark.parametrize("page", ["1/status/", "1/"])
    def test_other_pages_of_others_are_not_found(self, accra: Any, page: str) -> None:
        assert visitor(accra).post(f"{TENANTS}{page}", follow=True).status_code == 404

    def test_indexes_of_others_are_not_found(self, accra: Any, client: Client, boss: User) -> None:
        assert client.get("/admin/students/").status_code == 404
        assert visitor(accra).get("/admin/universities/").status_code == 404
        assert visitor(accra).get("/admin/students/").status_code == 200

    def test_autocomplete(self, accra: Any, client: Client, boss: User) -> None:
        with accra.activate():
            Course.objects.create(name="Law")
        own = {"app_label": "students", "model_name": "student", "field_name": "course"}
        others = {"app_label": "universities", "model_name": "hostname", "field_name": "tenant"}
        found = visitor(accra).get("/admin/autocomplete/", own).json()
        assert [result["text"] for result in found["results"]] == ["Law"]
        assert visitor(accra).get("/admin/autocomplete/", others).status_code == 404
        assert client.get("/admin/autocomplete/", own).status_code == 404
        assert len(client.get("/admin/autocomplete/", others).json()["results"]) == 1

    def test_view_on_site(
        self, accra: Any, monkeypatch: pytest.MonkeyPatch, client: Client, boss: User
    ) -> None:
        for model in (University, Student):
            monkeypatch.setattr(model, "get_absolute_url", lambda _: "https://x/", raising=False)
        with accra.activate():
            student = Student.objects.create(registration="1", name="Ama")
            here = {m: ContentType.objects.get_for_model(m).pk for m in (University, Student)}
        university = ContentType.objects.get_for_model(University).pk
        assert client.get(f"/admin/r/{university}/{accra.pk}/").status_code == 302
        assert visitor(accra).get(f"/admin/r/{here[University]}/{accra.pk}/").status_code == 404
        assert visitor(accra).get(f"/admin/r/{here[Student]}/{student.pk}/").status_code == 302
        assert visitor(accra).get("/admin/r/x/1/").status_code == 404

    def test_history_and_log_are_the_tenants_own(self, accra: Any) -> None:
        nairobi = tenant_with_admin("nairobi")
        for tenant, name in ((accra, "Ama"), (nairobi, "Wanjiku")):
            response = visitor(tenant).post(
                f"{STUDENTS}add/", {"registration": "1", "name": name, "home": tenant.slug}
            )
            assert response.status_code == 302
        with accra.activate():
            pk = Student.objects.get().pk
        for path in ("/admin/", f"{STUDENTS}{pk}/history/"):
            page = body(visitor(accra).get(path))
            assert "Ama" in page
            assert "Wanjiku" not in page
        assert not LogEntry.objects.exists()


class TestUsers:
    """Who may enter where, in the set-ups of `django.contrib.auth`."""

    @pytest.fixture(params=["in tenants", "in tenants and shared"])
    def own_users(self, request: pytest.FixtureRequest, settings: Any) -> None:
        if request.param == "in tenants":
            settings.DOMICILE = {**settings.DOMICILE, "SHARED_APPS": []}

    def test_of_one_tenant_cannot_enter_another(self, own_users: None, client: Client) -> None:
        accra, nairobi = tenant_with_admin("accra"), tenant_with_admin("nairobi")
        assert login(client, accra, "accra")
        assert client.get("/admin/", **at(accra)).status_code == 200
        assert client.get("/admin/", **at(nairobi)).status_code == 302
        assert not login(Client(), nairobi, "accra")

    def test_are_not_there_where_no_tenant_is_active(self, settings: Any, client: Client) -> None:
        settings.DOMICILE = {**settings.DOMICILE, "SHARED_APPS": []}
        client.cookies["sessionid"] = "x" * 32
        with pytest.raises(TenantRequired):
            client.get("/admin/")

    def test_shared_ones_are_named_by_the_logs_of_tenants(
        self, settings: Any, client: Client
    ) -> None:
        apps = ["django.contrib.admin"]
        both = {"TENANT_APPS": ["students", *apps], "SHARED_APPS": apps}
        settings.DOMICILE = {**settings.DOMICILE, **both}
        boss = User.objects.create_superuser("boss", password=PASSWORD)
        for slug in ("accra", "nairobi"):
            tenant = domicile.create_tenant(slug, placement="schema")
            assert login(client, tenant, "boss")
            data = {"registration": "1", "name": slug, "home": slug}
            assert client.post(f"{STUDENTS}add/", data, **at(tenant)).status_code == 302
            page = body(client.get("/admin/", **at(tenant)))
            assert "/admin/auth/" not in page
            with tenant.activate():
                entry = LogEntry.objects.get()
                assert entry.user == boss
                assert entry.object_repr == f"1 {slug}"
                assert entry.get_edited_object().home == slug
        assert not LogEntry.objects.exists()

    @pytest.mark.parametrize(
        ("tenant_apps", "shared_apps", "missing"),
        [
            (["students"], [], "TENANT_APPS"),
            (["students", "django.contrib.admin"], [], "SHARED_APPS"),
        ],
    )
    def test_log_elsewhere_is_refused(
        self,
        settings: Any,
        client: Client,
        tenant_apps: list[str],
        shared_apps: list[str],
        missing: str,
    ) -> None:
        apps = {"TENANT_APPS": tenant_apps, "SHARED_APPS": shared_apps}
        settings.DOMICILE = {**settings.DOMICILE, **apps}
        client.force_login(User.objects.create_superuser("boss"))
        tenant = domicile.create_tenant("accra", placement="schema")
        place = at(tenant) if missing == "TENANT_APPS" else {}
        with pytest.raises(ImproperlyConfigured, match=missing):
            client.get("/admin/", **place)


VALUES = {
    "name": "Accra",
    "slug": "accra",
    "placement": "schema",
    "domains": "Accra.example\r\nuni.example",
    "founded": "1948",
}


def create(client: Client, **values: str) -> str:
    return body(client.post(f"{TENANTS}add/", {**VALUES, **values}))


def steps(page: str) -> list[str]:
    found = re.findall(r"<li><span>(.*?)</span> <code>(.*?)</code></li>", page)
    return [f"{kind}: {detail}" for kind, detail in found]


@pytest.mark.usefixtures("boss")
class TestCreating:
    def test_creates(self, client: Client, placement: str) -> None:
        page = create(client, placement=placement)
        tenant = University.objects.get()
        assert (tenant.status, tenant.name, tenant.founded) == (Status.ACTIVE, "Accra", 1948)
        assert tenant.placement.template == placement
        domains = tenant.domains.order_by("pk").values_list("host", "is_primary")
        assert list(domains) == [("accra.example", True), ("uni.example", False)]
        assert steps(page)[0] == "Row: tenant accra"
        assert f"Clone: template of {placement}" in steps(page)
        assert steps(page)[-1] == "Complete: tenant accra"
        assert "Accra is ready." in page
        assert f'href="{TENANTS}{tenant.pk}/change/"' in page
        assert page.rstrip().endswith("</html>")
        entry = LogEntry.objects.get()
        assert (entry.object_id, entry.action_flag) == (str(tenant.pk), ADDITION)

    @pytest.mark.parametrize("placement", ["schema", "database", "file"])
    def test_creates_with_atomic_requests(
        self, client: Client, monkeypatch: pytest.MonkeyPatch, placement: str
    ) -> None:
        for alias in connections:
            monkeypatch.setitem(connections.settings[alias], "ATOMIC_REQUESTS", True)
        assert "Accra is ready." in create(client, placement=placement)
        tenant = University.objects.get()
        client.post(f"{TENANTS}{tenant.pk}/delete/", {"slug": "accra"})
        assert not University.objects.exists()

    def test_needs_no_domains_and_no_field_of_the_project(self, client: Client) -> None:
        assert "Accra is ready." in create(client, domains="", founded="")
        assert University.objects.get().founded is None

    def test_tells_of_each_step_when_it_is_done(
        self, client: Client, settings: Any, hook: Hook
    ) -> None:
        settings.DOMICILE = {**settings.DOMICILE, "INITIAL_DATA": f"{__name__}.initial_data"}
        response = client.post(f"{TENANTS}add/", VALUES)
        assert response["Content-Encoding"] == "identity"
        page, chunks = "", iter(response.streaming_content)
        while "template of schema" not in page:
            page += next(chunks).decode()
        assert not University.objects.filter(status=Status.ACTIVE).exists()
        assert "ready" not in page
        hook.released.set()
        page += b"".join(chunks).decode()
        assert f"Initial data: {__name__}.initial_data" in steps(page)
        assert University.objects.get().status == Status.ACTIVE

    @pytest.mark.parametrize("read", [1, 4])
    def test_goes_on_when_the_client_goes_away(
        self, client: Client, settings: Any, hook: Hook, read: int
    ) -> None:
        settings.DOMICILE = {**settings.DOMICILE, "INITIAL_DATA": f"{__name__}.initial_data"}
        response = client.post(f"{TENANTS}add/", VALUES)
        chunks = iter(response.streaming_content)
        for _ in range(read):
            next(chunks)
        response.close()
        hook.released.set()
        wait_for_threads()
        found = list(University.objects.values_list("status", flat=True))
        assert found == ([] if read == 1 else [Status.ACTIVE])

    def test_creates_on_an_event_loop(self, boss: User) -> None:
        client = AsyncClient()
        client.force_login(boss)

        async def page() -> str:
            response = await client.post(f"{TENANTS}add/", VALUES)
            assert response.is_async
            chunks = [chunk.decode() async for chunk in response]
            await sync_to_async(connections.close_all)()
            return "".join(chunks)

        found = asyncio.run(page())
        assert "Accra is ready." in found
        assert steps(found)[-1] == "Complete: tenant accra"
        assert University.objects.get().status == Status.ACTIVE

    def test_refuses_what_create_tenant_would_refuse(self, client: Client) -> None:
        domicile.create_tenant("nairobi", domains=["uni.example"])
        page = create(client, slug="Big One", domains="x.localhost")
        assert "cannot be a tenant's slug" in page
        assert "it is the project's own" in page
        assert "belongs to another tenant" in create(client)
        assert "already exists" in create(client, slug="nairobi")
        assert [tenant.slug for tenant in University.objects.all()] == ["nairobi"]

    def test_tells_why_it_failed_and_keeps_the_values(self, client: Client) -> None:
        with connection.cursor() as cursor:
            cursor.execute("CREATE SCHEMA accra")
        try:
            page = create(client)
            assert "There is a schema 'accra' already" in page
        finally:
            with connection.cursor() as cursor:
                cursor.execute("DROP SCHEMA accra")
        assert not University.objects.exists()
        assert not LogEntry.objects.exists()
        again = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page)
        data = {name: value for name, value in again if name != "csrfmiddlewaretoken"}
        assert VALUES.items() <= data.items() | {("domains", VALUES["domains"])}
        form = client.post(f"{TENANTS}add/", data)
        assert not form.streaming
        assert "There is a schema" in body(form)
        assert 'value="1948"' in body(form)
        assert not University.objects.exists()
        assert "Accra is ready." in create(client)

    def test_undoes_what_fails_in_the_middle(self, client: Client, settings: Any) -> None:
        settings.DOMICILE = {**settings.DOMICILE, "INITIAL_DATA": f"{__name__}.failing_data"}
        page = create(client)
        assert "RuntimeError: no <chalk>" in page
        assert "no <chalk>" not in client.post(f"{TENANTS}add/", VALUES).getvalue().decode()
        assert not University.objects.exists()

    def test_is_not_hindered_by_what_was_cut_off(self, client: Client) -> None:
        remains = University(slug="accra", name="Accra", status=Status.CREATING)
        remains.placement = Placement("schema", "accra")
        remains.save()
        Hostname.objects.create(tenant=remains, host="uni.example")
        assert "Accra is ready." in create(client)

    def test_says_what_could_not_be_recorded(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*args: Any, **kwargs: Any) -> None:
            raise RuntimeError("no paper")

        monkeypatch.setattr(LogEntry.objects, "log_actions", fail)
        page = create(client)
        assert "Accra is ready." in page
        assert "RuntimeError: no paper" in page
        assert University.objects.get().status == Status.ACTIVE

    def test_answers_a_popup(self, client: Client) -> None:
        page = create(client, _popup="1")
        pk = University.objects.get().pk
        assert f'data-popup-response="{{"value": "{pk}", "obj": "Accra"}}"' in page

    def test_needs_permission_and_token(self, client: Client, boss: User) -> None:
        clerk = User.objects.create_user("clerk", is_staff=True)
        for codename in ("view_university", "change_university"):
            clerk.user_permissions.add(Permission.objects.get(codename=codename))
        client.force_login(clerk)
        assert client.get(f"{TENANTS}add/").status_code == 403
        assert client.post(f"{TENANTS}add/", VALUES).status_code == 403
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(boss)
        assert strict.post(f"{TENANTS}add/", VALUES).status_code == 403
        assert not University.objects.exists()


class Hook:
    def __init__(self) -> None:
        self.released = threading.Event()


_hook = Hook()


@pytest.fixture
def hook() -> Iterator[Hook]:
    _hook.released.clear()
    yield _hook
    _hook.released.set()
    wait_for_threads()


def initial_data(tenant: Any) -> None:
    assert _hook.released.wait(20)


def failing_data(tenant: Any) -> None:
    raise RuntimeError("no <chalk>")


def wait_for_threads() -> None:
    for thread in threading.enumerate():
        if thread.name == "domicile-create":
            thread.join(20)


@pytest.mark.usefixtures("boss")
class TestChanging:
    def change(self, client: Client, tenant: Any, **values: str) -> Any:
        data = {"name": "Accra", "domains": "accra.example", "founded": "", **values}
        return client.post(f"{TENANTS}{tenant.pk}/change/", data)

    def test_renames(self, client: Client, accra: Any) -> None:
        response = self.change(
            client, accra, name="Legon", domains="LEGON.example\r\naccra.example", founded="1948"
        )
        assert response.status_code == 302
        accra.refresh_from_db()
        assert (accra.name, accra.founded) == ("Legon", 1948)
        primary = dict(accra.domains.values_list("host", "is_primary"))
        assert primary == {"legon.example": True, "accra.example": False}
        assert entries(accra) == ["Changed “Legon” — Changed Name, Domains and Founded."]

    def test_shows_errors_on_the_form(self, client: Client, accra: Any) -> None:
        domicile.create_tenant("nairobi", domains=["uni.example"])
        assert "belongs to another" in body(self.change(client, accra, domains="uni.example"))
        assert "is not a host name" in body(self.change(client, accra, domains="http://x/y"))
        assert list(accra.domains.values_list("host", flat=True)) == ["accra.example"]

    def test_shows_errors_found_too_late(
        self, client: Client, accra: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        domicile.create_tenant("nairobi", domains=["uni.example"])
        monkeypatch.setattr(
            "domicile.admin.forms.TenantForm.clean_domains", lambda form: ["uni.example"]
        )
        response = self.change(client, accra, name="Legon", domains="uni.example")
        assert "belongs to another" in body(client.get(response.url))
        accra.refresh_from_db()
        assert accra.name == "Accra"

    def test_changes_neither_slug_nor_placement_nor_status(
        self, client: Client, accra: Any
    ) -> None:
        domicile.suspend_tenant(accra)
        self.change(client, accra, slug="legon", placement="file", status="active", name="Legon")
        found = University.objects.get()
        assert (found.slug, str(found.placement)) == ("accra", "schema:accra")
        assert (found.status, found.name) == (Status.SUSPENDED, "Legon")

    def test_shows_all_to_those_who_may_only_look(self, client: Client, accra: Any) -> None:
        clerk = User.objects.create_user("clerk", is_staff=True)
        clerk.user_permissions.add(Permission.objects.get(codename="view_university"))
        client.force_login(clerk)
        page = body(client.get(f"{TENANTS}{accra.pk}/change/"))
        assert "accra.example" in page
        assert "schema:accra" in page
        assert 'name="transition"' not in page
        url = f"{TENANTS}{accra.pk}/status/"
        assert client.post(url, {"transition": "suspend"}).status_code == 403
        assert client.get(f"{TENANTS}{accra.pk}/delete/").status_code == 403

    def test_lists(self, client: Client, accra: Any) -> None:
        domicile.suspend_tenant(domicile.create_tenant("nairobi"))
        page = body(client.get(TENANTS))
        assert "accra.example" in page
        assert '<span class="domicile-status domicile-suspended">suspended</span>' in page
        page = body(client.get(TENANTS, {"status__exact": "suspended"}))
        assert "accra" not in page.partition('id="result_list"')[2]
        page = body(client.get(TENANTS, {"q": "accra.exam", "placement_template": "schema"}))
        assert "1 university" in page

    def test_buttons_change_the_status(self, client: Client, accra: Any) -> None:
        def press(transition: str) -> str:
            url = f"{TENANTS}{accra.pk}/status/"
            page = body(client.post(url, {"transition": transition}, follow=True))
            accra.refresh_from_db()
            return page

        def buttons(page: str) -> list[str]:
            return re.findall(r'name="transition" value="(\w+)"', page)

        assert buttons(press("maintain")) == ["resume", "suspend"]
        assert accra.status == Status.MAINTENANCE
        assert buttons(press("suspend")) == ["resume"]
        assert accra.status == Status.SUSPENDED
        assert "cannot become" in press("maintain")
        assert accra.status == Status.SUSPENDED
        assert buttons(press("resume")) == ["maintain", "suspend"]
        assert accra.status == Status.ACTIVE
        assert buttons(press("nonsense")) == ["maintain", "suspend"]
        assert [entry.partition(" — ")[2] for entry in entries(accra)] == [
            "Put under maintenance.",
            "Suspended.",
            "Resumed.",
        ]
        assert client.get(f"{TENANTS}{accra.pk}/status/").status_code == 405
        assert client.post(f"{TENANTS}99/status/").status_code == 404

    def test_actions_change_the_status(self, client: Client, accra: Any) -> None:
        nairobi = domicile.create_tenant("nairobi")
        domicile.suspend_tenant(nairobi)
        data = {"action": "maintain", "_selected_action": [accra.pk, nairobi.pk], "index": "0"}
        page = body(client.post(TENANTS, data, follow=True))
        assert "Accra: Put under maintenance." in page
        assert "cannot become" in page
        statuses = dict(University.objects.values_list("slug", "status"))
        assert statuses == {"accra": Status.MAINTENANCE, "nairobi": Status.SUSPENDED}
        client.post(TENANTS, {**data, "action": "resume"})
        assert set(University.objects.values_list("status", flat=True)) == {Status.ACTIVE}
        client.post(TENANTS, {**data, "action": "suspend"})
        assert set(University.objects.values_list("status", flat=True)) == {Status.SUSPENDED}


@pytest.mark.usefixtures("boss")
class TestDropping:
    def test_drops_when_the_slug_is_typed(self, client: Client, accra: Any) -> None:
        url = f"{TENANTS}{accra.pk}/delete/"
        assert "Drop Accra" in body(client.get(url))
        for wrong in ("", "Accra", "nairobi"):
            assert client.post(url, {"slug": wrong, "post": "yes"}).status_code == 200
            assert University.objects.exists()
        page = body(client.post(url, {"slug": "accra"}, follow=True))
        assert "Accra: Dropped." in page
        assert not University.objects.exists()
        entry = LogEntry.objects.get()
        assert (entry.object_id, entry.action_flag) == (str(accra.pk), DELETION)

    def test_hides_for_a_time_of_grace(self, client: Client, accra: Any) -> None:
        url = f"{TENANTS}{accra.pk}/delete/"
        assert client.post(url, {"slug": "accra", "grace": "-1"}).status_code == 200
        page = body(client.post(url, {"slug": "accra", "grace": "7"}, follow=True))
        assert "To be dropped in 7 days." in page
        accra.refresh_from_db()
        assert accra.status == Status.DROPPING
        page = body(client.get(f"{TENANTS}{accra.pk}/change/"))
        assert "To be dropped after" in page
        assert 'value="resume"' in page

    def test_says_why_it_cannot(
        self, client: Client, accra: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def busy(*args: Any, **kwargs: Any) -> None:
            raise TenantBusy("It is being moved.")

        url = f"{TENANTS}{accra.pk}/delete/"
        with monkeypatch.context() as patch:
            patch.setattr("domicile.fleet.dropping.drop_tenant", busy)
            assert "It is being moved." in body(client.post(url, {"slug": "accra"}))
        assert not LogEntry.objects.exists()

    def test_replaces_djangos_action(self, client: Client, accra: Any) -> None:
        nairobi = domicile.create_tenant("nairobi")
        data = {"action": "delete_selected", "_selected_action": [accra.pk], "post": "yes"}
        assert client.post(TENANTS, data).url == f"{TENANTS}{accra.pk}/delete/"
        data["_selected_action"] = [accra.pk, nairobi.pk]
        assert "one by one" in body(client.post(TENANTS, data, follow=True))
        assert University.objects.count() == 2

    def test_refuses_djangos_action(
        self, client: Client, accra: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("domicile.admin.TenantAdmin.actions", ())
        data = {"action": "delete_selected", "_selected_action": [accra.pk], "post": "yes"}
        assert "protected" in body(client.post(TENANTS, data))
        assert University.objects.exists()


@pytest.mark.usefixtures("boss")
class TestDomains:
    def test_are_the_tenants(self, client: Client, accra: Any) -> None:
        data = {"tenant": accra.pk, "host": "Uni.example", "is_primary": "on"}
        assert client.post(f"{DOMAINS}add/", data).status_code == 302
        assert accra.domains.get(is_primary=True).host == "uni.example"
        pk = accra.domains.get(is_primary=True).pk
        assert client.post(f"{DOMAINS}{pk}/change/", {"host": "legon.example"}).status_code == 302
        domains = dict(accra.domains.values_list("host", "is_primary"))
        assert domains == {"accra.example": True, "legon.example": False}
        assert "legon.example" in body(client.get(DOMAINS, {"q": "accra"}))

    @pytest.mark.parametrize(
        ("host", "reason"),
        [
            ("accra.localhost", "it is the project's own"),
            ("accra.example", "already exists"),
            ("a b", "is not a host name"),
            ("", "This field is required"),
        ],
    )
    def test_are_refused(self, client: Client, accra: Any, host: str, reason: str) -> None:
        page = body(client.post(f"{DOMAINS}add/", {"tenant": accra.pk, "host": host}))
        assert reason in page

    def test_leave_a_primary_one_behind(self, client: Client, accra: Any) -> None:
        Hostname.objects.create(tenant=accra, host="uni.example")
        primary = accra.domains.get(is_primary=True)
        client.post(f"{DOMAINS}{primary.pk}/delete/", {"post": "yes"})
        assert accra.domains.get().is_primary
        data = {"action": "delete_selected", "post": "yes"}
        client.post(DOMAINS, {**data, "_selected_action": [accra.domains.get().pk]})
        assert not accra.domains.exists()
