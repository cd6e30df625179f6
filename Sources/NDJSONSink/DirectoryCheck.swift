// SPDX-License-Identifier: Apache-2.0
//
// What can be said of the sink's directory before it is opened: nothing is made, written or locked.
// Who looks need not be who writes, as a person is not the user of a service: what only the one who
// looks may not do is a warning.

public import ChangeModel
import Glibc

/// Looks whether a directory can hold a task's files.
public enum DirectoryCheck {
    /// Finds out what `run` would meet in `path`; blocks on the file system.
    public static func findings(_ path: String) -> [Finding] {
        let place = nearest(path)
        var status = stat()
        guard stat(place, &status) == 0 else { return [cannotLook(path, .last)] }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            return [
                finding(
                    .failed,
                    path,
                    place == path ? "is no directory" : "\(place) is no directory",
                    mend: "set sink.ndjson.directory to a path that is no file"
                )
            ]
        }
        if faccessat(AT_FDCWD, place, R_OK | W_OK | X_OK, AT_EACCESS) != 0 {
            return [forbidden(path, at: place, .last)]
        }
        let room = room(in: place).map { ", \(Prose.bytes($0)) free" } ?? ""
        let what = place == path ? "can be written" : "will be made in \(place)"
        return [finding(.ok, path, what + room)]
    }

    private static func finding(
        _ level: Finding.Level,
        _ path: String,
        _ found: String,
        mend: String = ""
    ) -> Finding {
        Finding("sink.directory", level, subject: "directory \(path)", found: found, mend: mend)
    }

    private static func cannotLook(_ path: String, _ error: Errno) -> Finding {
        finding(
            .warning,
            path,
            "cannot be looked at as \(user): \(error.text)",
            mend: "check as the user that the task runs as"
        )
    }

    private static func forbidden(_ path: String, at place: String, _ error: Errno) -> Finding {
        let hint = WalrelayError.directoryUnwritable(path, error).hint
        guard error.code != EROFS else {
            return finding(
                .failed,
                path,
                "\(place) is on a file system that is read-only",
                mend: hint
            )
        }
        return finding(
            .warning,
            path,
            "\(place) cannot be written by \(user): \(error.text)",
            mend: "\(hint); as another user the task may be able to"
        )
    }

    private static var user: String { "user \(geteuid())" }

    /// The path, or the nearest above it that is there.
    private static func nearest(_ path: String) -> String {
        var place = path
        var status = stat()
        while stat(place, &status) != 0, errno == ENOENT || errno == ENOTDIR,
            place != "/", place != "."
        {
            place = SinkDirectory.parent(of: place)
        }
        return place
    }

    /// Bytes that are left for users other than root.
    private static func room(in place: String) -> Int64? {
        var status = statvfs()
        guard statvfs(place, &status) == 0 else { return nil }
        let (bytes, overflow) = UInt64(status.f_bavail)
            .multipliedReportingOverflow(by: UInt64(status.f_frsize))
        return overflow ? nil : Int64(clamping: bytes)
    }
}
