// SPDX-License-Identifier: Apache-2.0
//
// An independent judge of a copy: each server prints the rows of a table in one order, under the
// same settings, and the two streams are compared byte for byte as they come. Nothing of the
// product takes part, nothing is summed up or hashed, and memory holds one row of each side.
import Glibc

/// A table as it is on both sides.
public struct TablePair: Sendable {
    /// The schema's and the table's name on the source, unquoted.
    public let source: (schema: String, name: String)
    /// The same on the target.
    public let target: (schema: String, name: String)

    /// A table that has the same name on both sides unless another is given.
    public init(_ schema: String, _ name: String, target: (schema: String, name: String)? = nil) {
        source = (schema, name)
        self.target = target ?? (schema, name)
    }
}

extension TwinServers {
    /// What differs in the tables of these schemas; empty when both sides hold the same rows.
    ///
    /// A line a table: its name, the number of the first line that differs in its ordered dump,
    /// and that line on both sides. Blocks while the servers sort; nothing may be written.
    public func differences(
        inSchemas schemas: [String],
        database: String = "postgres",
        targetDatabase: String? = nil
    ) throws -> [String] {
        let list = schemas.map { "'\($0)'" }.joined(separator: ", ")
        let rows = try source.psql(
            """
            SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
            WHERE relkind IN ('r', 'p') AND NOT relispartition AND n.nspname IN (\(list))
            ORDER BY 1, 2
            """,
            database: database
        )
        let pairs = rows.split(separator: "\n").map { line in
            let parts = line.split(separator: "|", maxSplits: 1).map(String.init)
            return TablePair(parts[0], parts[1])
        }
        guard !pairs.isEmpty else { throw SupportError("no table in \(schemas)") }
        return try differences(of: pairs, database: database, targetDatabase: targetDatabase)
    }

    /// The same for tables that may have another name on the target.
    public func differences(
        of pairs: [TablePair],
        database: String = "postgres",
        targetDatabase: String? = nil
    ) throws -> [String] {
        try pairs.compactMap { pair in
            let columns = try columns(of: pair.source, database)
            let there = try source.dump(pair.source, columns, database)
            let copy = try target.dump(pair.target, columns, targetDatabase ?? database)
            let found = try there.firstDifference(from: copy)
            return found.map { "\(pair.source.schema).\(pair.source.name): \($0)" }
        }
    }

    /// How each column is printed, in the order of the source.
    ///
    /// Numbers of floating point have one text from 12 on, and another before: their bytes are
    /// taken instead.
    private func columns(
        of table: (schema: String, name: String),
        _ database: String
    ) throws -> [String] {
        let text = try source.psql(
            """
            SELECT CASE WHEN t.typname IN ('float4', 'float8', 'point', 'line', 'lseg', 'box',
                    'path', 'polygon', 'circle')
                THEN format('%s(%I)', t.typsend, a.attname)
                WHEN e.typname IN ('float4', 'float8', 'point', 'box')
                THEN format('array_send(%I)', a.attname)
                ELSE quote_ident(a.attname) END
            FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
            LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typlen = -1
            WHERE attrelid = (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
                WHERE nspname = \(sqlLiteral(table.schema)) AND relname = \(sqlLiteral(table.name)))
            AND attnum > 0 AND NOT attisdropped ORDER BY attnum
            """,
            database: database
        )
        return text.split(separator: "\n").map(String.init)
    }
}

/// The text as a literal of SQL.
public func sqlLiteral(_ text: String) -> String { "'\(text.replacing("'", with: "''"))'" }

/// The text as a name of SQL.
public func sqlName(_ text: String) -> String { "\"\(text.replacing("\"", with: "\"\""))\"" }

extension PostgresCluster {
    /// Settings that would change what is printed, pinned.
    private static let pinned = """
        -c client_encoding=UTF8 -c datestyle=ISO,YMD -c intervalstyle=postgres -c timezone=UTC \
        -c extra_float_digits=3 -c bytea_output=hex -c lc_monetary=C -c xmloption=content \
        -c search_path=pg_catalog -c work_mem=64MB
        """

    /// Starts to print all rows of a table, in the order of all columns' bytes.
    fileprivate func dump(
        _ table: (schema: String, name: String),
        _ columns: [String],
        _ database: String
    ) throws -> OrderedDump {
        let order = columns.map { "(\($0))::text COLLATE \"C\"" }.joined(separator: ", ")
        let name = "\(sqlName(table.schema)).\(sqlName(table.name))"
        let list = columns.isEmpty ? "1" : columns.joined(separator: ", ")
        let sorted = columns.isEmpty ? "" : " ORDER BY \(order)"
        var variables = environment
        variables["PGOPTIONS"] = Self.pinned
        let (output, end) = try pipePair()
        defer { close(end) }
        let child = try ChildProcess(
            program("psql"),
            ["-Xq", "-d", database, "-c", "COPY (SELECT \(list) FROM \(name)\(sorted)) TO STDOUT"],
            environment: variables,
            stdout: end
        )
        return try OrderedDump("\(version)", child, output)
    }
}

/// One side's rows as they come from its server.
private final class OrderedDump {
    private let name: String
    private let child: ChildProcess
    private let file: UnsafeMutablePointer<FILE>
    private var line: UnsafeMutablePointer<CChar>?
    private var capacity = 0
    private var length = 0

    init(_ name: String, _ child: ChildProcess, _ descriptor: Int32) throws {
        self.name = name
        self.child = child
        guard let file = fdopen(descriptor, "r") else {
            close(descriptor)
            throw SupportError("fdopen: \(errnoText())")
        }
        self.file = file
    }

    deinit {
        fclose(file)
        free(line)
    }

    /// Takes the next line; false at the end of a dump that is whole.
    private func next() throws -> Bool {
        length = getline(&line, &capacity, file)
        if length >= 0 { return true }
        guard child.waitBlocking(.seconds(60)) == .code(0) else {
            throw SupportError("the dump of \(name) failed: \(String(describing: child.status()))")
        }
        return false
    }

    /// The present line, cut to what fits into a message.
    private var text: String {
        let bytes = UnsafeRawBufferPointer(start: line, count: max(0, length))
        let shown = bytes.prefix(400)
        let rest = shown.count < bytes.count ? "… (\(bytes.count) bytes)" : ""
        return String(decoding: shown, as: UTF8.self) + rest
    }

    /// Reads both to the end; says where they part for the first time, if they do.
    func firstDifference(from copy: OrderedDump) throws -> String? {
        var number = 0
        while true {
            number += 1
            let (ours, theirs) = (try next(), try copy.next())
            if !ours, !theirs { return nil }
            if ours, theirs, let line, let other = copy.line, length == copy.length,
                memcmp(line, other, length) == 0
            {
                continue
            }
            return """
                line \(number) is on \(name): \(ours ? text : "(no more)")
                on \(copy.name), the copy: \(theirs ? copy.text : "(no more)")
                """
        }
    }
}
