// SPDX-License-Identifier: Apache-2.0
//
// What a task that is running takes over from a settings file that was changed, and what waits for
// its next start. Receives the settings that are in force and those of the file; gives those that
// are in force from now on. Every setting is in the table below or under "other settings", so that
// nothing that was changed goes by without a word.

import ChangeModel

/// The outcome of reading the settings of a running task again.
public struct SettingsReload: Sendable, Equatable {
    /// What is in force from now on: the former settings with what could be taken over.
    public var settings: Settings
    /// The names of the settings that were taken over, in the order of the file's sections.
    public var applied: [String] = []
    /// The names of the settings that were changed and take effect with the next start.
    public var waiting: [String] = []

    /// Compares the settings in force with the file's.
    public init(from former: Settings, to new: Settings) {
        settings = former
        for rule in Self.rules where rule.isLive && rule.differ(former, new) {
            rule.copy(&settings, new)
            applied.append(rule.name)
        }
        settings.warnings = new.warnings
        for rule in Self.rules where !rule.isLive && rule.differ(settings, new) {
            waiting.append(rule.name)
        }
        if waiting.isEmpty, settings != new { waiting.append("other settings") }
    }
}

extension SettingsReload {
    /// One setting: whether it can be taken over, and how.
    private struct Rule: Sendable {
        var name: String
        var isLive: Bool
        var differ: @Sendable (Settings, Settings) -> Bool
        var copy: @Sendable (inout Settings, Settings) -> Void

        static func live<Value: Equatable & SendableMetatype>(
            _ name: String,
            _ path: any WritableKeyPath<Settings, Value> & Sendable
        ) -> Rule {
            Rule(name: name, isLive: true) {
                $0[keyPath: path] != $1[keyPath: path]
            } copy: {
                $0[keyPath: path] = $1[keyPath: path]
            }
        }

        /// One that belongs to something: only where that is the same is it taken over.
        static func live<Value: Equatable & SendableMetatype, Owner: Equatable & SendableMetatype>(
            _ name: String,
            _ path: any WritableKeyPath<Settings, Value> & Sendable,
            of owner: any KeyPath<Settings, Owner> & Sendable
        ) -> Rule {
            var rule = live(name, path)
            let differ = rule.differ
            rule.differ = { $0[keyPath: owner] == $1[keyPath: owner] && differ($0, $1) }
            return rule
        }

        static func waits<Value: Equatable & SendableMetatype>(
            _ name: String,
            _ path: any KeyPath<Settings, Value> & Sendable
        ) -> Rule {
            Rule(name: name, isLive: false) {
                $0[keyPath: path] != $1[keyPath: path]
            } copy: { _, _ in
            }
        }
    }

    private static let rules: [Rule] = [
        .waits("task", \.task),
        .live("source.password", \.source.password, of: \.sourceLogin),
        .live("source.tls.keyPassword", \.source.keyPassword, of: \.sourceLogin),
        .waits("source", \.source),
        .live("tables.include", \.addedAndRemoved),
        .live("tables.exclude", \.tables.exclude),
        .waits("tables.include (columns, where or target of a table)", \.tables.include),
        .waits("snapshot.mode", \.snapshot.mode),
        .live("snapshot.workers", \.snapshot.workers),
        .live("stream.onTruncate", \.stream.onTruncate),
        .live("stream.acceptDDL", \.stream.acceptDDL),
        .waits("stream.onUnsupportedDDL", \.stream.onUnsupportedDDL),
        .live("batch.rows", \.batch.rows),
        .live("batch.bytes", \.batch.bytes),
        .live("batch.delay", \.batch.delay),
        .live("sink.postgresql.password", \.target.password, of: \.sinkLogin),
        .live("sink.postgresql.tls.keyPassword", \.target.keyPassword, of: \.sinkLogin),
        .live("sink.kafka.passwordFile", \.kafka.password, of: \.sinkLogin),
        .live("sink.kafka.keyPasswordFile", \.kafka.keyPassword, of: \.sinkLogin),
        .live("sink.kafka.properties (passwords)", \.kafka.passwords, of: \.sinkLogin),
        .waits("sink", \.sink),
        .waits("format", \.format),
        .waits("slot", \.slot),
        .live("http.listen", \.http.listen),
        .live("http.token", \.http.token),
        .live("http.behindProxy", \.http.isBehindProxy),
        .live("log.level", \.log.level),
        .live("log.format", \.log.format),
        .live("retry.for", \.retry.limit),
    ]
}

extension Settings.Connection {
    /// The passphrase of the client's key, where there is one.
    fileprivate var keyPassword: SecretSource? {
        get { tls?.keyPassword }
        set { tls?.keyPassword = newValue }
    }
}

extension Settings {
    /// Where one logs in, as whom, and with which key: what passwords belong to.
    fileprivate struct Login: Equatable {
        var sink: Sink.Kind?
        var target: Connection.Target?
        var key: String?
        var servers: [String] = []
        var properties: [String: Secret] = [:]
    }

    fileprivate var sourceLogin: Login { Login(target: source.target, key: source.tls?.key) }

    fileprivate var sinkLogin: Login {
        switch sink {
        case .postgresql(let section):
            let connection = section.connection
            return Login(sink: sink.kind, target: connection.target, key: connection.tls?.key)
        case .kafka(let section):
            let properties = section.properties.filter { name, _ in
                ["sasl.", "ssl."].contains(where: name.hasPrefix)
                    && !KafkaProperties.isPassword(name)
            }
            return Login(
                sink: sink.kind,
                servers: section.bootstrapServers,
                properties: properties
            )
        default: return Login(sink: sink.kind)
        }
    }

    /// The secrets of a sink that is a PostgreSQL itself; of others nothing is there to be set.
    fileprivate struct TargetSecrets: Equatable {
        var password: SecretSource?
        var keyPassword: SecretSource?
    }

    fileprivate var target: TargetSecrets {
        get {
            guard case .postgresql(let section) = sink else { return TargetSecrets() }
            return TargetSecrets(
                password: section.connection.password,
                keyPassword: section.connection.keyPassword
            )
        }
        set {
            guard case .postgresql(var section) = sink else { return }
            section.connection.password = newValue.password
            section.connection.keyPassword = newValue.keyPassword
            sink = .postgresql(section)
        }
    }

    /// The secrets of a sink that is a Kafka cluster; of others nothing is there to be set.
    fileprivate struct ClusterSecrets: Equatable {
        var password: SecretSource?
        var keyPassword: SecretSource?
        /// Of the properties those that are passwords.
        var passwords: [String: Secret] = [:]
    }

    fileprivate var kafka: ClusterSecrets {
        get {
            guard case .kafka(let section) = sink else { return ClusterSecrets() }
            return ClusterSecrets(
                password: section.password,
                keyPassword: section.keyPassword,
                passwords: section.properties.filter { KafkaProperties.isPassword($0.key) }
            )
        }
        set {
            guard case .kafka(var section) = sink else { return }
            section.password = newValue.password
            section.keyPassword = newValue.keyPassword
            section.properties = section.properties
                .filter { !KafkaProperties.isPassword($0.key) }
                .merging(newValue.passwords) { $1 }
            sink = .kafka(section)
        }
    }

    /// The entries of `tables.include`, each in the form in which it is in force.
    ///
    /// An entry that comes in or goes is taken over. One that is there already keeps its columns,
    /// its row filter and its target: what was copied under them would not fit others.
    fileprivate var addedAndRemoved: AddedAndRemoved {
        get { AddedAndRemoved(rules: tables.include) }
        set {
            let former = tables.include
            tables.include = newValue.rules.map { rule in
                former.first { $0.pattern == rule.pattern } ?? rule
            }
        }
    }

    /// Rules that are told apart by the tables that they name, in their order.
    fileprivate struct AddedAndRemoved: Equatable {
        var rules: [TableRule]

        static func == (one: Self, other: Self) -> Bool {
            one.rules.map(\.pattern) == other.rules.map(\.pattern)
        }
    }
}
