// SPDX-License-Identifier: Apache-2.0
//
// Debian's chromium without a screen, driven by its own protocol over a pair of pipes: messages of
// JSON that end in NUL. Everything here blocks and belongs to one thread; a test runs it in
// `onThread`. What a page complained about and asked for is kept, so that a test can expect
// nothing.
public import Foundation
import Glibc

/// A browser; it ends with its last reference, and its profile with it.
public final class HeadlessBrowser {
    /// The executable, or nil where none is installed.
    public static let executable: String? =
        ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
        .first { access($0, X_OK) == 0 }

    /// Why a test of a page cannot run; to be shown where it is skipped.
    public static let absence: String =
        "chromium is not installed (scripts/setup test installs it); the page is not tried"

    private let child: ChildProcess
    private let toBrowser: Int32
    private let fromBrowser: Int32
    private let profile: String
    private var received: [UInt8] = []
    private var lastID = 0
    fileprivate var events: [[String: Any]] = []

    /// Starts a browser; throws where none is installed.
    public init() throws {
        guard let executable = Self.executable else { throw SupportError(Self.absence) }
        profile = try Scratch.directory("b")
        let (input, toBrowser) = try pipePair()
        let (fromBrowser, output) = try pipePair()
        defer { for descriptor in [input, output] { close(descriptor) } }
        (self.toBrowser, self.fromBrowser) = (toBrowser, fromBrowser)
        // The protocol's descriptors are 3 and 4; a child of ours gets 0 to 2.
        let line = #"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null"#
        child = try ChildProcess(
            "/bin/sh",
            [
                "-c", line, executable, "--headless=new", "--no-sandbox", "--disable-gpu",
                "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
                "--disable-component-update", "--disable-sync", "--hide-scrollbars",
                "--remote-debugging-pipe", "--user-data-dir=\(profile)", "about:blank",
            ],
            stdin: input,
            stdout: output
        )
    }

    deinit {
        close(toBrowser)
        child.signal(SIGTERM)
        if child.waitBlocking(.seconds(5)) == nil { child.signal(SIGKILL) }
        close(fromBrowser)
        try? FileManager.default.removeItem(atPath: profile)
    }

    /// Calls a method of the protocol and waits for its result, at most 30 s.
    @discardableResult
    func call(
        _ method: String,
        _ parameters: [String: Any] = [:],
        session: String? = nil
    ) throws -> [String: Any] {
        lastID += 1
        var message: [String: Any] = ["id": lastID, "method": method, "params": parameters]
        if let session { message["sessionId"] = session }
        try send(try JSONSerialization.data(withJSONObject: message))
        let deadline = ContinuousClock.now + .seconds(30)
        while let reply = try receive(until: deadline) {
            guard reply["id"] as? Int == lastID else { continue }
            if let error = reply["error"] as? [String: Any] {
                throw SupportError("\(method): \(error["message"] ?? error)")
            }
            return reply["result"] as? [String: Any] ?? [:]
        }
        throw SupportError("\(method): no answer of the browser within 30 s")
    }

    /// Takes what comes within the time, for its events.
    func listen(for time: Duration) throws {
        let deadline = ContinuousClock.now + time
        while try receive(until: deadline) != nil {}
    }

    private func send(_ message: Data) throws {
        var bytes = [UInt8](message) + [0]
        while !bytes.isEmpty {
            let count = write(toBrowser, bytes, bytes.count)
            guard count > 0 else { throw SupportError("to the browser: \(errnoText())") }
            bytes.removeFirst(count)
        }
    }

    /// The next message; nil when the time is up.
    private func receive(until deadline: ContinuousClock.Instant) throws -> [String: Any]? {
        while true {
            if let end = received.firstIndex(of: 0) {
                let message = Data(received[..<end])
                received.removeSubrange(...end)
                let object =
                    try JSONSerialization.jsonObject(with: message) as? [String: Any] ?? [:]
                if object["method"] != nil { events.append(object) }
                return object
            }
            let left = deadline - .now
            guard left > .zero else { return nil }
            var entry = pollfd(fd: fromBrowser, events: Int16(POLLIN), revents: 0)
            guard poll(&entry, 1, Int32(left.components.seconds * 1000) + 50) > 0 else { continue }
            var chunk = [UInt8](repeating: 0, count: 1 << 16)
            let count = read(fromBrowser, &chunk, chunk.count)
            guard count > 0 else { throw SupportError("the browser has ended") }
            received += chunk[..<count]
        }
    }
}

/// How a page is looked at.
public struct BrowserView: Sendable {
    /// Width of the window in CSS pixels.
    public var width = 1200
    /// Its height.
    public var height = 900
    /// Whether the reader prefers a dark page.
    public var isDark = false
    /// Whether scripts run.
    public var hasJavaScript = true
    /// Pixels of a picture for each CSS pixel.
    public var scale = 1.0

    /// A wide window, light, with scripts.
    public init() {}

    /// The narrowest phone that is in use.
    public static var phone: Self {
        var view = Self()
        (view.width, view.height, view.scale) = (360, 740, 2)
        return view
    }
}

/// A tab with a profile of its own.
public final class BrowserPage {
    private let browser: HeadlessBrowser
    private let session: String

    /// Opens an empty tab.
    public init(in browser: HeadlessBrowser, _ view: BrowserView = BrowserView()) throws {
        self.browser = browser
        let context = try browser.call("Target.createBrowserContext")
        let target = try browser.call(
            "Target.createTarget",
            ["url": "about:blank", "browserContextId": context["browserContextId"] ?? ""]
        )
        let attached = try browser.call(
            "Target.attachToTarget",
            ["targetId": target["targetId"] ?? "", "flatten": true]
        )
        session = attached["sessionId"] as? String ?? ""
        for domain in ["Page", "Runtime", "Log", "Network"] { try call("\(domain).enable") }
        try look(view)
    }

    /// Changes how the page is looked at.
    public func look(_ view: BrowserView) throws {
        try call("Emulation.setScriptExecutionDisabled", ["value": !view.hasJavaScript])
        try call(
            "Emulation.setDeviceMetricsOverride",
            [
                "width": view.width, "height": view.height, "deviceScaleFactor": view.scale,
                "mobile": view.width < 600,
            ]
        )
        let scheme = ["name": "prefers-color-scheme", "value": view.isDark ? "dark" : "light"]
        try call("Emulation.setEmulatedMedia", ["features": [scheme]])
    }

    /// Goes to an address and waits until it is loaded, at most 30 s.
    public func open(_ url: String) throws {
        try call("Page.navigate", ["url": url])
        try wait("\(url) is loaded") {
            mine("Page.loadEventFired").count > 0
                && (try? evaluate("document.readyState")) as? String == "complete"
        }
    }

    /// The value of an expression of JavaScript, where it has one in JSON.
    @discardableResult
    public func evaluate(_ expression: String) throws -> Any? {
        let reply = try call(
            "Runtime.evaluate",
            ["expression": expression, "returnByValue": true, "awaitPromise": true]
        )
        if let fault = reply["exceptionDetails"] { throw SupportError("\(expression): \(fault)") }
        return (reply["result"] as? [String: Any])?["value"]
    }

    /// A text of the page: of the first element that a selector finds.
    public func text(of selector: String) throws -> String {
        try evaluate("document.querySelector(\(Self.literal(selector))).textContent") as? String
            ?? ""
    }

    /// Waits until a condition holds, at most 30 s.
    ///
    /// One that throws does not hold yet: a page that loads itself anew lacks for a moment what is
    /// asked of it.
    public func wait(_ what: String, until condition: () throws -> Bool) throws {
        let deadline = ContinuousClock.now + .seconds(30)
        while true {
            let outcome = Result { try condition() }
            if case .success(true) = outcome { return }
            guard ContinuousClock.now < deadline else {
                let fault = if case .failure(let error) = outcome { "\(error)" } else { "" }
                throw SupportError(
                    ["not within 30 s: \(what)", fault, complaints.joined(separator: "\n")]
                        .filter { !$0.isEmpty }.joined(separator: "\n")
                )
            }
            try browser.listen(for: .milliseconds(50))
        }
    }

    /// A picture as PNG, of the window or of the whole page.
    public func screenshot(whole: Bool = false) throws -> Data {
        let reply = try call(
            "Page.captureScreenshot",
            ["format": "png", "captureBeyondViewport": whole]
                .merging(whole ? ["clip": try extent()] : [:]) { $1 }
        )
        return Data(base64Encoded: reply["data"] as? String ?? "") ?? Data()
    }

    /// Moves the pointer.
    public func point(x: Double, y: Double) throws {
        try call("Input.dispatchMouseEvent", ["type": "mouseMoved", "x": x, "y": y])
    }

    /// Presses a key, such as `ArrowLeft`.
    public func press(_ key: String) throws {
        for type in ["keyDown", "keyUp"] {
            try call("Input.dispatchKeyEvent", ["type": type, "key": key, "code": key])
        }
    }

    /// What the page's console, its policy and its network complained about.
    public var complaints: [String] {
        let thrown = mine("Runtime.exceptionThrown").map { "\($0)" }
        let logged = mine("Log.entryAdded").map { "\($0["entry"] ?? "")" }
        let said = mine("Runtime.consoleAPICalled").map {
            "\($0["type"] ?? ""): \($0["args"] ?? "")"
        }
        return thrown + logged + said
    }

    /// The addresses that were asked for, in order; none that is within the page itself.
    public var requests: [String] {
        mine("Network.requestWillBeSent").compactMap {
            ($0["request"] as? [String: Any])?["url"] as? String
        }.filter { !$0.hasPrefix("data:") }
    }

    private func extent() throws -> [String: Any] {
        let metrics = try call("Page.getLayoutMetrics")
        let size = metrics["cssContentSize"] as? [String: Any] ?? [:]
        return [
            "x": 0, "y": 0, "width": size["width"] ?? 0, "height": size["height"] ?? 0, "scale": 1,
        ]
    }

    private func mine(_ method: String) -> [[String: Any]] {
        browser.events.filter {
            $0["method"] as? String == method && $0["sessionId"] as? String == session
        }.compactMap { $0["params"] as? [String: Any] }
    }

    @discardableResult
    private func call(_ method: String, _ parameters: [String: Any] = [:]) throws -> [String: Any] {
        try browser.call(method, parameters, session: session)
    }

    private static func literal(_ text: String) -> String {
        let data = try? JSONEncoder().encode(text)
        return data.map { String(decoding: $0, as: UTF8.self) } ?? "''"
    }
}
