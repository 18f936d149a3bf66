"""What users of confluent-kafka do first: list topics, write in transactions, subscribe by a pattern.

Arguments: a bootstrap server, a prefix for topics, a group. Prints what it saw, one finding a line.
"""

import sys
import time

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

bootstrap, prefix, group = sys.argv[1:]
common = {"bootstrap.servers": bootstrap}
topics = [f"{prefix}-one", f"{prefix}-two"]

admin = AdminClient(common)
for created in admin.create_topics([NewTopic(topic, 2) for topic in topics]).values():
    created.result(60)


def listed():
    """The topics that everybody sees, with their partitions."""
    found = admin.list_topics(timeout=60).topics
    return sorted((topic, len(found[topic].partitions)) for topic in topics if topic in found)


deadline = time.monotonic() + 60
while listed() != [(topic, 2) for topic in topics]:
    assert time.monotonic() < deadline, listed()
    time.sleep(0.1)
print("listed")

producer = Producer({**common, "transactional.id": prefix})
producer.init_transactions(60)
for number, finish in [(0, producer.commit_transaction), (10, producer.abort_transaction)]:
    producer.begin_transaction()
    for topic in topics:
        for value in range(number, number + 10):
            producer.produce(topic, str(value), key=str(value))
    producer.flush(60)
    finish(60)

consumer = Consumer(
    {**common, "group.id": group, "auto.offset.reset": "earliest", "isolation.level": "read_committed"}
)
consumer.subscribe([f"^{prefix}-.*"])
seen = []
deadline = time.monotonic() + 60
while len(seen) < 20 and time.monotonic() < deadline:
    message = consumer.poll(1)
    if message is not None and message.error() is None:
        seen.append((message.topic(), int(message.value())))
assert sorted(seen) == [(topic, value) for topic in topics for value in range(10)], seen
print("read", len(consumer.assignment()))
consumer.commit(asynchronous=False)
print("committed", sum(partition.offset for partition in consumer.committed(consumer.assignment(), 60)))
consumer.close()
