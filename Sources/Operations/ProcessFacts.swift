// SPDX-License-Identifier: Apache-2.0
//
// What the process knows of itself, from /proc/self and getrusage(2): all that a unit with
// ProcSubset=pid still sees. A fact that cannot be had is nil
// and its metric is left out.

import Foundation
import Glibc

/// Memory, processor time and start of this process.
struct ProcessFacts: Sendable, Equatable {
    var residentBytes: Int?
    var cpuSeconds: Double?
    var startSeconds: Double?
    var openFiles: Int?
    var maxFiles: Int?

    static func current() -> ProcessFacts {
        ProcessFacts(
            residentBytes: resident(),
            cpuSeconds: processorTime(),
            startSeconds: startOfProcess,
            openFiles: descriptors(),
            maxFiles: descriptorLimit()
        )
    }

    private static func descriptors() -> Int? {
        guard let directory = opendir("/proc/self/fd") else { return nil }
        defer { closedir(directory) }
        var entries = 0
        while readdir(directory) != nil { entries += 1 }
        // Without ".", ".." and the one that is being read.
        return max(0, entries - 3)
    }

    private static func descriptorLimit() -> Int? {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            return nil
        }
        return Int(clamping: limit.rlim_cur)
    }

    private static func resident() -> Int? {
        guard let statm = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else {
            return nil
        }
        let fields = statm.split(separator: " ")
        guard fields.count > 1, let pages = Int(fields[1]) else { return nil }
        return pages * sysconf(Int32(_SC_PAGESIZE))
    }

    private static func processorTime() -> Double? {
        var usage = rusage()
        guard getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 else { return nil }
        return seconds(usage.ru_utime) + seconds(usage.ru_stime)
    }

    private static func seconds(_ time: timeval) -> Double {
        Double(time.tv_sec) + Double(time.tv_usec) / 1_000_000
    }

    /// Computed once: each reading of two clocks differs by a little, and a monitor takes a change
    /// of the start time for a restart.
    private static let startOfProcess: Double? = {
        guard let stat = try? String(contentsOfFile: "/proc/self/stat", encoding: .utf8),
            let close = stat.lastIndex(of: ")")
        else { return nil }
        // The command's name may hold blanks and parentheses; the fields count from the last ")".
        // After it, starttime (field 22 of proc(5)), in ticks since boot, is the twentieth.
        let fields = stat[stat.index(after: close)...].split(separator: " ")
        guard fields.count > 19, let ticks = Double(fields[19]) else { return nil }
        let sinceBoot = ticks / Double(sysconf(Int32(_SC_CLK_TCK)))
        return seconds(of: CLOCK_REALTIME) - seconds(of: CLOCK_BOOTTIME) + sinceBoot
    }()

    private static func seconds(of clock: clockid_t) -> Double {
        var time = timespec()
        clock_gettime(clock, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1_000_000_000
    }
}
