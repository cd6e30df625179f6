// SPDX-License-Identifier: Apache-2.0

public import ChangeModel
import Glibc

extension PostgresTime {
    /// The present moment by the system's clock.
    public static var now: PostgresTime {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return PostgresTime(
            unixMicroseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
        )
    }
}
