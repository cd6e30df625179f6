// SPDX-License-Identifier: Apache-2.0
//
// A job's sessions leave search_path to the role, for the job's own SQL (docs/decisions/0014). What
// is ours in them must not be looked up there: whoever may make objects in a schema of the path
// could have us run an operator of theirs that fits better than the server's (CVE-2018-1058). So
// functions and types are qualified, operands have the very types that an operator of pg_catalog
// has, and values of a key are compared by the operators that their type is sorted with.

import LibPQ

/// The operators by which values of a column's type are compared.
enum KeyOperators {
    /// SQL for the schema, quoted, of the operators that sort the type of `attribute`, an OID.
    ///
    /// Only a superuser makes an operator class. Types without one of their own (varchar, domains,
    /// enums, arrays, ranges) are compared as another type of pg_catalog.
    static func schema(ofType attribute: String) -> String {
        """
        coalesce((SELECT pg_catalog.quote_ident(s.nspname) FROM pg_catalog.pg_type t \
        JOIN pg_catalog.pg_opclass k ON k.opcdefault \
        AND k.opcintype = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END \
        JOIN pg_catalog.pg_am m ON m.oid = k.opcmethod AND m.amname = 'btree' \
        JOIN pg_catalog.pg_amop p ON p.amopfamily = k.opcfamily AND p.amopstrategy = 1 \
        AND p.amoplefttype = k.opcintype AND p.amoprighttype = k.opcintype \
        JOIN pg_catalog.pg_operator o ON o.oid = p.amopopr \
        JOIN pg_catalog.pg_namespace s ON s.oid = o.oprnamespace \
        WHERE t.oid = \(attribute)), 'pg_catalog')
        """
    }
}

extension SourceColumn {
    /// An operator between two values of the column, for SQL.
    func comparison(_ name: String) -> String { "OPERATOR(\(operators).\(name))" }
}

extension WrittenColumn {
    /// The operator that finds the column's value, for SQL.
    var equality: String { "OPERATOR(\(operators).=)" }
}
