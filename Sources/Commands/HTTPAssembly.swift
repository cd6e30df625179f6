// SPDX-License-Identifier: Apache-2.0
//
// From the settings to who is answered over HTTP.

import ChangeModel
import Foundation
import Logging
import Operations
import Settings

enum HTTPAssembly {
    /// Who is answered; throws where the token cannot be read, or is none.
    ///
    /// Blocks on the file system.
    static func access(_ http: Settings.HTTP, log: Logger) throws(WalrelayError) -> HTTPAccess {
        let environment = ProcessInfo.processInfo.environment
        if try http.readToken(environment: environment) != nil {
            let token = AccessToken(logger: log) { () throws(WalrelayError) in
                try http.readToken(environment: environment) ?? ""
            }
            return HTTPAccess(token: token)
        }
        guard let listen = http.listen, listen.isLoopback, !http.isBehindProxy else {
            return HTTPAccess()
        }
        return HTTPAccess(localNames: [listen.host])
    }
}
