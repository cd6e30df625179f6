// SPDX-License-Identifier: Apache-2.0
//
// Keeps the values of secret properties out of every text that librdkafka gives: most of its texts
// name a property only, but some quote what they could not read.

#if Kafka

/// The words that no text may hold.
struct Redaction: Sendable {
    private var words: [String] = []

    init(_ properties: [String: String]) {
        for (name, value) in properties where Self.isSecret(name) {
            // Of a value of several parts (a PEM text, an OAUTHBEARER configuration) librdkafka
            // may quote any one.
            let parts = value.split { $0.isWhitespace || $0 == "," }.map(String.init)
            words += ([value] + parts).filter { $0.utf8.count >= 3 }
        }
        // The longest first: what is left of a whole must not be a part's rest.
        words.sort { $0.utf8.count > $1.utf8.count }
    }

    static func isSecret(_ name: String) -> Bool {
        ["password", "secret", ".pem", "oauthbearer.config", "token"].contains {
            name.contains($0)
        }
    }

    func clean(_ text: String) -> String {
        words.reduce(text) { $0.replacing($1, with: "***") }
    }
}
#endif
