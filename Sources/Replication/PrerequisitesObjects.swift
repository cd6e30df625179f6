// SPDX-License-Identifier: Apache-2.0
//
// The role's, the publication's and the slot's part of the check.

import ChangeModel
import LibPQ

/// What the connection's role may do.
struct RoleFacts: Sendable {
    let name: String
    let isSuperuser: Bool
    /// The attribute REPLICATION, or membership of rds_replication.
    let mayReplicate: Bool
    /// CREATE on the database.
    let mayCreate: Bool

    init(on connection: borrowing Connection) throws(PostgresError) {
        let row = try connection.query(
            """
            SELECT r.rolname, r.rolsuper, r.rolreplication OR EXISTS (SELECT \
            FROM pg_catalog.pg_roles g WHERE g.rolname = 'rds_replication' \
            AND pg_catalog.pg_has_role(g.oid, 'MEMBER')), \
            pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE') \
            FROM pg_catalog.pg_roles r WHERE r.rolname = current_user
            """
        )
        name = row.text(0, 0)
        isSuperuser = row.flag(0, 1)
        mayReplicate = row.flag(0, 2)
        mayCreate = row.flag(0, 3)
    }
}

extension CheckedSource {
    func roleFindings() -> [Finding] {
        let subject = "role \(role.name)"
        var findings: [Finding] = []
        if role.isSuperuser || role.mayReplicate {
            findings.append(
                Finding(
                    "role.replication",
                    .ok,
                    subject: subject,
                    found: role.isSuperuser ? "superuser" : "may replicate"
                )
            )
        } else {
            findings.append(
                Finding(
                    "role.replication",
                    .failed,
                    subject: subject,
                    found: "may not replicate",
                    mend: provider.allowReplication(to: role.name)
                )
            )
        }
        if needsOwner, let finding = databaseFinding { findings.append(finding) }
        return findings
    }

    /// Whether the publication is still to be made or altered by this role.
    private var needsOwner: Bool {
        guard !role.isSuperuser, !tables.isEmpty else { return false }
        guard let publication else { return true }
        let fit = publication.fit(tables)
        return !fit.isFit && fit.options.isEmpty && publication.isOurs
    }

    private var databaseFinding: Finding? {
        // Where the tables' owner has to make it, the role needs no right of its own.
        guard publication == nil, ownsAllTables else { return nil }
        let subject = "database \(facts.database)"
        return role.mayCreate
            ? Finding("role.create", .ok, subject: subject, found: "publications may be created")
            : Finding(
                "role.create",
                .failed,
                subject: subject,
                found: "\(role.name) may not create publications",
                mend: "GRANT CREATE ON DATABASE \(SQL.shown(facts.database)) TO "
                    + "\(SQL.shown(role.name));"
            )
    }

    /// Only a table's owner can name it in a publication.
    private var ownerFinding: Finding {
        let foreign = tables.compactMap { table -> String? in
            guard let access = access[table.relation.oid], !access.isOwner else { return nil }
            return "\(table.relation.qualifiedName) (\(access.owner))"
        }
        let subject = "publication \(requirements.publicationName)"
        guard !foreign.isEmpty else {
            return Finding(
                "role.owner",
                .ok,
                subject: subject,
                found: "\(role.name) owns the tables"
            )
        }
        let version = facts.version
        let statement =
            publication.map {
                Publication.mendingStatement(
                    $0,
                    fit: $0.fit(tables),
                    tables: tables,
                    serverVersion: version
                )
            }
            ?? Publication.createStatement(
                name: requirements.publicationName,
                tables: tables,
                serverVersion: version
            )
        return Finding(
            "role.owner",
            .failed,
            subject: subject,
            found: "\(role.name) does not own \(Prose.list(foreign)), so somebody who does has to "
                + (publication == nil ? "make it" : "alter it"),
            mend: statement
        )
    }

    /// After those of the tables, and so are their mendings: a table that is published before it
    /// has a replica identity breaks the application's writes.
    func publicationFindings() -> [Finding] {
        (needsOwner ? [ownerFinding] : []) + stateFindings()
    }

    private func stateFindings() -> [Finding] {
        let subject = "publication \(requirements.publicationName)"
        guard let publication else { return [absenceFinding(subject)] }
        let fit = publication.fit(tables)
        if requirements.taken != nil, !fit.gaps.isEmpty {
            let gap = PublicationGap(
                publication,
                fit: fit,
                tables: tables,
                serverVersion: facts.version
            )
            return [
                Finding(
                    "publication.gap",
                    .failed,
                    subject: subject,
                    found: gap.found,
                    mend: gap.mend
                )
            ]
        }
        let differences = (fit.options + fit.tables).joined(separator: "; ")
        if fit.isFit || tables.isEmpty {
            return [Finding("publication", .ok, subject: subject, found: "exists and fits")]
        }
        if fit.options.isEmpty, publication.isOurs, ownsAllTables {
            return [
                Finding(
                    "publication",
                    .ok,
                    subject: subject,
                    found: "its tables will be set: \(differences)"
                )
            ]
        }
        return [
            Finding(
                "publication.unfit",
                .failed,
                subject: subject,
                found: differences,
                mend: Publication.mendingStatement(
                    publication,
                    fit: fit,
                    tables: tables,
                    serverVersion: facts.version
                )
            )
        ]
    }

    /// What was written between the slot's position and a new publication cannot be decoded: up to
    /// 17 the stream fails there, from 18 on it skips it without a word.
    private func absenceFinding(_ subject: String) -> Finding {
        // A slot that cannot serve the task is told by itself.
        guard let slot, slotObstacle(slot) == nil else {
            return Finding("publication", .ok, subject: subject, found: "absent, will be created")
        }
        return Finding(
            "publication.missing",
            .failed,
            subject: subject,
            found: "absent, but slot \(slot.name) exists: what was written since cannot "
                + "be decoded any more",
            mend: Slot.afresh
        )
    }
}

extension CheckedSource {
    func slotFindings() -> [Finding] {
        let subject = "slot \(requirements.slotName)"
        guard let slot else {
            return [Finding("slot", .ok, subject: subject, found: "absent, will be created")]
        }
        if let (id, found) = slotObstacle(slot) {
            let drop = "SELECT pg_drop_replication_slot(\(SQL.shownLiteral(slot.name)));"
            let mend = slot.isLost ? Slot.afresh : drop
            return [Finding(id, .failed, subject: subject, found: found, mend: mend)]
        }
        let retained = slot.retainedBytes.map { ", \(Prose.bytes($0)) of WAL kept for it" } ?? ""
        if slot.isActive {
            let pid = slot.activePID.map { " (pid \($0))" } ?? ""
            return [
                Finding(
                    "slot.active",
                    .warning,
                    subject: subject,
                    found: "in use by another session\(pid)\(retained)",
                    mend: "stop the other walrelay of this task, or choose another task name"
                )
            ]
        }
        if slot.walStatus == "unreserved" {
            return [
                Finding(
                    "slot.at_risk",
                    .warning,
                    subject: subject,
                    found: "the next checkpoint may remove WAL that it needs\(retained)",
                    mend: "run the task now; "
                        + provider.change(
                            "max_slot_wal_keep_size",
                            to: "65536",
                            spoken: "64GB",
                            needsRestart: false
                        )
                )
            ]
        }
        return [Finding("slot", .ok, subject: subject, found: "exists\(retained)")]
    }

    /// Why the slot of this name can never serve the task.
    private func slotObstacle(_ slot: SlotState) -> (id: String, found: String)? {
        if slot.type != "logical" { return ("slot.kind", "it is a \(slot.type) slot") }
        if slot.plugin != "pgoutput" {
            return ("slot.plugin", "its output plugin is \(slot.plugin ?? "none"), not pgoutput")
        }
        if slot.database != facts.database {
            return (
                "slot.database",
                "it belongs to database \(slot.database ?? "none"), not \(facts.database)"
            )
        }
        if slot.isTemporary {
            return ("slot.temporary", "it is temporary and goes with the session that made it")
        }
        if slot.isTwoPhase {
            return ("slot.two_phase", "it decodes prepared transactions before their commit")
        }
        if slot.isLost {
            let reason = slot.invalidationReason.map { " (\($0))" } ?? ""
            return (
                "slot.wal_lost",
                "the server has given it up\(reason): changes since "
                    + "\(slot.confirmedFlushLSN?.description ?? "its position") are lost, a new "
                    + "snapshot is needed"
            )
        }
        return nil
    }
}
