// SPDX-License-Identifier: Apache-2.0
//
// Many texts in one statement: array literals that unnest() makes rows of again.

import LibPQ

enum ArrayText {
    /// The text form of a `text[]`; nil is NULL.
    static func array(_ values: [String?]) -> String {
        var text = "{"
        for (index, value) in values.enumerated() {
            if index > 0 { text += "," }
            guard let value else {
                text += "NULL"
                continue
            }
            text += "\""
            for scalar in value.unicodeScalars {
                if scalar == "\"" || scalar == "\\" { text.unicodeScalars.append("\\") }
                text.unicodeScalars.append(scalar)
            }
            text += "\""
        }
        return text + "}"
    }

    /// Rows for a FROM clause: `v (c1 text, …, i bigint)`, `i` from 1.
    ///
    /// `columns` has one list a column, all of one length.
    static func rows(_ columns: [[String?]]) -> String {
        let arrays = columns.map { SQL.literal(array($0)) + "::text[]" }
        let names = columns.indices.map { "c\($0 + 1)" } + ["i"]
        // Of several arrays only the bare name is taken; the search path knows no other unnest.
        return "unnest(\(arrays.joined(separator: ", "))) WITH ORDINALITY "
            + "AS v (\(names.joined(separator: ", ")))"
    }
}
