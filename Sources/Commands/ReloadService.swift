// SPDX-License-Identifier: Apache-2.0
//
// SIGHUP: the settings file is read again as a whole. What is wrong with it is told, all of it, and
// then nothing changes; what can be taken over is, at once; what has to wait for the next start is
// named. Nothing of it ends the task.
//
// On a terminal SIGHUP means that the terminal is gone, and the task stops as for SIGTERM.

import ChangeModel
import Glibc
import LibPQ
import Logging
import Operations
import Pipeline
import ServiceLifecycle
import Settings
import UnixSignals

/// Reloads the settings of a running task.
struct ReloadService: Service {
    let load: @Sendable () throws -> Settings
    let settings: LiveSettings
    let options: LiveOptions
    let http: HealthService
    let output: LogOutput
    let notifier: SystemdNotifier
    let requestStop: @Sendable () -> Void
    let log: Logger
    private let hadTerminal = isatty(STDERR_FILENO) == 1

    init(
        load: @escaping @Sendable () throws -> Settings,
        settings: LiveSettings,
        options: LiveOptions,
        http: HealthService,
        output: LogOutput,
        notifier: SystemdNotifier,
        requestStop: @escaping @Sendable () -> Void,
        log: Logger
    ) {
        self.load = load
        self.settings = settings
        self.options = options
        self.http = http
        self.output = output
        self.notifier = notifier
        self.requestStop = requestStop
        self.log = log
    }

    /// From here on SIGHUP does not end the process: to be called before anything may send it.
    static func prepare() {
        signal(SIGHUP, SIG_IGN)
    }

    func run() async throws {
        for await _ in await UnixSignalsSequence(trapping: .sighup).cancelOnGracefulShutdown() {
            if hadTerminal, isatty(STDERR_FILENO) == 0 {
                requestStop()
                continue
            }
            try await onOwnThread(named: "reload") { [self] in
                notifier.reload { reload() }
            }
        }
    }

    /// Reads the settings and puts them in force; blocks on files and on the look-up of a name.
    private func reload() {
        let read: Settings
        do {
            read = try load()
        } catch {
            return refuse(error)
        }
        var reload = SettingsReload(from: settings.current, to: read)
        let next: TaskOptions
        do {
            next = try reload.settings.taskOptions(live: settings)
        } catch {
            return refuse(error)
        }
        // From here on nothing refuses the whole.
        takeHTTP(&reload)
        settings.replace(reload.settings)
        output.format = reload.settings.log.format == .json ? .json : .text
        output.level = Logger.Level(rawValue: reload.settings.log.level.rawValue) ?? .info
        options.replace(next)
        for warning in reload.settings.warnings { log.warning("\(warning)") }
        for name in reload.waiting {
            log.warning("\(name) changed: takes effect with the next start")
        }
        log.notice(
            "settings reloaded",
            metadata: [
                "applied": "\(reload.applied.isEmpty ? "nothing" : Prose.list(reload.applied))"
            ]
        )
    }

    private func refuse(_ error: any Error) {
        let known = error as? WalrelayError
        let text = known?.message ?? "\(error)"
        log.error(
            """
            the settings are not taken over, the former ones stay in force: \
            \(text.split(separator: "\n").joined(separator: "; "))
            """,
            metadata: known.map { ["code": "\($0.code)", "try": "\($0.hint)"] } ?? [:]
        )
    }

    /// Binds the new address; where that cannot be had, the former one is kept and that is told.
    private func takeHTTP(_ reload: inout SettingsReload) {
        let names = reload.applied.filter { $0.hasPrefix("http.") }
        guard !names.isEmpty else { return }
        do throws(WalrelayError) {
            let new = reload.settings.http
            try http.reload(
                listen: ListenAddress(new),
                access: HTTPAssembly.access(new, log: log)
            )
        } catch {
            log.error(
                "\(error.message); http stays as it was",
                metadata: ["code": "\(error.code)", "try": "\(error.hint)"]
            )
            reload.settings.http = settings.current.http
            reload.applied.removeAll(where: names.contains)
        }
    }
}

extension ListenAddress {
    /// Where the settings have the server listen; `nil` where it is off.
    init?(_ http: Settings.HTTP) {
        guard let listen = http.listen else { return nil }
        self.init(host: listen.host, port: listen.port)
    }
}
