# SPDX-License-Identifier: Apache-2.0
"""Servers and processes, and what they took of the machine."""
import contextlib
import os
import pwd
import socket
import subprocess
import sys
import threading
import time

BIN = "/usr/lib/postgresql/15/bin"


class Server:
    """A private PostgreSQL under a user that is not root."""

    def __init__(self, directory, **more):
        self.directory, self.port = directory, free_port()
        self.as_user = []
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(directory, user.pw_uid, user.pw_gid)
            ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
            self.as_user = ["setpriv", *ids]
        data = f"{directory}/data"
        self.call(f"{BIN}/initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                  "--locale=C.UTF-8", "--no-sync")
        settings = {
            "port": self.port, "listen_addresses": "127.0.0.1",
            "unix_socket_directories": directory, "wal_level": "logical",
            "max_wal_size": "32GB", "checkpoint_timeout": "1h", "shared_buffers": "512MB",
            "autovacuum": "off", "max_wal_senders": 20, "max_replication_slots": 20, **more,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self.process = subprocess.Popen(
            [*self.as_user, f"{BIN}/postgres", "-D", data, *options],
            stdout=open(f"{directory}/server.log", "w"), stderr=subprocess.STDOUT)
        for _ in range(200):
            if subprocess.run([f"{BIN}/pg_isready", "-q", *self.target()]).returncode == 0:
                return
            time.sleep(0.1)
        raise SystemExit("bench: the server did not start")

    def call(self, *command):
        subprocess.run([*self.as_user, *command], check=True, stdout=subprocess.DEVNULL,
                       cwd=self.directory)

    def target(self):
        return ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]

    def psql(self, sql, database="postgres"):
        command = ["psql", *self.target(), "-AtXqv", "ON_ERROR_STOP=1", "-d", database]
        done = subprocess.run(command, input=sql, text=True, check=True, capture_output=True)
        return done.stdout.strip()

    def pgbench(self, *arguments, database="postgres"):
        subprocess.run([f"{BIN}/pgbench", *self.target(), *arguments, database], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self):
        self.process.send_signal(2)
        self.process.wait(60)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def measure(command, log, environment=None):
    """Wall seconds, CPU seconds and peak resident MB of a whole process."""
    begin = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=open(log, "w"),
                               env=environment)
    peak = PeakMemory(process.pid)
    cpu = finish(process, command, log)
    return time.monotonic() - begin, cpu, peak.megabytes()


def measure_pipe(out, into, log, environment=None):
    """The same of two processes, the second of which reads what the first writes."""
    begin = time.monotonic()
    with open(log, "w") as errors:
        writer = subprocess.Popen(out, stdout=subprocess.PIPE, stderr=errors)
        reader = subprocess.Popen(into, stdin=writer.stdout, stdout=subprocess.DEVNULL,
                                  stderr=errors, env=environment)
    writer.stdout.close()
    peaks = [PeakMemory(process.pid) for process in (writer, reader)]
    cpu = finish(writer, out, log) + finish(reader, into, log)
    return time.monotonic() - begin, cpu, sum(peak.megabytes() for peak in peaks)


def finish(process, command, log):
    """Waits for a good end and gives the CPU seconds that it took."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.stderr.write(open(log).read()[-2000:])
        raise SystemExit(f"bench: {command[0]} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


class PeakMemory:
    """VmHWM of a process, looked at while it runs: ru_maxrss would count this script's own."""

    def __init__(self, pid):
        self.pid, self.kilobytes = pid, 0
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()

    def look(self):
        # A process that has ended and was waited for has no such file any more.
        with contextlib.suppress(OSError):
            while True:
                with open(f"/proc/{self.pid}/status") as status:
                    lines = [line for line in status if line.startswith("VmHWM")]
                if lines:
                    self.kilobytes = int(lines[0].split()[1])
                time.sleep(0.02)

    def megabytes(self):
        self.thread.join()
        return self.kilobytes / 1024


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class BackendTime:
    """CPU seconds of those backends of a server whose title has a text in it, while in the with."""

    def __init__(self, server, *titles):
        self.parent, self.titles = server.process.pid, titles
        self.seconds, self.running = {}, True

    def __enter__(self):
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.look()
        self.running = False
        self.thread.join()

    def watch(self):
        while self.running:
            self.look()
            time.sleep(0.02)

    def look(self):
        with open(f"/proc/{self.parent}/task/{self.parent}/children") as file:
            children = file.read().split()
        for pid in children:
            # One that ends while it is looked at keeps what it had at the last look.
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/cmdline") as file:
                    title = file.read()
                if not any(text in title for text in self.titles):
                    continue
                self.seconds[pid] = cpu_seconds(pid)

    def total(self):
        return sum(self.seconds.values())
