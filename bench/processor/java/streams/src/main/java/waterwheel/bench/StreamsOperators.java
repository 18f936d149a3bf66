package waterwheel.bench;

import java.nio.ByteBuffer;
import java.time.Duration;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.SessionWindows;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.Suppressed.BufferConfig;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;

/** The jobs that show one operator each. Records are a key and a value. */
final class StreamsOperators {
    private static final Serde<byte[]> BYTES = Serdes.ByteArray();
    private static final Serde<Long> LONG = Serdes.Long();
    private static final int TOP = 10;

    private StreamsOperators() {}

    static void declare(String job, StreamsBuilder builder, String input, String output) {
        KStream<Long, byte[]> results = switch (job) {
            case "sessions" -> sessions(grouped(builder, input));
            case "sliding" -> sliding(grouped(builder, input));
            case "join" -> join(builder, input);
            case "table" -> table(builder, input);
            case "top" -> top(grouped(builder, input));
            default -> throw new IllegalArgumentException(job);
        };
        results.to(output, Produced.with(LONG, BYTES));
    }

    private static KGroupedStream<Long, Long> grouped(StreamsBuilder builder, String input) {
        return builder.stream(input, Consumed.with(LONG, LONG)).groupByKey(Grouped.with(LONG, LONG));
    }

    private static KStream<Long, byte[]> sessions(KGroupedStream<Long, Long> records) {
        return records.windowedBy(SessionWindows.ofInactivityGapWithNoGrace(Duration.ofSeconds(30)))
            .count(Materialized.with(LONG, LONG))
            .suppress(Suppressed.untilWindowCloses(BufferConfig.unbounded()))
            .toStream()
            .map((session, count) -> result(session, bytes(session.window().start(), count)));
    }

    private static KStream<Long, byte[]> sliding(KGroupedStream<Long, Long> records) {
        return records.windowedBy(TimeWindows.ofSizeWithNoGrace(Duration.ofMinutes(10)).advanceBy(Duration.ofSeconds(10)))
            .aggregate(() -> bytes(0, 0), (key, value, mean) -> bytes(number(mean, 0) + value, number(mean, 1) + 1),
                Materialized.with(LONG, BYTES))
            .suppress(Suppressed.untilWindowCloses(BufferConfig.unbounded()))
            .toStream()
            .map((window, mean) -> result(window, bytes(window.window().start(), number(mean, 0) / number(mean, 1))));
    }

    private static KStream<Long, byte[]> join(StreamsBuilder builder, String input) {
        KStream<Long, Long> right = builder.stream(input + "-right", Consumed.with(LONG, LONG));
        return builder.stream(input, Consumed.with(LONG, LONG))
            .join(right, (one, other) -> bytes(one, other), JoinWindows.ofTimeDifferenceWithNoGrace(Duration.ofMinutes(1)),
                StreamJoined.with(LONG, LONG, LONG));
    }

    private static KStream<Long, byte[]> table(StreamsBuilder builder, String input) {
        return builder.stream(input, Consumed.with(LONG, LONG))
            .join(builder.table(input + "-right", Consumed.with(LONG, LONG), Materialized.with(LONG, LONG)),
                (value, row) -> bytes(value, row), Joined.with(LONG, LONG, LONG));
    }

    private static KStream<Long, byte[]> top(KGroupedStream<Long, Long> records) {
        return records.windowedBy(TimeWindows.ofSizeWithNoGrace(Duration.ofSeconds(10)))
            .aggregate(() -> new byte[0], (key, value, top) -> withValue(top, value), Materialized.with(LONG, BYTES))
            .suppress(Suppressed.untilWindowCloses(BufferConfig.unbounded()))
            .toStream()
            .map((window, top) -> result(window,
                ByteBuffer.allocate(8 + top.length).putLong(window.window().start()).put(top).array()));
    }

    /** The greatest values, greatest first, with one more. */
    private static byte[] withValue(byte[] top, long value) {
        int size = top.length / 8;
        int place = 0;
        while (place < size && number(top, place) >= value) {
            place++;
        }
        if (place == TOP) {
            return top;
        }
        ByteBuffer grown = ByteBuffer.allocate(8 * Math.min(size + 1, TOP));
        grown.put(top, 0, 8 * place).putLong(value).put(top, 8 * place, grown.remaining());
        return grown.array();
    }

    private static KeyValue<Long, byte[]> result(Windowed<Long> window, byte[] value) {
        return KeyValue.pair(window.key(), value);
    }

    private static long number(byte[] numbers, int index) {
        return ByteBuffer.wrap(numbers).getLong(8 * index);
    }

    private static byte[] bytes(long one, long other) {
        return ByteBuffer.allocate(16).putLong(one).putLong(other).array();
    }
}
