// SPDX-License-Identifier: Apache-2.0
//
// The parameters of a step that reads or writes a PostgreSQL. Which tables and columns there are
// is for the server to say; what contradicts itself is said here.

extension JobReading {
    func readReader(_ step: Section, _ plugIn: PlugIn) -> Job.Reader? {
        step.demand("parameter", "a section of the step's parameters")
        return switch plugIn {
        case .stream: step.section("parameter") { .stream(self.readStreamReader($0)) }
        case .postgresql:
            step.section("parameter") { self.readPostgreSQL($0).map { .postgresql($0) } }
        }
    }

    /// Gives the writer and its `dirtyRecords`.
    func readWriter(_ step: Section, _ plugIn: PlugIn) -> (Job.Writer?, String?) {
        step.demand("parameter", "a section of the step's parameters")
        var dirtyRecords: String?
        let writer: Job.Writer? = step.section("parameter") { parameter in
            dirtyRecords = parameter.take("dirtyRecords", .path(from: context.baseDirectory))
            return switch plugIn {
            case .stream: .stream(self.readStreamWriter(parameter))
            case .postgresql: self.readTarget(parameter).map { .postgresql($0) }
            }
        }
        return (writer, dirtyRecords)
    }

    private func readPostgreSQL(_ section: Section) -> Job.PostgreSQLReader? {
        let ends = readServer(section, role: .reader)
        let columns = readColumns(section)
        let condition = section.take("where", .text)
        let splitKey = section.take("splitPk", .text)
        let queries = readStatements(section, "querySql") + ends.queries
        let fetchSize = section.take("fetchSize", .integer(in: 1...Int(Int32.max)))
        refuseDryRun(section)
        idle(section, IdleKeys.postgresql + IdleKeys.postgresqlReader)

        let content: Job.PostgreSQLReader.Content
        if queries.isEmpty {
            if !ends.namesTables { section.demand("table", "a table, or querySql,") }
            section.demand("column", "a list of columns, [\"*\"] for all,")
            guard let columns, !columns.isEmpty, !ends.tables.isEmpty else { return nil }
            var tables = Job.PostgreSQLReader.Tables(names: ends.tables, columns: columns)
            tables.condition = condition
            tables.splitKey = splitKey
            content = .tables(tables)
        } else {
            if splitKey != nil { section.warn("splitPk", "has no effect beside querySql") }
            content = .queries(queries)
        }
        guard let server = ends.server else { return nil }
        var reader = Job.PostgreSQLReader(server: server, content: content)
        reader.fetchSize = fetchSize
        return reader
    }

    private func readTarget(_ section: Section) -> Job.PostgreSQLWriter? {
        let ends = readServer(section, role: .writer)
        let columns = readColumns(section)
        let mode = section.take("writeMode", .writeMode)
        let uniqueKey = readTexts(section, "uniqueKey", of: "a column")
        let preSQL = readStatements(section, "preSql")
        let postSQL = readStatements(section, "postSql")
        let batchRows = section.take("batchSize", .integer(in: 1...1_000_000))
        let batchBytes = section.take("batchByteSize", .size(in: 1...(1 << 30)))
        let types = section.section("pgType") { $0.entries { _ in .text } } ?? [:]
        refuseDryRun(section)
        idle(section, IdleKeys.postgresql + IdleKeys.postgresqlWriter)

        if !ends.namesTables { section.demand("table", "a table") }
        section.demand("column", "a list of columns, [\"*\"] for all,")
        if ends.tables.count > 1 {
            section.fault(
                section.has("table") ? "table" : "connection",
                "names \(ends.tables.count) tables: a writer writes one"
            )
        }
        if let columns {
            checkNames(section, "uniqueKey", uniqueKey ?? [], among: columns)
            checkNames(section, "pgType", types.keys.sorted(), among: columns)
        }
        checkKey(section, mode ?? .insert, uniqueKey ?? [], columns: columns ?? [])
        guard let server = ends.server, let table = ends.tables.first, let columns,
            !columns.isEmpty
        else { return nil }
        var writer = Job.PostgreSQLWriter(server: server, table: table, columns: columns)
        writer.mode = mode ?? .insert
        writer.uniqueKey = uniqueKey ?? []
        writer.preSQL = preSQL
        writer.postSQL = postSQL
        writer.batchRows = batchRows
        writer.batchBytes = batchBytes
        writer.types = types
        return writer
    }

    /// uniqueKey belongs to the modes that find rows, and to no other.
    private func checkKey(
        _ section: Section,
        _ mode: Job.PostgreSQLWriter.Mode,
        _ key: [String],
        columns: [String]
    ) {
        switch mode {
        case .insert, .copy:
            guard section.has("uniqueKey") else { return }
            section.fault(
                "uniqueKey",
                "belongs to writeMode upsert or update, not to \(mode.rawValue)"
            )
        case .upsert, .update:
            section.demand(
                "uniqueKey",
                "a list of the columns by which \(mode.rawValue) finds a row"
            )
            if mode == .update, !key.isEmpty, !columns.contains("*"),
                columns.allSatisfy({ key.contains($0) })
            {
                section.fault("uniqueKey", "holds every column: there is none left to update")
            }
        }
    }

    /// Every name is a column that is written, unless all are.
    private func checkNames(
        _ section: Section,
        _ key: String,
        _ names: [String],
        among columns: [String]
    ) {
        guard !columns.contains("*") else { return }
        let known = Set(columns.map(Self.unquoted))
        // Bounded, so that a large document of another kind is refused as quickly as a small one.
        let near = Array(columns.prefix(1600))
        for name in names.lazy.filter({ !known.contains(Self.unquoted($0)) }).prefix(100) {
            section.fault(
                key,
                "\(shown(name)) is none of the columns that are written"
                    + suggestion(nearestName(to: name, among: near))
            )
        }
    }

    private static func unquoted(_ name: String) -> String {
        guard name.count > 2, name.hasPrefix("\""), name.hasSuffix("\"") else { return name }
        return String(name.dropFirst().dropLast()).replacing("\"\"", with: "\"")
    }

    /// `column`: a list of texts, numbers and `{"name": …}`, or `*` alone.
    private func readColumns(_ section: Section) -> [String]? {
        if section.node("column")?.text == "*" { return ["*"] }
        let columns = section.list("column", of: "a column", allowsSingle: false) { node, path in
            if case .section = node.content {
                return Section.read(node, path: path, context: context) { column in
                    idle(column, ["comment", "id", "index", "isPartition", "order", "type"])
                    return column.require("name", .text)
                }
            }
            if !node.isNull, node.isBlank {
                context.faults.add(node.position, "\(path) must not be empty")
                return nil
            }
            return section.scalar(node, path: path, .column)
        }
        if columns?.isEmpty == true {
            section.fault("column", "must not be empty: [\"*\"] stands for all columns")
        }
        return columns
    }

    /// A text or a list of texts, of which empty ones count for nothing.
    func readTexts(_ section: Section, _ key: String, of noun: String) -> [String]? {
        let texts: [String?]? = section.list(key, of: noun, allowsSingle: true) { node, path in
            if node.isBlank { return .some(nil) }
            return section.scalar(node, path: path, .text).map { .some($0) }
        }
        return texts?.compactMap { $0 }
    }

    private func readStatements(_ section: Section, _ key: String) -> [String] {
        readTexts(section, key, of: "a statement") ?? []
    }
}

extension Form where Value == String {
    /// A column as a document gives it.
    fileprivate static var column: Form { Form("a column") { text throws(Rejection) in text } }
}

extension Form where Value == Job.PostgreSQLWriter.Mode {
    /// A mode in any case.
    fileprivate static var writeMode: Form {
        Form(choice.noun) { text throws(Rejection) in
            do throws(Rejection) {
                return try choice.read(text.lowercased())
            } catch {
                let isReplace = text.lowercased() == "replace"
                throw Rejection(
                    error.reason + (isReplace ? "; upsert with uniqueKey replaces rows" : "")
                )
            }
        }
    }
}
