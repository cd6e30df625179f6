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
        let file = try DocumentFile(path: path) { reason in
            WalrelayError(
                "settings.unreadable",
                exit: .settings,
                "The settings file \(path) cannot be read: \(reason).",
                hint: "name a settings file with --config; config/example.yaml is one"
            )
        } invalid: { faults in
            faults.error(file: path)
        }
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
        settings.warnings += [settings.http.token?.fileWarning(noun: "token")].compactMap { $0 }
        return settings
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

    private static func read(
        _ yaml: String,
        file: String,
        baseDirectory: String,
        environment: [String: String]
    ) throws(WalrelayError) -> (settings: Settings, literalPasswords: [String]) {
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
        var settings: Settings?
        if let root = document.root {
            settings = Section.read(root, path: "", context: context, Settings.read)
        } else if faults.isEmpty {
            faults.add(
                Position(),
                "the file is empty: task, source, tables and sink are required"
            )
        }
        guard faults.isEmpty, var settings else { throw faults.error(file: file) }
        settings.warnings = notes.warnings
        return (settings, notes.literalPasswords)
    }
}
