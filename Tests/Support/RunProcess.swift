// SPDX-License-Identifier: Apache-2.0
//
// Runs a program to its end with a time limit, and gives what it printed: all of it, or an error. A
// text that was cut would make a judge of two texts wrong.
public import Foundation
import Glibc

/// What a finished program left.
public struct ProcessOutput: Sendable {
    /// How it ended.
    public let status: ExitStatus
    /// Standard output as UTF-8.
    public let stdout: String
    /// Standard error as UTF-8.
    public let stderr: String
}

/// Runs `executable` and blocks until it has ended; throws when `limit` passes first.
///
/// A status that is not 0 is a normal result. Blocks its thread: in an async test that others
/// run beside, wrap it into `onThread`.
public func runProcess(
    _ executable: String,
    _ arguments: [String] = [],
    input: String = "",
    environment: [String: String] = ProcessInfo.processInfo.environment,
    workingDirectory: String? = nil,
    owner: ServerOwner? = nil,
    limit: Duration = .seconds(60)
) throws -> ProcessOutput {
    let stdin = try inputFile(input)
    let (out, outEnd) = try pipePair()
    let (err, errEnd) = try pipePair()
    defer { for descriptor in [stdin, out, err] { close(descriptor) } }
    let child: ChildProcess
    do {
        defer { for descriptor in [outEnd, errEnd] { close(descriptor) } }
        child = try ChildProcess(
            executable,
            arguments,
            environment: environment,
            workingDirectory: workingDirectory,
            owner: owner,
            stdin: stdin,
            stdout: outEnd,
            stderr: errEnd
        )
    }
    let deadline = ContinuousClock.now + limit
    let texts = try drain([out, err], until: deadline)
    guard let status = child.waitBlocking(max(deadline - .now, .milliseconds(100))) else {
        throw SupportError(
            "\(executable) did not end within \(limit):\n\(texts[0].suffix(2_000))"
                + "\n\(texts[1].suffix(2_000))"
        )
    }
    return ProcessOutput(status: status, stdout: texts[0], stderr: texts[1])
}

/// An unlinked file that holds what a child reads.
private func inputFile(_ text: String) throws -> Int32 {
    let path = try Scratch.directory("i") + "/input"
    try text.write(toFile: path, atomically: false, encoding: .utf8)
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    unlink(path)
    rmdir(String(path.dropLast("/input".count)))
    guard descriptor >= 0 else { throw SupportError("\(path): \(errnoText())") }
    return descriptor
}

func pipePair() throws -> (read: Int32, write: Int32) {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw SupportError("pipe: \(errnoText())") }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return (ends[0], ends[1])
}

/// Reads all descriptors to their ends or until the deadline; throws where one gives more than
/// 1 GiB.
private func drain(
    _ descriptors: [Int32],
    until deadline: ContinuousClock.Instant
) throws -> [String] {
    let byteLimit = 1 << 30
    var bytes = descriptors.map { _ in [UInt8]() }
    var polled = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while polled.contains(where: { $0.fd >= 0 }), ContinuousClock.now < deadline {
        guard poll(&polled, nfds_t(polled.count), 100) > 0 else { continue }
        for index in polled.indices where polled[index].fd >= 0 && polled[index].revents != 0 {
            let count = read(polled[index].fd, &chunk, chunk.count)
            if count <= 0 {
                polled[index].fd = -1
            } else if bytes[index].count < byteLimit {
                bytes[index].append(contentsOf: chunk[..<count])
            } else {
                throw SupportError("a program printed more than 1 GiB")
            }
        }
    }
    return bytes.map { String(decoding: $0, as: UTF8.self) }
}
