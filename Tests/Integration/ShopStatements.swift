// SPDX-License-Identifier: Apache-2.0
//
// Random transactions over the tables of ShopTables, the same for the same seed: few keys, so
// that one transaction and its neighbours often meet the same rows; savepoints that are rolled
// back; transactions that are. Some statements break a constraint on purpose.

import Support

/// Makes the transactions of one client.
struct ShopStatements: Sendable {
    private let tables: ShopTables
    private var random: SeededGenerator

    init(_ tables: ShopTables, seed: UInt64) {
        self.tables = tables
        random = SeededGenerator(seed: seed)
    }

    private static let oddTexts = [
        "", " ", "NULL", "null", #"\N"#, #"\."#, "it's", #"say "hi""#, "tab\there", "line\nfeed",
        "carriage\rreturn", #"back\slash\\"#, "grüße 🚀", "e\u{301}", "é", "{a,b}", "(1,2)", "a,b",
        "$1", "%s", ":x", "\u{1}\u{8}\u{7f}", "\u{2028}", "trailing ", "x'", "--", "/*",
        String(repeating: "long ", count: 200),
    ]

    // MARK: Chance

    private mutating func number(_ range: ClosedRange<Int>) -> Int {
        Int.random(in: range, using: &random)
    }

    private mutating func happens(_ percent: Int) -> Bool { number(1...100) <= percent }

    private mutating func oddText() -> String {
        let text = Self.oddTexts.randomElement(using: &random) ?? ""
        return "'\(text.replacing("'", with: "''"))'"
    }

    // MARK: Transactions

    /// The next transaction; now and then one that ends with ROLLBACK.
    mutating func transaction() -> String {
        if happens(20) { return statement() }
        var lines = ["BEGIN;"]
        for _ in 0..<number(1...8) {
            if happens(12) {
                lines.append("SAVEPOINT s;")
                for _ in 0..<number(1...4) { lines.append(statement()) }
                lines.append(happens(70) ? "ROLLBACK TO s;" : "RELEASE s;")
            } else {
                lines.append(statement())
            }
        }
        lines.append(happens(6) ? "ROLLBACK;" : "COMMIT;")
        return lines.joined(separator: "\n")
    }

    private mutating func statement() -> String {
        let choice = number(1...100)
        return switch choice {
        case ...12: kinds()
        case ...30: large()
        case ...36: textKeys()
        case ...40: equalKeys()
        case ...48: composite()
        case ...60: bag()
        case ...68: byIndex()
        case ...76: places()
        case ...86: ledger()
        case ...92: items()
        case ...96: narrow()
        case ...98: parted()
        default: computed()
        }
    }

    // MARK: Tables

    private mutating func kinds() -> String {
        let id = number(1...60)
        func list(_ parts: [(Int, String)]) -> (String, String) {
            (parts.map { ", c\($0.0)" }.joined(), parts.map { ", \($0.1)" }.joined())
        }
        var values: [(Int, String)] = []
        for (index, kind) in tables.kinds.enumerated() where happens(75) {
            if let value = kind.values.randomElement(using: &random) {
                values.append((index, value.sql))
            }
        }
        switch number(1...4) {
        case 1:
            return "DELETE FROM shop.kinds WHERE id = \(id);"
        case 2:
            let some = values.shuffled(using: &random).prefix(3).map { ", c\($0.0) = \($0.1)" }
            return
                "UPDATE shop.kinds SET touched = \(number(1...9))\(some.joined()) WHERE id = \(id);"
        default:
            let (names, texts) = list(values)
            return "INSERT INTO shop.kinds (id, touched\(names)) VALUES (\(id), 0\(texts))"
                + " ON CONFLICT (id) DO UPDATE SET touched = 10;"
        }
    }

    /// A text that is stored out of line, most of 10 to 100 KB, now and then of 1 MB.
    private mutating func noise() -> String {
        let sizes = [10, 2_500, 10_000, 20_000, 30_000, 60_000, 100_000]
        let size = happens(4) ? 1_000_000 : sizes.randomElement(using: &random) ?? 10
        return "shop.noise(\(number(1...1_000_000)), \(size / 2 * 2))"
    }

    private mutating func large() -> String {
        let id = number(1...30)
        let row = "WHERE id = \(id)"
        switch number(1...9) {
        case 1: return "DELETE FROM shop.large \(row);"
        case 2: return "UPDATE shop.large SET a = b, b = a \(row);"
        case 3: return "UPDATE shop.large SET a = \(noise()) \(row);"
        case 4: return "UPDATE shop.large SET c = decode(\(noise()), 'hex'), b = NULL \(row);"
        case 5:
            // Its large values stay where they are, so the new row does not bring them.
            return "UPDATE shop.large SET id = 100 - id \(row) OR id = \(100 - id);"
        case 6, 7:
            return "INSERT INTO shop.large VALUES (\(id), 0, \(noise()), \(noise()), NULL, "
                + "jsonb_build_object('x', \(noise()))) ON CONFLICT (id) DO UPDATE SET n = -1;"
        default: return "UPDATE shop.large SET n = n + 1 \(row) OR id = \(100 - id);"
        }
    }

    private mutating func textKeys() -> String {
        let (table, key) = ("shop.\"Text Keys\"", "\"the \"\"Key\"\"\"")
        let row = "WHERE \(key) = \(oddText())"
        return switch number(1...5) {
        case 1: "DELETE FROM \(table) \(row);"
        case 2: "UPDATE \(table) SET \(key) = \(oddText()) \(row);"
        case 3: "UPDATE \(table) SET \"Größe\" = \(oddText()) \(row);"
        default:
            "INSERT INTO \(table) VALUES (\(oddText()), \(oddText()), \(number(0...9)))"
                + " ON CONFLICT (\(key)) DO UPDATE SET n = excluded.n, \"Größe\" = NULL;"
        }
    }

    /// Keys that are written differently and are equal, so that a change of one is none.
    private mutating func equalKeys() -> String {
        func one(_ texts: [String]) -> String { texts.randomElement(using: &random) ?? "" }
        func key() -> [String] {
            [
                one(["1", "1.0", "1.00", "2", "'NaN'"]), one(["'-0'", "0", "1"]),
                one(["'a'", "'a '"]),
            ]
        }
        let (old, new) = (key(), key())
        let row = "WHERE (k, f, c) = (\(old.joined(separator: ", ")))"
        return switch number(1...4) {
        case 1: "DELETE FROM shop.equal_keys \(row);"
        case 2: "UPDATE shop.equal_keys SET (k, f, c) = (\(new.joined(separator: ", "))) \(row);"
        case 3: "UPDATE shop.equal_keys SET v = v || '.', k = \(new[0]) \(row) AND k = \(new[0]);"
        default:
            "INSERT INTO shop.equal_keys VALUES (\(new.joined(separator: ", ")), '')"
                + " ON CONFLICT DO NOTHING;"
        }
    }

    private mutating func composite() -> String {
        let day = "date '2024-01-01' + \(number(1...60))"
        let row = "WHERE d = \(day)"
        return switch number(1...5) {
        case 1: "DELETE FROM shop.composite \(row);"
        case 2: "UPDATE shop.composite SET d = 'infinity', b = 'far' || coalesce(a, 0) \(row);"
        case 3: "UPDATE shop.composite SET v = 'NaN' \(row);"
        case 4: "UPDATE shop.composite SET v = v + 0.10, a = NULL \(row);"
        default:
            "INSERT INTO shop.composite VALUES (\(number(1...9)), 'b\(number(1...3))', 1.0, \(day))"
                + " ON CONFLICT DO NOTHING;"
        }
    }

    /// Rows that are the same as others, changed and taken away one at a time and all at once.
    private mutating func bag() -> String {
        let a = happens(10) ? "a IS NULL" : "a = \(number(0...6))"
        let one = "WHERE ctid = (SELECT ctid FROM shop.bag WHERE \(a) LIMIT 1)"
        let values = ["1.5", "1.50", "NULL", "'NaN'", "0"]
        let value = values.randomElement(using: &random) ?? "0"
        return switch number(1...7) {
        case 1: "DELETE FROM shop.bag \(one);"
        case 2: "DELETE FROM shop.bag WHERE \(a) AND v = \(value);"
        case 3: "UPDATE shop.bag SET v = \(value) \(one);"
        case 4: "UPDATE shop.bag SET b = \(oddText()), a = \(number(0...6)) \(one);"
        case 5: "UPDATE shop.bag SET v = \(value) WHERE \(a);"
        default:
            "INSERT INTO shop.bag SELECT \(number(0...6)), \(happens(80) ? "'b'" : oddText()), "
                + "\(value), \(happens(80) ? "'{}'" : "'{ \"a\":\(number(1...2))}'")"
                + " FROM generate_series(1, \(number(1...4)));"
        }
    }

    private mutating func byIndex() -> String {
        let row = "WHERE code = 'c\(number(1...60))' AND region = \(number(0...2))"
        return switch number(1...6) {
        case 1: "DELETE FROM shop.by_index \(row);"
        case 2: "UPDATE shop.by_index SET region = (region + 1) % 3 \(row);"
        case 3: "UPDATE shop.by_index SET v = NULL \(row);"
        case 4: "UPDATE shop.by_index SET big = \(noise()) \(row);"
        default:
            "INSERT INTO shop.by_index VALUES (\(oddText()), 'c\(number(1...60))', \(noise()), "
                + "\(number(0...2))) ON CONFLICT DO NOTHING;"
        }
    }

    /// A unique value that is not the key goes from one row to another and back.
    private mutating func places() -> String {
        let (a, b) = (number(1...40), number(1...40))
        return switch number(1...6) {
        case 1: "DELETE FROM shop.places WHERE id = \(a);"
        case 2:
            "INSERT INTO shop.places VALUES (\(a), \(happens(50) ? "NULL" : "\(a)"), 'new')"
                + " ON CONFLICT DO NOTHING;"
        case 3: "UPDATE shop.places SET id = \(b) WHERE id = \(a) AND \(a) <> \(b);"
        default:
            """
            UPDATE shop.places SET place = -place WHERE id = \(a);
            UPDATE shop.places SET place = \(a) WHERE id = \(b) AND NOT EXISTS
                (SELECT FROM shop.places WHERE place = \(a));
            UPDATE shop.places SET place = \(b) WHERE id = \(a) AND NOT EXISTS
                (SELECT FROM shop.places WHERE place = \(b));
            """
        }
    }

    /// All of these leave the sum of the amounts as it is; one client at a time, since one that
    /// waited for a row would not see the row that has come for it.
    private mutating func ledger() -> String {
        let (a, b, sum) = (number(1...50), number(1...50), number(1...40))
        let here = "id IN (\(a), \(1_000 - a))"
        let work =
            switch number(1...5) {
            case 1: "UPDATE shop.ledger SET id = 1000 - id WHERE \(here);"
            case 2:
                """
                DELETE FROM shop.ledger WHERE \(here) RETURNING * INTO r;
                INSERT INTO shop.ledger VALUES (r.id, r.amount - \(sum), 'again');
                INSERT INTO shop.ledger VALUES (\(number(2_000...9_000_000)), \(sum), 'aside')
                    ON CONFLICT (id) DO UPDATE SET amount = ledger.amount + \(sum);
                """
            case 3:
                """
                DELETE FROM shop.ledger WHERE id = (SELECT max(id) FROM shop.ledger) AND id > 1999
                    RETURNING * INTO r;
                IF FOUND THEN
                    UPDATE shop.ledger SET amount = amount + r.amount WHERE \(here);
                END IF;
                """
            default:
                "UPDATE shop.ledger SET note = 'moved', amount = amount + CASE WHEN \(here) THEN "
                    + "-\(sum) ELSE \(sum) END WHERE id IN (\(a), \(1_000 - a), \(b), "
                    + "\(1_000 - b)) AND \(a) <> \(b);"
            }
        return
            "DO $$ DECLARE r shop.ledger; BEGIN PERFORM pg_advisory_xact_lock(1);\n\(work)\nEND $$;"
    }

    private mutating func items() -> String {
        let parent =
            "(SELECT id FROM shop.places WHERE id >= \(number(1...40)) ORDER BY id LIMIT 1)"
        let some = "WHERE id % 50 = \(number(0...49))"
        return switch number(1...4) {
        case 1: "DELETE FROM shop.items \(some);"
        case 2: "UPDATE shop.items SET data = data || '{\"n\": \(number(1...9))}' \(some);"
        default:
            "INSERT INTO shop.items (parent, data, tags) SELECT \(parent), "
                + "jsonb_build_object('t', \(oddText())), ARRAY[\(oddText()), NULL, 'x']"
                + " FROM generate_series(1, \(number(1...10)));"
        }
    }

    private mutating func narrow() -> String {
        let first = number(1...3_000)
        return switch number(1...4) {
        case 1: "DELETE FROM shop.narrow WHERE id BETWEEN \(first) AND \(first + number(0...200));"
        case 2:
            "UPDATE shop.narrow SET a = a + 1 WHERE id BETWEEN \(first) AND \(first + number(0...500));"
        case 3:
            """
            DO $$ BEGIN FOR i IN 1..20 LOOP BEGIN
                INSERT INTO shop.narrow (a, note) VALUES (i, 'own subtransaction');
                IF i % 3 = 0 THEN RAISE 'undo'; END IF;
            EXCEPTION WHEN raise_exception THEN NULL; END; END LOOP; END $$;
            """
        default:
            "INSERT INTO shop.narrow (a, b, c, note) SELECT i, i % 7, clock_timestamp(), 'n' || i"
                + " FROM generate_series(1, \(number(1...400))) i;"
        }
    }

    private mutating func parted() -> String {
        guard tables.hasPartitions else { return narrow() }
        let row = "WHERE id = \(number(1...120))"
        return switch number(1...4) {
        case 1: "DELETE FROM shop.parted \(row);"
        case 2: "UPDATE shop.parted SET region = region % 4 + 1 \(row);"
        case 3: "UPDATE shop.parted SET note = \(oddText()) \(row);"
        default:
            "INSERT INTO shop.parted VALUES (\(number(1...4)), \(number(1...120)), 'new')"
                + " ON CONFLICT DO NOTHING;"
        }
    }

    private mutating func computed() -> String {
        guard tables.hasComputed else { return narrow() }
        let id = number(1...60)
        return switch number(1...3) {
        case 1: "DELETE FROM shop.computed WHERE id = \(id);"
        case 2: "UPDATE shop.computed SET n = n + 1 WHERE id = \(id);"
        default: "INSERT INTO shop.computed (id, n) VALUES (\(id), \(id)) ON CONFLICT DO NOTHING;"
        }
    }
}
