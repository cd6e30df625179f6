// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import Foundation
import Testing

@testable import Commands

@Suite struct FindingsReportTests {
    let findings = [
        Finding("server.wal_level", .ok, subject: "wal_level", found: "logical"),
        Finding(
            "table.identity_missing",
            .failed,
            subject: "public.orders",
            found: "has no primary key",
            mend: #"ALTER TABLE "public"."orders" REPLICA IDENTITY FULL;"#
        ),
    ]

    @Test func `lines are aligned and say what mends`() {
        #expect(
            FindingsReport.text(findings, colors: false) == """
                ok      wal_level      logical
                failed  public.orders  has no primary key
                        mend: ALTER TABLE "public"."orders" REPLICA IDENTITY FULL;
                1 ok, 0 warnings, 1 failed

                """
        )
    }

    @Test func `only a terminal gets colors`() {
        #expect(!FindingsReport.text(findings, colors: false).contains("\u{1B}"))
        #expect(FindingsReport.text(findings, colors: true).contains("\u{1B}[31mfailed  \u{1B}[0m"))
    }

    @Test func `a name cannot move the cursor or break the line`() {
        let evil = Finding("table", .ok, subject: "public.\u{1B}[2Jx\ny", found: "a\u{202E}b")
        #expect(
            FindingsReport.text([evil], colors: false)
                == #"ok      public.\u{1b}[2Jx\ny  a\u{202e}b"# + "\n1 ok, 0 warnings, 0 failed\n"
        )
    }

    @Test func `the json is an array with every field`() throws {
        let text = try FindingsReport.json(findings)
        #expect(try JSONDecoder().decode([Finding].self, from: Data(text.utf8)) == findings)
        let object = try JSONSerialization.jsonObject(with: Data(text.utf8))
        let rows = try #require(object as? [[String: String]])
        #expect(Set(rows[0].keys) == ["id", "level", "subject", "found", "mend"])
        #expect(rows[1]["level"] == "failed")
    }
}
