"""A browser in a few lines, for the demo's check."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import unescape
from http.client import HTTPConnection
from http.cookies import SimpleCookie
from urllib.parse import urlencode

ROW = re.compile(
    r'<tr>\s*<td class="number[^>]*>(?P<number>.*?)</td>'
    r'\s*<td>\s*<a href="(?P<link>.*?)">(?P<name>.*?)</a>.*?'
    r"<td[^>]*>(?P<programme>.*?)</td>\s*<td[^>]*>(?P<year>\d+)</td>\s*</tr>",
    re.DOTALL,
)


@dataclass(frozen=True)
class Page:
    status: int
    headers: Mapping[str, str]
    text: str

    def rows(self) -> list[tuple[str, ...]]:
        """The students of a list: number, name, programme, year."""
        cells = ("number", "name", "programme", "year")
        return [tuple(unescape(row[cell]) for cell in cells) for row in ROW.finditer(self.text)]

    def link(self, number: str) -> str:
        """The address of the student of that registration number."""
        links = {row["number"]: unescape(row["link"]) for row in ROW.finditer(self.text)}
        return links[number]

    def origins(self) -> list[str]:
        """The databases that its parts came from, in the order of the page."""
        return [unescape(alias) for alias in re.findall(r'data-from="([^"]*)"', self.text)]

    def next(self) -> str | None:
        found = re.search(r'href="([^"]*)" rel="next"', self.text)
        return unescape(found[1]) if found else None


@dataclass
class Visitor:
    """Somebody at one host (and under one path, and with these headers), with cookies."""

    port: int
    host: str = "localhost"
    prefix: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: SimpleCookie = field(default_factory=SimpleCookie)

    def get(self, path: str = "/") -> Page:
        return self._ask("GET", self.prefix + path)

    def follow(self, address: str) -> Page:
        """Get what a link of a page leads to, which has the prefix already."""
        return self._ask("GET", address)

    def post(self, path: str, **values: object) -> Page:
        form = self.get(path).text
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
        values["csrfmiddlewaretoken"] = token[1] if token else ""
        return self._ask("POST", self.prefix + path, urlencode(values))

    def pages(self, path: str = "/") -> Iterator[Page]:
        """A list from its first page to its last."""
        page = self.get(path)
        yield page
        base = self.prefix + path.partition("?")[0]
        while query := page.next():
            page = self.follow(base + query)
            yield page

    def students(self, path: str = "/") -> list[tuple[str, ...]]:
        return [row for page in self.pages(path) for row in page.rows()]

    def _ask(self, method: str, address: str, body: str | None = None) -> Page:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Host": f"{self.host}:{self.port}", **self.headers}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{c.key}={c.value}" for c in self.cookies.values())
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            connection.request(method, address, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        for cookie in answer.headers.get_all("Set-Cookie", []):
            self.cookies.load(cookie)
        return Page(answer.status, answer.headers, text)
