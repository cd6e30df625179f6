// SPDX-License-Identifier: Apache-2.0
//
// What the walk through the documents needs to know beside their text: what stands for the names in
// it here, which commands do not end, which promise more than to succeed, and the few that cannot be
// run, each with its reason. A rule that fits no command any more fails the walk.

import Foundation

/// What holds for the commands that begin with its text.
struct GuideRule: Sendable {
    let command: String
    let effect: Effect

    enum Effect: Sendable {
        /// Not run here.
        case notRun(why: String)
        /// Goes on until it is stopped: it is started, and ends in good order after the block.
        case endless
        /// The same, and the block's next command wants it ended: that is as soon as it streams.
        case endlessAlone
        /// Ends with this code, having printed each of these texts.
        case ends(code: Int32 = 0, printing: [String] = [])
        /// Takes its password as systemd-run gives it, which the page says once, at its first.
        case withCredential
        /// Asks on a terminal, and is told yes.
        case asks
        /// Run before it, as root.
        case after(commands: String)
        /// As a superuser of the source, before it.
        case afterSQL(String)
    }

    init(_ command: String, _ effect: Effect) {
        self.command = command
        self.effect = effect
    }

    /// Those of a command.
    static func of(_ command: String) -> [GuideRule] {
        all.filter { command.hasPrefix($0.command) }
    }

    /// What the page's names stand for here, in this order; `PORT` is that of the task's HTTP.
    static let readings = [
        // The reader says yes; what is there already stays as it is.
        ("sudo apt-get install", "sudo apt-get install -y --no-upgrade"),
        ("127.0.0.1:8085", "127.0.0.1:PORT"),
        ("'…'", "'host=db.example dbname=shop user=cdc'"),
        ("public.orders", "sales.orders"),
    ]

    private static let byHand = "walrelay verify --config /etc/walrelay/orders.yaml"
    private static let resnapshot = "walrelay run --config orders.yaml --resnapshot"
    private static let loss = "SELECT pg_drop_replication_slot('di_slot_orders')"
    private static let dropBilling = "walrelay slots drop billing"

    static let all: [GuideRule] = [
        GuideRule("kafka-acls ", .notRun(why: "Kafka's own tools are not to be had on Debian")),
        GuideRule("scripts/quickstart", .notRun(why: "builds; it is a test of its own")),
        GuideRule("scripts/test", .notRun(why: "this is part of it")),
        GuideRule("scripts/setup", .notRun(why: "scripts/test begins with it")),
        GuideRule("swift build", .notRun(why: "takes minutes; scripts/check builds")),

        GuideRule("sha256sum --check", .ends(printing: [".deb: OK", ".tar.gz: OK"])),
        // The page's other way to install it.
        GuideRule("tar -xzf", .after(commands: "apt-get remove -y walrelay")),
        GuideRule("(cd walrelay-", .ends(printing: ["installed /usr/local/bin/walrelay"])),
        // This reader stays with the package.
        GuideRule(
            "sudo install -m 644 orders.yaml",
            .after(
                commands: """
                    cd /root/walk
                    walrelay-*/install --uninstall
                    apt-get install -y ./walrelay_*.deb
                    """
            )
        ),

        // What is tried by hand from here on has the password beside it.
        GuideRule(
            "sudo systemctl enable --now walrelay@orders",
            .after(commands: "sed -i s/credential:password/password/ /root/walk/orders.yaml")
        ),

        GuideRule("walrelay status --config", .ends(printing: ["orders", "streaming"])),
        GuideRule("journalctl -u walrelay@orders -f", .endless),
        // There has to be trouble for the log to tell of.
        GuideRule(
            "journalctl -u walrelay@orders -p warning",
            .afterSQL("SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
        ),
        GuideRule(
            "journalctl -u walrelay@orders -o cat | grep",
            .after(
                commands: """
                    timeout 50 sh -c \
                        'until journalctl -u walrelay@orders | grep -q code=; do sleep 0.2; done'
                    """
            )
        ),
        GuideRule("curl -H \"Authorization", .ends(printing: ["walrelay_build_info"])),

        // The page's two ways to begin anew, each after a loss.
        GuideRule(resnapshot, .after(commands: "systemctl stop walrelay@orders")),
        GuideRule(resnapshot, .afterSQL(loss)),
        GuideRule(resnapshot, .endlessAlone),
        GuideRule(
            "sudo systemctl daemon-reload && sudo systemctl restart walrelay@orders",
            .afterSQL(loss)
        ),

        GuideRule(byHand, .withCredential),
        GuideRule(
            "\(byHand) --repair",
            .afterSQL("UPDATE sales.orders SET total = 0 WHERE id = 7")
        ),
        // Only a task that has run has a copy.
        GuideRule(
            "walrelay verify --config orders.yaml ",
            .after(commands: "cd /root/walk; walrelay run --config orders.yaml --until now")
        ),
        GuideRule("walrelay verify", .ends(printing: ["equal"])),
        GuideRule("walrelay check", .ends(printing: ["ok"])),
        GuideRule("walrelay run --config orders.yaml   ", .endless),
        GuideRule("walrelay help", .ends(printing: ["SUBCOMMANDS"])),

        GuideRule("walrelay slots list", .ends(printing: ["di_slot_orders"])),
        GuideRule(
            dropBilling,
            .afterSQL(
                """
                CREATE PUBLICATION di_pub_billing;
                SELECT pg_create_logical_replication_slot('di_slot_billing', 'pgoutput')
                """
            )
        ),
        GuideRule(dropBilling, .asks),
        GuideRule(dropBilling, .ends(printing: ["di_slot_billing"])),
    ]
}
