// SPDX-License-Identifier: Apache-2.0
//
// Which server a step means, and which tables there: by a datasource's name, or as DataX has it in
// `connection` with jdbcUrl. Several entries of `connection` are one server's tables.

import ChangeModel

extension JobReading {
    /// Where a step reads or writes.
    struct StepServer {
        var server: Job.Server?
        var tables: [String] = []
        var queries: [String] = []
        /// Whether a table is named, even if by a faulty key.
        var namesTables = false
    }

    /// One entry of `connection`, or the parameters themselves.
    private struct Entry {
        var datasource: String?
        var urls: [JDBCURL] = []
        var tables: [String] = []
        var queries: [String] = []
        let section: Section
    }

    func readServer(_ parameter: Section, role: Role) -> StepServer {
        let user = parameter.take("username", .text)
        let password = parameter.take("password", .secret)
        let own = readEntry(parameter)
        let entries = parameter.list(
            "connection",
            of: "a section of table and jdbcUrl or datasource",
            allowsSingle: true
        ) { node, path in
            Section.read(node, path: path, context: context) { section in
                var entry = self.readEntry(section)
                entry.queries = self.readTexts(section, "querySql", of: "a statement") ?? []
                self.idle(section, IdleKeys.postgresql + IdleKeys.postgresqlReader)
                return entry
            }
        }
        var result = StepServer()
        result.tables = own.tables
        for entry in entries ?? [] {
            result.tables += entry.tables.filter { !own.tables.contains($0) }
            result.queries += entry.queries
        }
        refuseRepeated(result.tables, parameter)
        let all = [own] + (entries ?? [])
        result.namesTables = all.contains { $0.section.has("table") }
        // What is faulty has had its fault, and may be what names the server or the table.
        let isComplete = !parameter.has("connection") || entries != nil
        if !isComplete { result.namesTables = true }
        result.server = server(
            of: all.filter { $0.datasource != nil || !$0.urls.isEmpty },
            parameter,
            role: role,
            login: (user, password),
            isNamed: !isComplete
                || all.contains { $0.section.has("datasource") || $0.section.has("jdbcUrl") }
        )
        return result
    }

    private func readEntry(_ section: Section) -> Entry {
        var entry = Entry(section: section)
        entry.datasource = section.take("datasource", .text)
        if let name = entry.datasource {
            let place = section.position(of: "datasource")
            let path = section.pathOf("datasource")
            if datasourcePlaces[name] == nil {
                datasourcePlaces[name] = "\(place.line):\(place.column): \(path)"
            }
        }
        entry.urls = section.list("jdbcUrl", .jdbcURL, allowsSingle: true) ?? []
        if let texts = readTexts(section, "table", of: "a table") {
            for text in texts where entry.tables.count <= TableList.limit {
                entry.tables += TableList.names(text)
            }
            if entry.tables.isEmpty { section.fault("table", "names no table") }
            if entry.tables.count > TableList.limit {
                section.fault("table", "names more than \(TableList.limit) tables")
                entry.tables = []
            }
        }
        return entry
    }

    private func refuseRepeated(_ tables: [String], _ section: Section) {
        var seen: Set<String> = []
        for table in tables where !seen.insert(table).inserted {
            section.fault(
                section.has("table") ? "table" : "connection",
                "names \(shown(table)) twice: its rows would be read twice"
            )
        }
    }

    private func server(
        of entries: [Entry],
        _ parameter: Section,
        role: Role,
        login: (user: String?, password: Secret?),
        isNamed: Bool
    ) -> Job.Server? {
        guard let first = entries.first else {
            if !isNamed {
                parameter.demand("datasource", "a datasource's name, or connection with jdbcUrl,")
            }
            return nil
        }
        for entry in entries { entry.section.exclude(["jdbcUrl"], beside: "datasource") }
        if let name = first.datasource {
            for entry in entries.dropFirst() where entry.datasource != name {
                let key = entry.datasource == nil ? "jdbcUrl" : "datasource"
                entry.section.fault(key, "is another server than \(shown(name)): a step has one")
            }
            for key in ["username", "password"] where parameter.has(key) {
                parameter.warn(key, "has no effect beside a datasource, which has its own")
            }
            return .datasource(name)
        }
        for entry in entries.dropFirst() where entry.urls != first.urls {
            entry.section.fault(
                entry.datasource == nil ? "jdbcUrl" : "datasource",
                "is another server than \(first.section.pathOf("jdbcUrl")): a step has one"
            )
        }
        return connection(of: first, parameter, role: role, login: login)
    }

    private func connection(
        of entry: Entry,
        _ parameter: Section,
        role: Role,
        login: (user: String?, password: Secret?)
    ) -> Job.Server? {
        guard let url = JDBCURL.merged(entry.urls) else {
            entry.section.fault(
                "jdbcUrl",
                "has several URLs that differ in more than host and port: a step has one server"
            )
            return nil
        }
        parameter.notePassword(in: "password")
        if url.password != nil { entry.section.notePassword(in: "jdbcUrl") }
        if !url.idleParameters.isEmpty {
            entry.section.warn(
                "jdbcUrl",
                "has parameters without effect here:"
                    + " \(url.idleParameters.map(\.shown).sorted().joined(separator: ", "))"
            )
        }
        do throws(Rejection) {
            return .connection(
                try url.connection(
                    user: login.user,
                    password: login.password,
                    mayBeStandby: role == .reader
                )
            )
        } catch {
            entry.section.fault("jdbcUrl", "the value \(error.reason)")
            return nil
        }
    }
}

/// Names of tables in one text: `a, b` and `part_[0-3]`, as DataX takes them.
enum TableList {
    /// The most tables of a step.
    static let limit = 10_000

    static func names(_ text: String) -> [String] {
        split(text).flatMap(expanded)
    }

    /// Divides at commas outside quotes.
    private static func split(_ text: String) -> [String] {
        var names = [""]
        var isQuoted = false
        for scalar in text.unicodeScalars {
            if scalar == "\"" { isQuoted.toggle() }
            if scalar == ",", !isQuoted {
                names.append("")
            } else {
                names[names.count - 1].unicodeScalars.append(scalar)
            }
        }
        return names.map(trimmed).filter { !$0.isEmpty }
    }

    private static func trimmed(_ text: String) -> String {
        let isBlank = { (scalar: Unicode.Scalar) in scalar.properties.isWhitespace }
        let start = text.unicodeScalars.drop(while: isBlank)
        return String(String.UnicodeScalarView(start.reversed().drop(while: isBlank).reversed()))
    }

    /// `name[1-3]rest` is name1rest to name3rest; leading zeros are kept.
    private static func expanded(_ name: String) -> [String] {
        let form = #/([^\[\]]*)\[([0-9]{1,9})-([0-9]{1,9})\]([^\[\]]*)/#
        guard name.utf8.count < 256, !name.contains("\""), let match = name.wholeMatch(of: form),
            let one = Int(match.2), let other = Int(match.3)
        else { return [name] }
        let first = min(one, other)
        // One more than the limit is enough to be refused.
        let last = min(max(one, other), first + limit)
        let written = one <= other ? match.2 : match.3
        let width = written.hasPrefix("0") ? written.count : 0
        return (first...last).map { number in
            let digits = String(number)
            let zeros = String(repeating: "0", count: max(0, width - digits.count))
            return "\(match.1)\(zeros)\(digits)\(match.4)"
        }
    }
}
