// The rows of bench-client on librdkafka.
//
//     bench-librdkafka TASK SERVERS TOPIC PARTITIONS RECORDS VALUE_BYTES CODEC
//
// A tenth of the records goes before, uncounted. Prints one line of NAME=NUMBER, as every program of the benchmark.

#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rdkafka.h"

enum { BUFFERED = 100000, OUTSTANDING = 1000, IN_TRANSACTION = 1000, POLLED = 10000, INTERVAL_NS = 1000000 };

struct row {
    const char *task, *servers, *topic, *codec;
    int partitions;
    size_t records, value_bytes, value_count;
    char *values;
};

struct counter {
    int64_t wall_ns, cpu_ns;
};

// Records that are not acknowledged yet.
static size_t unacknowledged;

static void fail(const char *format, ...) {
    va_list given;
    va_start(given, format);
    vfprintf(stderr, format, given);
    va_end(given);
    fputc('\n', stderr);
    exit(1);
}

static int64_t now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static struct counter start(void) {
    return (struct counter){now(CLOCK_MONOTONIC), now(CLOCK_PROCESS_CPUTIME_ID)};
}

static void stop(struct counter counter, size_t records) {
    int64_t cpu_ns = now(CLOCK_PROCESS_CPUTIME_ID) - counter.cpu_ns;
    int64_t wall_ns = now(CLOCK_MONOTONIC) - counter.wall_ns;
    printf("records=%zu cpu_ns=%lld wall_ns=%lld ", records, (long long)cpu_ns, (long long)wall_ns);
}

static int by_size(const void *a, const void *b) {
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static void print_percentiles(int64_t *took_ns, size_t count) {
    qsort(took_ns, count, sizeof *took_ns, by_size);
    int64_t p50 = took_ns[(count - 1) * 50 / 100], p99 = took_ns[(count - 1) * 99 / 100];
    printf("p50_us=%lld p99_us=%lld ", (long long)p50 / 1000, (long long)p99 / 1000);
}

// The values that every program writes: of each, two fifths are the same bytes, and the others are random letters.
static void make_values(struct row *row) {
    size_t fitting = 1000000 / row->value_bytes;
    row->value_count = fitting > 1024 ? 1024 : fitting < 1 ? 1 : fitting;
    row->values = malloc(row->value_count * row->value_bytes);
    memset(row->values, 'x', row->value_count * row->value_bytes);
    uint64_t state = 88172645463325252u;
    for (size_t index = 0; index < row->value_count; index++) {
        for (size_t at = 0; at < row->value_bytes * 3 / 5; at++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            row->values[index * row->value_bytes + at] = (char)('a' + (state >> 32) % 26);
        }
    }
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
    char reason[256];
    if (rd_kafka_conf_set(conf, name, value, reason, sizeof reason) != RD_KAFKA_CONF_OK) fail("%s", reason);
}

static void acknowledged(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque) {
    (void)client, (void)opaque;
    if (message->err) fail("not written: %s", rd_kafka_err2str(message->err));
    unacknowledged--;
}

static rd_kafka_t *open_producer(const struct row *row, const char *linger_ms, const char *transactional_id) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", row->servers);
    set(conf, "enable.idempotence", "true");
    set(conf, "linger.ms", linger_ms);
    set(conf, "batch.size", "1000000");
    set(conf, "batch.num.messages", "1000000");
    set(conf, "queue.buffering.max.messages", "100000");
    set(conf, "queue.buffering.max.kbytes", "65536");
    set(conf, "compression.codec", row->codec);
    if (transactional_id) set(conf, "transactional.id", transactional_id);
    rd_kafka_conf_set_dr_msg_cb(conf, acknowledged);
    char reason[256];
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
    if (!client) fail("%s", reason);
    return client;
}

static void flush(rd_kafka_t *client) {
    rd_kafka_resp_err_t error = rd_kafka_flush(client, 60000);
    if (error || unacknowledged) fail("flush: %s", rd_kafka_err2str(error));
}

// Writes a record, which librdkafka copies; waits while its queue is full.
static void write_value(rd_kafka_t *client, rd_kafka_topic_t *topic, int partition, const char *value, size_t bytes) {
    while (rd_kafka_produce(topic, partition, RD_KAFKA_MSG_F_COPY, (void *)value, bytes, NULL, 0, NULL) == -1) {
        if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            fail("produce: %s", rd_kafka_err2str(rd_kafka_last_error()));
        }
        rd_kafka_poll(client, 10);
    }
    unacknowledged++;
}

// Writes records, to the partitions in turn, of which at most `limit` are not acknowledged.
static void write_all(const struct row *row, rd_kafka_t *client, rd_kafka_topic_t *topic, size_t count, size_t limit) {
    for (size_t index = 0; index < count; index++) {
        while (unacknowledged >= limit) rd_kafka_poll(client, 10);
        const char *value = row->values + index % row->value_count * row->value_bytes;
        write_value(client, topic, (int)(index % row->partitions), value, row->value_bytes);
        if (index % 64 == 0) rd_kafka_poll(client, 0);
    }
    flush(client);
}

static void produce(const struct row *row, size_t limit) {
    rd_kafka_t *client = open_producer(row, "5", NULL);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, row->topic, NULL);
    write_all(row, client, topic, row->records / 10, limit);
    struct counter counter = start();
    write_all(row, client, topic, row->records, limit);
    stop(counter, row->records);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(client);
}

static void check(rd_kafka_error_t *error) {
    if (error) fail("%s", rd_kafka_error_string(error));
}

static void transact(const struct row *row) {
    char id[256];
    snprintf(id, sizeof id, "librdkafka-%s", row->topic);
    rd_kafka_t *client = open_producer(row, "5", id);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, row->topic, NULL);
    check(rd_kafka_init_transactions(client, 60000));
    size_t warm = row->records / 10 / IN_TRANSACTION, all = warm + row->records / IN_TRANSACTION;
    int64_t *took_ns = malloc(all * sizeof *took_ns);
    struct counter counter = start();
    for (size_t number = 0; number < all; number++) {
        if (number == warm) counter = start();
        check(rd_kafka_begin_transaction(client));
        for (size_t index = 0; index < IN_TRANSACTION; index++) {
            const char *value = row->values + index % row->value_count * row->value_bytes;
            write_value(client, topic, (int)(index % row->partitions), value, row->value_bytes);
        }
        int64_t began_ns = now(CLOCK_MONOTONIC);
        check(rd_kafka_commit_transaction(client, 60000));
        took_ns[number] = now(CLOCK_MONOTONIC) - began_ns;
    }
    stop(counter, (all - warm) * IN_TRANSACTION);
    print_percentiles(took_ns + warm, all - warm);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(client);
}

static rd_kafka_t *open_consumer(const struct row *row) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", row->servers);
    set(conf, "group.id", "bench-librdkafka");
    set(conf, "enable.auto.commit", "false");
    set(conf, "enable.auto.offset.store", "false");
    set(conf, "isolation.level", "read_committed");
    // As the others do, and not as its default.
    set(conf, "check.crcs", "true");
    char reason[256];
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof reason);
    if (!client) fail("%s", reason);
    rd_kafka_poll_set_consumer(client);
    rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(row->partitions);
    for (int partition = 0; partition < row->partitions; partition++) {
        rd_kafka_topic_partition_list_add(all, row->topic, partition)->offset = 0;
    }
    rd_kafka_resp_err_t error = rd_kafka_assign(client, all);
    if (error) fail("assign: %s", rd_kafka_err2str(error));
    rd_kafka_topic_partition_list_destroy(all);
    return client;
}

static void consume(const struct row *row) {
    rd_kafka_t *client = open_consumer(row);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(client);
    static rd_kafka_message_t *messages[POLLED];
    struct counter counter = start();
    size_t seen = 0, first = 0, bytes = 0;
    while (seen < row->records) {
        ssize_t count = rd_kafka_consume_batch_queue(queue, 100, messages, POLLED);
        if (count < 0) fail("consume: %s", rd_kafka_err2str(rd_kafka_last_error()));
        for (ssize_t index = 0; index < count; index++) {
            if (messages[index]->err) fail("consume: %s", rd_kafka_message_errstr(messages[index]));
            bytes += messages[index]->len;
            rd_kafka_message_destroy(messages[index]);
        }
        seen += (size_t)count;
        if (first == 0 && seen >= row->records / 10) {
            first = seen;
            counter = start();
        }
    }
    stop(counter, seen - first);
    if (bytes != seen * row->value_bytes) fail("%zu bytes in %zu records", bytes, seen);
    rd_kafka_queue_destroy(queue);
    rd_kafka_consumer_close(client);
    rd_kafka_destroy(client);
}

struct reading {
    const struct row *row;
    int64_t *took_ns;
    size_t count;
};

static void *read_paced(void *opaque) {
    struct reading *reading = opaque;
    rd_kafka_t *client = open_consumer(reading->row);
    for (size_t seen = 0; seen < reading->count;) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(client, 100);
        if (!message) continue;
        if (message->err) fail("consume: %s", rd_kafka_message_errstr(message));
        int64_t made_ns;
        memcpy(&made_ns, message->payload, sizeof made_ns);
        reading->took_ns[seen++] = now(CLOCK_MONOTONIC) - made_ns;
        rd_kafka_message_destroy(message);
    }
    rd_kafka_consumer_close(client);
    rd_kafka_destroy(client);
    return NULL;
}

// One record each millisecond, with the time at which it was made; the consumer is in this process. The topic is new.
static void pace(const struct row *row) {
    size_t warm = row->records / 10, all = warm + row->records;
    struct reading reading = {row, malloc(all * sizeof(int64_t)), all};
    pthread_t reader;
    if (pthread_create(&reader, NULL, read_paced, &reading)) fail("no thread");
    rd_kafka_t *client = open_producer(row, "0", NULL);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, row->topic, NULL);
    struct counter counter = start();
    int64_t due_ns = now(CLOCK_MONOTONIC);
    char *value = calloc(1, row->value_bytes);
    for (size_t index = 0; index < all; index++) {
        if (index == warm) counter = start();
        due_ns += INTERVAL_NS;
        struct timespec due = {due_ns / 1000000000, due_ns % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
        int64_t made_ns = now(CLOCK_MONOTONIC);
        memcpy(value, &made_ns, sizeof made_ns);
        write_value(client, topic, (int)(index % row->partitions), value, row->value_bytes);
        rd_kafka_poll(client, 0);
    }
    flush(client);
    pthread_join(reader, NULL);
    stop(counter, row->records);
    print_percentiles(reading.took_ns + warm, row->records);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(client);
}

int main(int count, char **given) {
    if (count != 8) fail("takes TASK SERVERS TOPIC PARTITIONS RECORDS VALUE_BYTES CODEC");
    struct row row = {.task = given[1], .servers = given[2], .topic = given[3], .codec = given[7]};
    row.partitions = atoi(given[4]);
    row.records = strtoull(given[5], NULL, 10);
    row.value_bytes = strtoull(given[6], NULL, 10);
    make_values(&row);
    if (!strcmp(row.task, "produce") || !strcmp(row.task, "spread")) produce(&row, BUFFERED);
    else if (!strcmp(row.task, "awaited")) produce(&row, OUTSTANDING);
    else if (!strcmp(row.task, "transact")) transact(&row);
    else if (!strcmp(row.task, "consume")) consume(&row);
    else if (!strcmp(row.task, "paced")) pace(&row);
    else fail("no task %s", row.task);
    printf("version=%s\n", rd_kafka_version_str());
    return 0;
}
