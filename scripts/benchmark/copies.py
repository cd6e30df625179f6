# SPDX-License-Identifier: Apache-2.0
"""From server to server, beside a native subscription and psql's COPY."""
import subprocess
import time

from .processes import BackendTime, measure
from .tables import rate, table
from .workloads import ACCOUNTS, Workloads


class CopyBench:
    """From server to server: walrelay's postgresql sink beside what PostgreSQL has."""

    #: Times the peer's speed; for inserts also the part of its CPU on the target.
    GOALS = {"narrow": 1.8, "pgbench": 1.5, "updates": 1.5, "mixed": 1.3, "big": 1.5}
    #: What a subscription is fastest with was tried for each; streaming spools to disk first.
    SUBSCRIPTION = "binary = true, synchronous_commit = off"

    def __init__(self, bench):
        self.bench, self.source, self.target = bench, bench.server, None

    def parts(self, chosen):
        loads = Workloads(self.bench.arguments.scale)
        loads = [load for load in (loads.narrow(), loads.mixed(), loads.pgbench(),
                                   loads.updates(), loads.big())
                 if chosen("apply", f"apply-{load.key}")]
        if not loads and not chosen("copy"):
            return
        self.start()
        if loads:
            head = ["", "changes", "walrelay", "native", "ratio", "goal", "target's CPU s",
                    "native's", "walsender's CPU s", "native's", "CPU s", "MB"]
            yield "Apply to a second server", table(head, [self.apply(load) for load in loads])
        if chosen("copy"):
            head = ["", "rows", "walrelay", "peer", "its rate", "ratio", "goal",
                    "target's CPU s", "peer's", "CPU s", "MB"]
            yield "Snapshot into a second server", table(head, self.copy())

    def start(self):
        self.target = self.bench.target()
        self.sink = {"kind": "postgresql", "postgresql": {
            "host": "127.0.0.1", "port": self.target.port, "database": "copy",
            "user": "walrelay"}}
        self.publisher = f"host=127.0.0.1 port={self.source.port} user=postgres dbname=postgres"

    def until(self, condition):
        """Waits on the target for what is true at last, without a client that polls.

        The commit lets go of the snapshot, which would keep dead rows from being pruned.
        """
        self.target.psql(f"DO $$ BEGIN WHILE NOT ({condition}) LOOP COMMIT; "
                         "PERFORM pg_sleep(0.01); COMMIT; END LOOP; END $$", "copy")

    def run_walrelay(self, *options, **settings):
        path = self.bench.settings(self.sink, **settings)
        with BackendTime(self.target, "postgres: walrelay ") as backends, \
                BackendTime(self.source, "walsender") as sender:
            wall, cpu, peak = measure(
                [self.bench.walrelay, "run", "--config", path, *options], self.bench.log)
        return wall, cpu, peak, backends.total(), sender.total()

    def drop_subscription(self):
        self.target.psql("ALTER SUBSCRIPTION bench DISABLE; "
                         "ALTER SUBSCRIPTION bench SET (slot_name = NONE); "
                         "DROP SUBSCRIPTION bench", "copy")
        self.bench.drop("peer")

    # ---- apply

    def apply(self, load):
        source, target = self.source, self.target
        marker = "CREATE TABLE marker (id int PRIMARY KEY)"

        def tables(server, database):
            load.tables(server, database)
            server.psql(marker, database)

        def workload():
            load.run(source)
            source.psql("INSERT INTO marker VALUES (1)")

        end = self.bench.backlog(lambda: tables(source, "postgres"), workload)
        target.model(tables)
        checked = set()

        def check(name):
            if name not in checked:
                checked.add(name)
                target.compare(source, f"{load.name}, {name}")

        def ours():
            target.fresh()
            source.psql(self.bench.fresh_slot("di_slot_bench"))
            figures = self.run_walrelay("--until", end, snapshot={"mode": "never"})
            self.bench.drop("di_slot_bench")
            check("walrelay")
            return figures

        def native():
            target.fresh()
            source.psql(self.bench.fresh_slot("peer"))
            target.psql(
                f"CREATE SUBSCRIPTION bench CONNECTION '{self.publisher}' "
                "PUBLICATION di_pub_bench WITH (create_slot = false, slot_name = 'peer', "
                f"enabled = false, copy_data = false, {self.SUBSCRIPTION})", "copy")
            with BackendTime(target, "logical replication worker") as workers, \
                    BackendTime(source, "walsender") as sender:
                begin = time.monotonic()
                target.psql("ALTER SUBSCRIPTION bench ENABLE", "copy")
                self.until("EXISTS (SELECT FROM marker)")
                wall = time.monotonic() - begin
            self.drop_subscription()
            check("native")
            return wall, workers.total(), sender.total()

        self.bench.announce(f"apply, {load.name}")
        if self.bench.arguments.peers_only:
            (peer,), _ = self.bench.turns(native)
            mine, ratio = [float("nan")] * 5, float("nan")
        else:
            (mine, peer), (ratio,) = self.bench.turns(ours, native)
        self.bench.drop("base")
        changes = load.changes
        return [load.name, f"{changes:,}", rate(changes, mine[0]), rate(changes, peer[0]),
                f"{ratio:.2f} ×", f"{self.GOALS[load.key]} ×",
                *(f"{seconds:.1f}" for seconds in (mine[3], peer[1], mine[4], peer[2],
                                                   mine[1])), f"{mine[2]:.0f}"]

    # ---- copy

    def copy(self):
        source, target = self.source, self.target
        rows = self.bench.accounts(max(1, round(50 * self.bench.arguments.scale)))
        source.psql("DROP PUBLICATION IF EXISTS di_pub_bench; "
                    "CREATE PUBLICATION di_pub_bench FOR TABLE pgbench_accounts")
        checked = set()

        def check(name):
            if name not in checked:
                checked.add(name)
                target.compare(source, f"copy, {name}")

        def ours():
            # It makes the table, fills it and makes the key.
            target.model(lambda server, database: None)
            target.fresh()
            figures = self.run_walrelay(snapshot={"mode": "only"})
            check("walrelay")
            return figures

        def prepared():
            target.model(lambda server, database: server.psql(ACCOUNTS, database))
            target.fresh()

        def pipe():
            prepared()
            out = ["psql", *source.target(), "-d", "postgres", "-Xqc",
                   "COPY pgbench_accounts TO STDOUT"]
            into = ["psql", *target.target(), "-d", "copy", "-Xqc",
                    "COPY pgbench_accounts FROM STDIN"]
            with BackendTime(target, " COPY") as backends:
                begin = time.monotonic()
                with subprocess.Popen(out, stdout=subprocess.PIPE) as reader:
                    subprocess.run(into, stdin=reader.stdout, check=True)
                wall = time.monotonic() - begin
            check("psql")
            return wall, backends.total()

        def native():
            prepared()
            source.psql("SELECT pg_create_logical_replication_slot('peer', 'pgoutput')")
            target.psql(
                f"CREATE SUBSCRIPTION bench CONNECTION '{self.publisher}' "
                "PUBLICATION di_pub_bench WITH (create_slot = false, slot_name = 'peer', "
                f"enabled = false, {self.SUBSCRIPTION})", "copy")
            with BackendTime(target, "logical replication worker") as workers:
                begin = time.monotonic()
                target.psql("ALTER SUBSCRIPTION bench ENABLE", "copy")
                self.until("EXISTS (SELECT FROM pg_subscription_rel) AND NOT EXISTS (SELECT "
                           "FROM pg_subscription_rel WHERE srsubstate NOT IN ('r', 's'))")
                wall = time.monotonic() - begin
            self.drop_subscription()
            check("native")
            return wall, workers.total()

        self.bench.announce("copy")
        if self.bench.arguments.peers_only:
            (pipe_figures, peer), _ = self.bench.turns(pipe, native)
            mine, ratios = [float("nan")] * 4, [float("nan")] * 2
        else:
            (mine, pipe_figures, peer), ratios = self.bench.turns(ours, pipe, native)
        return [["pgbench_accounts", f"{rows:,}", rate(rows, mine[0]), name,
                 rate(rows, figures[0]), f"{ratio:.2f} ×", goal, f"{mine[3]:.1f}",
                 f"{figures[1]:.1f}", f"{mine[1]:.1f}", f"{mine[2]:.0f}"]
                for name, figures, ratio, goal in (
                    ("psql COPY to psql COPY", pipe_figures, ratios[0], "1.3 ×"),
                    ("native initial sync", peer, ratios[1], "1.0 ×"))]
