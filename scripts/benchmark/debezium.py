# SPDX-License-Identifier: Apache-2.0
"""Debezium's PostgreSQL connector in its embedded engine, tuned, with Kafka's own producer."""
import os

from .bench import cache

VERSION = "3.6.3"

#: What it was fastest with of what was tried. It keeps its offsets in memory, knows no
#: transactions and sends no transaction metadata: all of that is in its favour.
ENGINE = {
    "name": "bench",
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "offset.storage": "org.apache.kafka.connect.storage.MemoryOffsetBackingStore",
    "offset.flush.interval.ms": 60000,
    "topic.prefix": "bench",
    "plugin.name": "pgoutput",
    "slot.name": "peer",
    "publication.name": "di_pub_bench",
    "publication.autocreate.mode": "disabled",
    "snapshot.mode": "no_data",
    "decimal.handling.mode": "string",
    "max.batch.size": 8192,
    "max.queue.size": 32768,
    "poll.interval.ms": 10,
    "key.converter.schemas.enable": "false",
    "value.converter.schemas.enable": "false",
}
PRODUCER = {"acks": "all", "linger.ms": 5, "batch.size": 1_000_000, "compression.type": "lz4"}
JVM = ["-XX:+UseParallelGC", "-Xmx512m"]


class Debezium:
    def __init__(self, directory):
        self.directory = directory

    @classmethod
    def installed(cls):
        """Where scripts/fetch-debezium has put it, or none."""
        directory = f"{cache('debezium')}/{VERSION}"
        return cls(directory) if os.path.isdir(directory) else None

    def command(self, directory, server, broker, changes):
        """Streams from the slot `peer` and ends with the last of so many changes."""
        database = {"hostname": "127.0.0.1", "port": server.port, "user": "postgres",
                    "password": "none", "dbname": "postgres"}
        properties = {
            **ENGINE,
            **{f"database.{name}": value for name, value in database.items()},
            **{f"producer.{name}": value for name, value in PRODUCER.items()},
            "producer.bootstrap.servers": broker.address,
        }
        path = f"{directory}/debezium.properties"
        with open(path, "w") as file:
            file.writelines(f"{name}={value}\n" for name, value in properties.items())
        return ["java", *JVM, "-cp", f"{self.directory}/classes:{self.directory}/jars/*",
                "DebeziumToKafka", path, str(changes)]
