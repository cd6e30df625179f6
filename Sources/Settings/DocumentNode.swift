// SPDX-License-Identifier: Apache-2.0
//
// A document's tree, whatever language the document is written in: what `Section` reads. A node
// knows where it stands, and what its text came from when that is not the document alone.

/// One value of a document.
struct DocumentNode {
    /// What a node is.
    enum Content {
        /// A text, a number, a word; plain when it stands without quotes.
        case scalar(String, isPlain: Bool)
        case list([DocumentNode])
        case section([Member])
        /// Something that cannot be read, and whose fault is logged already.
        case unreadable
    }

    /// A key and its value.
    struct Member {
        let key: DocumentNode
        let value: DocumentNode
    }

    let position: Position
    /// Such as `-p bizdate`; nil when the text stands in the document.
    let origin: String?
    private let make: () -> Content

    /// A node whose content is made each time it is looked at, one level deep: aliases may let a
    /// small document stand for a tree that is far larger.
    init(
        at position: Position,
        origin: String? = nil,
        _ content: @autoclosure @escaping () -> Content
    ) {
        self.position = position
        self.origin = origin
        make = content
    }

    var content: Content { make() }

    /// The text of a scalar; nil for anything else.
    var text: String? {
        guard case .scalar(let text, _) = content else { return nil }
        return text
    }

    /// Whether nothing stands where a value could stand.
    var isNull: Bool {
        guard case .scalar(let text, isPlain: true) = content else { return false }
        return ["", "~", "null", "Null", "NULL"].contains(text)
    }

    /// Whether nothing, or a text without anything in it but blanks, stands there.
    var isBlank: Bool {
        isNull || text?.unicodeScalars.allSatisfy(\.properties.isWhitespace) == true
    }

    /// Whether the fault of the node is logged already.
    var isUnreadable: Bool {
        if case .unreadable = content { true } else { false }
    }

    /// The node's kind with its article.
    var kind: String {
        switch content {
        case .scalar, .unreadable: "a text"
        case .list: "a list"
        case .section: "a section"
        }
    }
}
