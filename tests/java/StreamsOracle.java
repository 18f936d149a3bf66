import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.TestInputTopic;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.TopologyTestDriver;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.SlidingWindows;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.kstream.WindowedSerdes;
import org.apache.kafka.streams.kstream.internals.SessionWindow;
import org.apache.kafka.streams.kstream.internals.TimeWindow;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.tests.SmokeTestDriver;

/**
 * Kafka Streams as an oracle.
 *
 * <pre>
 * drive BROKERS KEYS RECORDS SECONDS
 *     Its smoke test: writes RECORDS numbers for each of KEYS keys within about SECONDS, says GENERATED, and then verifies
 *     the output of the application. Ends with the status 0 if that is right.
 * keys SIZE
 *     Keys with windows: a line of stdin, KIND KEY START END with KIND `time` or `session`, is answered by the bytes of
 *     Kafka's serializer in hexadecimal and by what its deserializer makes of them, as a line KEY START END. Windows of
 *     time have SIZE milliseconds.
 * sliding
 *     Sliding windows: stdin has inputs, each a line with the time difference and the grace period, lines KEY TIME VALUE,
 *     and an empty line. Each is answered by the last result of every window, as lines KEY START END VALUE,VALUE,.. and an
 *     empty line.
 * </pre>
 */
public final class StreamsOracle {
    private StreamsOracle() {
    }

    public static void main(final String[] args) throws Exception {
        switch (args[0]) {
            case "drive" -> drive(args[1], Integer.parseInt(args[2]), Integer.parseInt(args[3]), Integer.parseInt(args[4]));
            case "keys" -> keys(Long.parseLong(args[1]));
            case "sliding" -> sliding();
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    private static void drive(final String brokers, final int keys, final int records, final int seconds) throws Exception {
        final Map<String, Set<Integer>> input = SmokeTestDriver.generate(brokers, keys, records, Duration.ofSeconds(seconds));
        System.out.println("GENERATED");
        awaitQuiet(brokers);
        System.exit(SmokeTestDriver.verify(brokers, input, records, true).passed() ? 0 : 1);
    }

    /**
     * Waits until nothing has been written for ten seconds, at most for a minute. The verifier compares two looks at the
     * ends of the output, and fails if the application writes between them; a process that was killed last may need some
     * seconds until it writes again.
     */
    private static void awaitQuiet(final String brokers) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", brokers))) {
            Map<TopicPartition, Long> before = Map.of();
            int quiet = 0;
            for (int look = 0; look < 30; look++) {
                final Map<TopicPartition, Long> now = ends(admin);
                quiet = now.equals(before) ? quiet + 1 : 0;
                if (quiet == 5) {
                    return;
                }
                before = now;
                Thread.sleep(2_000);
            }
        }
    }

    private static Map<TopicPartition, Long> ends(final Admin admin) throws Exception {
        final Map<TopicPartition, OffsetSpec> wanted = new HashMap<>();
        for (final TopicDescription topic : admin.describeTopics(admin.listTopics().names().get()).allTopicNames().get().values()) {
            topic.partitions().forEach(it -> wanted.put(new TopicPartition(topic.name(), it.partition()), OffsetSpec.latest()));
        }
        final Map<TopicPartition, Long> ends = new HashMap<>();
        admin.listOffsets(wanted).all().get().forEach((partition, found) -> ends.put(partition, found.offset()));
        return ends;
    }

    private static void keys(final long size) throws Exception {
        final Serde<Windowed<String>> times = WindowedSerdes.timeWindowedSerdeFrom(String.class, size);
        final Serde<Windowed<String>> sessions = WindowedSerdes.sessionWindowedSerdeFrom(String.class);
        final BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            final String[] words = line.split(" ");
            final long start = Long.parseLong(words[2]);
            final long end = Long.parseLong(words[3]);
            final boolean isTime = words[0].equals("time");
            final Windowed<String> key =
                new Windowed<>(words[1], isTime ? new TimeWindow(start, end) : new SessionWindow(start, end));
            final Serde<Windowed<String>> serde = isTime ? times : sessions;
            final byte[] bytes = serde.serializer().serialize("topic", key);
            final Deserializer<Windowed<String>> deserializer = serde.deserializer();
            final Windowed<String> read = deserializer.deserialize("topic", bytes);
            System.out.printf("%s %s %d %d%n", HexFormat.of().formatHex(bytes), read.key(), read.window().start(),
                read.window().end());
        }
    }

    private static void sliding() throws Exception {
        final BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        final Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, "sliding");
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            final String[] sizes = line.split(" ");
            final Map<String, String> results = new TreeMap<>();
            final Topology topology = sliding(Long.parseLong(sizes[0]), Long.parseLong(sizes[1]), results);
            try (TopologyTestDriver driver = new TopologyTestDriver(topology, properties)) {
                final TestInputTopic<String, String> input = driver.createInputTopic("input",
                    Serdes.String().serializer(), Serdes.String().serializer());
                for (line = lines.readLine(); !line.isEmpty(); line = lines.readLine()) {
                    final String[] words = line.split(" ");
                    input.pipeInput(words[0], words[2], Long.parseLong(words[1]));
                }
            }
            results.forEach((window, values) -> System.out.println(window + " " + values));
            System.out.println();
        }
    }

    private static Topology sliding(final long difference, final long grace, final Map<String, String> results) {
        final StreamsBuilder builder = new StreamsBuilder();
        final Duration size = Duration.ofMillis(difference);
        final Duration retention = Duration.ofDays(1);
        builder.stream("input", Consumed.with(Serdes.String(), Serdes.String()))
            .groupByKey()
            .windowedBy(SlidingWindows.ofTimeDifferenceAndGrace(size, Duration.ofMillis(grace)))
            .aggregate(
                () -> "",
                (key, value, values) -> values.isEmpty() ? value : values + "," + value,
                Materialized.<String, String>as(Stores.inMemoryWindowStore("windows", retention, size, false))
                    .withKeySerde(Serdes.String())
                    .withValueSerde(Serdes.String())
                    .withCachingDisabled())
            .toStream()
            .foreach((window, values) ->
                results.put(window.key() + " " + window.window().start() + " " + window.window().end(), values));
        return builder.build();
    }
}
