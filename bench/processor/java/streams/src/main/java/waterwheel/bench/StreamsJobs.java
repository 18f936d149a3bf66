package waterwheel.bench;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Arrays;
import java.util.Locale;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.Suppressed.BufferConfig;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.BuiltInDslStoreSuppliers.InMemoryDslStoreSuppliers;

/**
 * The benchmark's jobs on Kafka Streams: exactly-once, one thread, state in memory, a commit every 100 ms.
 *
 * <p>{@code StreamsJobs JOB BOOTSTRAP APPLICATION INPUT OUTPUT STATE_DIRECTORY CACHE_BYTES}; runs until its stdin closes.
 */
public final class StreamsJobs {
    private static final Serde<byte[]> BYTES = Serdes.ByteArray();
    private static final Serde<String> TEXT = Serdes.String();
    private static final Serde<Long> LONG = Serdes.Long();

    public static void main(String[] args) throws Exception {
        StreamsBuilder builder = new StreamsBuilder();
        String input = args[3];
        String output = args[4];
        switch (args[0]) {
            case "a" -> upperCase(builder, input, output);
            case "b1" -> count(builder, input, output);
            case "b2" -> countBehindShuffle(builder, input, output);
            case "c" -> wordCount(builder, input, output);
            case "d" -> windowedSum(builder, input, output);
            default -> StreamsOperators.declare(args[0], builder, input, output);
        }
        KafkaStreams streams = new KafkaStreams(builder.build(), properties(args));
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
            return null;
        });
        streams.start();
        while (System.in.read() >= 0) {
            // Nobody writes; the end of the pipe is the sign to stop.
        }
        streams.close(Duration.ofSeconds(10));
        System.exit(0);
    }

    private static Properties properties(String[] args) {
        Properties properties = new Properties();
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[1]);
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, args[2]);
        properties.put(StreamsConfig.STATE_DIR_CONFIG, args[5]);
        properties.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, args[6]);
        properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
        properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        properties.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        properties.put(StreamsConfig.DSL_STORE_SUPPLIERS_CLASS_CONFIG, InMemoryDslStoreSuppliers.class);
        return properties;
    }

    private static void upperCase(StreamsBuilder builder, String input, String output) {
        builder.stream(input, Consumed.with(BYTES, TEXT))
            .mapValues(value -> value.toUpperCase(Locale.ROOT))
            .to(output, Produced.with(BYTES, TEXT));
    }

    private static void count(StreamsBuilder builder, String input, String output) {
        builder.stream(input, Consumed.with(LONG, BYTES))
            .groupByKey(Grouped.with(LONG, BYTES))
            .count(Materialized.with(LONG, LONG))
            .toStream()
            .to(output, Produced.with(LONG, LONG));
    }

    private static void countBehindShuffle(StreamsBuilder builder, String input, String output) {
        builder.stream(input, Consumed.with(BYTES, LONG))
            .groupBy((none, key) -> key, Grouped.with(LONG, LONG))
            .count(Materialized.with(LONG, LONG))
            .toStream()
            .to(output, Produced.with(LONG, LONG));
    }

    private static void wordCount(StreamsBuilder builder, String input, String output) {
        builder.stream(input, Consumed.with(BYTES, TEXT))
            .flatMapValues(line -> Arrays.asList(line.split(" ")))
            .groupBy((none, word) -> word, Grouped.with(TEXT, TEXT))
            .count(Materialized.with(TEXT, LONG))
            .toStream()
            .to(output, Produced.with(TEXT, LONG));
    }

    private static void windowedSum(StreamsBuilder builder, String input, String output) {
        KStream<Long, byte[]> sums = builder.stream(input, Consumed.with(LONG, LONG))
            .groupByKey(Grouped.with(LONG, LONG))
            .windowedBy(TimeWindows.ofSizeWithNoGrace(Duration.ofSeconds(10)))
            .reduce(Long::sum, Materialized.with(LONG, LONG))
            .suppress(Suppressed.untilWindowCloses(BufferConfig.unbounded()))
            .toStream()
            .map((window, sum) -> KeyValue.pair(
                window.key(), ByteBuffer.allocate(16).putLong(window.window().start()).putLong(sum).array()));
        sums.to(output, Produced.with(LONG, BYTES));
    }
}
