// SPDX-License-Identifier: Apache-2.0
//
// Sizes and times as the settings file spells them, for what else takes them: the command line.

/// Reads amounts such as `10GiB` and `24h`.
public enum Amount {
    /// Why a text is no amount; completes the sentence that begins with the text.
    public struct Fault: Error, Sendable, CustomStringConvertible {
        /// The reason, such as `lacks a unit: ms, s, m, h, d`.
        public let description: String
    }

    /// A size in bytes, not negative: `10GiB`, `500MB` or a bare number.
    public static func bytes(parsing text: String) throws(Fault) -> Int64 {
        Int64(try read(text, as: .size(in: 0...Int.max)))
    }

    /// A time from 0 to ten years: `90s`, `24h` or `7d`.
    public static func duration(parsing text: String) throws(Fault) -> Duration {
        try read(text, as: .duration(in: .zero...(.seconds(3_650 * 86_400))))
    }

    private static func read<Value>(
        _ text: String,
        as form: Form<Value>
    ) throws(Fault) -> Value {
        do throws(Rejection) {
            return try form.read(text)
        } catch {
            throw Fault(description: error.reason)
        }
    }
}
