// SPDX-License-Identifier: Apache-2.0
//
// What the process knows of itself, from /proc and getrusage(2). A fact that cannot be had is nil
// and its metric is left out.

import Foundation
import Glibc

/// Memory, processor time and start of this process.
struct ProcessFacts: Sendable, Equatable {
    var residentBytes: Int?
    var cpuSeconds: Double?
    var startSeconds: Double?

    static func current() -> ProcessFacts {
        ProcessFacts(
            residentBytes: resident(),
            cpuSeconds: processorTime(),
            startSeconds: start()
        )
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

    private static func start() -> Double? {
        guard
            let stat = try? String(contentsOfFile: "/proc/self/stat", encoding: .utf8),
            let boot = try? String(contentsOfFile: "/proc/stat", encoding: .utf8)
        else { return nil }
        // The command's name may hold blanks and parentheses; the fields count from the last ")".
        // After it, starttime (field 22 of proc(5)) is the twentieth.
        guard let close = stat.lastIndex(of: ")") else { return nil }
        let fields = stat[stat.index(after: close)...].split(separator: " ")
        let bootLine = boot.split(separator: "\n").first { $0.hasPrefix("btime ") }
        guard fields.count > 19, let ticks = Double(fields[19]),
            let booted = bootLine.flatMap({ Double($0.dropFirst(6)) })
        else { return nil }
        return booted + ticks / Double(sysconf(Int32(_SC_CLK_TCK)))
    }
}
