// SPDX-License-Identifier: Apache-2.0
//
// systemd/walrelay@.service at work under a real systemd: whole lives of the daemon in its sandbox,
// into each sink, and what a process in the same sandbox may and may not do. A real systemd needs
// root and systemd-nspawn; where it is not to be had the reason is told.

import Foundation
import Support
import Testing

@Suite(
    .serialized,
    .enabled(
        if: SystemdMachine.absence == nil,
        Comment(rawValue: SystemdMachine.absence ?? "")
    )
)
struct SandboxTests {
    @Test(arguments: SandboxedSink.allCases.filter { $0 != .kafka || KafkaBroker.isAvailable })
    func `a whole life of the daemon meets no refusal of its sandbox`(
        sink: SandboxedSink
    ) async throws {
        let task = try await SandboxedTask(sink)
        let machine = task.machine
        // Returns once READY=1 came.
        try await machine.systemctl("start", task.unit)
        try task.source.psql("INSERT INTO orders VALUES (2, 'streamed')")
        try await eventually("the row in the sink") {
            try await task.arrived().contains("streamed")
        }
        #expect(try await task.arrived().contains("copied"))
        #expect(try await task.health().hasPrefix("200 "))

        #expect(try await !task.kernelSays("Uid").split(separator: "\t").contains("0"))
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            #expect(try await task.kernelSays(set) == "0000000000000000")
        }
        #expect(try await task.kernelSays("NoNewPrivs") == "1")
        #expect(try await task.kernelSays("Seccomp") == "2")

        try await machine.systemctl("stop", task.unit)
        #expect(try await machine.property("Result", of: task.unit) == "success")
        #expect(try await machine.property("ExecMainStatus", of: task.unit) == "0")
        let journal = try await machine.journal(task.unit)
        #expect(journal.contains("streaming"))
        for refusal in [
            "not permitted", "ermission denied", "SIGSYS", "/SYS", "ad system call", "BUG IN",
            "Assertion",
        ] {
            #expect(!journal.contains(refusal), "\(journal)")
        }
        #expect(!journal.contains(SandboxedTask.password))
    }

    @Test func `a reload takes a table in, and one that is wrong changes nothing`() async throws {
        let task = try await SandboxedTask(.ndjson, name: "unit_reload")
        let machine = task.machine
        try task.source.psql(
            """
            SET ROLE cdc;
            CREATE TABLE notes (id int PRIMARY KEY, note text);
            INSERT INTO notes VALUES (1, 'came later');
            """
        )
        try await machine.systemctl("start", task.unit)
        let pid = try await machine.property("MainPID", of: task.unit)
        try await task.writeSettings { $0.replacing("public.orders", with: "public.orderz") }
        try await machine.systemctl("reload", task.unit)
        try await eventually("the fault") {
            try await machine.journal(task.unit).contains("public.orderz: does not exist")
        }
        try await task.writeSettings {
            $0.replacing("public.orders", with: "public.orders, public.notes")
        }
        try await machine.systemctl("reload", task.unit)
        try await eventually("the table") {
            try await task.arrived().contains("came later")
        }
        #expect(try await machine.property("ActiveState", of: task.unit) == "active")
        #expect(try await machine.property("MainPID", of: task.unit) == pid)
        #expect(try await task.health().hasPrefix("200 "))
        try await machine.systemctl("stop", task.unit)
        #expect(try await machine.property("Result", of: task.unit) == "success")
    }

    @Test func `settings that are wrong are told once and not started again`() async throws {
        let machine = try await SandboxedMachine.machine
        let unit = "walrelay@unit_wrong.service"
        try await machine.write("task: unit_wrong\n", to: "/etc/walrelay/unit_wrong.yaml")
        await #expect(throws: SupportError.self) { try await machine.systemctl("start", unit) }
        #expect(try await machine.property("ExecMainStatus", of: unit) == "78")
        #expect(try await machine.property("ActiveState", of: unit) == "failed")
        #expect(try await machine.property("NRestarts", of: unit) == "0")
    }

    @Test func `a process in the sandbox can do what walrelay needs and nothing more`()
        async throws
    {
        let machine = try await SandboxedMachine.machine
        let unit = "walrelay@unit_probe.service"
        try await machine.write(Self.probe, to: "/etc/walrelay/probe.py")
        // Only what is run differs from the unit.
        try await machine.write(
            """
            [Service]
            Type=oneshot
            NotifyAccess=none
            WatchdogSec=0
            Restart=no
            ExecStart=
            ExecStart=/usr/bin/python3 /etc/walrelay/probe.py
            ExecPaths=/usr/bin/python3
            """,
            to: "/etc/systemd/system/\(unit).d/probe.conf"
        )
        try await machine.write("root's\n", to: "/etc/credstore/other", mode: "600")
        _ = try await machine.run("systemctl", "daemon-reload")
        try await machine.systemctl("start", unit)
        let lines = try await machine.journal(unit).split(separator: "\n")
        let outcomes = lines.compactMap { line -> (String, String)? in
            let parts = line.split(separator: ": ", maxSplits: 1)
            return parts.count == 2 && line.hasPrefix("probe ")
                ? (String(parts[0].dropFirst(6)), String(parts[1])) : nil
        }
        let found = Dictionary(uniqueKeysWithValues: outcomes)
        #expect(found.count == Self.expected.count)
        for (name, outcome) in Self.expected {
            #expect(found[name] == outcome, "\(name)")
        }
    }

    /// Each line tries one thing in a process under the unit.
    private static let probe = #"""
        import ctypes, errno, mmap, os, socket, stat

        libc = ctypes.CDLL(None, use_errno=True)

        def call(number, *arguments):
            if libc.syscall(number, *arguments) < 0:
                raise OSError(ctypes.get_errno(), "")

        def probe(name, action):
            try:
                action()
                outcome = "works"
            except OSError as error:
                outcome = errno.errorcode[error.errno]
            print(f"probe {name}: {outcome}", flush=True)

        def write(path):
            with open(path, "w") as file:
                file.write("#!/bin/sh\n")

        def run(path):
            # A fork, since what works would end the probe.
            if (child := os.fork()) == 0:
                try:
                    os.execv(path, [path])
                except OSError as error:
                    os._exit(error.errno)
            if code := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
                raise OSError(code, "")

        def key():
            # What a client key is handed to libpq by.
            descriptor = os.memfd_create("key")
            os.write(descriptor, b"key")
            with open(f"/proc/self/fd/{descriptor}") as file:
                assert file.read() == "key"

        state = os.environ["STATE_DIRECTORY"]
        probe("write its directory", lambda: write(state + "/file"))
        probe("write a key in memory and open it", key)
        probe("raise its priority", lambda: os.setpriority(os.PRIO_PROCESS, 0, -4))
        probe("open a socket of IP", lambda: socket.socket(socket.AF_INET).close())
        probe("open a local socket", lambda: socket.socket(socket.AF_UNIX).close())

        probe("write /etc", lambda: write("/etc/walrelay/file"))
        probe("write /usr", lambda: write("/usr/bin/walrelay"))
        probe("write /var", lambda: write("/var/lib/file"))
        probe("read another's credential", lambda: open("/etc/credstore/other"))
        probe("read root's home", lambda: os.listdir("/root"))
        probe("read the kernel's log", lambda: open("/dev/kmsg"))
        probe("read the cpus in proc", lambda: open("/proc/cpuinfo"))
        probe("see systemd in proc", lambda: os.stat("/proc/1"))
        probe("make what it wrote a program", lambda: os.chmod(state + "/file", 0o755))
        probe("run what it wrote", lambda: run(state + "/file"))
        probe("run a shell", lambda: run("/bin/sh"))
        probe("make a program set-uid", lambda: os.chmod(state + "/file", 0o4755))
        probe("become root", lambda: os.setuid(0))
        probe("give a file away", lambda: os.chown(state + "/file", 0, 0))
        probe("make a device", lambda: os.mknod(state + "/d", stat.S_IFCHR | 0o600, 259))
        probe("map memory to write and run", lambda: mmap.mmap(
            -1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC))
        probe("open a packet socket", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
        probe("open a netlink socket", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
        probe("pin itself to a cpu", lambda: os.sched_setaffinity(0, {0}))
        machine = os.uname().machine
        x86 = {"mount": 165, "ptrace": 101, "unshare": 272, "setns": 308, "keyctl": 250,
               "bpf": 321, "perf_event_open": 298, "io_uring_setup": 425, "init_module": 175,
               "userfaultfd": 323, "process_vm_readv": 310, "kexec_load": 246, "swapon": 167,
               "reboot": 169, "chroot": 161, "capset": 126, "settimeofday": 164, "acct": 163,
               "personality": 135, "quotactl": 179, "shmget": 29, "mlockall": 151}
        arm = {"mount": 40, "ptrace": 117, "unshare": 97, "setns": 268, "keyctl": 219,
               "bpf": 280, "perf_event_open": 241, "io_uring_setup": 425, "init_module": 105,
               "userfaultfd": 282, "process_vm_readv": 270, "kexec_load": 104, "swapon": 224,
               "reboot": 142, "chroot": 51, "capset": 91, "settimeofday": 170, "acct": 89,
               "personality": 92, "quotactl": 60, "shmget": 194, "mlockall": 230}
        for name, number in (x86 if machine == "x86_64" else arm).items():
            probe("call " + name, lambda: call(number, 0, 0, 0, 0, 0))
        """#

    private static let expected: [String: String] = {
        var expected = [
            "write its directory": "works", "write a key in memory and open it": "works",
            "raise its priority": "works", "open a socket of IP": "works",
            "open a local socket": "works", "make what it wrote a program": "works",
            "write /etc": "EROFS", "write /usr": "EROFS", "write /var": "EROFS",
            "read another's credential": "EACCES", "read root's home": "EACCES",
            "read the kernel's log": "ENOENT", "read the cpus in proc": "ENOENT",
            "see systemd in proc": "ENOENT", "run what it wrote": "EACCES",
            "run a shell": "EACCES", "open a packet socket": "EAFNOSUPPORT",
            "open a netlink socket": "EAFNOSUPPORT",
        ]
        let refused = [
            "make a program set-uid", "become root", "give a file away", "make a device",
            "map memory to write and run", "pin itself to a cpu",
        ]
        let calls = [
            "mount", "ptrace", "unshare", "setns", "keyctl", "bpf", "perf_event_open",
            "io_uring_setup", "init_module", "userfaultfd", "process_vm_readv", "kexec_load",
            "swapon", "reboot", "chroot", "capset", "settimeofday", "acct", "personality",
            "quotactl", "shmget", "mlockall",
        ]
        for name in refused + calls.map({ "call \($0)" }) { expected[name] = "EPERM" }
        return expected
    }()
}
