# SPDX-License-Identifier: Apache-2.0
"""walrelay's kafka sink, beside Debezium where scripts/fetch-debezium has put it."""
import contextlib
import os
import subprocess
import tempfile
import time
import urllib.request

from .bench import ROOT, cache
from .debezium import Debezium
from .processes import cpu_seconds, free_port, measure
from .tables import rate, spread, table
from .workloads import Workloads


class Broker:
    """A broker without a topic; in the with.

    It keeps every record in memory, so each run gets one of its own, and it would write them all
    to disk before it ends, so it is killed. Until then it writes them now and then: into memory,
    because PostgreSQL's commits would wait for that on the disk that both would share.
    """

    MEMORY = "/dev/shm"

    def __init__(self, directory):
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.data = tempfile.mkdtemp(
            prefix="kafka-", dir=self.MEMORY if os.path.isdir(self.MEMORY) else directory)

    def __enter__(self):
        newest = sorted(name for name in os.listdir(cache("kafka")) if name[0] != ".")[-1]
        program = f"{cache('kafka')}/{newest}/noida-db"
        with open(f"{self.data}/log", "w") as log:
            self.process = subprocess.Popen(
                [program, "start", "--data-dir", self.data, "--only", "kafka",
                 "--kafka-port", str(self.port)], stdout=log, stderr=log)
        for _ in range(100):
            if self.kcat("-L").returncode == 0:
                return self
            time.sleep(0.1)
        raise SystemExit("bench: the broker did not start")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(30)
        subprocess.run(["rm", "-rf", self.data], check=True)

    def kcat(self, *arguments):
        return subprocess.run(["kcat", "-b", self.address, *arguments], capture_output=True)

    def changes(self, topics):
        """The records with a value that a consumer of committed ones sees."""
        # The broker answers with all that a topic has, however little is asked for.
        limits = ["-X", "receive.message.max.bytes=2147483647",
                  "-X", "isolation.level=read_committed"]
        sizes = b"".join(self.kcat("-C", "-e", "-q", "-t", topic, "-f", "%S\\n", *limits).stdout
                         for topic in topics).split()
        return len(sizes) - sizes.count(b"-1")


class KafkaBench:
    #: A consumer that is not ours, from Debian's python3-confluent-kafka.
    READER = ["/usr/bin/python3", f"{ROOT}/scripts/benchmark/arrivals.py"]

    def __init__(self, bench):
        self.bench, self.server = bench, bench.server

    def parts(self, chosen):
        loads = Workloads(self.bench.arguments.scale)
        loads = [load for load in (loads.narrow(), loads.mixed(), loads.pgbench())
                 if chosen("kafka", f"kafka-{load.key}")]
        latency = chosen("kafka", "kafka-latency") and not self.bench.arguments.peers_only
        if loads or latency:
            for script in (["setup", "test"], ["fetch-kafka"]):
                subprocess.run([f"{ROOT}/scripts/{script[0]}", *script[1:]], check=True,
                               stdout=subprocess.DEVNULL)
        if loads:
            head = ["", "changes", "walrelay", "not transactional", "Debezium", "ratio", "goal",
                    "CPU s", "Debezium's", "broker's CPU s", "MB", "Debezium's"]
            yield "Drain of a backlog to Kafka", table(head, [self.drain(load) for load in loads])
        if latency:
            head = ["transactions/s", "batch.delay", "events", "p50 ms", "p99 ms", "max ms",
                    "CPU of a core", "broker's"]
            yield "Commit to a consumer of Kafka", table(head, [
                self.latency(speed, delay)
                for speed in (1000, 5000) for delay in ("0", "5ms", "100ms")])

    def settings(self, broker, transactional, **more):
        return self.bench.settings(
            {"kind": "kafka", "kafka": {"bootstrapServers": broker.address,
                                        "topicPrefix": "bench", "transactional": transactional}},
            **more)

    # ---- drains

    def drain(self, load):
        bench, server, changes = self.bench, self.server, load.changes
        end = bench.backlog(lambda: load.tables(server, "postgres"), lambda: load.run(server))
        names = server.psql("SELECT relname FROM pg_class WHERE relkind = 'r' AND "
                            "relnamespace = 'public'::regnamespace").split("\n")
        topics = [f"bench.public.{name}" for name in names]
        checked = set()

        def run(name, slot, command):
            server.psql(bench.fresh_slot(slot))
            with Broker(bench.directory) as broker:
                before = cpu_seconds(broker.process.pid)
                figures = measure(command(broker), bench.log)
                broker_seconds = cpu_seconds(broker.process.pid) - before
                if name not in checked:
                    checked.add(name)
                    written = broker.changes(topics)
                    if written != changes:
                        raise SystemExit(
                            f"bench: {load.name}, {name}: {written} events, not {changes}")
            bench.drop(slot)
            return *figures, broker_seconds

        def ours(transactional):
            def command(broker):
                path = self.settings(broker, transactional, snapshot={"mode": "never"})
                return [bench.walrelay, "run", "--config", path, "--until", end]
            return run(f"walrelay, transactional: {transactional}", "di_slot_bench", command)

        peer = Debezium.installed()

        def debezium():
            return run("Debezium", "peer", lambda broker: peer.command(
                bench.directory, server, broker, changes))

        bench.announce(f"kafka, {load.name}")
        nothing = [float("nan")] * 4
        if bench.arguments.peers_only:
            (theirs,), _ = bench.turns(debezium)
            mine, plain, ratio = nothing, nothing, float("nan")
        elif peer:
            (mine, plain, theirs), (_, ratio) = bench.turns(
                lambda: ours(True), lambda: ours(False), debezium)
        else:
            (mine, plain), _ = bench.turns(lambda: ours(True), lambda: ours(False))
            theirs, ratio = nothing, float("nan")
        bench.drop("base")
        return [load.name, f"{changes:,}", *(rate(changes, side[0]) for side in
                                             (mine, plain, theirs)),
                f"{ratio:.1f} ×", "5 ×", f"{mine[1]:.1f}", f"{theirs[1]:.1f}", f"{mine[3]:.1f}",
                f"{mine[2]:.0f}", f"{theirs[2]:.0f}"]

    # ---- latency

    def latency(self, per_second, delay):
        bench, port = self.bench, free_port()
        bench.single_table()
        # Its snapshot makes the topic, so that the reader is there before the writers.
        bench.server.psql("INSERT INTO single (at) VALUES (now())")
        with Broker(bench.directory) as broker:
            path = self.settings(broker, True, batch={"delay": delay},
                                 http={"listen": f"127.0.0.1:{port}"})
            with bench.daemon(path) as daemon:
                wait_until_streaming(port)
                with subprocess.Popen([*self.READER, broker.address, "bench.public.single"],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      text=True) as reader:
                    if reader.stdout.readline() != "ready\n":
                        raise SystemExit("bench: the consumer did not begin to read")
                    pids = daemon.pid, broker.process.pid
                    before, begin = [cpu_seconds(pid) for pid in pids], time.monotonic()
                    bench.write_singles(per_second)
                    seconds = time.monotonic() - begin
                    shares = [(cpu_seconds(pid) - was) / seconds
                              for pid, was in zip(pids, before)]
                    waits, _ = reader.communicate()
        waits = [float(wait) for wait in waits.split()]
        rows = int(bench.server.psql("SELECT count(*) - 1 FROM single"))
        if len(waits) != rows:
            raise SystemExit(f"bench: {len(waits)} events arrived, not {rows}")
        return [f"{per_second:,}", delay, *spread(waits), *(f"{share:.0%}" for share in shares)]


def wait_until_streaming(port):
    for _ in range(300):
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        time.sleep(0.1)
    raise SystemExit("bench: the daemon did not begin to stream")
