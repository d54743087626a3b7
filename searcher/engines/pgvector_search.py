"""The nearest images in a PostgreSQL table: exact by a scan, or those of an index's shortlist.

codes    ORDER BY code <~> q, detail <~> q, row LIMIT k            PostgreSQL counts bits as we do
floats   ORDER BY embedding <=> q LIMIT more than k                in single precision: those are put in order by our
                                                                   distances, more until no other can be nearer
index    ORDER BY embedding <=> q LIMIT a few hundred              put in order by our distances
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from psycopg import Connection, sql

from contract.space import CODE, EMBEDDING
from searcher.engines.postgres_filter import Sql
from searcher.engines.postgres_table import Table
from searcher.engines.ranked import Ranked, matches_of
from searcher.matches import Matches
from searcher.scan.distance import distances
from searcher.scan.ranking import Order, Query

#: Images beyond those asked for that the first query for floats brings.
_BEYOND = 64
#: The least and the most that an index is asked for.
_SHORTLIST, _MOST = 200, 1000


@dataclass(frozen=True)
class Search:
    """One query, in the ``order`` that its rank means, among the images in ``table``."""

    connection: Connection[Any]
    table: Table
    query: Query
    order: Order

    def exact(self, where: Sql) -> Matches:
        """The nearest of the images that meet ``where``."""
        if self.query.max_distance is not None:
            code = self.table.column(CODE)
            near = sql.SQL("{} <~> %s <= %s").format(sql.Identifier(code.name)).as_string()
            parameters = (self._asked(CODE), self.query.max_distance, *where.parameters)
            where = Sql(f"({near} AND {where.text})", parameters)
        self.connection.execute("SET LOCAL enable_indexscan = off")  # an approximate index would answer otherwise
        if self.order[0] == EMBEDDING:
            return self._matches(self._scan_floats(where))
        return self._matches(self._scan(where, [self._distance(name) for name in self.order], self.query.top_k))

    def by_index(self) -> Matches:
        """The nearest that the index of the order's first space finds."""
        size = min(max(4 * self.query.top_k, _SHORTLIST), _MOST)
        self.connection.execute("SET LOCAL enable_seqscan = off")
        self.connection.execute(f"SET LOCAL hnsw.ef_search = {size}")
        command = sql.SQL("SELECT {}, {} FROM {} ORDER BY {} LIMIT %s").format(
            self.table.order, self.table.selected, self.table.place, self._distance(self.order[0])
        )
        return self._matches(self._found(command, (self._asked(self.order[0]), size)))

    def _scan_floats(self, where: Sql) -> list[Ranked]:
        # A zero vector is as far as a right angle, as everywhere; its cosine is no number here.
        nearness = sql.SQL("coalesce(nullif({}, 'NaN'), 1)").format(self._distance(EMBEDDING))
        rounding = (self.table.column(EMBEDDING).space.width + 8) * 2.0**-22
        limit = self.query.top_k + _BEYOND
        while True:
            found = self._scan(where, [nearness], limit)
            if len(found) < limit or found[self.query.top_k - 1].apart[0] < found[-1].apart[0] - rounding:
                return found
            limit *= 4

    def _scan(self, where: Sql, nearness: Sequence[sql.Composable], limit: int) -> list[Ranked]:
        command = sql.SQL("SELECT {}, {} FROM {} WHERE {} ORDER BY {}, {} LIMIT %s").format(
            self.table.order, self.table.selected, self.table.place, sql.SQL(where.text),
            sql.SQL(", ").join(nearness), self.table.order,
        )  # fmt: skip
        return self._found(command, (*where.parameters, *map(self._asked, self.order), limit))

    def _found(self, command: sql.Composed, parameters: Sequence[object]) -> list[Ranked]:
        """What ``command`` finds, in the order of answers."""
        rows = self.connection.cursor(binary=True).execute(command, parameters).fetchall()
        if not rows:
            return []
        apart = []
        for name in self.order:
            column = self.table.column(name)
            vectors = np.stack([column.read(row[1 + self.table.place_of(column)]) for row in rows])
            apart.append(distances(column.space, self.query.vectors[name], vectors))
        found = [Ranked(each, row[0], self.table.entry_of(row[1:])) for *each, row in zip(*apart, rows, strict=True)]
        return sorted(found, key=Ranked.key)

    def _asked(self, space: str) -> object:
        return self.table.column(space).value(self.query.vectors[space].tobytes())

    def _distance(self, space: str) -> sql.Composed:
        column = self.table.column(space)
        operator = sql.SQL("<~>" if column.kind == "bit" else "<=>")
        return sql.SQL("{} {} %s").format(sql.Identifier(column.name), operator)

    def _matches(self, found: Sequence[Ranked]) -> Matches:
        return matches_of(self.query, self.order, [column.space for column in self.table.vectors], found)
