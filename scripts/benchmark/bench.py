# SPDX-License-Identifier: Apache-2.0
"""What all measurements have in common: one server, one settings file, turns."""
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from .processes import Server
from .target import Target

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def cache(kind):
    """Where the scripts that fetch things put them."""
    given = os.environ.get(f"WALRELAY_{kind.upper()}_DIR")
    user = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return given or f"{'/var/cache' if os.geteuid() == 0 else user}/walrelay/{kind}"


class Bench:
    def __init__(self, arguments, directory):
        self.arguments, self.directory = arguments, directory
        self.log = f"{directory}/run.log"
        self.walrelay = os.environ.get("WALRELAY_BINARY") or f"{ROOT}/.build/release/walrelay"
        self.server = Server(tempfile.mkdtemp(prefix="pg-", dir=directory))
        #: What runs until the end; groups add theirs.
        self.servers = [self.server]
        self.second = None

    def stop(self):
        for server in reversed(self.servers):
            server.stop()

    def target(self):
        """The second server, started at the first call."""
        if self.second is None:
            self.second = Target(self.directory)
            self.servers.append(self.second)
        return self.second

    def settings(self, sink=None, **extra):
        """A settings file; without a sink for ndjson into an empty directory."""
        out = f"{self.directory}/out"
        shutil.rmtree(out, ignore_errors=True)
        document = {
            "task": "bench",
            "source": {"host": "127.0.0.1", "port": self.server.port, "database": "postgres",
                       "user": "postgres"},
            "tables": {"include": ["public.*"]},
            "sink": sink or {"kind": "ndjson", "ndjson": {"directory": out}},
            "http": {"listen": "off"}, "log": {"level": "warning"}, **extra,
        }
        path = f"{self.directory}/bench.yaml"
        with open(path, "w") as file:
            json.dump(document, file)
        return path

    @staticmethod
    def announce(name):
        print(f"{name} ", end="", file=sys.stderr, flush=True)

    def pairs(self, ours, theirs):
        """Medians of each side's figures, and that of the ratio of the times."""
        sides, (ratio,) = self.turns(ours, theirs)
        return sides, ratio

    def turns(self, ours, *peers):
        """All in turn, the first turn not counted; each side's figures, each peer's ratio."""
        rows = []
        for number in range(self.arguments.runs + 1):
            row = [side() for side in (ours, *peers)]
            if number:
                rows.append(row)
            print(".", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        sides = [[statistics.median(column) for column in zip(*side)] for side in zip(*rows)]
        return sides, [statistics.median(row[peer][0] / row[0][0] for row in rows)
                       for peer in range(1, len(peers) + 1)]

    # ---- what lies in the WAL before anything is measured

    def backlog(self, tables, workload):
        """Makes tables, publication and the slot `base`, writes; gives the end of it all."""
        server = self.server
        server.psql("DROP SCHEMA public CASCADE; CREATE SCHEMA public;")
        tables()
        server.psql("DROP PUBLICATION IF EXISTS di_pub_bench;")
        names = server.psql("SELECT string_agg(oid::regclass::text, ', ') FROM pg_class "
                            "WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'")
        server.psql(f"CREATE PUBLICATION di_pub_bench FOR TABLE {names}")
        server.psql("SELECT pg_create_logical_replication_slot('base', 'pgoutput')")
        workload()
        server.psql("CHECKPOINT")
        return server.psql("SELECT pg_current_wal_lsn()")

    def accounts(self, factor):
        """Makes pgbench_accounts alone, 100,000 rows for each of the factor; gives how many."""
        server = self.server
        server.psql("DROP SCHEMA public CASCADE; CREATE SCHEMA public;")
        server.pgbench("-i", "-q", "-s", str(factor))
        server.psql("DROP TABLE pgbench_history, pgbench_tellers, pgbench_branches")
        server.psql("VACUUM ANALYZE pgbench_accounts")
        server.psql("CHECKPOINT")
        return factor * 100_000

    def drop(self, slot):
        """Drops a slot, whose user may be ending still."""
        self.server.psql("SELECT pg_terminate_backend(active_pid, 5000) FROM "
                         f"pg_replication_slots WHERE slot_name = '{slot}' AND active")
        self.server.psql(f"SELECT pg_drop_replication_slot('{slot}')")

    @staticmethod
    def fresh_slot(slot):
        return ("SELECT pg_copy_logical_replication_slot('base', "
                f"'{slot}') WHERE NOT EXISTS (SELECT FROM pg_replication_slots "
                f"WHERE slot_name = '{slot}')")

    # ---- a stream of single rows, to see how late they arrive

    def single_table(self):
        self.server.psql("DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE single "
                         "(id bigserial PRIMARY KEY, at timestamptz, note text)")

    def write_singles(self, per_second):
        """Four clients, a transaction each row; returns some time after the last."""
        script = f"{self.directory}/single.sql"
        with open(script, "w") as file:
            file.write("INSERT INTO single (at, note) VALUES (now(), 'one of many');\n")
        seconds = max(3, round(10 * self.arguments.scale))
        self.server.pgbench("-n", "-c", "4", "-R", str(per_second), "-T", str(seconds),
                            "-f", script)
        time.sleep(1)

    @contextlib.contextmanager
    def daemon(self, path):
        """walrelay while in the with; what it made in the source is gone afterwards."""
        with open(self.log, "w") as log:
            process = subprocess.Popen([self.walrelay, "run", "--config", path], stderr=log)
        try:
            yield process
        finally:
            process.send_signal(15)
            process.wait(30)
            with contextlib.suppress(subprocess.CalledProcessError):
                self.drop("di_slot_bench")
                self.server.psql("DROP PUBLICATION di_pub_bench")
