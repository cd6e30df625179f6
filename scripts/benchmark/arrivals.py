# SPDX-License-Identifier: Apache-2.0
"""Notes when each event of a topic arrives: arrivals.py BROKER TOPIC

A consumer of committed records, for Debian's python3-confluent-kafka. Says `ready` when it reads;
when its standard input ends, the milliseconds from the source's commit to the arrival, an event
each, without those of a snapshot. It parses nothing before that.
"""
import json
import sys
import threading
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition


def main():
    address, topic = sys.argv[1:]
    consumer = Consumer({
        "bootstrap.servers": address, "group.id": "bench", "enable.auto.commit": False,
        "isolation.level": "read_committed",
    })
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
    ended = threading.Event()

    def wait():
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    arrived, said = [], False
    while not ended.is_set():
        message = consumer.poll(0.1)
        if message is None:
            continue
        if message.error():
            raise SystemExit(f"arrivals: {message.error()}")
        arrived.append((time.time_ns(), message.value()))
        if not said:
            said = True
            print("ready", flush=True)
    consumer.close()
    for nanoseconds, value in arrived:
        source = json.loads(value)["source"]
        if source["snapshot"] == "false":
            print(nanoseconds / 1e6 - source["ts_us"] / 1e3)


if __name__ == "__main__":
    main()
