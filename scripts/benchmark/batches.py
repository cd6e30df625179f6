# SPDX-License-Identifier: Apache-2.0
"""Batch jobs beside psql, pg_dump and Sling."""
import json
import os

from .processes import BIN, BackendTime, measure, measure_pipe
from .sling import Sling
from .tables import rate, table
from .workloads import ACCOUNTS


class BatchBench:
    #: As many as cores: a backend that writes keeps one busy.
    CHANNELS = max(2, os.cpu_count() or 2)

    def __init__(self, bench):
        self.bench, self.source, self.target = bench, bench.server, None

    def parts(self, chosen):
        measures = [measure for measure in (self.copy, self.bare, self.insert, self.print)
                    if chosen("batch", f"batch-{measure.__name__}")]
        if measures:
            self.target = self.bench.target()
            head = ["", "rows", "walrelay", "peer", "its rate", "ratio", "goal",
                    "target's CPU s", "peer's", "CPU s", "peer's", "MB", "peer's"]
            yield "Batch jobs", table(head, [row for measure in measures for row in measure()])

    # ---- walrelay

    def job(self, writer, channels):
        """Writes a job that reads pgbench_accounts, and gives its command line."""
        directory = self.bench.directory
        server = lambda port, database, user: {
            "host": "127.0.0.1", "port": port, "database": database, "user": user}
        reader = {"stepType": "postgresql", "name": "Reader", "category": "reader",
                  "parameter": {"datasource": "source", "table": "pgbench_accounts",
                                "column": ["*"], "splitPk": "aid"}}
        documents = {
            "datasources.yaml": {"source": server(self.source.port, "postgres", "postgres"),
                                 "target": server(self.target.port, "copy", "walrelay")},
            "job.json": {"type": "job", "version": "2.0",
                         "steps": [reader, {**writer, "name": "Writer", "category": "writer"}],
                         "setting": {"errorLimit": {"record": "0"},
                                     "speed": {"throttle": False, "concurrent": channels}}}}
        for name, document in documents.items():
            with open(f"{directory}/{name}", "w") as file:
                json.dump(document, file)
        return [self.bench.walrelay, "batch", f"{directory}/job.json",
                "--datasources", f"{directory}/datasources.yaml"]

    def into_target(self, mode, channels):
        """A side that writes into the table of the second server."""
        def side():
            self.target.fresh()
            writer = {"stepType": "postgresql", "parameter": {
                "datasource": "target", "table": "pgbench_accounts", "column": ["*"],
                "writeMode": mode}}
            return self.timed(f"walrelay {mode}",
                              lambda: measure(self.job(writer, channels), self.bench.log))
        return side

    # ---- what is measured

    def copy(self):
        return self.copies("copy")

    def bare(self):
        """The same into a table without a key, for all of them: the index is most of the work."""
        return self.copies("copy, no key on the target", ACCOUNTS.replace(" PRIMARY KEY", ""))

    def copies(self, name, table=ACCOUNTS):
        rows = self.prepare(50, table)

        def psql():
            self.target.fresh()
            out = [*self.client("postgres", self.source), "-c",
                   "COPY pgbench_accounts TO STDOUT"]
            into = [*self.client("copy", self.target), "-c", "COPY pgbench_accounts FROM STDIN"]
            return self.timed("psql", lambda: measure_pipe(out, into, self.bench.log))

        peers = [("psql COPY to psql COPY", psql, "1.3 ×")]
        sling = Sling.installed()
        if sling:
            directory = f"{self.bench.directory}/sling"
            os.makedirs(directory, exist_ok=True)

            def slung():
                self.target.fresh()
                command = sling.command(self.source, self.target, "pgbench_accounts")
                return self.timed("sling", lambda: measure(
                    command, self.bench.log, sling.environment(directory)))

            peers.append(("Sling", slung, "3 ×"))
        return self.rows(f"{name}, concurrent {self.CHANNELS}", rows,
                         self.into_target("copy", self.CHANNELS), peers,
                         self.into_target("copy", 1))

    def insert(self):
        rows = self.prepare(10)

        def dump():
            self.target.fresh()
            out = [f"{BIN}/pg_dump", *self.source.target(), "-d", "postgres", "--data-only",
                   "--rows-per-insert=1024", "-t", "pgbench_accounts"]
            # Each statement commits, as each of a job's batches does, and waits no longer.
            environment = {**os.environ, "PGOPTIONS": "-c synchronous_commit=off"}
            return self.timed("pg_dump", lambda: measure_pipe(
                out, self.client("copy", self.target), self.bench.log, environment))

        return self.rows(f"insert, concurrent {self.CHANNELS}", rows,
                         self.into_target("insert", self.CHANNELS),
                         [("pg_dump --rows-per-insert=1024 to psql", dump, "")],
                         self.into_target("insert", 1))

    def print(self):
        rows = self.prepare(50)
        writer = {"stepType": "stream", "parameter": {"print": True}}

        def ours():
            figures = measure(self.job(writer, 1), self.bench.log)
            return *figures, float("nan")

        def psql():
            command = [*self.client("postgres", self.source), "-c",
                       "COPY pgbench_accounts TO STDOUT"]
            return *measure(command, self.bench.log), float("nan")

        return self.rows("print to /dev/null", rows, ours,
                         [("psql COPY > /dev/null", psql, "0.9 ×")])

    # ---- what they have in common

    def prepare(self, factor, table=ACCOUNTS):
        """Fills the source and empties the target; gives the number of rows."""
        self.target.model(lambda server, database: server.psql(table, database))
        self.checked = set()
        return self.bench.accounts(max(1, round(factor * self.bench.arguments.scale)))

    @staticmethod
    def client(database, server):
        return ["psql", *server.target(), "-Xq", "-v", "ON_ERROR_STOP=1", "-d", database]

    def timed(self, name, side):
        """The figures of a side, and the CPU that the target took; looks at the rows once."""
        with BackendTime(self.target, " copy ") as backends:
            figures = side()
        if name not in self.checked:
            self.checked.add(name)
            self.target.compare(self.source, f"batch, {name}")
        return *figures, backends.total()

    def rows(self, name, rows, ours, peers, single=None):
        """Runs all in turn and gives a row of the table for each peer.

        `single` is ours with one channel, to see what the others do.
        """
        self.bench.announce(name)
        if single and not self.bench.arguments.peers_only:
            peers.append(("walrelay, concurrent 1", single, ""))
        sides = [side for _, side, _ in peers]
        if self.bench.arguments.peers_only:
            figures, _ = self.bench.turns(*sides)
            mine, ratios = [float("nan")] * 4, [float("nan")] * len(peers)
        else:
            (mine, *figures), ratios = self.bench.turns(ours, *sides)
        number = lambda value, digits: "" if value != value else f"{value:.{digits}f}"
        for (peer, _, goal), its, ratio in zip(peers, figures, ratios):
            yield [name, f"{rows:,}", rate(rows, mine[0]), peer, rate(rows, its[0]),
                   f"{ratio:.2f} ×", goal, number(mine[3], 1), number(its[3], 1),
                   number(mine[1], 1), number(its[1], 1), number(mine[2], 0),
                   number(its[2], 0)]
