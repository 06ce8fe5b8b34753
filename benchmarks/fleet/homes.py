"""A database of alike homes that grows, and from which every contender gets a copy."""

from concurrent.futures import ThreadPoolExecutor

from databases import Database
from reference import HOME, Reference

from benchmarks.report import say
from tests.servers import PostgresServer

FILLERS = 2  # threads that make homes
CATALOGS = "pg_class, pg_attribute, pg_attrdef, pg_constraint, pg_depend, pg_index, pg_type"


def slug(number: int) -> str:
    return f"t{number:05}"


class Homes:
    def __init__(self, server: PostgresServer, reference: Reference) -> None:
        self.database = Database(server, "homes")
        self.reference = reference
        self.size = 0
        self.database.create()

    @property
    def slugs(self) -> list[str]:
        return [slug(number) for number in range(self.size)]

    def grow(self, size: int) -> None:
        """Fills up to so many homes, and lets the server know its catalogs again."""
        say(f"making homes, up to {size}")
        missing = range(self.size, size)
        with ThreadPoolExecutor(FILLERS) as pool:
            list(pool.map(self._fill, [missing[n::FILLERS] for n in range(FILLERS)]))
        with self.database.connect() as connection:
            connection.execute(f"VACUUM ANALYZE {CATALOGS}")
        self.size = size

    def _fill(self, numbers: range) -> None:
        with self.database.connect() as connection:
            for number in numbers:
                connection.execute(self.reference.old.replace(HOME, slug(number)))
