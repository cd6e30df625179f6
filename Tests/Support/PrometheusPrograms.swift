// SPDX-License-Identifier: Apache-2.0
//
// Prometheus and promtool, which judge the metrics and the alert rules as an operator's own would.

import Foundation
import Glibc

/// Where the programs of Prometheus are, if they are here.
public enum PrometheusPrograms {
    /// promtool, which checks and tests rules.
    public static let promtool = "\(directory)/promtool"
    /// The server.
    public static let server = "\(directory)/prometheus"
    /// Whether both can be run.
    public static let areHere = access(promtool, X_OK) == 0 && access(server, X_OK) == 0
    /// What a test that is skipped says.
    public static let absence = "no Prometheus here: scripts/fetch-prometheus"

    /// Where scripts/fetch-prometheus puts them: it decides by the same rule.
    private static let directory: String = {
        let variables = ProcessInfo.processInfo.environment
        let own = variables["WALRELAY_PROMETHEUS_DIR"] ?? ""
        if !own.isEmpty { return own }
        if geteuid() == 0 { return "/var/cache/walrelay/prometheus" }
        let home = variables["HOME"] ?? "/nonexistent"
        return "\(variables["XDG_CACHE_HOME"] ?? "\(home)/.cache")/walrelay/prometheus"
    }()
}
