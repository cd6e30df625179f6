// SPDX-License-Identifier: Apache-2.0
//
// From bytes to the heads of requests, HTTP/1.1 and 1.0 (RFC 9112), one after another. Each byte is
// looked at once, as it comes, so that nonsense is refused at its first byte, and what is kept is
// bounded whatever is sent. Strict where the RFC leaves a choice: lines end in CRLF, one space
// stands between the parts of a request line, no line is folded, and a header that decides on
// framing or access stands once. Bodies are never read.

/// Reads the heads of requests out of a stream of bytes.
struct HTTPRequestReader {
    /// What came and is not yet part of a request that was given out.
    private var bytes: [UInt8] = []
    /// How many of them were looked at.
    private var scanned = 0
    private var lineStart = 0
    private var head: PartialHead?

    /// Whether nothing of a further request has come.
    var isEmpty: Bool { bytes.isEmpty }

    /// Whether bytes came that ``next()`` has not looked at, perhaps a whole request.
    var hasMore: Bool { scanned < bytes.count }

    /// How many bytes may come before ``next()`` has to be asked.
    var room: Int { HTTPLimits.headBytes - bytes.count }

    /// Takes bytes that came, at most ``room``.
    mutating func append(_ chunk: UnsafeRawBufferPointer) {
        precondition(chunk.count <= room, "more bytes than there is room for")
        bytes.append(contentsOf: chunk)
    }

    /// The next request; nil when more bytes have to come first.
    ///
    /// After a refusal nothing can be read any more.
    mutating func next() throws(HTTPRefusal) -> HTTPRequest? {
        while scanned < bytes.count {
            let byte = bytes[scanned]
            let followsReturn = scanned > lineStart && bytes[scanned - 1] == .carriageReturn
            guard followsReturn == (byte == .lineFeed), !byte.isForbidden else {
                throw .malformed("a line holds a control character, or does not end in CR LF")
            }
            scanned += 1
            guard byte == .lineFeed else { continue }
            let line = bytes[lineStart..<(scanned - 2)]
            lineStart = scanned
            if let request = try take(line) {
                bytes.removeFirst(scanned)
                (scanned, lineStart, head) = (0, 0, nil)
                return request
            }
        }
        guard room > 0 else { throw head == nil ? .targetTooLong : .headTooLarge }
        return nil
    }

    /// Takes one line without its end; gives the request that an empty one closes.
    private mutating func take(_ line: ArraySlice<UInt8>) throws(HTTPRefusal) -> HTTPRequest? {
        guard head != nil else {
            // An empty line before a request is an old client's, and is to be overlooked.
            if !line.isEmpty { head = try PartialHead(requestLine: line) }
            return nil
        }
        if line.isEmpty { return try head?.finished() }
        try head?.take(header: line)
        return nil
    }
}

/// A head of which the request line has come; only what an answer depends on is kept.
private struct PartialHead {
    private var request: HTTPRequest
    /// The authority of a target in absolute form, which goes before the header Host.
    private var authority: String?
    private let isOld: Bool
    private var headerCount = 0
    private var contentLength: String?
    private var isEncoded = false

    init(requestLine line: ArraySlice<UInt8>) throws(HTTPRefusal) {
        let parts = line.split(separator: .space, omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0].isToken, !parts[1].isEmpty,
            parts[1].allSatisfy({ (0x21...0x7e).contains($0) && $0 != UInt8(ascii: "#") })
        else { throw .malformed("the request line is not METHOD TARGET HTTP/1.1") }
        isOld = try Self.isOld(version: parts[2])
        let target = String(decoding: parts[1], as: UTF8.self)
        request = HTTPRequest(method: String(decoding: parts[0], as: UTF8.self), path: target)
        let scheme = ["http://", "https://"].first { target.lowercased().hasPrefix($0) }
        if let scheme {
            let rest = target.dropFirst(scheme.count)
            let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
            guard end > rest.startIndex, !rest[..<end].contains("@") else {
                throw .malformed("the target names no host, or a user")
            }
            authority = String(rest[..<end])
            request.path = String(rest[end...])
        }
        request.path = String(request.path.prefix { $0 != "?" })
        if request.path.isEmpty { request.path = "/" }
    }

    /// Whether the version is 1.0; throws unless its major number is 1.
    private static func isOld(version: ArraySlice<UInt8>) throws(HTTPRefusal) -> Bool {
        let digits = version.dropFirst(5)
        guard version.starts(with: Array("HTTP/".utf8)), digits.count == 3,
            digits.first?.isDigit == true, digits.last?.isDigit == true,
            digits.dropFirst().first == UInt8(ascii: ".")
        else { throw .malformed("the request line does not end in HTTP/1.1") }
        guard digits.first == UInt8(ascii: "1") else { throw .unknownVersion }
        return digits.last == UInt8(ascii: "0")
    }

    mutating func take(header line: ArraySlice<UInt8>) throws(HTTPRefusal) {
        headerCount += 1
        guard headerCount <= HTTPLimits.headerCount else { throw .tooManyHeaders }
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")), line[..<colon].isToken else {
            throw .malformed("a header is not NAME: VALUE on one line")
        }
        let value = String(decoding: line[(colon + 1)...].trimmed, as: UTF8.self)
        switch String(decoding: line[..<colon], as: UTF8.self).lowercased() {
        case "host": try Self.set(&request.host, value)
        case "authorization": try Self.set(&request.authorization, value)
        case "walrelay-tables": try Self.set(&request.tables, value)
        case "content-length": try Self.set(&contentLength, value)
        case "transfer-encoding": isEncoded = true
        case "connection":
            let options = value.lowercased().split { $0 == "," || $0 == " " || $0 == "\t" }
            if options.contains("close") { request.isLast = true }
        default: break
        }
    }

    private static func set(_ field: inout String?, _ value: String) throws(HTTPRefusal) {
        guard field == nil else {
            throw .malformed("a header stands twice that may stand once")
        }
        field = value
    }

    func finished() throws(HTTPRefusal) -> HTTPRequest {
        var request = request
        guard isOld || request.host != nil else { throw .malformed("the header Host is missing") }
        if let authority { request.host = authority }
        if let contentLength {
            guard !contentLength.isEmpty, contentLength.utf8.allSatisfy(\.isDigit) else {
                throw .malformed("Content-Length is not a number")
            }
            request.hasBody = contentLength.contains { $0 != "0" }
        }
        if isEncoded {
            guard contentLength == nil, !isOld else {
                throw .malformed("Transfer-Encoding stands beside Content-Length, or in HTTP/1.0")
            }
            request.hasBody = true
        }
        // What follows a body that is not read cannot be told from it.
        if isOld || request.hasBody { request.isLast = true }
        return request
    }
}

extension UInt8 {
    fileprivate static let lineFeed: UInt8 = 0x0a
    fileprivate static let carriageReturn: UInt8 = 0x0d
    fileprivate static let space: UInt8 = 0x20
    fileprivate static let tab: UInt8 = 0x09

    fileprivate var isDigit: Bool { (0x30...0x39).contains(self) }

    /// A control character that stands nowhere in a head.
    fileprivate var isForbidden: Bool {
        self == 0x7f
            || self < .space && self != .tab && self != .carriageReturn && self != .lineFeed
    }

    /// A character of a method or of a header's name.
    fileprivate var isToken: Bool {
        switch self {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"): true
        default: Self.tokenMarks.contains(self)
        }
    }

    private static let tokenMarks = Array("!#$%&'*+-.^_`|~".utf8)
}

extension ArraySlice<UInt8> {
    fileprivate var isToken: Bool { !isEmpty && allSatisfy(\.isToken) }

    /// Without the blanks on both sides.
    fileprivate var trimmed: ArraySlice<UInt8> {
        let isBlank: (UInt8) -> Bool = { $0 == .space || $0 == .tab }
        guard let last = lastIndex(where: { !isBlank($0) }) else { return [] }
        return self[...last].drop(while: isBlank)
    }
}
