// SPDX-License-Identifier: Apache-2.0
//
// The parameters of a step that makes rows up, and of one that prints them. A constant is checked
// against its type here, so that a job does not fail at its first row.

extension JobReading {
    func readStreamReader(_ section: Section) -> Job.StreamReader {
        let columns = section.list("column", of: "a value or a section", allowsSingle: false) {
            self.readColumn($0, path: $1)
        }
        let bounds = Form<Int>.integer(in: 0...(1 << 53))
        let slice = section.take("sliceRecordCount", bounds)
        let count = section.take("count", bounds) ?? slice
        section.exclude(["count"], beside: "sliceRecordCount")
        idle(section, IdleKeys.streamReader)
        if columns?.isEmpty ?? !section.has("column") {
            warn(section, "has no column: the step makes no rows")
        } else if !section.has("count"), !section.has("sliceRecordCount") {
            warn(section, "has no sliceRecordCount: the step makes no rows")
        }
        return Job.StreamReader(
            columns: columns ?? [],
            rowsPerChannel: columns?.isEmpty == false ? count ?? 0 : 0
        )
    }

    func readStreamWriter(_ section: Section) -> Job.StreamWriter {
        var writer = Job.StreamWriter()
        section.take("print", .lenientBoolean, into: &writer.prints)
        if let delimiter = section.rawNode("fieldDelimiter"), !delimiter.isNull,
            let text = delimiter.text, !text.isEmpty
        {
            writer.delimiter = text
        }
        for key in ["path", "fileName"] where section.take(key, .text) != nil {
            section.fault(key, "is not supported: print, and redirect the standard output")
        }
        idle(section, IdleKeys.streamWriter)
        return writer
    }

    private func warn(_ section: Section, _ sentence: String) {
        context.notes.warnings.append("line \(section.position.line): \(section.path) \(sentence)")
    }

    private func readColumn(_ node: DocumentNode, path: String) -> Job.StreamReader.Column? {
        if case .section = node.content {
            return Section.read(node, path: path, context: context) { self.readColumn($0) }
        }
        if node.isUnreadable { return nil }
        guard let text = node.text else {
            context.faults.add(
                node.position,
                "\(path) must be a value or a section, not \(node.kind)"
            )
            return nil
        }
        guard !text.utf8.contains(0) else {
            context.faults.add(node.position, "\(path) must not hold the character NUL")
            return nil
        }
        return .init(kind: .string, value: .constant(node.isNull ? nil : text))
    }

    private func readColumn(_ section: Section) -> Job.StreamReader.Column? {
        let kind = section.take("type", .columnKind)
        let pattern = section.take("dateFormat", .datePattern)
        let random = section.take("random", .text)
        var value = section.rawNode("value")
        // Where both stand, a value that is blank is none.
        if section.has("random"), value?.isBlank == true { value = nil }
        idle(section, ["comment", "index", "name"])
        guard kind != nil || !section.has("type"), pattern != nil || !section.has("dateFormat")
        else { return nil }
        let type = kind ?? .string
        do throws(Rejection) {
            if let value {
                if random != nil { section.warn("random", "has no effect beside value") }
                guard !value.isUnreadable else { return nil }
                guard let text = value.text else {
                    throw Rejection("must be a value, not \(value.kind)")
                }
                let constant =
                    value.isNull ? nil : try Self.constant(text, type, pattern ?? .standard)
                return .init(kind: type, value: .constant(constant))
            }
            guard let random else {
                if !section.has("random") {
                    section.demand("value", "value, null for NULL, or random with two bounds,")
                }
                return nil
            }
            let bounds = try Self.bounds(random, type, pattern ?? .standard)
            return .init(kind: type, value: .random(bounds))
        } catch {
            section.fault(value == nil ? "random" : "value", error.reason)
            return nil
        }
    }

    /// The text of a constant as PostgreSQL takes it.
    private static func constant(
        _ text: String,
        _ kind: Job.StreamReader.Column.Kind,
        _ pattern: DatePattern
    ) throws(Rejection) -> String {
        switch kind {
        case .string, .bytes:
            guard !text.utf8.contains(0) else { throw Rejection("must not hold the character NUL") }
            return text
        case .long:
            guard Int64(text) != nil else { throw Rejection("\(shown(text)) is not a long") }
            return text
        case .double:
            let isNumber = text.utf8.allSatisfy { (43...57).contains($0) || $0 | 0x20 == 0x65 }
            guard
                isNumber && Double(text) != nil || ["NaN", "Infinity", "-Infinity"].contains(text)
            else { throw Rejection("\(shown(text)) is not a double") }
            return text
        case .bool:
            guard let value = ["true": "true", "false": "false"][text.lowercased()] else {
                throw Rejection("\(shown(text)) is neither true nor false")
            }
            return value
        case .date: return try pattern.date(of: text).text
        }
    }

    /// The two bounds of `random`, in whole numbers.
    private static func bounds(
        _ text: String,
        _ kind: Job.StreamReader.Column.Kind,
        _ pattern: DatePattern
    ) throws(Rejection) -> ClosedRange<Int64> {
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        guard parts.count == 2 else {
            throw Rejection("\(shown(text)) is not two bounds with a comma between them")
        }
        var bounds: [Int64] = []
        for part in parts {
            let bound = trimmed(part)
            if kind == .date {
                bounds.append(try pattern.date(of: bound).milliseconds)
            } else if let number = Int64(bound) {
                bounds.append(number)
            } else {
                throw Rejection("\(shown(bound)) is not a whole number")
            }
        }
        guard bounds[0] <= bounds[1] else {
            throw Rejection("\(shown(text)) has its larger bound first")
        }
        let limits: ClosedRange<Int64> =
            switch kind {
            // A length: the most that is made is a quarter of what a value can have.
            case .string, .bytes: 0...(1 << 28)
            case .bool: 0...(1 << 30)
            case .long, .double, .date: .min ... .max
            }
        guard limits.contains(bounds[0]), limits.contains(bounds[1]) else {
            throw Rejection(
                "\(shown(text)) is out of bounds: \(limits.lowerBound) to \(limits.upperBound)"
            )
        }
        return bounds[0]...bounds[1]
    }

    private static func trimmed(_ text: Substring) -> String {
        let start = text.drop(while: \.isWhitespace)
        return String(
            start.prefix(start.count - start.reversed().prefix(while: \.isWhitespace).count)
        )
    }
}

extension Form where Value == Job.StreamReader.Column.Kind {
    /// A type in any case.
    fileprivate static var columnKind: Form {
        Form(choice.noun) { text throws(Rejection) in try choice.read(text.lowercased()) }
    }
}

extension Form where Value == DatePattern {
    /// A pattern of dates.
    fileprivate static var datePattern: Form {
        Form("a pattern such as yyyy-MM-dd HH:mm:ss") { text throws(Rejection) in
            try DatePattern(text)
        }
    }
}
