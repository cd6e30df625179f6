# SPDX-License-Identifier: Apache-2.0
"""The second server, which is copied into."""
import tempfile

from .processes import Server


class Target(Server):
    """Its database `copy` begins each turn as `model` is."""

    def __init__(self, directory):
        # Else a subscription that is enabled waits for up to five seconds before it starts.
        super().__init__(tempfile.mkdtemp(prefix="pg-", dir=directory),
                         wal_retrieve_retry_interval="10ms")
        # A name of its own, so that walrelay's sessions are told from others by their titles.
        self.psql("CREATE ROLE walrelay SUPERUSER LOGIN")

    def model(self, tables):
        self.psql("DROP DATABASE IF EXISTS copy")
        self.psql("DROP DATABASE IF EXISTS model")
        self.psql("CREATE DATABASE model")
        tables(self, "model")
        self.psql("VACUUM ANALYZE", "model")

    def fresh(self):
        """The database `copy` as `model` is: the tables as they were when the slot was made."""
        self.psql("DROP DATABASE IF EXISTS copy")
        self.psql("CREATE DATABASE copy TEMPLATE model STRATEGY file_copy")
        self.psql("CHECKPOINT")

    def compare(self, source, name):
        """Ends the script unless the copy's rows are those of the source."""
        if sums(source, "postgres") != sums(self, "copy"):
            raise SystemExit(f"bench: {name}: the copy is not equal to the source")


def sums(server, database):
    tables = server.psql("SELECT oid::regclass FROM pg_class WHERE relkind = 'r' AND "
                         "relnamespace = 'public'::regnamespace ORDER BY 1", database)
    return [(table, server.psql(f"SET extra_float_digits = 3; SELECT count(*), "
                                f"sum(hashtext(t::text)::bigint) FROM {table} t", database))
            for table in tables.split("\n")]
