// SPDX-License-Identifier: Apache-2.0
//
// A cursor over a document's tree that reads typed values and collects what is wrong. A section is
// a mapping; whoever reads it asks for each key it knows, and `finish` reports the keys that nobody
// asked for. Each reading gives nil after it has logged a fault, so the faults of a whole document
// are found in one pass: what it says is complete if and only if the log is empty.

import ChangeModel

/// What all sections of one reading share.
struct ReadingContext {
    let faults: FaultLog
    /// What `${NAME}` in a scalar takes its value from; nil leaves scalars as they are.
    let environment: [String: String]?
    /// The directory that relative paths start from.
    let baseDirectory: String
    let notes: Notes
    /// What the document is called where it is spoken of as a whole.
    var noun = "the settings"
    /// Whether null and a text of blanks count as if the key were not there.
    var blankIsAbsent = false
}

/// What a reading found that is no fault.
final class Notes {
    /// Sentences for the operator.
    var warnings: [String] = []
    /// The settings that hold a password in clear, by their path.
    var literalPasswords: [String] = []
}

/// One mapping of the document.
final class Section {
    private struct Entry {
        let keyPosition: Position
        let value: DocumentNode
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
    /// Keys that are known and do nothing; they are not suggested where a list of keys is shown.
    private var idle: [String] = []

    /// Takes a mapping; an empty value counts as a mapping without keys.
    init?(_ node: DocumentNode, path: String, context: ReadingContext) {
        self.path = path
        self.context = context
        position = node.position
        guard case .section(let members) = node.content else {
            if node.isNull { return }
            if node.isUnreadable { return nil }
            let subject = path.isEmpty ? context.noun : path
            context.faults.add(
                position,
                "\(subject) must be a section of keys and values, not \(node.kind)"
            )
            return nil
        }
        for member in members {
            let keyPosition = member.key.position
            if member.key.isUnreadable { continue }
            guard let name = member.key.text else {
                context.faults.add(keyPosition, "a key must be a text, not \(member.key.kind)")
                continue
            }
            if let first = entries[name] {
                context.faults.add(
                    keyPosition,
                    "the key \(shownKey(name)) stands twice\(place), first in line"
                        + " \(first.keyPosition.line)"
                )
                continue
            }
            entries[name] = Entry(keyPosition: keyPosition, value: member.value)
            order.append(name)
        }
    }

    /// Whether a key stands here, with or without a value unless blank ones count as absent.
    func has(_ key: String) -> Bool {
        guard let node = entries[key]?.value else { return false }
        return !isAbsent(node)
    }

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
            let missing = entries[key] == nil ? "is missing" : "has no value"
            context.faults.add(
                position(of: key),
                "\(pathOf(key)) \(missing): \(what) is required"
            )
        }
    }

    /// Logs a fault when a key stands here without another that it needs.
    func pair(_ key: String, with other: String) {
        if has(key), !has(other) { fault(key, "needs \(pathOf(other)) beside it") }
    }

    /// The keys that stand here, in their order.
    var keys: [String] { order }

    /// Every key with its section read, for sections whose keys are free.
    func sections<Value>(_ read: (Section) -> Value?) -> [String: Value] {
        var result: [String: Value] = [:]
        for key in order { result[key] = section(key, read) }
        return result
    }

    /// Every key with its value read in its form, for sections whose keys are free.
    func entries<Value>(_ form: (String) -> Form<Value>) -> [String: Value] {
        var result: [String: Value] = [:]
        for key in order { result[key] = take(key, form(key)) }
        return result
    }

    /// Whether a key has its value from this file alone, not from the environment.
    private func isLiteral(_ key: String) -> Bool {
        guard let node = entries[key]?.value else { return false }
        if case .list(let nodes) = node.content { return nodes.contains { $0.origin == nil } }
        guard let environment = context.environment else { return node.origin == nil }
        let substituted = try? SubstitutedText(node.text ?? "", environment: environment)
        return substituted?.usesEnvironment == false
    }

    /// Reports the keys that nobody asked for.
    func finish() {
        for key in order where !isKnown.contains(key) && !idle.contains(key) {
            let nearest = nearestName(to: nameOfKey(key), among: known + idle)
            let hint =
                nearest == nil
                ? "; known are \(known.joined(separator: ", "))" : suggestion(nearest)
            // Where a key was forgotten, what stands for one may be a password.
            let isBare = nearest == nil && entries[key]?.value.isNull == true
            let name = isBare ? "without a value" : shownKey(key)
            context.faults.add(position(of: key), "unknown key \(name)\(place)\(hint)")
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
        _ node: DocumentNode,
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
            if case .section = node.content {
                return Self.read(node, path: path, context: context, read)
            }
            return scalar(node, path: path, form)
        }
    }

    /// Reads a list if it stands here, each entry with its path by a closure.
    ///
    /// A value that is no list is a list of one when allowed. Nil unless every entry could be read.
    func list<Value>(
        _ key: String,
        of noun: String,
        allowsSingle: Bool,
        _ read: (DocumentNode, String) -> Value?
    ) -> [Value]? {
        guard let node = node(key), !node.isUnreadable else { return nil }
        guard case .list(let nodes) = node.content else {
            if allowsSingle, !node.isNull { return read(node, pathOf(key)).map { [$0] } }
            let found = node.isNull ? "it has no value" : "not \(node.kind)"
            context.faults.add(
                node.position,
                "\(pathOf(key)) must be a list, each entry \(noun), \(found)"
            )
            return nil
        }
        let values = nodes.enumerated().map { read($1, "\(pathOf(key))[\($0)]") }
        let complete = values.compactMap { $0 }
        return complete.count == values.count ? complete : nil
    }

    /// A key with the path before it.
    func pathOf(_ key: String) -> String {
        path.isEmpty ? key.shown : "\(path).\(key.shown)"
    }

    /// " in sink.kafka", nothing for the root.
    private var place: String { path.isEmpty ? "" : " in \(path)" }

    /// The value of a key that is known here, if it stands here and is not absent.
    func node(_ key: String) -> DocumentNode? {
        if isKnown.insert(key).inserted { known.append(key) }
        return entries[key].flatMap { isAbsent($0.value) ? nil : $0.value }
    }

    /// The value of a key that is known here, blank or not.
    func rawNode(_ key: String) -> DocumentNode? {
        if isKnown.insert(key).inserted { known.append(key) }
        return entries[key]?.value
    }

    /// Knows keys that have no effect; gives those that stand here with a value, and their lines.
    func takeIdle(_ keys: [String]) -> [(path: String, line: Int)] {
        idle += keys
        return order.filter { keys.contains($0) && !isKnown.contains($0) && has($0) }
            .map { (pathOf($0), position(of: $0).line) }
    }

    private func isAbsent(_ node: DocumentNode) -> Bool {
        context.blankIsAbsent && node.isBlank
    }

    private func requirePresence(of key: String, due noun: String) -> Bool {
        if let node = node(key), !node.isNull { return true }
        let missing = entries[key] == nil ? "is missing" : "has no value"
        context.faults.add(position(of: key), "\(pathOf(key)) \(missing): \(noun) is required")
        return false
    }

    /// Reads a node as a scalar.
    func scalar<Value>(_ node: DocumentNode, path: String, _ form: Form<Value>) -> Value? {
        if node.isUnreadable { return nil }
        guard let text = node.text, !node.isNull else {
            let found = node.isNull ? "it has no value" : "not \(node.kind)"
            context.faults.add(node.position, "\(path) must be \(form.noun), \(found)")
            return nil
        }
        do {
            return try value(of: text, origin: node.origin, form)
        } catch {
            context.faults.add(node.position, "\(path): \(error.reason)")
            return nil
        }
    }

    private func value<Value>(
        of raw: String,
        origin: String?,
        _ form: Form<Value>
    ) throws(Rejection) -> Value {
        var text = raw
        var origin = origin
        if let environment = context.environment {
            let substituted = try SubstitutedText(raw, environment: environment)
            text = substituted.text
            if substituted.usesEnvironment { origin = "the environment" }
        }
        guard !text.isEmpty else { throw Rejection("must not be empty") }
        guard !text.utf8.contains(0) else {
            throw Rejection("must not hold the character NUL")
        }
        do {
            return try form.read(text)
        } catch {
            // A value of the environment may be a secret at the wrong place: show its name only.
            let subject = form.isSecret ? "the value" : shown(raw)
            let source = origin.map { ", taken from \($0)," } ?? ""
            throw Rejection("\(subject)\(source) \(error.reason)")
        }
    }
}
