from __future__ import annotations

import pytest

from domicile.exceptions import first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError("\n  one  \ntwo"), "one  "),
        (ValueError(), "ValueError"),
        ("one\r\ntwo", "one"),
        ("", ""),
    ],
)
def test_first_line_of_an_error(error: BaseException | str, line: str) -> None:
    assert first_line(error) == line
