// SPDX-License-Identifier: Apache-2.0
//
// A password that no other text holds, and the search for it: as it is, and as URIs, JSON and
// base64 write it. It has characters that break a URI, YAML and JSON, so that a reader that goes
// wrong holds only a part of it; each part is looked for by itself.
import Foundation

/// A secret of a test.
public struct SecretCanary: Sendable {
    /// The password.
    public let text: String
    /// What no output may hold.
    private let traces: [String]

    /// `name` tells this secret from the test's others; `middle` is what its parts stand around.
    public init(_ name: String, middle: String = "@/'\"\\:?#%") {
        let parts = ["Kz8\(name)QuVx", "Wj5\(name)RmYp"]
        text = parts.joined(separator: middle)
        let whole = Data(text.utf8).base64EncodedString()
        // A base64 text may begin at any of three bytes; the middle third is the same in one.
        traces =
            parts + [String(whole.prefix(16))]
            + parts.map { Data($0.utf8).base64EncodedString() }
            .map { String($0.prefix(10)) }
    }

    /// The password as a URI has it.
    public var percentEncoded: String {
        text.utf8.map { byte in
            let isPlain =
                (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
            return isPlain
                ? String(UnicodeScalar(byte))
                : "%" + (byte < 16 ? "0" : "")
                    + String(byte, radix: 16)
        }.joined()
    }

    /// The password as a value in a connection string, with its quotes.
    public var conninfoValue: String {
        "'" + text.replacing("\\", with: "\\\\").replacing("'", with: "\\'") + "'"
    }

    /// The first trace of the secret in a text, with what stands before it; nil where none is.
    public func trace(in text: String) -> String? {
        for trace in traces {
            guard let range = text.firstRange(of: trace) else { continue }
            return String(text[..<range.lowerBound].suffix(200)) + "»" + trace + "«"
        }
        return nil
    }
}
