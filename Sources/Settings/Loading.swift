// SPDX-License-Identifier: Apache-2.0
//
// The way in: a settings file, or its text, becomes `Settings` or one error that lists everything
// that is wrong, in lines of `file:line:column: what is wrong`. Relative paths start from the
// file's directory. Nothing is connected to, and no password file is read yet.

public import ChangeModel

extension Settings {
    /// Reads a settings file of at most 1 MiB.
    ///
    /// Blocks on the file system. Throws `settings.unreadable` when the file cannot be had and
    /// `settings.invalid` with every fault of it; both exit 78.
    public static func load(
        path: String,
        environment: [String: String]
    ) throws(WalrelayError) -> Settings {
        let file = try document(path)
        var (settings, literalPasswords) = try read(
            file.text,
            file: path,
            baseDirectory: file.directory,
            environment: environment
        )
        settings.warnings += file.warnings(
            ofPasswords: literalPasswords,
            way: "take the password from passwordFile or an environment variable"
        )
        settings.warnings += settings.source.passwordFileWarnings()
        if case .postgresql(let section) = settings.sink {
            settings.warnings += section.connection.passwordFileWarnings()
        }
        if case .kafka(let section) = settings.sink {
            settings.warnings += section.passwordFileWarnings()
        }
        settings.warnings += [settings.http.token?.fileWarning(noun: "token")].compactMap { $0 }
        return settings
    }

    private static func document(_ path: String) throws(WalrelayError) -> DocumentFile {
        try DocumentFile(path: path) { reason in
            WalrelayError(
                "settings.unreadable",
                exit: .settings,
                "The settings file \(path) cannot be read: \(reason).",
                hint: "name a settings file with --config; config/example.yaml is one"
            )
        } invalid: { faults in
            faults.error(file: path)
        }
    }

    /// Reads the text of a settings file.
    ///
    /// Throws `settings.invalid`, exit 78, with every fault in a line of its own that begins with
    /// `file`.
    public static func parse(
        _ yaml: String,
        file: String = "settings",
        baseDirectory: String,
        environment: [String: String]
    ) throws(WalrelayError) -> Settings {
        try read(
            yaml,
            file: file,
            baseDirectory: baseDirectory,
            environment: environment
        ).settings
    }

    /// Reads `task` and `http` of a settings file: where a task that runs is to be found.
    ///
    /// Whoever looks at a task need not have the environment that its secrets come from; the other
    /// sections are not read. Throws as ``load(path:environment:)``.
    public static func loadAddress(
        path: String,
        environment: [String: String]
    ) throws(WalrelayError) -> (task: String, http: HTTP) {
        try loadPart(path, environment) { root in
            let http = root.section("http", HTTP.read)
            return root.require("task", .taskName).map { ($0, http ?? HTTP()) }
        }
    }

    /// Reads `task` and `source` of a settings file: how its server is reached.
    ///
    /// Throws as ``load(path:environment:)``.
    public static func loadSource(
        path: String,
        environment: [String: String]
    ) throws(WalrelayError) -> (task: String, source: Connection) {
        try loadPart(path, environment) { root in
            let source = root.requireSection("source", Connection.read)
            guard let task = root.require("task", .taskName), let source else { return nil }
            return (task, source)
        }
    }

    private static func loadPart<Part>(
        _ path: String,
        _ environment: [String: String],
        _ part: (Section) -> Part?
    ) throws(WalrelayError) -> Part {
        let file = try document(path)
        return try read(
            file.text,
            file: path,
            baseDirectory: file.directory,
            environment: environment
        ) { root in
            _ = root.takeIdle(root.keys)
            return part(root)
        }.value
    }

    private static func read(
        _ yaml: String,
        file: String,
        baseDirectory: String,
        environment: [String: String]
    ) throws(WalrelayError) -> (settings: Settings, literalPasswords: [String]) {
        var (settings, notes) = try read(
            yaml,
            file: file,
            baseDirectory: baseDirectory,
            environment: environment,
            Settings.read
        )
        settings.warnings = notes.warnings
        return (settings, notes.literalPasswords)
    }

    private static func read<Value>(
        _ yaml: String,
        file: String,
        baseDirectory: String,
        environment: [String: String],
        _ body: (Section) -> Value?
    ) throws(WalrelayError) -> (value: Value, notes: Notes) {
        let faults = FaultLog()
        let notes = Notes()
        guard yaml.utf8.count <= YAMLDocument.byteLimit else {
            faults.add(
                Position(),
                "the text is larger than \(YAMLDocument.byteLimit >> 10) KiB"
            )
            throw faults.error(file: file)
        }
        let document = YAMLDocument(yaml, faults: faults)
        let context = ReadingContext(
            faults: faults,
            environment: environment,
            baseDirectory: baseDirectory,
            notes: notes
        )
        var value: Value?
        if let root = document.root {
            value = Section.read(root, path: "", context: context, body)
        } else if faults.isEmpty {
            faults.add(
                Position(),
                "the file is empty: task, source, tables and sink are required"
            )
        }
        guard faults.isEmpty, let value else { throw faults.error(file: file) }
        return (value, notes)
    }
}
