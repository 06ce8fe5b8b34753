"""The readings that everybody here has to agree on."""

from datetime import UTC, datetime, timedelta

MONTHS = [datetime(year, month, 1, tzinfo=UTC) for year in (2024, 2025) for month in range(1, 13)]
PER_MONTH = 100
#: All months, and nothing but them.
SPAN = (MONTHS[0], datetime(2025, 12, 31, 23, 59, tzinfo=UTC))


def moments() -> list[datetime]:
    """When readings were taken, in the order of time."""
    return [month + timedelta(hours=6 * number) for month in MONTHS for number in range(PER_MONTH)]


def values() -> list[int]:
    """What was read: all different, and high and low in every month."""
    count = len(MONTHS) * PER_MONTH
    return [number * 997 % count for number in range(count)]
