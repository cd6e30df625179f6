// SPDX-License-Identifier: Apache-2.0
//
// `schema.name` as the settings spell it, with SQL's rules: a quoted part is taken as it stands
// ("" for a quote inside it), an unquoted one folds to lower case, and in an unquoted part each *
// stands for any run of characters. A name without a schema lies in public.

public import ChangeModel

extension TablePattern {
    /// Reads a pattern that stands on the command line.
    ///
    /// Throws `usage.table`, exit 64.
    public init(argument text: String) throws(WalrelayError) {
        do throws(Rejection) {
            try self.init(parsing: text)
        } catch {
            throw WalrelayError(
                "usage.table",
                exit: .usage,
                "\"\(text)\" \(error.reason)",
                hint: "write a table as tables.include does: schema.table, a pattern such as "
                    + "\"sales.*\", or a name in double quotes"
            )
        }
    }

    /// Reads a pattern; the rejection completes the sentence that names the text.
    init(parsing text: String) throws(Rejection) {
        var parts = try Self.parts(of: text)
        guard parts.count <= 2 else {
            throw Rejection("has more parts than schema and table")
        }
        if parts.count == 1 { parts.insert(.exact("public"), at: 0) }
        self.init(schema: parts[0], name: parts[1])
    }

    /// Reads one name, such as a column's, which is neither a pattern nor qualified.
    static func identifier(parsing text: String) throws(Rejection) -> String {
        let parts = try parts(of: text)
        guard parts.count == 1 else { throw Rejection("is not a single name") }
        guard case .exact(let name) = parts[0] else {
            throw Rejection("is a pattern where a name is due")
        }
        return name
    }

    private static func parts(of text: String) throws(Rejection) -> [Part] {
        var rest = text.unicodeScalars[...]
        var parts: [Part] = []
        while true {
            parts.append(
                rest.first == "\"" ? try quoted(from: &rest) : try unquoted(from: &rest)
            )
            guard let next = rest.popFirst() else { return parts }
            guard next == "." else {
                throw Rejection("goes on after a closing quote where a dot is due")
            }
        }
    }

    private static func quoted(
        from rest: inout Substring.UnicodeScalarView
    ) throws(Rejection) -> Part {
        rest.removeFirst()
        var name = String.UnicodeScalarView()
        while let scalar = rest.popFirst() {
            guard scalar == "\"" else {
                name.append(scalar)
                continue
            }
            guard rest.first == "\"" else {
                guard !name.isEmpty else { throw Rejection("has an empty name between quotes") }
                return .exact(String(name))
            }
            name.append(scalar)
            rest.removeFirst()
        }
        throw Rejection("lacks a closing double quote")
    }

    /// Folds ASCII letters only, as the server does in UTF-8.
    private static func unquoted(
        from rest: inout Substring.UnicodeScalarView
    ) throws(Rejection) -> Part {
        var name = String.UnicodeScalarView()
        var isGlob = false
        while let scalar = rest.first, scalar != "." {
            switch scalar {
            case "A"..."Z": name.append(Unicode.Scalar(UInt8(scalar.value) | 0x20))
            case "a"..."z", "0"..."9", "_", "$", "\u{80}"...: name.append(scalar)
            case "*":
                isGlob = true
                name.append(scalar)
            default:
                throw Rejection(
                    "has a character that a name holds only between double quotes"
                )
            }
            rest.removeFirst()
        }
        guard !name.isEmpty else { throw Rejection("has an empty part") }
        return isGlob ? .glob(String(name)) : .exact(String(name))
    }
}
