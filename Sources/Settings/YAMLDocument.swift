// SPDX-License-Identifier: Apache-2.0
//
// Bytes of a settings file → one YAML tree. Everything that is wrong with the YAML itself becomes
// a fault here: the encoding, the syntax, a second document, too many aliases. A key that stands
// twice makes the YAML library give up, which would hide every other fault; so the earlier one is
// given another first letter in the text and the text is read again, and `key` puts the letter
// back.

import Yams

/// The one document of a settings file.
struct YAMLDocument {
    /// The most bytes that a settings file may have.
    static let byteLimit = 1 << 20
    /// The most `*alias` in a file; it bounds what nested aliases can grow to.
    static let aliasLimit = 16
    /// The most keys standing twice that are looked behind for further faults, a reading each.
    private static let renamingLimit = 8

    private var top: Node?
    private var lines: YAMLText
    private var originalLetters: [Position: Unicode.Scalar] = [:]

    /// Reads a text; what is wrong with it as YAML is added to the faults.
    init(_ text: String, faults: FaultLog) {
        lines = YAMLText(text)
        if let fault = lines.firstFault(aliasLimit: Self.aliasLimit) {
            faults.add(fault.position, fault.message)
            return
        }
        while true {
            do {
                let parser = try Parser(
                    yaml: String(lines.scalars),
                    resolver: .basic,
                    encoding: .utf8
                )
                let first = try parser.nextRoot()
                top = first
                if let second = try parser.nextRoot() {
                    faults.add(
                        Position(second.mark),
                        "a second YAML document begins before this; a settings file is one document"
                    )
                }
                return
            } catch YamlError.duplicatedKeysInMapping(let keys, let context) {
                let position = Position(context.mark)
                if originalLetters.count == Self.renamingLimit
                    || !rename(keys, at: position)
                {
                    faults.add(position, "the key \(shownKey(keys.first ?? "")) stands twice")
                    return
                }
            } catch {
                report(error, to: faults)
                return
            }
        }
    }

    /// The document's content; nil when there is none or when it cannot be read.
    var root: DocumentNode? { top.map { node($0) } }

    private func node(_ node: Node) -> DocumentNode {
        DocumentNode(at: Position(node.mark), content(of: node))
    }

    private func content(of node: Node) -> DocumentNode.Content {
        switch node {
        case .scalar(let scalar): .scalar(scalar.string, isPlain: scalar.style == .plain)
        case .sequence(let sequence): .list(sequence.map { self.node($0) })
        case .mapping(let mapping):
            .section(mapping.map { .init(key: key($0.key), value: self.node($0.value)) })
        // Aliases are followed by the parser.
        case .alias: .unreadable
        }
    }

    /// A mapping's key, with the letter that `rename` took.
    private func key(_ node: Node) -> DocumentNode {
        let position = Position(node.mark)
        guard let scalar = node.scalar, let letter = originalLetters[position] else {
            return self.node(node)
        }
        let name = String(letter) + String(scalar.string.unicodeScalars.dropFirst())
        return DocumentNode(at: position, .scalar(name, isPlain: false))
    }

    /// Gives the key at a position another first letter, if it is found there as it was read.
    private mutating func rename(_ keys: [String], at position: Position) -> Bool {
        guard let letter = keys.first?.unicodeScalars.first,
            let substitute = Unicode.Scalar(0xE000 + UInt32(originalLetters.count)),
            lines.replaceKeyLetter(letter, at: position, by: substitute)
        else { return false }
        originalLetters[position] = letter
        return true
    }

    private func report(_ error: any Error, to faults: FaultLog) {
        guard let error = error as? YamlError else {
            faults.add(Position(), "this is not YAML")
            return
        }
        switch error {
        case .scanner(let context, let problem, let mark, _),
            .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            let position = Position(mark)
            guard !problem.hasPrefix("Maximum nesting") else {
                faults.add(position, "this is nested too deeply")
                return
            }
            var message = "this is not YAML: \(problem)"
            if let context { message += ", \(context.text)" }
            if lines.scalar(at: position) == "\t" {
                message += "; a tab cannot indent, use spaces"
            } else if message.contains("alias") {
                message += "; a pattern that begins with * needs quotes"
            }
            faults.add(position, message)
        case .reader(let problem, _, _, _):
            faults.add(Position(), "this is not YAML: \(problem)")
        default:
            faults.add(Position(), "this is not YAML")
        }
    }
}

extension Position {
    /// Where a node stands; a node that the parser made always has a mark.
    init(_ mark: Mark?) {
        // Marks of an error at the very start are sometimes left at 0.
        self.init(line: max(1, mark?.line ?? 1), column: max(1, mark?.column ?? 1))
    }
}
