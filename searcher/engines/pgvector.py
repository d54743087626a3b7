"""Collections in PostgreSQL, by its extension pgvector.

add     COPY into a table of the connection's own ─▶ INSERT … ON CONFLICT DO UPDATE, by name: writers don't deadlock
search  a scan of all vectors, exact, or on request an index (pgvector_search.py)
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from psycopg import Connection, sql
from pydantic import JsonValue

from contract.model import ModelIdentity
from contract.space import CODE, EMBEDDING
from searcher.engines.configuration import Configuration
from searcher.engines.pgvector_search import Search
from searcher.engines.postgres import Database
from searcher.engines.postgres_copy import copied
from searcher.engines.postgres_filter import Sql, condition_of
from searcher.engines.postgres_table import Table, find, identifier_of, make
from searcher.engines.ranked import orders_of
from searcher.entry import Entry, require_fitting, require_json
from searcher.errors import EngineRefused, EngineUnavailable
from searcher.filters import Filter
from searcher.matches import Matches
from searcher.scan.ranking import Order, Query

#: Rows that a reading of all brings at a time.
_PAGE = 2000
#: The classes of operators of an index, by the kind of column.
_HNSW = {"bit": "bit_hamming_ops", "halfvec": "halfvec_cosine_ops", "vector": "vector_cosine_ops"}


class PgvectorEngine:
    """The collection with this ``configuration`` as a ``ForeignEngine``. PostgreSQL chooses its ``threads`` itself."""

    def __init__(self, configuration: Configuration, threads: int = 1) -> None:
        self._configuration = configuration
        self._database = Database(configuration.address)

    @staticmethod
    def create(configuration: Configuration) -> Configuration:
        database, place, model = Database(configuration.address), configuration.place, configuration.model
        database.prepare()

        def find_or_make(connection: Connection[Any]) -> bool:
            if find(connection, place, model) is not None:
                return False
            make(connection, place, model)
            return True

        try:
            made = database.run(find_or_make)
        except ValueError as error:  # a name that was taken meanwhile
            raise EngineRefused(f"{database.shown}: {error}") from error
        finally:
            database.rest()
        return configuration.model_copy(update={"made": made})

    @staticmethod
    def shown(configuration: Configuration) -> str:
        return Database(configuration.address).shown

    @cached_property
    def identity(self) -> ModelIdentity:
        held = tuple(column.space for column in self._table.vectors)
        return self._configuration.model.model_copy(update={"spaces": held})

    def search(self, queries: Sequence[Query], where: Filter | None = None) -> list[Matches]:
        orders = orders_of(queries, self.identity.spaces)
        return self._database.run(
            lambda connection: [
                self._nearest(connection, query, order, where) for query, order in zip(queries, orders, strict=True)
            ]
        )

    def get(self, paths: Sequence[str]) -> list[Entry | None]:
        command = sql.SQL("SELECT {} FROM {} WHERE {} = ANY(%s)").format(
            self._table.selected, self._table.place, sql.Identifier(self._table.name)
        )
        askable = [path for path in dict.fromkeys(paths) if "\0" not in path]
        found = {entry.path: entry for entry in self._entries(command, (askable,))}
        return [found.get(path) for path in paths]

    def list(self, after: str = "", limit: int = 50, where: Filter | None = None) -> list[Entry]:
        condition = self._condition(where)
        command = sql.SQL("SELECT {} FROM {} WHERE {} > %s AND {} ORDER BY {} LIMIT %s").format(
            self._table.selected, self._table.place, self._table.by_name, sql.SQL(condition.text), self._table.by_name
        )
        return [*self._entries(command, (after, *condition.parameters, limit))]

    def count(self, where: Filter | None = None) -> int:
        condition = self._condition(where)
        command = sql.SQL("SELECT count(*) FROM {} WHERE {}").format(self._table.place, sql.SQL(condition.text))
        return int(self._database.run(lambda connection: _one(connection, command, condition.parameters)))

    def add(self, entries: Sequence[Entry]) -> None:
        table = self._table
        require_fitting(entries, self.identity)
        require_json(entries)
        if "metadata" not in table.kept and (told := next((each for each in entries if each.metadata), None)):
            raise ValueError(f"{told.path}: the table {self._configuration.place} has no column for metadata")
        last = {entry.path: place for place, entry in enumerate(entries)}
        each = [entry for place, entry in enumerate(entries) if last[entry.path] == place]
        if each:
            self._database.run(lambda connection: _upsert(connection, table, each))

    def remove(self, paths: Sequence[str]) -> int:
        name, place = sql.Identifier(self._table.name), self._table.place
        command = sql.SQL(
            "DELETE FROM {0} WHERE {1} IN (SELECT {1} FROM {0} WHERE {1} = ANY(%s) ORDER BY {2} FOR UPDATE)"
        ).format(place, name, self._table.by_name)
        return self._database.run(lambda connection: connection.execute(command, (list(paths),)).rowcount)

    def entries(self) -> Iterator[Entry]:
        command = sql.SQL("SELECT {} FROM {} ORDER BY {}").format(
            self._table.selected, self._table.place, self._table.order
        )
        with (
            self._database.connection() as connection,
            connection.transaction(),
            connection.cursor(name="entries", binary=True) as cursor,
        ):
            cursor.itersize = _PAGE
            yield from map(self._table.entry_of, cursor.execute(command))

    def sample(self, count: int) -> Sequence[Entry]:
        command = sql.SQL("SELECT {} FROM {} ORDER BY random() LIMIT %s").format(
            self._table.selected, self._table.place
        )
        return self._entries(command, (count,))

    def properties(self) -> Mapping[str, JsonValue]:
        table = self._table

        def ask(connection: Connection[Any]) -> dict[str, JsonValue]:
            lengths = {
                f"average length of {column.name}": sql.SQL("SELECT avg({}({})) FROM {}").format(
                    sql.SQL("vector_norm" if column.kind == "vector" else "l2_norm"),
                    sql.Identifier(column.name),
                    table.place,
                )
                for column in table.vectors
                if column.kind != "bit"
            }
            indexes = connection.execute(
                "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = %s ORDER BY 1", (table.oid,)
            ).fetchall()
            extensions = connection.execute(
                "SELECT extname || ' ' || extversion FROM pg_extension ORDER BY extname"
            ).fetchall()
            return {
                "server": _one(connection, "SELECT 'PostgreSQL ' || current_setting('server_version')"),
                "tables": _one(connection, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"),
                "images": _one(connection, sql.SQL("SELECT count(*) FROM {}").format(table.place)),
                **{name: _one(connection, command) for name, command in lengths.items()},
                "indexes": [definition for (definition,) in indexes],
                "on disk": _one(connection, "SELECT pg_size_pretty(pg_total_relation_size(%s))", (table.oid,)),
                "extensions": [extension for (extension,) in extensions],
            }

        return self._database.run(ask)

    def index(self, kind: str | None) -> None:
        if kind not in (None, "hnsw"):
            raise EngineRefused(f"pgvector has no index {kind!r} here: there is hnsw")
        column = self._table.column(self._searched)
        name = sql.Identifier(f"hashlake {self._table.oid} hnsw")

        def build(connection: Connection[Any]) -> None:
            connection.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(name))
            if kind is not None:
                connection.execute(
                    sql.SQL("CREATE INDEX {} ON {} USING hnsw ({} {})").format(
                        name, self._table.place, sql.Identifier(column.name), sql.SQL(_HNSW[column.kind])
                    )
                )

        self._database.run(build)

    def delete(self) -> None:
        if self._configuration.made:
            command = sql.SQL("DROP TABLE IF EXISTS {}").format(identifier_of(self._configuration.place))
            self._database.run(lambda connection: connection.execute(command))
        self.rest()

    def rest(self) -> None:
        self._database.rest()

    @cached_property
    def _table(self) -> Table:
        place, model = self._configuration.place, self._configuration.model
        found = self._database.run(lambda connection: find(connection, place, model))
        if found is None:
            raise EngineUnavailable(f"{self._database.shown} has no table {place}")
        return found

    @property
    def _searched(self) -> str:
        """The space that searches by distance look into."""
        held = {column.space.name for column in self._table.vectors}
        return EMBEDDING if EMBEDDING in held else CODE

    def _condition(self, where: Filter | None) -> Sql:
        return Sql("true") if where is None else condition_of(where, self._table.metadata.as_string())

    def _entries(self, command: sql.Composed, parameters: Sequence[object]) -> Sequence[Entry]:
        def ask(connection: Connection[Any]) -> Sequence[Entry]:
            found = connection.cursor(binary=True).execute(command, parameters)
            return [self._table.entry_of(row) for row in found]

        return self._database.run(ask)

    def _nearest(self, connection: Connection[Any], query: Query, order: Order, where: Filter | None) -> Matches:
        search = Search(connection, self._table, query, order)
        of_all = not query.exact and where is None and query.max_distance is None
        if self._configuration.index is not None and of_all and order[0] == self._searched:
            return search.by_index()
        return search.exact(self._condition(where))


def _upsert(connection: Connection[Any], table: Table, entries: Sequence[Entry]) -> None:
    """Copy ``entries`` into a table of the connection's own, and from there into
    ``table``, by name: so writers of the same images wait for each other in one order."""
    new = sql.Identifier(f"hashlake new {table.oid}")
    names = [sql.Identifier(name) for name in table.written]
    written = sql.SQL(", ").join(names)
    connection.execute(
        sql.SQL("CREATE TEMP TABLE IF NOT EXISTS {} ON COMMIT DELETE ROWS AS SELECT {} FROM {} LIMIT 0").format(
            new, written, table.place
        )
    )
    numbers = table.numbers(connection, len(entries))
    with connection.cursor().copy(sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(new, written)) as copy:
        for piece in copied(table, entries, numbers):
            copy.write(piece)
    changes = [sql.SQL("{0} = excluded.{0}").format(name) for name in names[1:]]
    if table.added:
        changes.append(sql.SQL("{0} = excluded.{0}").format(sql.Identifier("added")))
    connection.execute(
        sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} ORDER BY {} ON CONFLICT ({}) DO UPDATE SET {}").format(
            table.place, written, written, new, table.by_name, names[0], sql.SQL(", ").join(changes)
        )
    )


def _one(connection: Connection[Any], command: str | sql.Composed, parameters: Sequence[object] = ()) -> Any:
    found = connection.execute(command, parameters).fetchone()
    assert found is not None
    return found[0]
