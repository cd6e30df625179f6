// SPDX-License-Identifier: Apache-2.0
//
// Names as a server compares them. Swift takes two strings for equal when they are canonically
// equivalent: é as one scalar and as e with an accent. A server compares bytes, so both may be
// columns of one table; compared as strings one would be taken for the other.

/// A text that is equal to the same bytes only.
///
/// Wraps a property that holds a name from a catalog: `name` is the text, `$name` what it is
/// compared and found by.
@propertyWrapper
public struct ExactText: Sendable {
    /// The text.
    public var wrappedValue: String
    /// The text as something to compare.
    public var projectedValue: ExactText { self }

    /// Wraps a text.
    public init(wrappedValue: String) {
        self.wrappedValue = wrappedValue
    }

    /// Makes a text comparable.
    public init(_ text: String) {
        self.init(wrappedValue: text)
    }
}

extension ExactText: Hashable {
    /// Equality of the bytes.
    public static func == (left: ExactText, right: ExactText) -> Bool {
        left.wrappedValue.utf8.elementsEqual(right.wrappedValue.utf8)
    }

    /// Hashes the bytes.
    public func hash(into hasher: inout Hasher) {
        for byte in wrappedValue.utf8 { hasher.combine(byte) }
    }
}

extension ExactText: Comparable {
    /// The order of the bytes, which is that of the code points.
    public static func < (left: ExactText, right: ExactText) -> Bool {
        left.wrappedValue.utf8.lexicographicallyPrecedes(right.wrappedValue.utf8)
    }
}

extension ExactText: Codable {
    /// Decodes a text.
    public init(from decoder: any Decoder) throws {
        self.init(try decoder.singleValueContainer().decode(String.self))
    }

    /// Encodes the text.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(wrappedValue)
    }
}

extension ExactText: ExpressibleByStringLiteral {
    /// Wraps a literal.
    public init(stringLiteral text: String) {
        self.init(text)
    }
}

extension Set<ExactText> {
    /// The texts, each once.
    public init(exactly texts: some Sequence<String>) {
        self = texts.reduce(into: []) { $0.insert(ExactText($1)) }
    }

    /// Whether a text is among them.
    public func contains(_ text: String) -> Bool { contains(ExactText(text)) }
}
