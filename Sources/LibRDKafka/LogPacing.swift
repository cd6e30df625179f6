// SPDX-License-Identifier: Apache-2.0
//
// librdkafka logs the same lines at every attempt to reconnect; one line in a while says it too.

#if Kafka
import CRDKafka
import Logging

/// Lets one line of a facility through in a while and counts the others.
struct LogPacing {
    private struct Facility {
        var next: ContinuousClock.Instant
        var held = 0
    }

    private static let pause = Duration.seconds(30)
    // librdkafka has some hundred facilities; those of a sound build are far fewer.
    private static let facilityLimit = 256

    private var facilities: [String: Facility] = [:]

    /// How many lines were held back since the last one, `nil` where this one is held back, too.
    mutating func admit(
        _ facility: String,
        at now: ContinuousClock.Instant = .now
    ) -> Int? {
        guard var known = facilities[facility] else {
            if facilities.count < Self.facilityLimit {
                facilities[facility] = Facility(next: now + Self.pause)
            }
            return 0
        }
        if now < known.next {
            known.held += 1
            facilities[facility] = known
            return nil
        }
        facilities[facility] = Facility(next: now + Self.pause)
        return known.held
    }

    /// syslog's levels as ours: a broker that is gone is what librdkafka calls an error, and mends
    /// by itself; what does not mend reaches the operator as an error of the task.
    static func level(_ level: Int32) -> Logger.Level {
        switch level {
        case ...2: .error
        case 3, 4: .warning
        case 5: .notice
        case 6: .info
        default: .debug
        }
    }
}
#endif
