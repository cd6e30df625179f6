// SPDX-License-Identifier: Apache-2.0
//
// A text that must not be seen: passwords, and connection strings that may hold one. Printing,
// dumping, reflecting and encoding show a fixed placeholder; only `reveal` gives the text.

/// A text that no printed form shows.
public struct Secret: Sendable, Hashable {
    private static let placeholder = "(hidden)"
    private let text: String

    /// Hides a text.
    public init(_ text: String) {
        self.text = text
    }

    /// The text itself; what is done with it must not print, log or serve it.
    public func reveal() -> String { text }
}

extension Secret: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The placeholder.
    public var description: String { Self.placeholder }
    /// The placeholder.
    public var debugDescription: String { Self.placeholder }
    /// A mirror without children.
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension Secret: Encodable {
    /// Encodes the placeholder, never the text.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(Self.placeholder)
    }
}
