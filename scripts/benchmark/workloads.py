# SPDX-License-Identifier: Apache-2.0
"""What is written to the source, in the amounts that the page names."""

NARROW = "id bigint PRIMARY KEY, a int, b int, c timestamptz, note text"
ACCOUNTS = "CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, " \
           "filler char(84))"
NOTE = "'a note of about fifty characters, as people write ' || g"


class Workload:
    """Tables, and what is written to them once they are there."""

    def __init__(self, key, name, changes, tables, run):
        self.key, self.name, self.changes, self.tables, self.run = key, name, changes, tables, run


class Workloads:
    """What is measured, for `scale` 1 in the amounts that the page names."""

    INSERT = f"INSERT INTO narrow SELECT g, g % 1000, g % 7, now(), {NOTE} " \
             "FROM generate_series({0}, {1}) g"

    def __init__(self, scale):
        self.rows = int(2_000_000 * scale) // 1000 * 1000
        self.some = int(500_000 * scale) // 1000 * 1000
        self.transactions = int(100_000 * scale) // 4 * 4

    @staticmethod
    def in_thousands(body, changes):
        return f"DO $$ BEGIN FOR i IN 0..{changes // 1000 - 1} LOOP {body} COMMIT; " \
               "END LOOP; END $$"

    @staticmethod
    def empty_narrow(server, database):
        server.psql(f"CREATE TABLE narrow ({NARROW})", database)

    def narrow(self):
        insert = self.INSERT.format("i * 1000 + 1", "i * 1000 + 1000")
        return Workload(
            "narrow", "narrow inserts, 1,000 a transaction", self.rows, self.empty_narrow,
            lambda server: server.psql(self.in_thousands(insert + ";", self.rows)))

    def mixed(self):
        # Of ten changes six are inserts, three updates, one a delete, of rows of 1 KB.
        payload = "repeat(md5(g::text), 28)"
        body = f"""
            INSERT INTO wide SELECT g, now(), g / 7.0, jsonb_build_object('n', g), {payload}
                FROM generate_series(i * 600 + 1, i * 600 + 600) g;
            UPDATE wide SET c = c + 1, payload = repeat(md5((id + 1)::text), 28)
                WHERE id BETWEEN i * 600 + 1 AND i * 600 + 300;
            DELETE FROM wide WHERE id BETWEEN i * 600 + 501 AND i * 600 + 600;
            """
        table = "CREATE TABLE wide (id bigint PRIMARY KEY, b timestamptz, c numeric, d jsonb, " \
                "payload text)"
        return Workload(
            "mixed", "mixed changes of 1 KB rows", self.some,
            lambda server, database: server.psql(table, database),
            lambda server: server.psql(self.in_thousands(body, self.some)))

    def pgbench(self):
        def tables(server, database):
            server.pgbench("-i", "-q", "-s", "10", database=database)
            server.psql("ALTER TABLE pgbench_history REPLICA IDENTITY FULL", database)

        return Workload(
            "pgbench", "pgbench, 4 changes a transaction", self.transactions * 4, tables,
            lambda server: server.pgbench("-n", "-c", "4", "-t", str(self.transactions // 4)))

    def updates(self):
        # Of each thousand neighbours all, the thousands in no order.
        blocks = self.some // 1000
        body = f"UPDATE narrow SET a = a + 1, c = now(), note = note || '.' WHERE id BETWEEN " \
               f"(i * 7919 % {blocks}) * 1000 + 1 AND (i * 7919 % {blocks}) * 1000 + 1000;"

        def tables(server, database):
            self.empty_narrow(server, database)
            # The same moment on both servers.
            rows = self.INSERT.format(1, self.some).replace("now()", "timestamptz '2024-01-01'")
            server.psql(rows, database)

        return Workload(
            "updates", "updates, 1,000 a transaction", self.some, tables,
            lambda server: server.psql(self.in_thousands(body, self.some)))

    def big(self):
        return Workload(
            "big", "one transaction", self.rows, self.empty_narrow,
            lambda server: server.psql(self.INSERT.format(1, self.rows)))
