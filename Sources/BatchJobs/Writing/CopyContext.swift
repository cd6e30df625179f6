// SPDX-License-Identifier: Apache-2.0
//
// What a server says about the place of an error in a COPY: `COPY orders, line 5, column a: "x"`.
// It is a hint: the words are in the server's language, and a name may look like anything.

import LibPQ

/// The place of an error in a COPY.
struct CopyContext {
    /// The row, from 0.
    var row: Int?
    /// The column's name; only from a server that speaks English.
    var column: String?

    init(_ error: PostgresError) {
        // A trigger's own context stands before that of the COPY.
        guard let line = error.context.split(separator: "\n").last(where: { $0.hasPrefix("COPY ") })
        else { return }
        let parts = line.prefix(1000).split(separator: ",", maxSplits: 2)
        guard parts.count > 1 else { return }
        let digits = parts[1].drop { !$0.isNumber }.prefix { $0.isNumber }
        if let number = Int(digits), number > 0 { row = number - 1 }
        guard parts.count > 2, parts[2].hasPrefix(" column ") else { return }
        let rest = parts[2].dropFirst(" column ".count)
        guard let colon = rest.firstIndex(of: ":") else { return }
        column = String(rest[..<colon])
    }
}
