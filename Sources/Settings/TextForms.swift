// SPDX-License-Identifier: Apache-2.0
//
// The forms of scalars that stay texts: names, paths, positions, lists in one scalar, secrets.

import ChangeModel

extension Form where Value == String {
    /// Any text that is not empty.
    static var text: Form { Form("a text") { text throws(Rejection) in text } }

    /// A path, taken from a directory when it is relative.
    static func path(from directory: String) -> Form {
        Form("a path") { text throws(Rejection) in
            guard text != "~", !text.hasPrefix("~/") else {
                throw Rejection("begins with ~, which is not expanded: write the whole path")
            }
            if text.hasPrefix("/") || directory.isEmpty { return text }
            return directory.hasSuffix("/") ? directory + text : directory + "/" + text
        }
    }

    /// A task's name.
    static var taskName: Form {
        let expected = "1 to 55 of the characters a-z, 0-9 and _"
        return Form("a name of \(expected)") { text throws(Rejection) in
            let fits = text.utf8.allSatisfy {
                switch $0 {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                    UInt8(ascii: "_"):
                    true
                default: false
                }
            }
            guard fits, (1...55).contains(text.utf8.count) else {
                throw Rejection("is not a name of \(expected)")
            }
            return text
        }
    }

    /// What a Kafka topic's name may begin with.
    static var topicPrefix: Form {
        let expected = "at most 100 of the characters a-z, A-Z, 0-9, ., _ and -"
        return Form("a text of \(expected)") { text throws(Rejection) in
            let fits = text.unicodeScalars.allSatisfy {
                switch $0 {
                case "a"..."z", "A"..."Z", "0"..."9", ".", "_", "-": true
                default: false
                }
            }
            guard fits, text.utf8.count <= 100 else {
                throw Rejection("is not a text of \(expected)")
            }
            return text
        }
    }

    /// A name as SQL spells it, quoted or folded to lower case.
    static var identifier: Form {
        Form("a name") { text throws(Rejection) in try TablePattern.identifier(parsing: text) }
    }
}

extension Form where Value == LSN {
    /// A position in the WAL.
    static var lsn: Form {
        let kind = "an LSN such as 16/B374D848"
        return Form(kind) { text throws(Rejection) in
            guard let lsn = LSN(text) else { throw Rejection("is not \(kind)") }
            return lsn
        }
    }
}

extension Form where Value == TablePattern {
    /// A table's name, or a pattern of names.
    static var tablePattern: Form {
        Form("a table such as public.orders or \"sales.*\"") { text throws(Rejection) in
            try TablePattern(parsing: text)
        }
    }
}

extension Form where Value == TableName {
    /// One table's name; one without a schema lies in public.
    static var tableName: Form {
        Form<TablePattern>.tablePattern.map { pattern throws(Rejection) in
            guard let name = pattern.exactName else {
                throw Rejection("is a pattern where one table is due")
            }
            return TableName(schema: name.schema, name: name.name)
        }
    }
}

extension Form where Value == Settings.Sink.PostgreSQL.Schema {
    /// `same`, or a schema's name.
    static var targetSchema: Form {
        Form("same, or a schema's name") { text throws(Rejection) in
            text == "same" ? .same : .named(try TablePattern.identifier(parsing: text))
        }
    }
}

extension Form where Value == [String] {
    /// Texts between commas, spaces around them left out.
    static func commaList(of noun: String) -> Form {
        Form("\(noun), or several between commas") { text throws(Rejection) in
            let items = text.split(separator: ",", omittingEmptySubsequences: false)
                .map { $0.drop { $0 == " " } }
                .map { item in String(item.prefix(item.count - trailingSpaces(item))) }
            guard !items.contains("") else { throw Rejection("has an empty entry") }
            return items
        }
    }
}

extension Form where Value == [UInt16] {
    /// Ports between commas.
    static var ports: Form {
        Form<[String]>.commaList(of: "a port").map { items throws(Rejection) in
            var ports: [UInt16] = []
            for item in items {
                guard item.utf8.allSatisfy({ (48...57).contains($0) }), let port = UInt16(item),
                    port > 0
                else { throw Rejection("is not a port from 1 to 65535") }
                ports.append(port)
            }
            return ports
        }
    }
}

private func trailingSpaces(_ text: Substring) -> Int {
    text.reversed().prefix { $0 == " " }.count
}

extension Form where Value == Secret {
    /// A text that is kept out of every fault.
    static var secret: Form {
        Form("a text", isSecret: true) { text throws(Rejection) in Secret(text) }
    }
}

extension Form where Value == SecretSource {
    /// A file that holds a password, or `credential:NAME`.
    static func secretFile(from directory: String) -> Form {
        let path = Form<String>.path(from: directory)
        let prefix = "credential:"
        return Form("a path, or credential:NAME") { text throws(Rejection) in
            guard text.hasPrefix(prefix) else { return .file(try path.read(text)) }
            let name = String(text.dropFirst(prefix.count))
            guard !name.isEmpty, !name.contains("/"), name != ".", name != ".." else {
                throw Rejection("does not name a credential")
            }
            return .credential(name)
        }
    }
}
