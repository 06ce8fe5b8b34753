from typing import Any

from django.db.backends.postgresql import base

from by_hand import schema


class Cursor(base.Cursor):
    """Sends the switch in front of the statement into which the parameters are merged, so that the
    driver need not parse the statement anew for each tenant.
    """

    def _execute_send(self, query: Any, **kwargs: Any) -> None:
        wanted, connection = schema.get(), self.connection
        if connection.stands_at == wanted:
            super()._execute_send(query, **kwargs)
            return
        self._query = query
        connection.stands_at = wanted
        self._pgconn.send_query(b'SET search_path TO "%b"; %b' % (wanted.encode(), query.query))

    def _set_results(self, results: list[Any]) -> None:
        super()._set_results(results[-1:])


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = super().get_new_connection(conn_params)
        connection.cursor_factory = Cursor
        connection.stands_at = getattr(connection, "stands_at", None)  # A pool gives it again.
        return connection
