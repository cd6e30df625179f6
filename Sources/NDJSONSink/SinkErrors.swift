// SPDX-License-Identifier: Apache-2.0
//
// The words of this room: every error that the file sinks give to the operator, in one place.

import ChangeModel
import Glibc

extension WalrelayError {
    static func directoryUnwritable(_ path: String, _ error: Errno) -> WalrelayError {
        let own = "sudo install -d -o \(geteuid()) -m 0750 '\(path)'"
        let hint =
            switch error.code {
            case EROFS: "mount it writable, or under systemd add ReadWritePaths=\(path)"
            case ENOTDIR, EEXIST: "set sink.ndjson.directory to a path that is no file"
            case ENOSPC, EDQUOT: "make room: df -h '\(path)'; df -i '\(path)'"
            default: "\(own), or set sink.ndjson.directory to another place"
            }
        return WalrelayError(
            "sink.directory_unwritable",
            exit: error.mayPass ? .unreachable : .settings,
            "The directory \(path) cannot be written: \(error.text).",
            hint: hint,
            isTransient: error.mayPass
        )
    }

    static func directoryInUse(_ path: String, pid: Int32?) -> WalrelayError {
        let holder = pid.map { "process \($0)" } ?? "another process"
        return WalrelayError(
            "sink.directory_in_use",
            exit: .prerequisite,
            "The directory \(path) is being written by \(holder).",
            hint: pid.map { "ps -fp \($0), then stop it, or give this task its own directory" }
                ?? "stop it, or give this task its own directory"
        )
    }

    static func checkpointMalformed(_ path: String, _ reason: String) -> WalrelayError {
        WalrelayError(
            "sink.checkpoint_malformed",
            exit: .checkpointMismatch,
            "\(path)/checkpoint.json cannot be understood: \(reason).",
            hint: "restore it from a backup; or move the directory's content away and run"
                + " `walrelay teardown`, then start with a new snapshot"
        )
    }

    static func checkpointMissing(
        _ path: String,
        _ file: String,
        length: Int64
    ) -> WalrelayError {
        WalrelayError(
            "sink.checkpoint_missing",
            exit: .checkpointMismatch,
            "\(path) has no checkpoint.json, but \(file) holds \(length) bytes.",
            hint: "restore checkpoint.json; or move \(path)/\(file) away to begin anew"
        )
    }

    static func filesMismatch(
        _ path: String,
        _ file: String,
        expected: String,
        found: String,
        _ mark: FileMark
    ) -> WalrelayError {
        WalrelayError(
            "sink.files_mismatch",
            exit: .checkpointMismatch,
            "\(path)/\(file) does not fit checkpoint.json, which ends at byte \(mark.length) of"
                + " \(mark.openName): expected \(expected), found \(found).",
            hint: "restore the file and checkpoint.json from the same moment; or move the"
                + " directory's content away and run `walrelay teardown`, then start with a new"
                + " snapshot"
        )
    }

    static func diskFull(_ path: String, _ object: String, _ error: Errno) -> WalrelayError {
        WalrelayError(
            "sink.disk_full",
            exit: .unreachable,
            "No room for \(object): \(error.text).",
            hint: "make room: df -h '\(path)'; sealed files that were consumed can be moved away",
            isTransient: true
        )
    }

    static func fsyncFailed(_ object: String, _ error: Errno) -> WalrelayError {
        WalrelayError(
            "sink.fsync_failed",
            exit: .unreachable,
            "Syncing \(object) failed: \(error.text). What was written since the last checkpoint"
                + " is streamed again.",
            hint: "look for errors of the device: dmesg --level=err,warn",
            isTransient: true
        )
    }

    static func fileFailed(
        _ action: String,
        _ object: String,
        _ error: Errno
    ) -> WalrelayError {
        WalrelayError(
            "sink.write_failed",
            exit: .unreachable,
            "\(action) \(object) failed: \(error.text). What was written since the last"
                + " checkpoint is streamed again.",
            hint: "look for errors of the device: dmesg --level=err,warn",
            isTransient: true
        )
    }

    static func outOfOrder(_ what: String) -> WalrelayError {
        WalrelayError(
            "sink.call_order",
            exit: .internalError,
            "The sink was asked to \(what) while it was not open or owed a rollback.",
            hint: "this is a defect of walrelay: please report it"
        )
    }

    static func outputClosed() -> WalrelayError {
        WalrelayError(
            "sink.closed",
            exit: .success,
            "The reader of the standard output has gone away."
        )
    }
}
