# SPDX-License-Identifier: Apache-2.0
"""walrelay writing events to files, beside what throws everything away."""
import contextlib
import json
import os
import threading
import time

from .processes import BIN, measure
from .tables import rate, spread, table
from .workloads import Workloads


class FileBench:
    def __init__(self, bench):
        self.bench, self.server = bench, bench.server

    def parts(self, chosen):
        loads = Workloads(self.bench.arguments.scale)
        drains = [self.drain(load) for load in (loads.narrow(), loads.mixed(), loads.pgbench(),
                                                loads.big()) if chosen(load.key)]
        if drains:
            head = ["", "changes", "walrelay", "pg_recvlogical", "ratio", "CPU s",
                    "peer's CPU s", "MB"]
            yield "Drain of a backlog", table(head, drains)
        if chosen("snapshot"):
            head = ["", "rows", "walrelay", "psql COPY", "ratio", "CPU s", "peer's CPU s", "MB"]
            yield "Snapshot", table(head, [self.snapshot()])
        if chosen("latency"):
            head = ["transactions/s", "batch.delay", "events", "p50 ms", "p99 ms", "max ms"]
            yield "Commit to durable", table(head, [
                self.latency(speed, delay) for speed in (1000, 5000) for delay in ("0", "100ms")])

    # ---- drains

    def drain(self, load):
        bench, server, name, changes = self.bench, self.server, load.name, load.changes
        end = bench.backlog(lambda: load.tables(server, "postgres"), lambda: load.run(server))

        def ours():
            server.psql(bench.fresh_slot("di_slot_bench"))
            path = bench.settings(snapshot={"mode": "never"})
            figures = measure([bench.walrelay, "run", "--config", path, "--until", end],
                              bench.log)
            bench.drop("di_slot_bench")
            return figures

        def theirs():
            server.psql(bench.fresh_slot("peer"))
            figures = measure(
                [f"{BIN}/pg_recvlogical", *server.target(), "-d", "postgres", "--slot", "peer",
                 "--start", "--endpos", end, "--no-loop", "-f", "/dev/null",
                 "-o", "proto_version=1", "-o", "publication_names=di_pub_bench"], bench.log)
            bench.drop("peer")
            return figures

        bench.announce(name)
        (mine, peer), ratio = bench.pairs(ours, theirs)
        out = f"{bench.directory}/out"
        written = sum(open(f"{out}/{file}", "rb").read().count(b"\n")
                      for file in os.listdir(out) if "ndjson" in file)
        if written != changes:
            raise SystemExit(f"bench: {name}: {written} events, not {changes}")
        bench.drop("base")
        return [name, f"{changes:,}", rate(changes, mine[0]), rate(changes, peer[0]),
                f"{ratio:.2f} ×", f"{mine[1]:.1f}", f"{peer[1]:.1f}", f"{mine[2]:.0f}"]

    # ---- snapshot

    def snapshot(self):
        bench, server = self.bench, self.server
        rows = bench.accounts(max(1, round(50 * bench.arguments.scale)))

        def ours():
            path = bench.settings(snapshot={"mode": "only"})
            return measure([bench.walrelay, "run", "--config", path], bench.log)

        def theirs():
            return measure(["psql", *server.target(), "-d", "postgres", "-Xqc",
                            "COPY pgbench_accounts TO STDOUT"], bench.log)

        bench.announce("snapshot")
        (mine, peer), ratio = bench.pairs(ours, theirs)
        return ["pgbench_accounts", f"{rows:,}", rate(rows, mine[0]), rate(rows, peer[0]),
                f"{ratio:.2f} ×", f"{mine[1]:.1f}", f"{peer[1]:.1f}", f"{mine[2]:.0f}"]

    # ---- latency

    def latency(self, per_second, delay):
        bench = self.bench
        bench.single_table()
        path = bench.settings(batch={"delay": delay})
        with bench.daemon(path):
            watch = CheckpointWatch(f"{bench.directory}/out")
            try:
                watch.wait_until_streaming()
                bench.write_singles(per_second)
            finally:
                watch.stop()
        return [f"{per_second:,}", delay, *spread(watch.waits())]


class CheckpointWatch:
    """Notes when each checkpoint was seen; an event is durable at the first that covers it."""

    def __init__(self, directory):
        self.directory, self.seen, self.running = directory, [], True
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self):
        path, last = f"{self.directory}/checkpoint.json", None
        while self.running:
            with contextlib.suppress(OSError):
                mark = os.stat(path).st_ino, os.stat(path).st_mtime_ns
                if mark != last:
                    now, last = time.time(), mark
                    self.seen.append((now, json.load(open(path))))
            time.sleep(0.0005)

    def wait_until_streaming(self):
        for _ in range(300):
            if self.seen and self.seen[-1][1].get("snapshot") == "complete":
                return
            time.sleep(0.1)
        raise SystemExit("bench: the daemon did not begin to stream")

    def stop(self):
        self.running = False
        self.thread.join()

    def waits(self):
        """Milliseconds from commit to durable, an event each; all fit into the first file."""
        marks = [(now, point["length"]) for now, point in self.seen if point.get("length")]
        offset, index = 0, 0
        for name in sorted(os.listdir(self.directory)):
            if "ndjson" not in name:
                continue
            for line in open(f"{self.directory}/{name}", "rb"):
                offset += len(line)
                while index < len(marks) and marks[index][1] < offset:
                    index += 1
                if index == len(marks):
                    return
                source = json.loads(line)["source"]
                if source["snapshot"] == "false":
                    yield marks[index][0] * 1000 - source["ts_us"] / 1000
