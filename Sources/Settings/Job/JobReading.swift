// SPDX-License-Identifier: Apache-2.0
//
// The two shapes of a job document, read into one `Job`: DataWorks' `steps`, `setting` and `order`,
// and DataX's `job` with `content` and `setting`. What the steps' parameters say is read in
// StepReading.swift.

/// One reading of a job document.
final class JobReading {
    /// The most keys without effect that are named.
    private static let shownIdleKeys = 20

    let context: ReadingContext
    /// Where each datasource is named first: `line:column: path`.
    var datasourcePlaces: [String: String] = [:]
    private var idleKeys: [(path: String, line: Int)] = []

    init(context: ReadingContext) {
        self.context = context
    }

    /// What a step is for.
    enum Role: String, CaseIterable {
        case reader, writer
    }

    /// What `category` says.
    fileprivate enum Category {
        case end(Role)
        /// Between reader and writer.
        case processor
    }

    /// A step's plug-in.
    enum PlugIn: String {
        case postgresql, stream
    }

    /// The steps of a document, as far as they could be read.
    struct Ends {
        var reader: Job.Reader?
        var writer: Job.Writer?
        /// `dirtyRecords` of the writer.
        var dirtyRecords: String?
    }

    /// Reads the whole document; nil when something required is missing or faulty.
    func read(_ root: Section) -> Job? {
        let type = root.take("type", .text)
        if let type, type != "job" {
            root.fault("type", "\(shown(type)) is not job, the only type there is")
        }
        root.take("version", .version)
        idle(root, IdleKeys.document)
        let isDataX = root.has("job")
        root.exclude(["steps", "setting", "order"], beside: "job")
        let ends: Ends
        var setting = Setting()
        if isDataX {
            (ends, setting) = root.section("job") { self.readContent($0) } ?? (Ends(), Setting())
            // Known, so that a key of the other shape has one fault and not two.
            _ = (root.rawNode("steps"), root.rawNode("setting"), root.rawNode("order"))
        } else {
            _ = root.rawNode("job")
            root.demand("steps", "a list of a reader and a writer, or job in DataX's shape,")
            let steps = readSteps(root)
            ends = steps.ends
            setting = root.section("setting") { self.readSetting($0) } ?? setting
            _ = root.section("order") { self.checkOrder($0, steps: steps) }
        }
        if let one = setting.dirtyRecords, let other = ends.dirtyRecords, one != other {
            context.faults.add(
                root.position,
                "dirtyRecords names \(shown(one)) in setting and \(shown(other)) in the writer:"
                    + " there is one file"
            )
        }
        guard let reader = ends.reader, let writer = ends.writer else { return nil }
        var job = Job(reader: reader, writer: writer)
        job.errorLimit = setting.errorLimit
        job.speed = setting.speed
        job.dirtyRecordsFile = setting.dirtyRecords ?? ends.dirtyRecords
        return job
    }

    /// Notes the keys of a section that do nothing here.
    func idle(_ section: Section, _ keys: [String]) {
        idleKeys += section.takeIdle(keys)
    }

    /// One sentence that names every key that does nothing here.
    var idleKeyWarnings: [String] {
        guard !idleKeys.isEmpty else { return [] }
        let sorted = idleKeys.sorted { ($0.line, $0.path) < ($1.line, $1.path) }
        let shown = sorted.prefix(Self.shownIdleKeys).map { "\($0.path) (line \($0.line))" }
        let more = sorted.count - shown.count
        return [
            "these keys of the format do nothing here: \(shown.joined(separator: ", "))"
                + (more > 0 ? " and \(more) more" : "")
        ]
    }

    // MARK: DataX's shape

    private func readContent(_ section: Section) -> (Ends, Setting) {
        idle(section, IdleKeys.dataXJob)
        section.demand("content", "a list of one entry with a reader and a writer")
        let contents = section.list(
            "content",
            of: "a section of a reader and a writer",
            allowsSingle: true
        ) { node, path in
            Section.read(node, path: path, context: context) { self.readEnds($0) }
        }
        if let contents, contents.count != 1 {
            section.fault(
                "content",
                "has \(contents.count) entries: a job has one, make a job of each"
            )
        }
        let setting = section.section("setting") { self.readSetting($0) }
        return (contents?.first ?? Ends(), setting ?? Setting())
    }

    private func readEnds(_ section: Section) -> Ends {
        var ends = Ends()
        section.demand("reader", "a section of name and parameter")
        section.demand("writer", "a section of name and parameter")
        ends.reader = section.section("reader") { reader in
            guard let plugIn = self.plugIn(reader, key: "name", role: .reader) else { return nil }
            return self.readReader(reader, plugIn)
        }
        _ = section.section("writer") { writer in
            guard let plugIn = self.plugIn(writer, key: "name", role: .writer) else { return }
            (ends.writer, ends.dirtyRecords) = self.readWriter(writer, plugIn)
        }
        refuseEntries(section, "transformer")
        return ends
    }

    // MARK: DataWorks' shape

    struct Steps {
        var ends = Ends()
        var names: [Role: String] = [:]
        /// The names of steps between reader and writer.
        var others: [String] = []
        fileprivate var places: [Role: String] = [:]
    }

    private func readSteps(_ root: Section) -> Steps {
        var steps = Steps()
        let roles = root.list("steps", of: "a section", allowsSingle: false) { node, path in
            Section.read(node, path: path, context: context) { self.readStep($0, into: &steps) }
        }
        if roles != nil {
            for role in Role.allCases where steps.places[role] == nil {
                root.fault(
                    "steps",
                    "has no \(role.rawValue): one step of that category is required"
                )
            }
        }
        return steps
    }

    /// Reads a step into what it is for, which is given; nil when that cannot be told.
    private func readStep(_ section: Section, into steps: inout Steps) -> Category? {
        let name = section.take("name", .text)
        idle(section, IdleKeys.step)
        guard let category = section.require("category", .category) else {
            _ = (section.rawNode("stepType"), section.rawNode("parameter"))
            return nil
        }
        guard case .end(let role) = category else {
            readProcessor(section)
            steps.others += name.map { [$0] } ?? []
            return category
        }
        if let first = steps.places.updateValue(section.path, forKey: role) {
            context.faults.add(
                section.position,
                "\(section.path) is a second \(role.rawValue), beside \(first): a job has one"
                    + " reader and one writer, make a job of each pair"
            )
        }
        steps.names[role] = name
        guard let plugIn = plugIn(section, key: "stepType", role: role) else { return category }
        switch role {
        case .reader: steps.ends.reader = readReader(section, plugIn)
        case .writer: (steps.ends.writer, steps.ends.dirtyRecords) = readWriter(section, plugIn)
        }
        return category
    }

    /// A step of the codeless editor that holds nothing.
    private func readProcessor(_ section: Section) {
        _ = section.rawNode("stepType")
        _ = section.section("parameter") { parameter in
            _ = parameter.rawNode("version")
            for key in ["nodes", "edges", "groups"] {
                refuseEntries(parameter, key)
            }
        }
    }

    /// What changes records on their way is not known; an editor writes it even when it is empty.
    private func refuseEntries(_ section: Section, _ key: String) {
        if let count = section.node(key)?.count, count > 0 {
            section.fault(key, "is not supported: put expressions into column")
        }
    }

    private func checkOrder(_ section: Section, steps: Steps) {
        let hops = section.list("hops", of: "a section", allowsSingle: false) { node, path in
            Section.read(node, path: path, context: context) { hop in
                self.checkHop(hop, steps: steps)
                return path
            }
        }
        if let hops, hops.count > 1 {
            section.fault("hops", "has \(hops.count) entries: a job has one, from reader to writer")
        }
    }

    private func checkHop(_ hop: Section, steps: Steps) {
        let due: [(key: String, role: Role)] = [("from", .reader), ("to", .writer)]
        for (key, role) in due {
            guard let name = hop.require(key, .text), let meant = steps.names[role], name != meant
            else { continue }
            let known = steps.names.values.sorted() + steps.others
            let reason =
                known.contains(name)
                ? "is not the \(role.rawValue), \(shown(meant)) is"
                : "is the name of no step" + suggestion(nearestName(to: name, among: known))
            hop.fault(key, "\(shown(name)) \(reason)")
        }
    }

    // MARK: Plug-ins

    private func plugIn(_ section: Section, key: String, role: Role) -> PlugIn? {
        guard section.has(key) else {
            _ = section.rawNode(key)
            context.notes.warnings.append(
                "line \(section.position.line): \(section.pathOf(key)) is missing, taken for"
                    + " postgresql"
            )
            return .postgresql
        }
        guard let name = section.take(key, .text) else {
            _ = section.rawNode("parameter")
            return nil
        }
        for other in Role.allCases where name.lowercased().hasSuffix(other.rawValue) {
            let stem = String(name.lowercased().dropLast(other.rawValue.count))
            guard let plugIn = PlugIn(rawValue: stem) else { continue }
            if other == role { return plugIn }
            section.fault(
                key,
                "\(shown(name)) is a \(other.rawValue), and this is the \(role.rawValue)"
            )
            _ = section.rawNode("parameter")
            return nil
        }
        if let plugIn = PlugIn(rawValue: name.lowercased()) { return plugIn }
        let known = [
            "postgresql", "stream", "postgresql\(role.rawValue)", "stream\(role.rawValue)",
        ]
        section.fault(
            key,
            "\(shown(name)) is not supported: a \(role.rawValue) is one of"
                + " \(known.joined(separator: ", "))"
                + suggestion(nearestName(to: name, among: known))
        )
        _ = section.rawNode("parameter")
        return nil
    }
}

extension DocumentNode {
    /// How many entries a list has; nil for anything else.
    fileprivate var count: Int? {
        guard case .list(let nodes) = content else { return nil }
        return nodes.count
    }
}

extension Form where Value == JobReading.Category {
    /// What a step is for.
    fileprivate static var category: Form {
        let names = JobReading.Role.allCases.map(\.rawValue)
        return Form("reader or writer") { text throws(Rejection) in
            if let role = JobReading.Role(rawValue: text.lowercased()) { return .end(role) }
            if text.lowercased() == "processor" { return .processor }
            throw Rejection(
                "is neither reader nor writer" + suggestion(nearestName(to: text, among: names))
            )
        }
    }
}

extension Form where Value == Void {
    /// A version of the format that is read.
    fileprivate static var version: Form {
        Form("2.0") { text throws(Rejection) in
            guard ["1.0", "1", "2.0", "2"].contains(text) else {
                throw Rejection("is not 2.0, the version that is read")
            }
        }
    }
}
