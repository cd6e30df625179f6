// SPDX-License-Identifier: Apache-2.0

#if Kafka
import Logging

extension Logger.Level {
    /// syslog's levels as ours: a broker that is gone is what librdkafka calls an error, and mends
    /// by itself; what does not mend reaches the operator as an error of the task.
    init(syslog level: Int32) {
        self =
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
