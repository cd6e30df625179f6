// SPDX-License-Identifier: Apache-2.0
//
// What is sent back for a request, and its bytes. Every reply carries what keeps the pages of other
// sites from showing, reading or guessing it.

import ChangeModel
import Glibc

/// An answer before it is bytes.
struct HTTPReply: Sendable {
    var code: Int
    var contentType: String
    var body: String
    var headers: [(name: String, value: String)] = []

    static func text(_ code: Int, _ line: String) -> HTTPReply {
        // A reason may quote the server; it stays one line whatever it holds.
        HTTPReply(
            code: code,
            contentType: "text/plain; charset=utf-8",
            body: line.shown + "\n"
        )
    }

    /// The head and, unless only that was asked for, the body.
    func bytes(withBody: Bool, isLast: Bool, at seconds: time_t = time(nil)) -> [UInt8] {
        var lines = ["HTTP/1.1 \(code) \(Self.phrase(of: code))", "Date: \(Self.date(seconds))"]
        lines += ["Content-Type: \(contentType)", "Content-Length: \(body.utf8.count)"]
        lines += Self.protections
        lines += headers.map { "\($0.name): \($0.value)" }
        if isLast { lines.append("Connection: close") }
        var bytes = Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
        if withBody { bytes.append(contentsOf: body.utf8) }
        return bytes
    }

    /// No proxy or browser keeps it, takes it for another type, frames it, loads it for another
    /// site, or tells another site where a reader came from.
    private static let protections = [
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "X-Frame-Options: DENY",
        "Cross-Origin-Resource-Policy: same-origin",
        "Referrer-Policy: no-referrer",
    ]

    private static func phrase(of code: Int) -> String {
        switch code {
        case 200: "OK"
        case 202: "Accepted"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 421: "Misdirected Request"
        case 431: "Request Header Fields Too Large"
        case 503: "Service Unavailable"
        case 505: "HTTP Version Not Supported"
        default: "Internal Server Error"
        }
    }

    /// A moment as HTTP writes it, such as `Sun, 06 Nov 1994 08:49:37 GMT`.
    static func date(_ seconds: time_t) -> String {
        var (seconds, parts) = (seconds, tm())
        guard gmtime_r(&seconds, &parts) != nil else { return "Thu, 01 Jan 1970 00:00:00 GMT" }
        func two(_ value: Int32) -> String { (value < 10 ? "0" : "") + String(value) }
        let day = days[Int(parts.tm_wday)] + ", " + two(parts.tm_mday)
        let time = [parts.tm_hour, parts.tm_min, parts.tm_sec].map(two).joined(separator: ":")
        return "\(day) \(months[Int(parts.tm_mon)]) \(1900 + Int(parts.tm_year)) \(time) GMT"
    }

    private static let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]
}
