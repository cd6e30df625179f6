// SPDX-License-Identifier: Apache-2.0
//
// The document of /status: no name breaks out of it.

import Foundation
import Pipeline
import Testing

@testable import Operations

@Suite struct StatusJSONTests {
    @Test(arguments: attacks) func `a name that attacks survives JSON`(name: String) throws {
        let board = makeBoard(task: name)
        board.update { status in
            status.snapshot.tables = [.init(table: name)]
            status.sink = .init(kind: name, details: [name: .text(name)])
        }
        let body = HealthRoutes(board: board).reply(to: HTTPRequest(method: "GET", path: "/status"))
            .body
        let status = try JSONDecoder().decode(TaskStatus.self, from: Data(body.utf8))
        #expect(status.task == name)
        #expect(status.snapshot.tables[0].table == name)
        #expect(status.sink.details[name] == .text(name))
        for scalar in body.unicodeScalars where scalar != "\n" {
            #expect(scalar.value >= 0x20)
        }
    }
}
