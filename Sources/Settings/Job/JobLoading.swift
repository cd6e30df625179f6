// SPDX-License-Identifier: Apache-2.0
//
// The way in: a job document and the parameters of the command line become a `Job`, or one error
// that lists everything that is wrong, in lines of `file:line:column: what is wrong`. Relative
// paths start from the file's directory. Nothing is connected to.

public import ChangeModel

extension Job {
    /// Reads a job document of at most 1 MiB.
    ///
    /// Blocks on the file system. Throws `job.unreadable` when the file cannot be had and
    /// `job.invalid` with every fault of it; both exit 78.
    public static func load(
        path: String,
        parameters: [String: String]
    ) throws(WalrelayError) -> Job {
        let file = try DocumentFile(path: path) { reason in
            WalrelayError(
                "job.unreadable",
                exit: .settings,
                "The job \(path) cannot be read: \(reason).",
                hint: "name a job document; config/job.json is one"
            )
        } invalid: { faults in
            invalid(faults, file: path)
        }
        var (job, literalPasswords) = try read(
            file.text,
            file: path,
            baseDirectory: file.directory,
            parameters: parameters
        )
        job.warnings += file.warnings(
            ofPasswords: literalPasswords,
            way: "name a datasource"
        )
        return job
    }

    /// Reads the text of a job document.
    ///
    /// Throws `job.invalid`, exit 78, with every fault in a line of its own that begins with `file`.
    public static func parse(
        _ text: String,
        file: String = "job",
        baseDirectory: String,
        parameters: [String: String]
    ) throws(WalrelayError) -> Job {
        try read(text, file: file, baseDirectory: baseDirectory, parameters: parameters).job
    }

    private static func read(
        _ text: String,
        file: String,
        baseDirectory: String,
        parameters: [String: String]
    ) throws(WalrelayError) -> (job: Job, literalPasswords: [String]) {
        let faults = FaultLog()
        let notes = Notes()
        guard text.utf8.count <= YAMLDocument.byteLimit else {
            faults.add(Position(), "the text is larger than \(YAMLDocument.byteLimit >> 10) KiB")
            throw invalid(faults, file: file)
        }
        let given = JobParameters(parameters, faults: faults)
        var reader = JSONReader(text, parameters: given)
        let root: DocumentNode
        do {
            root = try reader.document()
        } catch {
            faults.add(error.position, error.message)
            throw invalid(faults, file: file)
        }
        let context = ReadingContext(
            faults: faults,
            environment: nil,
            baseDirectory: baseDirectory,
            notes: notes,
            noun: "the job",
            blankIsAbsent: true
        )
        let reading = JobReading(context: context)
        let job = Section.read(root, path: "", context: context, reading.read)
        if job == nil, faults.isEmpty { faults.add(Position(), "this is no job") }
        guard faults.isEmpty, var job else { throw invalid(faults, file: file) }
        job.warnings = notes.warnings + reading.idleKeyWarnings + unusedWarnings(given, file: file)
        job.datasourcePlaces = reading.datasourcePlaces.mapValues { "\(file):\($0)" }
        return (job, notes.literalPasswords)
    }

    private static func invalid(_ faults: FaultLog, file: String) -> WalrelayError {
        faults.error(
            "job.invalid",
            file: file,
            hint: "mend the lines above; config/job.json shows every key"
        )
    }

    private static func unusedWarnings(_ parameters: JobParameters, file: String) -> [String] {
        parameters.unused.map { "the parameter -p \($0) is used nowhere in \(file)" }
    }
}
