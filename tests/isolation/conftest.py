from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="package")
def campus(request: pytest.FixtureRequest) -> Iterator[Any]:
    # Named on the command line, this file is read before the settings are.
    from tests.isolation.campus import opened_campus

    with opened_campus(request) as campus:
        yield campus
