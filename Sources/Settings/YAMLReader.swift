// SPDX-License-Identifier: Apache-2.0
//
// A cursor over the YAML tree that reads typed values and collects what is wrong. A section is a
// mapping; whoever reads it asks for each key it knows, and `finish` reports the keys that nobody
// asked for. Each reading gives nil after it has logged a fault, so the faults of a whole file are
// found in one pass: settings are complete if and only if the log is empty.

import Yams

/// What all sections of one reading share.
struct ReadingContext {
    let document: YAMLDocument
    let faults: FaultLog
    let environment: [String: String]
    /// The directory that relative paths start from.
    let baseDirectory: String
    let notes: Notes
}

/// What a reading found that is no fault.
final class Notes {
    /// Sentences for the operator.
    var warnings: [String] = []
    /// The settings that hold a password in clear, by their path.
    var literalPasswords: [String] = []
}

/// One mapping of the settings file.
final class Section {
    private struct Entry {
        let keyPosition: Position
        let value: Node
    }

    /// The section's name as the operator would say it, such as `sink.kafka`; empty for the root.
    let path: String
    let position: Position
    let context: ReadingContext
    private var entries: [String: Entry] = [:]
    private var order: [String] = []
    /// The keys that were asked for: in their order for suggestions, as a set for speed.
    private var known: [String] = []
    private var isKnown: Set<String> = []

    /// Takes a mapping; an empty value counts as a mapping without keys.
    init?(_ node: Node, path: String, context: ReadingContext) {
        self.path = path
        self.context = context
        position = Position(node.mark)
        guard let mapping = node.mapping else {
            if node.isNull { return }
            let subject = path.isEmpty ? "the settings" : path
            context.faults.add(
                position,
                "\(subject) must be a section of keys and values, not \(node.kind)"
            )
            return nil
        }
        for (key, value) in mapping {
            let keyPosition = Position(key.mark)
            guard let name = context.document.name(of: key) else {
                context.faults.add(keyPosition, "a key must be a text, not \(key.kind)")
                continue
            }
            if let first = entries[name] {
                context.faults.add(
                    keyPosition,
                    "the key \(shown(name)) stands twice\(place), first in line"
                        + " \(first.keyPosition.line)"
                )
                continue
            }
            entries[name] = Entry(keyPosition: keyPosition, value: value)
            order.append(name)
        }
    }

    /// Whether a key stands here, with or without a value.
    func has(_ key: String) -> Bool { entries[key] != nil }

    /// Where a key stands.
    func position(of key: String) -> Position { entries[key]?.keyPosition ?? position }

    /// Logs a fault of a key.
    func fault(_ key: String, _ message: String) {
        context.faults.add(position(of: key), "\(pathOf(key)): \(message)")
    }

    /// Logs a fault for each of some keys that stands here beside another.
    func exclude(_ keys: [String], beside other: String) {
        for key in keys where has(key) && has(other) {
            fault(key, "cannot stand beside \(pathOf(other))")
        }
    }

    /// Logs a fault for a key that does not stand here.
    func demand(_ key: String, _ what: String) {
        if !has(key) {
            context.faults.add(position, "\(pathOf(key)) is missing: \(what) is required")
        }
    }

    /// Logs a fault when a key stands here without another that it needs.
    func pair(_ key: String, with other: String) {
        if has(key), !has(other) { fault(key, "needs \(pathOf(other)) beside it") }
    }

    /// Every key with its value read in its form, for sections whose keys are free.
    func entries<Value>(_ form: (String) -> Form<Value>) -> [String: Value] {
        var result: [String: Value] = [:]
        for key in order { result[key] = take(key, form(key)) }
        return result
    }

    /// Whether a key has its value from this file alone, not from the environment.
    private func isLiteral(_ key: String) -> Bool {
        guard let raw = entries[key]?.value.scalar?.string else { return false }
        let substituted = try? SubstitutedText(raw, environment: context.environment)
        return substituted?.usesEnvironment == false
    }

    /// Reports the keys that nobody asked for.
    func finish() {
        for key in order where !isKnown.contains(key) {
            let nearest = nearestName(to: key, among: known)
            let hint =
                nearest == nil
                ? "; known are \(known.joined(separator: ", "))" : suggestion(nearest)
            context.faults.add(position(of: key), "unknown key \(shown(key))\(place)\(hint)")
        }
    }

    /// Notes that a key holds a password in clear, unless it comes from the environment.
    func notePassword(in key: String) {
        if isLiteral(key) { context.notes.literalPasswords.append(pathOf(key)) }
    }

    /// Adds a sentence about this section for the operator.
    func warn(_ sentence: String) {
        context.notes.warnings.append("\(path): \(sentence)")
    }

    /// Reads a key if it stands here; nil as well when it is faulty.
    func take<Value>(_ key: String, _ form: Form<Value>) -> Value? {
        guard let node = node(key) else { return nil }
        return scalar(node, path: pathOf(key), form)
    }

    /// Reads a key if it stands here; else, or when it is faulty, leaves the value as it is.
    func take<Value>(_ key: String, _ form: Form<Value>, into value: inout Value) {
        if let taken = take(key, form) { value = taken }
    }

    /// Reads a key that must stand here.
    func require<Value>(_ key: String, _ form: Form<Value>) -> Value? {
        requirePresence(of: key, due: form.noun) ? take(key, form) : nil
    }

    /// Reads a section if it stands here, and reports its unknown keys.
    func section<Value>(_ key: String, _ read: (Section) -> Value?) -> Value? {
        guard let node = node(key) else { return nil }
        return Self.read(node, path: pathOf(key), context: context, read)
    }

    /// Reads a section that must stand here, with at least one key.
    func requireSection<Value>(_ key: String, _ read: (Section) -> Value?) -> Value? {
        guard requirePresence(of: key, due: "a section of keys and values") else { return nil }
        return section(key, read)
    }

    /// Reads a node as a section, and reports its unknown keys.
    static func read<Value>(
        _ node: Node,
        path: String,
        context: ReadingContext,
        _ read: (Section) -> Value?
    ) -> Value? {
        guard let section = Section(node, path: path, context: context) else { return nil }
        let value = read(section)
        section.finish()
        return value
    }

    /// Reads a list of scalars if it stands here; a single scalar is a list of one when allowed.
    func list<Value>(
        _ key: String,
        _ form: Form<Value>,
        allowsSingle: Bool = false
    ) -> [Value]? {
        list(key, of: form.noun, allowsSingle: allowsSingle) { scalar($0, path: $1, form) }
    }

    /// Reads a list whose entries are scalars or sections.
    func list<Value>(
        _ key: String,
        _ form: Form<Value>,
        orSection read: (Section) -> Value?
    ) -> [Value]? {
        list(key, of: form.noun + " or a section", allowsSingle: false) { node, path in
            node.mapping == nil
                ? scalar(node, path: path, form)
                : Self.read(node, path: path, context: context, read)
        }
    }

    private func list<Value>(
        _ key: String,
        of noun: String,
        allowsSingle: Bool,
        _ read: (Node, String) -> Value?
    ) -> [Value]? {
        guard let node = node(key) else { return nil }
        guard let sequence = node.sequence else {
            if allowsSingle, node.scalar != nil { return read(node, pathOf(key)).map { [$0] } }
            let found = node.isNull ? "it has no value" : "not \(node.kind)"
            context.faults.add(
                Position(node.mark),
                "\(pathOf(key)) must be a list, each entry \(noun), \(found)"
            )
            return nil
        }
        let values = sequence.enumerated().map { read($1, "\(pathOf(key))[\($0)]") }
        let complete = values.compactMap { $0 }
        return complete.count == values.count ? complete : nil
    }

    private func pathOf(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    /// " in sink.kafka", nothing for the root.
    private var place: String { path.isEmpty ? "" : " in \(path)" }

    private func node(_ key: String) -> Node? {
        if isKnown.insert(key).inserted { known.append(key) }
        return entries[key]?.value
    }

    private func requirePresence(of key: String, due noun: String) -> Bool {
        if let node = node(key), !node.isNull { return true }
        let missing = has(key) ? "has no value" : "is missing"
        context.faults.add(position(of: key), "\(pathOf(key)) \(missing): \(noun) is required")
        return false
    }

    private func scalar<Value>(_ node: Node, path: String, _ form: Form<Value>) -> Value? {
        let position = Position(node.mark)
        guard let scalar = node.scalar, !node.isNull else {
            let found = node.isNull ? "it has no value" : "not \(node.kind)"
            context.faults.add(position, "\(path) must be \(form.noun), \(found)")
            return nil
        }
        do {
            return try value(of: scalar.string, form)
        } catch {
            context.faults.add(position, "\(path): \(error.reason)")
            return nil
        }
    }

    private func value<Value>(
        of raw: String,
        _ form: Form<Value>
    ) throws(Rejection) -> Value {
        let substituted = try SubstitutedText(raw, environment: context.environment)
        guard !substituted.text.isEmpty else { throw Rejection("must not be empty") }
        guard !substituted.text.utf8.contains(0) else {
            throw Rejection("must not hold the character NUL")
        }
        do {
            return try form.read(substituted.text)
        } catch {
            // A value of the environment may be a secret at the wrong place: show its name only.
            let subject = form.isSecret ? "the value" : shown(raw)
            let origin = substituted.usesEnvironment ? ", taken from the environment," : ""
            throw Rejection("\(subject)\(origin) \(error.reason)")
        }
    }
}

extension Node {
    /// Whether nothing stands where a value could stand.
    fileprivate var isNull: Bool {
        guard let scalar, scalar.style == .plain else { return false }
        return ["", "~", "null", "Null", "NULL"].contains(scalar.string)
    }

    /// The node's kind with its article.
    fileprivate var kind: String {
        switch self {
        case .scalar: "a text"
        case .mapping: "a section"
        case .sequence: "a list"
        case .alias: "an alias"
        }
    }
}
