// SPDX-License-Identifier: Apache-2.0
//
// The statements of preSql and postSql, one after the other, each in a transaction of its own.

import ChangeModel
import LibPQ

/// Statements of a job's document.
struct JobStatements: Sendable {
    /// How long a statement may run: an index on a large table takes hours.
    private static let limit: Duration = .seconds(7 * 86_400)

    /// The parameter that they stand in.
    let parameter: String
    /// What runs, as the server gets it.
    let statements: [String]

    /// `@table` stands for the table's name, as DataX has it.
    init(_ parameter: String, _ statements: [String], table: String) {
        self.parameter = parameter
        self.statements = statements.map { $0.replacing("@table", with: table) }
    }

    /// Whether one of them may make or change the definition of a table.
    var mayDefine: Bool {
        let words: Set = [
            "create", "alter", "drop", "do", "call", "select", "execute", "import", "set",
        ]
        return statements.contains { statement in
            statement.lowercased().split { !$0.isLetter && $0 != "_" }
                .contains { words.contains(String($0)) }
        }
    }

    /// Runs them; blocks.
    ///
    /// Throws `WalrelayError` naming the one that failed.
    func run(on target: borrowing Connection, _ destination: String) throws(WalrelayError) {
        for (index, statement) in statements.enumerated() {
            let name =
                "\(parameter) statement \(index + 1) of \(statements.count) on \(destination)"
            let isOpen: Bool
            do throws(PostgresError) {
                isOpen = try target.query(statement, within: Self.limit).beginsCopy
            } catch {
                throw WriterFault.error(error, while: name, statement: statement)
            }
            guard !isOpen else {
                throw WalrelayError(
                    "job.sql",
                    exit: .settings,
                    "\(name) copies from or to the client, which has nothing to copy\n"
                        + WriterFault.place(in: statement),
                    hint: "take it out of \(parameter)"
                )
            }
        }
        guard !target.isInTransaction else {
            throw WalrelayError(
                "job.sql",
                exit: .settings,
                "\(parameter) leaves a transaction open on \(destination)",
                hint: "each statement is committed by itself; several in one string are one "
                    + "transaction"
            )
        }
    }
}
