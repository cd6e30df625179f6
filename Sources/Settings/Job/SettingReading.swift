// SPDX-License-Identifier: Apache-2.0
//
// `setting` of a job document: how many dirty records are allowed, how fast the job may be. The
// words of both shapes are known in both.

extension JobReading {
    /// `setting`, as far as it could be read.
    struct Setting {
        var errorLimit = Job.ErrorLimit()
        var speed = Job.Speed()
        var dirtyRecords: String?
    }

    func readSetting(_ section: Section) -> Setting {
        var setting = Setting()
        if let limit = section.section("errorLimit", Job.ErrorLimit.read) {
            setting.errorLimit = limit
        }
        if let speed = section.section("speed", { self.readSpeed($0) }) { setting.speed = speed }
        setting.dirtyRecords = section.take("dirtyRecords", .path(from: context.baseDirectory))
        refuseDryRun(section)
        idle(section, IdleKeys.setting)
        return setting
    }

    /// `dryRun` of the format must not be taken for a key without effect.
    func refuseDryRun(_ section: Section) {
        if section.take("dryRun", .lenientBoolean) == true {
            section.fault("dryRun", "is not read from the job: run it with --dry-run")
        }
    }

    private func readSpeed(_ section: Section) -> Job.Speed {
        var speed = Job.Speed()
        let channels = Form<Int>.integer(in: 1...1024)
        section.take("concurrent", channels, into: &speed.channels)
        section.take("channel", channels, into: &speed.channels)
        section.exclude(["channel"], beside: "concurrent")
        let throttle = section.take("throttle", .lenientBoolean)
        let mbps = section.take("mbps", .megabytes)
        let byte = section.take("byte", .rate)
        let record = section.take("record", .rate)
        section.exclude(["byte"], beside: "mbps")
        idle(section, IdleKeys.speed)
        if throttle == true, !["mbps", "byte", "record"].contains(where: section.has) {
            section.warn("throttle", "has no effect without mbps")
        }
        guard throttle != false else { return speed }
        speed.bytesPerSecond = mbps ?? byte ?? nil
        speed.recordsPerSecond = record ?? nil
        return speed
    }
}

extension Job.ErrorLimit {
    fileprivate static func read(_ section: Section) -> Self? {
        var limit = Self()
        limit.records = section.take("record", .integer(in: 0...Int.max))
        limit.share = section.take("percentage", .share)
        return limit
    }
}

extension Section {
    /// Adds a sentence about a key for the operator.
    func warn(_ key: String, _ sentence: String) {
        context.notes.warnings.append(
            "line \(position(of: key).line): \(pathOf(key)) \(sentence)"
        )
    }
}

extension Form where Value == Bool {
    /// `true` or `false` in any case.
    static var lenientBoolean: Form {
        Form("true or false") { text throws(Rejection) in try boolean.read(text.lowercased()) }
    }
}

extension Form where Value == Int? {
    /// A number a second from 1 on; nil for -1, which stands for no bound.
    fileprivate static var rate: Form {
        let number = Form<Int>.integer(in: 1...Int.max)
        return Form(number.noun) { text throws(Rejection) in
            text == "-1" ? nil : try number.read(text)
        }
    }
}

extension Form where Value == Int {
    /// Megabytes, in bytes.
    fileprivate static var megabytes: Form {
        Form<Double>.number("a number of megabytes such as 12").map { number throws(Rejection) in
            let bytes = number * Double(1 << 20)
            guard bytes >= 1, bytes < Double(1 << 60) else {
                throw Rejection(
                    "is out of bounds: more than 0 megabytes a second; without mbps there is no"
                        + " bound"
                )
            }
            return Int(bytes)
        }
    }
}

extension Form where Value == Double {
    /// A decimal number.
    fileprivate static func number(_ noun: String) -> Form {
        Form(noun) { text throws(Rejection) in
            let isPlain = text.utf8.allSatisfy { (45...57).contains($0) || $0 | 0x20 == 0x65 }
            guard isPlain, let number = Double(text), number.isFinite else {
                throw Rejection("is not \(noun)")
            }
            return number
        }
    }

    /// A part of all records.
    fileprivate static var share: Form {
        number("a number from 0 to 1 such as 0.02").map { share throws(Rejection) in
            guard (0...1).contains(share) else {
                throw Rejection("is out of bounds: 0 to 1, where 0.02 is two of a hundred")
            }
            return share
        }
    }
}
