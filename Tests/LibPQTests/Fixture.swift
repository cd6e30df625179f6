// SPDX-License-Identifier: Apache-2.0
//
// What the tests of connections share: parameters for a cluster, a server that never answers, and
// random texts from a seed that a failure names.

import Foundation
import Glibc
import LibPQ
import Support

extension PostgresCluster {
    /// How a test connects, over TCP as somebody who has to prove who they are.
    func parameters(_ more: [String: String] = [:]) -> ConnectionParameters {
        var keywords = [
            "host": host, "port": "\(port)", "dbname": "postgres", "user": superuser,
            "sslmode": "disable",
        ]
        keywords.merge(more) { _, given in given }
        return ConnectionParameters(keywords: keywords)
    }

    /// Our sockets to this server that are still open, whoever has closed the other end.
    func openSockets() throws -> Int {
        let table = try String(contentsOfFile: "/proc/self/net/tcp", encoding: .utf8)
        let remote = String(format: "0100007F:%04X", port)
        return table.split(separator: "\n").count { line in
            let fields = line.split(separator: " ")
            // 01 is ESTABLISHED, 08 CLOSE_WAIT: the server has closed and we have not.
            return fields.count > 3 && fields[2] == remote && ["01", "08"].contains(fields[3])
        }
    }
}

/// What a connection attempt fails with, `nil` where it succeeds.
func failure(
    _ parameters: ConnectionParameters,
    stop: StopSignal? = nil
) async throws -> PostgresError? {
    try await onThread {
        do throws(PostgresError) {
            _ = try Connection.open(parameters, stop: stop)
            return nil
        } catch {
            return error
        }
    }
}

/// A socket that takes connections and never says a word.
final class MuteServer: Sendable {
    let port: Int
    private let descriptor: Int32

    init() throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = descriptor
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && listen(descriptor, 8) == 0
                    && getsockname(descriptor, $0, &length) == 0
            }
        }
        guard isBound else { throw SupportError("no socket to listen on") }
        port = Int(UInt16(bigEndian: address.sin_port))
    }

    deinit { close(descriptor) }

    var parameters: ConnectionParameters {
        ConnectionParameters(keywords: [
            "host": "127.0.0.1", "port": "\(port)", "dbname": "x", "user": "x",
            "sslmode": "disable", "gssencmode": "disable",
        ])
    }
}
