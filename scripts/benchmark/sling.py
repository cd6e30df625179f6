# SPDX-License-Identifier: Apache-2.0
"""Sling, as its users run it and as it was fastest: straight into the table, by COPY."""
import os

from .bench import cache

VERSION = "1.4.11"


class Sling:
    def __init__(self, program):
        self.program = program

    @classmethod
    def installed(cls):
        """What scripts/fetch-sling has put there, or none."""
        program = f"{cache('sling')}/{VERSION}/sling"
        return cls(program) if os.path.exists(program) else None

    def command(self, source, target, table):
        """Copies a table from the database `postgres` into that of `copy`, emptied first."""
        address = "postgresql://{}@127.0.0.1:{}/{}?sslmode=disable".format
        return [self.program, "run", "--mode", "truncate",
                "--src-conn", address("postgres", source.port, "postgres"),
                "--src-stream", f"public.{table}",
                "--tgt-conn", address("walrelay", target.port, "copy"),
                "--tgt-object", f"public.{table}"]

    @staticmethod
    def environment(directory):
        """Without a temporary table, from which it would copy once more, and nobody called."""
        return {"PATH": os.environ["PATH"], "HOME": directory, "SLING_HOME_DIR": directory,
                "SLING_DIRECT_INSERT": "true", "SLING_ALLOW_TELEMETRY": "false"}
