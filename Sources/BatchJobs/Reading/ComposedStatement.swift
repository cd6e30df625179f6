// SPDX-License-Identifier: Apache-2.0
//
// A statement put together from the job's own words and ours, which remembers whose is what: the
// server says where in the whole an error lies, and the operator has to see it in the document.

import LibPQ

/// SQL text of which some parts were written by the job's author.
struct ComposedStatement: Sendable, Equatable {
    /// Words of the job.
    struct Part: Sendable, Equatable {
        /// What the document calls them, such as `where`.
        var origin: String
        /// The words.
        var text: String
        /// How many characters of the statement come before them.
        var offset: Int
    }

    /// The whole.
    private(set) var text = ""
    /// The job's words in it, in order.
    private(set) var parts: [Part] = []
    private var length = 0

    /// An empty statement.
    init() {}

    /// A statement without words of the job.
    init(_ text: String) {
        append(text)
    }

    /// Adds words of ours.
    mutating func append(_ words: String) {
        text += words
        // Characters of the server are Unicode's scalars.
        length += words.unicodeScalars.count
    }

    /// Adds words of the job.
    ///
    /// What follows has to begin with a line feed where they may end in a comment.
    mutating func append(_ words: String, from origin: String) {
        parts.append(Part(origin: origin, text: words, offset: length))
        append(words)
    }

    /// Adds a statement.
    mutating func append(_ other: ComposedStatement) {
        parts += other.parts.map { part in
            var part = part
            part.offset += length
            return part
        }
        append(other.text)
    }

    /// The same with words of ours before and after it.
    func between(_ before: String, _ after: String = "") -> ComposedStatement {
        var whole = ComposedStatement(before)
        whole.append(self)
        whole.append(after)
        return whole
    }

    /// The job's words at a position that the server gave, from 1; nil where the words are ours.
    func part(at position: Int) -> Part? {
        let place = position - 1
        // An error at the end of its input has the place just after it.
        return parts.last { part in
            place >= part.offset && place <= part.offset + part.text.unicodeScalars.count
        }
    }

    /// Where an error lies: what the document calls the words, and the words with a caret below.
    func place(of error: PostgresError) -> (origin: String, excerpt: String)? {
        guard let part = part(at: error.position) else { return nil }
        let excerpt = SQL.excerpt(of: part.text, at: error.position - part.offset)
        return (part.origin, excerpt)
    }
}
