// SPDX-License-Identifier: Apache-2.0
//
// Which tables a task takes: what the settings say, before any server was asked.

/// A name, or a pattern of names, of one or more tables.
public struct TablePattern: Sendable, Hashable {
    /// One half of a qualified name.
    public enum Part: Sendable, Hashable {
        /// This name and no other.
        case exact(String)
        /// Names in which `*` stands for any run of characters, none included.
        case glob(String)

        /// Whether a name is meant.
        public func matches(_ name: String) -> Bool {
            switch self {
            case .exact(let wanted): ExactText(wanted) == ExactText(name)
            case .glob(let pattern): Self.glob(Array(pattern.utf8), matches: Array(name.utf8))
            }
        }

        /// Greedy matching that remembers only the last star: linear in memory, never exponential.
        private static func glob(_ pattern: [UInt8], matches name: [UInt8]) -> Bool {
            var patternIndex = 0
            var nameIndex = 0
            var lastStar: (pattern: Int, name: Int)?
            while nameIndex < name.count {
                if patternIndex < pattern.count, pattern[patternIndex] == UInt8(ascii: "*") {
                    lastStar = (patternIndex, nameIndex)
                    patternIndex += 1
                } else if patternIndex < pattern.count, pattern[patternIndex] == name[nameIndex] {
                    patternIndex += 1
                    nameIndex += 1
                } else if let star = lastStar {
                    patternIndex = star.pattern + 1
                    nameIndex = star.name + 1
                    lastStar = (star.pattern, star.name + 1)
                } else {
                    return false
                }
            }
            return pattern[patternIndex...].allSatisfy { $0 == UInt8(ascii: "*") }
        }
    }

    /// The schema's name.
    public var schema: Part
    /// The table's name.
    public var name: Part

    /// Creates a pattern.
    public init(schema: Part, name: Part) {
        self.schema = schema
        self.name = name
    }

    /// Whether a table is meant.
    public func matches(schema: String, name: String) -> Bool {
        self.schema.matches(schema) && self.name.matches(name)
    }

    /// The one table that is meant, where the pattern has no star.
    public var exactName: (schema: String, name: String)? {
        guard case .exact(let schema) = schema, case .exact(let name) = name else { return nil }
        return (schema, name)
    }
}

extension TablePattern.Part {
    /// Equality of the bytes.
    public static func == (left: Self, right: Self) -> Bool {
        switch (left, right) {
        case (.exact(let one), .exact(let other)), (.glob(let one), .glob(let other)):
            ExactText(one) == ExactText(other)
        default: false
        }
    }

    /// Hashes the bytes.
    public func hash(into hasher: inout Hasher) {
        switch self {
        case .exact(let name), .glob(let name): hasher.combine(ExactText(name))
        }
    }
}

extension TablePattern: CustomStringConvertible {
    /// `schema.name` as the operator wrote it, more or less; for people only.
    public var description: String {
        func text(_ part: Part) -> String {
            switch part {
            case .exact(let name), .glob(let name): name
            }
        }
        return "\(text(schema)).\(text(name))"
    }
}

/// An entry of `tables.include`.
public struct TableRule: Sendable, Hashable {
    /// Which tables.
    public var pattern: TablePattern
    /// The columns to take, in any order; `nil` takes all.
    ///
    /// Only with an exact name.
    public var columns: [String]?
    /// A row filter in SQL that the server applies (15 and later); `nil` takes all rows.
    public var filter: String?
    /// The table that a postgresql sink writes to; `nil` leaves it to the sink's settings.
    ///
    /// Only with an exact name.
    public var target: TableName?

    /// Creates a rule.
    public init(
        pattern: TablePattern,
        columns: [String]? = nil,
        filter: String? = nil,
        target: TableName? = nil
    ) {
        self.pattern = pattern
        self.columns = columns
        self.filter = filter
        self.target = target
    }
}

/// A table's qualified name, unquoted.
public struct TableName: Sendable, Hashable, Codable, Comparable {
    /// The schema's name.
    @ExactText public var schema: String
    /// The table's name.
    @ExactText public var name: String

    /// Creates a name.
    public init(schema: String, name: String) {
        self.schema = schema
        self.name = name
    }

    /// Orders by schema, then by name.
    public static func < (left: TableName, right: TableName) -> Bool {
        (left.$schema, left.$name) < (right.$schema, right.$name)
    }
}

extension TableName: CustomStringConvertible {
    /// `schema.name`, for people; not quoted, so never for SQL.
    public var description: String { "\(schema).\(name)" }
}

/// What `tables` in the settings says.
public struct TableSelection: Sendable, Hashable {
    /// What is taken.
    public var include: [TableRule]
    /// What is not taken all the same.
    public var exclude: [TablePattern]

    /// Creates a selection.
    public init(include: [TableRule], exclude: [TablePattern] = []) {
        self.include = include
        self.exclude = exclude
    }

    /// The first rule that takes a table, `nil` where none does or one excludes it.
    public func rule(schema: String, name: String) -> TableRule? {
        guard !exclude.contains(where: { $0.matches(schema: schema, name: name) }) else {
            return nil
        }
        return include.first { $0.pattern.matches(schema: schema, name: name) }
    }
}
