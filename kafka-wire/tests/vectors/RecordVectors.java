import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.Stream;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.message.LeaderChangeMessage;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.utils.internals.BufferSupplier;
import org.apache.kafka.common.utils.internals.Crc32C;

/**
 * Record batches and message sets as the Java client writes them, with what it reads back from them; and a judge of ours.
 * {@code write DIRECTORY} makes the vectors, {@code check DIRECTORY} reads such files and says whether Java reads the same.
 * {@code tests/tests/records.rs} runs both. By hand, with the jars of kafka-clients and its codecs:
 *
 *   java -cp 'jars/*' RecordVectors.java write tests/vectors/records/java
 *
 * A file has a line per batch and record, as read, and the bytes of all batches in hex at its end.
 */
public class RecordVectors {
    static final HexFormat HEX = HexFormat.of();
    static final long NOW = 1_700_000_000_000L;

    public static void main(String[] args) throws IOException {
        Path directory = Path.of(args[1]);
        switch (args[0]) {
            case "write" -> write(directory);
            case "check" -> check(directory);
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    static void check(Path directory) throws IOException {
        int wrong = 0;
        List<Path> files;
        try (Stream<Path> listed = Files.list(directory)) {
            files = listed.sorted().toList();
        }
        for (Path file : files) {
            String text = Files.readString(file);
            String hex = text.substring(text.indexOf("\nbytes ") + 7).strip();
            boolean same = text.equals(describe(MemoryRecords.readableRecords(ByteBuffer.wrap(HEX.parseHex(hex)))));
            System.out.println((same ? "ok    " : "WRONG ") + file.getFileName());
            wrong += same ? 0 : 1;
        }
        System.exit(wrong == 0 ? 0 : 1);
    }

    static void write(Path directory) throws IOException {
        save(directory, "plain", shapes(builder(Compression.NONE, TimestampType.CREATE_TIME, 0, 7)));
        save(directory, "offsets", offsets(Compression.NONE));
        save(directory, "lz4", shapes(builder(Compression.lz4().build(), TimestampType.CREATE_TIME, 1000, 7)));
        save(directory, "lz4_blocks", blocks());
        save(directory, "gzip", shapes(builder(Compression.gzip().build(), TimestampType.CREATE_TIME, 1000, 7)));
        save(directory, "snappy", shapes(builder(Compression.snappy().build(), TimestampType.CREATE_TIME, 1000, 7)));
        save(directory, "zstd", shapes(builder(Compression.zstd().build(), TimestampType.CREATE_TIME, 1000, 7)));
        save(directory, "log_append_time", shapes(builder(Compression.NONE, TimestampType.LOG_APPEND_TIME, 50, 0)));
        save(directory, "log_append_time_lz4", shapes(builder(Compression.lz4().build(), TimestampType.LOG_APPEND_TIME, 50, 0)));
        save(directory, "transactional", transactional());
        save(directory, "abort", marker(ControlRecordType.ABORT));
        save(directory, "commit", marker(ControlRecordType.COMMIT));
        save(directory, "leader_change", MemoryRecords.withLeaderChangeMessage(9, NOW, 4, ByteBuffer.allocate(256),
            new LeaderChangeMessage().setLeaderId(2)));
        save(directory, "compacted", compacted());
        save(directory, "several", several());
        save(directory, "magic_0", old(RecordBatch.MAGIC_VALUE_V0));
        save(directory, "magic_1", old(RecordBatch.MAGIC_VALUE_V1));
        for (byte magic : new byte[] {RecordBatch.MAGIC_VALUE_V0, RecordBatch.MAGIC_VALUE_V1}) {
            for (Compression codec : new Compression[] {Compression.NONE, Compression.gzip().build(), Compression.snappy().build(),
                Compression.lz4().build()}) {
                save(directory, "messages_v" + magic + "_" + codec.type().name, messages(magic, codec, TimestampType.CREATE_TIME));
            }
        }
        save(directory, "messages_v1_log_append_time", messages(RecordBatch.MAGIC_VALUE_V1, Compression.NONE, TimestampType.LOG_APPEND_TIME));
        save(directory, "messages_v1_log_append_time_gzip",
            messages(RecordBatch.MAGIC_VALUE_V1, Compression.gzip().build(), TimestampType.LOG_APPEND_TIME));
        save(directory, "mixed", mixed());
        save(directory, "gzip_blocks", large(Compression.gzip().build()));
        save(directory, "snappy_blocks", large(Compression.snappy().build()));
        save(directory, "zstd_blocks", large(Compression.zstd().build()));
        save(directory, "log_append_time_zstd", shapes(builder(Compression.zstd().build(), TimestampType.LOG_APPEND_TIME, 50, 0)));
    }

    /** Null and empty keys and values, timestamps forth and back. */
    static MemoryRecords messages(byte magic, Compression codec, TimestampType type) {
        MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(1 << 16), magic, codec, type, 1L << 33, NOW);
        builder.append(NOW - 5, (byte[]) null, (byte[]) null, new Header[] {});
        builder.append(NOW + 86_400_000, new byte[0], new byte[0], new Header[] {});
        builder.append(NOW - 86_400_000, bytes("key"), bytes("value ".repeat(50)), new Header[] {});
        builder.append(NOW, bytes("tombstone"), null, new Header[] {});
        return builder.build();
    }

    /** The log of a topic that lived through three formats. */
    static MemoryRecords mixed() {
        MemoryRecords[] parts = {messages(RecordBatch.MAGIC_VALUE_V0, Compression.lz4().build(), TimestampType.CREATE_TIME),
            messages(RecordBatch.MAGIC_VALUE_V1, Compression.snappy().build(), TimestampType.CREATE_TIME),
            shapes(builder(Compression.zstd().build(), TimestampType.CREATE_TIME, 1L << 34, 3)),
            marker(ControlRecordType.COMMIT)};
        ByteBuffer all = ByteBuffer.allocate(1 << 16);
        for (MemoryRecords part : parts) {
            all.put(part.buffer().duplicate());
        }
        all.flip();
        return MemoryRecords.readableRecords(all);
    }

    /** Enough for several blocks of every codec, in few bytes. */
    static MemoryRecords large(Compression codec) {
        MemoryRecordsBuilder builder = builder(codec, TimestampType.CREATE_TIME, 0, 0);
        for (int index = 0; index < 40; index++) {
            builder.append(NOW, null, bytes(("value " + index + " ").repeat(1_000)), new Header[] {});
        }
        return builder.build();
    }

    static MemoryRecordsBuilder builder(Compression codec, TimestampType type, long baseOffset, int leaderEpoch) {
        return MemoryRecords.builder(ByteBuffer.allocate(1 << 20), RecordBatch.MAGIC_VALUE_V2, codec, type, baseOffset,
            NOW, leaderEpoch);
    }

    /** Null and empty keys and values, headers of every kind, timestamps forth and back. */
    static MemoryRecords shapes(MemoryRecordsBuilder builder) {
        Header[] none = {};
        Header[] some = {new RecordHeader("a", bytes("1")), new RecordHeader("a", null), new RecordHeader("", new byte[0]),
            new RecordHeader("schl\u00fcssel", new byte[] {(byte) 0xff, 0})};
        builder.append(NOW - 5, null, (ByteBuffer) null, none);
        builder.append(NOW - 5, ByteBuffer.allocate(0), ByteBuffer.allocate(0), none);
        builder.append(NOW + 86_400_000, bytes("key"), bytes("value"), some);
        builder.append(NOW - 86_400_000, bytes("tombstone"), null, none);
        builder.append(-1, null, bytes("x".repeat(300)), new Header[] {new RecordHeader("long", bytes("y".repeat(200)))});
        return builder.build();
    }

    /** Offset deltas of one, two and three bytes. */
    static MemoryRecords offsets(Compression codec) {
        MemoryRecordsBuilder builder = builder(codec, TimestampType.CREATE_TIME, (1L << 40) + 1, -1);
        for (long delta : new long[] {0, 63, 64, 8191, 8192, 1_048_575, 1_048_576, Integer.MAX_VALUE - 1}) {
            builder.appendWithOffset((1L << 40) + 1 + delta, NOW + delta, null, bytes("v"), new Header[] {});
        }
        return builder.build();
    }

    /** More than one block of 64 KiB, the second one hard to compress. */
    static MemoryRecords blocks() {
        MemoryRecordsBuilder builder = builder(Compression.lz4().build(), TimestampType.CREATE_TIME, 0, 0);
        builder.append(NOW, null, bytes("0123456789".repeat(6_600)), new Header[] {});
        byte[] noise = new byte[1_000];
        new java.util.Random(1).nextBytes(noise);
        builder.append(NOW, null, noise, new Header[] {});
        return builder.build();
    }

    /** Sequences that wrap within the batch. */
    static MemoryRecords transactional() {
        MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(1024), RecordBatch.MAGIC_VALUE_V2,
            Compression.NONE, TimestampType.CREATE_TIME, 0, NOW, 4_000_000_000L, (short) 12, Integer.MAX_VALUE - 1, true, -1);
        for (int index = 0; index < 4; index++) {
            builder.append(NOW + index, bytes("k"), bytes("v" + index), new Header[] {});
        }
        return builder.build();
    }

    static MemoryRecords marker(ControlRecordType type) {
        return MemoryRecords.withEndTransactionMarker(77, NOW, 5, 4_000_000_000L, (short) 12, new EndTransactionMarker(type, 3));
    }

    /** What the log cleaner leaves: a batch with gaps and a delete horizon, and one kept empty for its producer. */
    static MemoryRecords compacted() {
        ByteBuffer buffer = ByteBuffer.allocate(4096);
        for (int batch = 0; batch < 2; batch++) {
            MemoryRecordsBuilder builder = MemoryRecords.builder(buffer, RecordBatch.MAGIC_VALUE_V2, Compression.NONE,
                TimestampType.CREATE_TIME, 100 + 10 * batch, NOW, 8, (short) 1, 10 * batch, false, 2);
            for (int index = 0; index < 10; index++) {
                builder.append(NOW + index, bytes("k" + index), index == 6 ? null : bytes("v" + index), new Header[] {});
            }
            builder.close();
        }
        buffer.flip();
        ByteBuffer cleaned = ByteBuffer.allocate(4096);
        MemoryRecords.readableRecords(buffer).filterTo(new MemoryRecords.RecordFilter(NOW, 1_000) {
            @Override
            protected BatchRetentionResult checkBatchRetention(RecordBatch batch) {
                return new BatchRetentionResult(BatchRetention.RETAIN_EMPTY, false);
            }

            @Override
            protected boolean shouldRetainRecord(RecordBatch batch, Record record) {
                return batch.baseOffset() == 100 && record.offset() % 3 == 1;
            }
        }, cleaned, BufferSupplier.NO_CACHING, Integer.MAX_VALUE);
        cleaned.flip();
        return MemoryRecords.readableRecords(cleaned);
    }

    static MemoryRecords several() {
        ByteBuffer buffer = ByteBuffer.allocate(4096);
        for (long base : new long[] {5, 8, 30}) {
            MemoryRecordsBuilder builder = MemoryRecords.builder(buffer, RecordBatch.MAGIC_VALUE_V2,
                base == 8 ? Compression.lz4().build() : Compression.NONE, TimestampType.CREATE_TIME, base, NOW, 1);
            for (int index = 0; index < 3; index++) {
                builder.append(NOW, null, bytes("value ".repeat(20) + index), new Header[] {});
            }
            builder.close();
        }
        buffer.flip();
        return MemoryRecords.readableRecords(buffer);
    }

    static MemoryRecords old(byte magic) {
        MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(1024), magic, Compression.NONE,
            TimestampType.CREATE_TIME, 3, NOW);
        builder.append(NOW, bytes("k"), bytes("v"), new Header[] {});
        return builder.build();
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static void save(Path directory, String name, MemoryRecords records) throws IOException {
        Files.writeString(directory.resolve(name + ".txt"), describe(records));
    }

    static String describe(MemoryRecords records) {
        StringBuilder text = new StringBuilder();
        for (RecordBatch batch : records.batches()) {
            batch.ensureValid();
            text.append(batch.magic() < RecordBatch.MAGIC_VALUE_V2
                ? String.format("message magic=%d last_offset=%d codec=%s time=%s max_timestamp=%d%n", batch.magic(), batch.lastOffset(),
                    batch.compressionType().name, batch.timestampType().name, batch.maxTimestamp())
                : String.format("batch base_offset=%d last_offset=%d leader_epoch=%d count=%d codec=%s time=%s max_timestamp=%d"
                + " producer=%d/%d sequence=%d..%d transactional=%b control=%b delete_horizon=%s%n",
                batch.baseOffset(), batch.lastOffset(), batch.partitionLeaderEpoch(), batch.countOrNull(),
                batch.compressionType().name, batch.timestampType().name, batch.maxTimestamp(), batch.producerId(),
                batch.producerEpoch(), batch.baseSequence(), batch.lastSequence(), batch.isTransactional(),
                batch.isControlBatch(), batch.deleteHorizonMs().isPresent() ? batch.deleteHorizonMs().getAsLong() : "none"));
            for (Record record : batch) {
                text.append(String.format("record offset=%d timestamp=%d key=%s value=%s headers=%s%n", record.offset(),
                    record.timestamp(), show(record.key()), show(record.value()), show(record.headers())));
            }
        }
        byte[] all = new byte[records.buffer().remaining()];
        records.buffer().duplicate().get(all);
        return text.append("bytes ").append(HEX.formatHex(all)).append('\n').toString();
    }

    static String show(Header[] headers) {
        StringBuilder text = new StringBuilder("[");
        for (Header header : headers) {
            text.append(text.length() > 1 ? "," : "").append(show(ByteBuffer.wrap(bytes(header.key())))).append(':')
                .append(show(header.value() == null ? null : ByteBuffer.wrap(header.value())));
        }
        return text.append(']').toString();
    }

    /** Hex, or length and checksum when long. */
    static String show(ByteBuffer value) {
        if (value == null) {
            return "null";
        }
        byte[] bytes = new byte[value.remaining()];
        value.duplicate().get(bytes);
        return bytes.length <= 64 ? HEX.formatHex(bytes) : String.format("%d*%08x", bytes.length, Crc32C.compute(bytes, 0, bytes.length));
    }
}
