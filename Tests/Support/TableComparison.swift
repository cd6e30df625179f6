// SPDX-License-Identifier: Apache-2.0
//
// The source's rows as text, and what differs between them and the rebuilt ones.

extension PostgresCluster {
    /// All rows of a table, each column as PostgreSQL prints it, nil for NULL.
    public func rows(
        of table: String,
        database: String = "postgres"
    ) throws -> [[String: String?]] {
        let columns = try psql(
            "SELECT attname FROM pg_attribute WHERE attrelid = '\(table)'::regclass AND attnum > 0"
                + " AND NOT attisdropped ORDER BY attnum",
            database: database
        ).split(separator: "\n").map(String.init)
        let copied = try psql("COPY (SELECT * FROM \(table)) TO STDOUT", database: database)
        return copied.split(separator: "\n").map { line in
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
            var row: [String: String?] = [:]
            for (name, field) in zip(columns, fields) {
                row.updateValue(field == "\\N" ? nil : Self.unescape(field), forKey: name)
            }
            return row
        }
    }

    private static func unescape(_ field: Substring) -> String {
        guard field.utf8.contains(UInt8(ascii: "\\")) else { return String(field) }
        let letters: [Character: Character] = [
            "b": "\u{8}", "f": "\u{c}", "n": "\n", "r": "\r", "t": "\t", "v": "\u{b}",
        ]
        var text = ""
        var escaped = false
        for character in field {
            if escaped {
                text.append(letters[character] ?? character)
                escaped = false
            } else if character == "\\" {
                escaped = true
            } else {
                text.append(character)
            }
        }
        return text
    }
}

extension RebuiltTable {
    /// What differs from the source, the first twenty; empty when both hold the same.
    ///
    /// Values are compared as text. `expected` gives the text that the event must hold for what
    /// PostgreSQL prints, for types where the two are written differently.
    public func differences(
        from source: [[String: String?]],
        expected: (_ column: String, _ text: String) -> String = { $1 }
    ) -> [String] {
        var found: [String] = []
        if rows.count != source.count { found.append("\(rows.count) rows, not \(source.count)") }
        var equals: [String: Int] = [:]
        for row in source where found.count < 20 {
            let wanted = row.map { name, text in (name, text.map { expected(name, $0) }) }
            let texts = Dictionary(uniqueKeysWithValues: wanted)
            var place = (key.isEmpty ? texts.keys.sorted() : key)
                .map { (texts[$0] ?? nil)?.exact ?? "\\N" }.joined(separator: Self.separator)
            if key.isEmpty {
                equals[place, default: -1] += 1
                place += "#\(equals[place] ?? 0)"
            }
            guard let rebuilt = rows[place] else {
                found.append("\(place) is missing")
                continue
            }
            for (name, text) in wanted
            where rebuilt[name]?.text?.exact != text?.exact || rebuilt[name] == nil {
                let own = rebuilt[name].map { "\($0)" } ?? "absent"
                found.append("\(place): \(name) is \(own), not \(text ?? "null")")
            }
        }
        return found
    }

    /// What differs from the same table as another consumer has it, the first twenty.
    public func differences(from other: RebuiltTable) -> [String] {
        var found: [String] = []
        if rows.count != other.rows.count {
            found.append("\(rows.count) rows, not \(other.rows.count)")
        }
        for (place, row) in other.rows where found.count < 20 {
            guard let own = rows[place] else {
                found.append("\(place.prefix(200)) is missing")
                continue
            }
            for (name, value) in row where own[name]?.exact != value.exact {
                let (here, there) = ("\(own[name] as Any)".prefix(200), "\(value)".prefix(200))
                found.append("\(place.prefix(200)): \(name) is \(here), not \(there)")
            }
        }
        return found
    }
}
