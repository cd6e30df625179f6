// SPDX-License-Identifier: Apache-2.0
//
// Text of a job document → a tree. The language is JSON as such documents have it in the field:
// comments of both kinds, trailing commas, single quotes, names without quotes as keys, texts over
// several lines. `${name}` takes a parameter, within a text or as a value of its own. Anything else
// that is no JSON is the one fault at which reading ends; a parameter that is not given is a fault
// too, but reading goes on. Linear in time, bounded in depth.

/// A cursor over the text of a job document.
struct JSONReader {
    private static let depthLimit = 64

    let scalars: [Unicode.Scalar]
    private(set) var index = 0
    private(set) var place: Position
    /// Gives parameters; nil where dollars stand for themselves.
    let parameters: JobParameters?
    /// A position that everything has, for a text that is no file.
    private let fixedPlace: Position?
    private let fixedOrigin: String?
    private var depth = 0
    /// Where the text before this began, if it spans lines: its quote may be what is wrong.
    var spanningText: Position?

    /// A reader of a whole document.
    init(_ text: String, parameters: JobParameters) {
        scalars = Array(text.unicodeScalars)
        place = Position()
        self.parameters = parameters
        fixedPlace = nil
        fixedOrigin = nil
        if scalars.first == "\u{FEFF}" { index = 1 }
    }

    /// A reader of a parameter's value, all of which stands where the parameter is used.
    private init(value: String, of name: String, at place: Position) {
        scalars = Array(value.unicodeScalars)
        self.place = place
        parameters = nil
        fixedPlace = place
        fixedOrigin = "-p \(name)"
    }

    /// Reads the whole text.
    mutating func document() throws(Fault) -> DocumentNode {
        try skipBlanks()
        guard let first = peek else { throw fault("the document is empty") }
        guard first == "{" || fixedPlace != nil else {
            throw fault("a job document begins with {, not with \(shown(String(first)))")
        }
        let root = try value()
        let end = place
        try skipBlanks()
        guard peek == nil else {
            throw fault("the document ended before this, in line \(end.line)")
        }
        return root
    }

    private mutating func value() throws(Fault) -> DocumentNode {
        switch peek {
        case nil: throw fault("the document ends where a value is due")
        case "{": return try section()
        case "[": return try list()
        case "\"", "'":
            let start = place
            let text = try text()
            return node(at: start, text, isPlain: false)
        case ",", "}", "]", ":": throw fault("a value is missing before this")
        default: return try word()
        }
    }

    private mutating func section() throws(Fault) -> DocumentNode {
        let start = place
        try enter()
        var members: [DocumentNode.Member] = []
        while try !closes(with: "}", from: start) {
            let keyPlace = place
            let key: ScalarText
            switch peek {
            case "\"", "'": key = try text()
            case let scalar? where Self.isNamePart(scalar): key = name()
            case let other?: throw fault("a key in quotes is due here, not \(shown(String(other)))")
            case nil: throw unclosed("{", from: start)
            }
            try skipBlanks()
            guard peek == ":" else {
                throw fault(
                    "a colon is missing between the key \(shownKey(key.text)) and its value"
                )
            }
            advance()
            try skipBlanks()
            let value = try value()
            members.append(.init(key: node(at: keyPlace, key, isPlain: false), value: value))
            try separate(before: "}")
        }
        let all = members
        return DocumentNode(at: start, origin: fixedOrigin, .section(all))
    }

    private mutating func list() throws(Fault) -> DocumentNode {
        let start = place
        try enter()
        var nodes: [DocumentNode] = []
        while try !closes(with: "]", from: start) {
            nodes.append(try value())
            try separate(before: "]")
        }
        let all = nodes
        return DocumentNode(at: start, origin: fixedOrigin, .list(all))
    }

    /// Passes the bracket that opens.
    private mutating func enter() throws(Fault) {
        depth += 1
        guard depth <= Self.depthLimit else { throw fault("this is nested too deeply") }
        advance()
    }

    /// Passes the bracket that closes, if it is next.
    private mutating func closes(
        with bracket: Unicode.Scalar,
        from start: Position
    ) throws(Fault) -> Bool {
        try skipBlanks()
        let opening = bracket == "}" ? "{" : "["
        guard let next = peek else { throw unclosed(opening, from: start) }
        if next == bracket {
            advance()
            depth -= 1
            return true
        }
        if next == "]" || next == "}" {
            throw fault(
                "\(next) closes nothing here: the \(opening) of line \(start.line), column"
                    + " \(start.column) is open"
            )
        }
        if next == "," { throw fault("nothing stands before this comma") }
        return false
    }

    /// Passes the comma behind a value; the last one needs none.
    private mutating func separate(before bracket: Unicode.Scalar) throws(Fault) {
        try skipBlanks()
        if peek == "," {
            advance()
        } else if let next = peek, next != "]", next != "}" {
            throw fault("a comma is missing before this")
        }
    }

    private func unclosed(_ bracket: String, from start: Position) -> Fault {
        fault("this \(bracket) is not closed", at: start)
    }

    /// Reads a value without quotes: a number, true, false, null, a parameter.
    private mutating func word() throws(Fault) -> DocumentNode {
        let start = place
        var word = ScalarText()
        var isParameter = true
        while let next = peek, !Self.endsWord(next), !startsComment {
            if next == "$", let filled = try placeholder() {
                word.append(filled)
            } else {
                isParameter = false
                word.text.unicodeScalars.append(next)
                advance()
            }
        }
        if isParameter, let name = word.names.first, Self.opensJSON(word.text) {
            var reader = JSONReader(value: word.text, of: name, at: start)
            do {
                return try reader.document()
            } catch {
                throw fault("the value of -p \(name) is no JSON: \(error.message)", at: start)
            }
        }
        let text = word.text
        guard word.names.isEmpty, !word.isIncomplete, !Self.isLiteral(text) else {
            return node(at: start, word, isPlain: true)
        }
        switch text.unicodeScalars.first {
        case nil:
            throw fault("a value is due here, not \(peek.map { shown(String($0)) } ?? "the end")")
        case "#": throw fault("a comment begins with //, not with #", at: start)
        case "/": throw fault("a comment begins with //", at: start)
        case "\u{201C}", "\u{201D}", "\u{2018}", "\u{2019}", "\u{FF02}":
            throw fault("this quote is none of JSON's: write \" itself", at: start)
        default: break
        }
        let nearest = ["true", "false", "null"].first { $0 == text.lowercased() }
        throw fault(
            // The word may be a password, so it is not shown.
            "this needs quotes: only numbers, true, false and null go without"
                + suggestion(nearest),
            at: start
        )
    }

    private mutating func name() -> ScalarText {
        var name = ScalarText()
        while let next = peek, Self.isNamePart(next) {
            name.text.unicodeScalars.append(next)
            advance()
        }
        return name
    }

    private mutating func skipBlanks() throws(Fault) {
        while let next = peek {
            if Self.isBlank(next) {
                advance()
            } else if startsComment {
                try skipComment()
            } else {
                return
            }
        }
    }

    private mutating func skipComment() throws(Fault) {
        let start = place
        advance()
        if peek == "/" {
            while let next = peek, next != "\n", next != "\r" { advance() }
            return
        }
        advance()
        while let next = peek {
            advance()
            if next == "*", peek == "/" {
                advance()
                return
            }
        }
        throw fault("this comment is not closed", at: start)
    }
}

extension JSONReader {
    var peek: Unicode.Scalar? { index < scalars.count ? scalars[index] : nil }

    /// The scalar behind the next.
    var second: Unicode.Scalar? { index + 1 < scalars.count ? scalars[index + 1] : nil }

    mutating func advance() {
        let scalar = scalars[index]
        index += 1
        guard fixedPlace == nil else { return }
        if scalar == "\n" || scalar == "\r" && peek != "\n" {
            place = Position(line: place.line + 1)
        } else {
            place.column += 1
        }
    }

    /// The fault at which reading ends.
    func fault(_ message: String, at position: Position? = nil) -> Fault {
        var message = message
        if let spanningText {
            message +=
                "; or the text that begins in line \(spanningText.line), column"
                + " \(spanningText.column) lacks its closing quote"
        }
        return Fault(position: position ?? place, message: message)
    }

    private var startsComment: Bool {
        peek == "/" && (second == "/" || second == "*")
    }

    private func node(at start: Position, _ text: ScalarText, isPlain: Bool) -> DocumentNode {
        let origin = fixedOrigin ?? text.origin
        let content = text.text
        return text.isIncomplete
            ? DocumentNode(at: start, .unreadable)
            : DocumentNode(at: start, origin: origin, .scalar(content, isPlain: isPlain))
    }

    private static func isBlank(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.isWhitespace || scalar == "\u{FEFF}"
    }

    private static func endsWord(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case ",", ":", "[", "]", "{", "}", "\"", "'": true
        default: isBlank(scalar)
        }
    }

    static func isNamePart(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "A"..."Z", "a"..."z", "0"..."9", "_", "-", ".": true
        default: false
        }
    }

    private static func opensJSON(_ text: String) -> Bool {
        let first = text.unicodeScalars.first { !isBlank($0) }
        return first == "[" || first == "{" || first == "\""
    }

    private static func isLiteral(_ text: String) -> Bool {
        if ["true", "false", "null"].contains(text) { return true }
        let isNumeric = text.utf8.allSatisfy {
            switch $0 {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "+"),
                UInt8(ascii: "-"), UInt8(ascii: "e"), UInt8(ascii: "E"):
                true
            default: false
            }
        }
        return isNumeric && Double(text) != nil
    }
}
