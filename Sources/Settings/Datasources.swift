// SPDX-License-Identifier: Apache-2.0
//
// The servers that job documents name: a YAML file of a name and a connection each, with the keys
// that a connection has in a settings file. Gives each by its name, or an error that names the
// nearest.

public import ChangeModel

/// The servers that batch jobs know by name.
public struct Datasources: Sendable, Equatable {
    /// How each is reached.
    public var connections: [String: Settings.Connection]
    /// What is allowed but unwise, one sentence each, for the operator.
    public var warnings: [String] = []
    /// The file that they stand in, as an error names it.
    public var file: String

    /// Creates datasources.
    public init(_ connections: [String: Settings.Connection], file: String = "the datasources") {
        self.connections = connections
        self.file = file
    }
}

extension Datasources {
    /// Reads a file of datasources of at most 1 MiB.
    ///
    /// Blocks on the file system. Throws `datasources.unreadable` when the file cannot be had and
    /// `datasources.invalid` with every fault of it; both exit 78.
    public static func load(
        path: String,
        environment: [String: String]
    ) throws(WalrelayError) -> Datasources {
        let file = try DocumentFile(path: path) { reason in
            WalrelayError(
                "datasources.unreadable",
                exit: .settings,
                "The datasources \(path) cannot be read: \(reason).",
                hint: "name a file with --datasources; config/datasources.yaml is one"
            )
        } invalid: { faults in
            invalid(faults, file: path)
        }
        var (datasources, literalPasswords) = try read(
            file.text,
            file: path,
            baseDirectory: file.directory,
            environment: environment
        )
        datasources.warnings += file.warnings(
            ofPasswords: literalPasswords,
            way: "take the password from passwordFile or an environment variable"
        )
        for name in datasources.connections.keys.sorted() {
            datasources.warnings += datasources.connections[name]?.passwordFileWarnings() ?? []
        }
        return datasources
    }

    /// Reads the text of a file of datasources.
    ///
    /// Throws `datasources.invalid`, exit 78, with every fault in a line of its own that begins
    /// with `file`.
    public static func parse(
        _ yaml: String,
        file: String = "datasources",
        baseDirectory: String,
        environment: [String: String]
    ) throws(WalrelayError) -> Datasources {
        try read(yaml, file: file, baseDirectory: baseDirectory, environment: environment)
            .datasources
    }

    /// The server of a name.
    ///
    /// Throws `job.unknown_datasource`, exit 78, with what is known and what is near.
    public func connection(named name: String) throws(WalrelayError) -> Settings.Connection {
        if let connection = connections[name] { return connection }
        let nearest = nearestName(to: name, among: connections.keys.sorted())
        let known = connections.keys.sorted().joined(separator: ", ")
        throw WalrelayError(
            "job.unknown_datasource",
            exit: .settings,
            "The datasource \(shown(name)) is not in \(file)\(suggestion(nearest))"
                + (known.isEmpty ? "." : "; known are \(known)."),
            hint: "add it to \(file), or name another file with --datasources"
        )
    }

    private static func read(
        _ yaml: String,
        file: String,
        baseDirectory: String,
        environment: [String: String]
    ) throws(WalrelayError) -> (datasources: Datasources, literalPasswords: [String]) {
        let faults = FaultLog()
        let notes = Notes()
        guard yaml.utf8.count <= YAMLDocument.byteLimit else {
            faults.add(Position(), "the text is larger than \(YAMLDocument.byteLimit >> 10) KiB")
            throw invalid(faults, file: file)
        }
        let document = YAMLDocument(yaml, faults: faults)
        let context = ReadingContext(
            faults: faults,
            environment: environment,
            baseDirectory: baseDirectory,
            notes: notes,
            noun: "the file of datasources"
        )
        var connections: [String: Settings.Connection] = [:]
        if let root = document.root {
            let read = { (section: Section) in section.sections(Settings.Connection.read) }
            _ = Section.read(root, path: "", context: context) { section in
                // All may stand below one key; a server of that very name has a host.
                connections =
                    section.keys == ["datasources"]
                    ? section.section("datasources", read) ?? [:] : read(section)
            }
        }
        guard faults.isEmpty else { throw invalid(faults, file: file) }
        var datasources = Datasources(connections, file: file)
        datasources.warnings = notes.warnings
        return (datasources, notes.literalPasswords)
    }

    private static func invalid(_ faults: FaultLog, file: String) -> WalrelayError {
        faults.error(
            "datasources.invalid",
            file: file,
            hint: "mend the lines above; config/datasources.yaml shows every key"
        )
    }
}

extension Job {
    /// How a step's server is reached; `datasources` may be nil where there is no file of them.
    ///
    /// Throws `job.unknown_datasource`, exit 78, with the place in the document.
    public func connection(
        of server: Server,
        in datasources: Datasources?
    ) throws(WalrelayError) -> Settings.Connection {
        switch server {
        case .connection(let connection): return connection
        case .datasource(let name):
            do throws(WalrelayError) {
                return try (datasources ?? Datasources([:])).connection(named: name)
            } catch {
                var error = error
                if let place = datasourcePlaces[name] {
                    error.message = "\(place): \(error.message)"
                }
                if datasources == nil {
                    error.hint = "name a file that has it with --datasources"
                }
                throw error
            }
        }
    }
}
