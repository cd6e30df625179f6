// SPDX-License-Identifier: Apache-2.0
//
// The rights that each write mode takes, column by column, looked at before the first row:
//
//   insert, copy   INSERT on all columns
//   upsert         the same, UPDATE on those that are not of the key, SELECT on all
//   update         UPDATE on those that are not of the key, SELECT on the key

import ChangeModel
import LibPQ
import Settings

/// What the role of a writer has to be granted.
struct WriteRights {
    let mode: Job.PostgreSQLWriter.Mode
    /// Places of the columns that find a row.
    let key: [Int]

    /// Throws `job.permission_denied` with the GRANT of all that lacks; does not block.
    func check(
        _ columns: [TargetColumn],
        of table: TargetRelation,
        _ destination: String,
        on target: borrowing Connection
    ) throws(WalrelayError) {
        let lacking = ["INSERT", "UPDATE", "SELECT"].compactMap { privilege -> String? in
            let names = places(of: privilege, columns)
                .filter { !columns[$0].privileges.contains(privilege) }
                .map { columns[$0].written.quoted }
            return names.isEmpty ? nil : "\(privilege) (\(names.joined(separator: ", ")))"
        }
        guard !lacking.isEmpty else { return }
        let rights = lacking.joined(separator: ", ")
        // The server tells who has logged in.
        let role = target.parameterStatus("session_authorization") ?? ""
        throw WalrelayError(
            "job.permission_denied",
            exit: .prerequisite,
            "role \(role) of the datasource lacks \(rights) on \(table) of \(destination)",
            hint: "GRANT \(rights) ON \(table.qualified) TO \(SQL.identifier(role));"
        )
    }

    private func places(of privilege: String, _ columns: [TargetColumn]) -> [Int] {
        let others = columns.indices.filter {
            !key.contains($0) && !columns[$0].written.isAlwaysIdentity
        }
        return switch (privilege, mode) {
        case ("INSERT", .insert), ("INSERT", .copy), ("INSERT", .upsert): Array(columns.indices)
        case ("UPDATE", .upsert), ("UPDATE", .update): others
        case ("SELECT", .upsert): key + others
        case ("SELECT", .update): key
        default: []
        }
    }
}
