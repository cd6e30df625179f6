// SPDX-License-Identifier: Apache-2.0
//
// The part of /status that differs from sink to sink: `kind` and, beside it in the same object,
// whatever the sink has to say (file, length, commits, …), each a text or a whole number.

extension TaskStatus {
    /// Where the changes go: the kind of sink and the details it chooses to show.
    public struct Sink: Sendable, Codable, Equatable {
        /// The sink's kind, as in the settings: ndjson, stream, postgresql or kafka.
        public var kind: String
        /// What the sink shows beside its kind; a key "kind" in here is not encoded.
        ///
        /// `commits` and `bytesWritten`, where given as numbers, also appear as metrics.
        public var details: [String: Detail]

        /// Creates a sink's status.
        public init(kind: String, details: [String: Detail] = [:]) {
            self.kind = kind
            self.details = details
        }

        /// A detail that is a number; nil where there is none of the name.
        public func number(_ name: String) -> Int? {
            guard case .number(let number) = details[name] else { return nil }
            return number
        }

        /// One detail of a sink.
        public enum Detail: Sendable, Codable, Equatable {
            /// A text, such as a file's name.
            case text(String)
            /// A whole number, such as a length in bytes.
            case number(Int)

            /// Decodes a number or a text.
            public init(from decoder: any Decoder) throws {
                let container = try decoder.singleValueContainer()
                if let number = try? container.decode(Int.self) {
                    self = .number(number)
                } else {
                    self = .text(try container.decode(String.self))
                }
            }

            /// Encodes the bare number or text.
            public func encode(to encoder: any Encoder) throws {
                var container = encoder.singleValueContainer()
                switch self {
                case .text(let text): try container.encode(text)
                case .number(let number): try container.encode(number)
                }
            }
        }

        /// What a detail that is a number counts, as its name says.
        public enum Unit: Sendable {
            /// `queueBytes`, `bytesWritten`.
            case bytes
            /// `rttMicroseconds`.
            case microseconds
            /// Anything else.
            case none
        }

        /// A detail's name for people and what it counts: `rtt` for `rttMicroseconds`.
        public static func shown(_ name: String) -> (label: String, unit: Unit) {
            let time = "Microseconds"
            if name.hasSuffix(time), name.count > time.count {
                return (String(name.dropLast(time.count)), .microseconds)
            }
            let isSize = name.hasSuffix("Bytes") || name.hasPrefix("bytes")
            return (name, isSize ? .bytes : .none)
        }

        private struct Key: CodingKey {
            let stringValue: String
            var intValue: Int? { nil }

            init(_ name: String) { stringValue = name }
            init?(stringValue: String) { self.stringValue = stringValue }
            init?(intValue: Int) { nil }
        }

        /// Decodes the kind and every detail beside it; a null detail is left out.
        public init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Key.self)
            kind = try container.decode(String.self, forKey: Key("kind"))
            details = [:]
            for key in container.allKeys where key.stringValue != "kind" {
                details[key.stringValue] = try container.decodeIfPresent(Detail.self, forKey: key)
            }
        }

        /// Encodes kind and details as one flat object.
        public func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Key.self)
            for (name, detail) in details {
                try container.encode(detail, forKey: Key(name))
            }
            try container.encode(kind, forKey: Key("kind"))
        }
    }
}

extension TaskStatus.Sink.Detail: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
    /// Creates a text.
    public init(stringLiteral value: String) { self = .text(value) }

    /// Creates a number.
    public init(integerLiteral value: Int) { self = .number(value) }
}
