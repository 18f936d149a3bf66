package waterwheel.bench;

import java.io.Serializable;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Locale;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.api.java.tuple.Tuple3;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.StateBackendOptions;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * The benchmark's jobs on Flink's DataStream API, in one JVM: exactly-once sink, parallelism 1, state on the heap, object
 * reuse, a checkpoint every second.
 *
 * <p>{@code FlinkJobs JOB BOOTSTRAP APPLICATION INPUT OUTPUT STATE_DIRECTORY}; runs until its stdin closes.
 */
public final class FlinkJobs {
    private static final TypeInformation<Tuple2<Long, Long>> LONGS = Types.TUPLE(Types.LONG, Types.LONG);
    private static final TypeInformation<Tuple2<String, Long>> COUNTED_WORD = Types.TUPLE(Types.STRING, Types.LONG);
    private static final TypeInformation<Tuple2<byte[], String>> KEYED_TEXT =
        Types.TUPLE(Types.PRIMITIVE_ARRAY(Types.BYTE), Types.STRING);

    private final String bootstrap;
    private final String application;
    final String input;
    private final String output;
    private final StreamExecutionEnvironment environment;

    private FlinkJobs(String[] args) {
        bootstrap = args[1];
        application = args[2];
        input = args[3];
        output = args[4];
        Configuration configuration = new Configuration();
        configuration.set(StateBackendOptions.STATE_BACKEND, "hashmap");
        configuration.set(CheckpointingOptions.CHECKPOINT_STORAGE, "filesystem");
        configuration.set(CheckpointingOptions.CHECKPOINTS_DIRECTORY, "file://" + args[5]);
        environment = StreamExecutionEnvironment.createLocalEnvironment(1, configuration);
        environment.enableCheckpointing(1000);
        environment.getConfig().enableObjectReuse();
    }

    public static void main(String[] args) throws Exception {
        FlinkJobs jobs = new FlinkJobs(args);
        switch (args[0]) {
            case "a" -> jobs.upperCase();
            case "b1" -> jobs.count();
            case "b2" -> jobs.countBehindShuffle();
            case "c" -> jobs.wordCount();
            case "d" -> jobs.windowedSum();
            default -> new FlinkOperators(jobs).declare(args[0]);
        }
        Thread watcher = new Thread(FlinkJobs::stopWithStdin);
        watcher.setDaemon(true);
        watcher.start();
        jobs.environment.execute(jobs.application);
    }

    /** Nobody writes to stdin; its end is the sign to stop. */
    private static void stopWithStdin() {
        try {
            while (System.in.read() >= 0) {}
        } catch (java.io.IOException closed) {
            // As good as its end.
        }
        Runtime.getRuntime().halt(0);
    }

    private void upperCase() {
        read(KEYED_TEXT, record -> Tuple2.of(record.key(), text(record.value())), WatermarkStrategy.noWatermarks())
            .map(pair -> Tuple2.of(pair.f0, pair.f1.toUpperCase(Locale.ROOT)))
            .returns(KEYED_TEXT)
            .sinkTo(sink((topic, pair) -> new ProducerRecord<>(topic, pair.f0, bytes(pair.f1))));
    }

    private void count() {
        countByKey(read(LONGS, record -> Tuple2.of(number(record.key()), 1L), WatermarkStrategy.noWatermarks()));
    }

    private void countBehindShuffle() {
        countByKey(read(LONGS, record -> Tuple2.of(number(record.value()), 1L), WatermarkStrategy.noWatermarks()));
    }

    private void countByKey(DataStream<Tuple2<Long, Long>> ones) {
        ones.keyBy(one -> one.f0, Types.LONG)
            .sum(1)
            .sinkTo(sink((topic, count) -> new ProducerRecord<>(topic, bytes(count.f0), bytes(count.f1))));
    }

    private void wordCount() {
        read(Types.STRING, record -> text(record.value()), WatermarkStrategy.noWatermarks())
            .flatMap((String line, Collector<Tuple2<String, Long>> out) -> {
                for (String word : line.split(" ")) {
                    out.collect(Tuple2.of(word, 1L));
                }
            })
            .returns(COUNTED_WORD)
            .keyBy(one -> one.f0, Types.STRING)
            .sum(1)
            .sinkTo(sink((topic, count) -> new ProducerRecord<>(topic, bytes(count.f0), bytes(count.f1))));
    }

    private void windowedSum() {
        read(LONGS, record -> Tuple2.of(number(record.key()), number(record.value())),
                WatermarkStrategy.forMonotonousTimestamps())
            .keyBy(pair -> pair.f0, Types.LONG)
            .window(TumblingEventTimeWindows.of(Duration.ofSeconds(10)))
            .reduce((left, right) -> Tuple2.of(left.f0, left.f1 + right.f1), new WithStart(),
                Types.TUPLE(Types.LONG, Types.LONG, Types.LONG))
            .sinkTo(sink((topic, sum) -> new ProducerRecord<>(topic, bytes(sum.f0),
                ByteBuffer.allocate(16).putLong(sum.f1).putLong(sum.f2).array())));
    }

    /** Puts the start of the window beside the sum. */
    static final class WithStart
            extends ProcessWindowFunction<Tuple2<Long, Long>, Tuple3<Long, Long, Long>, Long, TimeWindow> {
        @Override
        public void process(Long key, Context context, Iterable<Tuple2<Long, Long>> sums,
                Collector<Tuple3<Long, Long, Long>> out) {
            out.collect(Tuple3.of(key, context.window().getStart(), sums.iterator().next().f1));
        }
    }

    interface Reader<T> extends Serializable {
        T read(ConsumerRecord<byte[], byte[]> record);
    }

    interface Writer<T> extends Serializable {
        ProducerRecord<byte[], byte[]> write(String topic, T element);
    }

    private <T> DataStream<T> read(TypeInformation<T> type, Reader<T> reader, WatermarkStrategy<T> watermarks) {
        return read(input, type, reader, watermarks);
    }

    <T> DataStream<T> read(String topic, TypeInformation<T> type, Reader<T> reader, WatermarkStrategy<T> watermarks) {
        KafkaSource<T> source = KafkaSource.<T>builder()
            .setBootstrapServers(bootstrap)
            .setGroupId(application)
            .setTopics(topic)
            .setStartingOffsets(OffsetsInitializer.earliest())
            .setDeserializer(new Deserializer<>(type, reader))
            .build();
        return environment.fromSource(source, watermarks, topic, type);
    }

    private record Deserializer<T>(TypeInformation<T> type, Reader<T> reader)
            implements KafkaRecordDeserializationSchema<T> {
        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<T> out) {
            out.collect(reader.read(record));
        }

        @Override
        public TypeInformation<T> getProducedType() {
            return type;
        }
    }

    <T> KafkaSink<T> sink(Writer<T> writer) {
        String topic = output; // The closure takes the name along; this object cannot be serialized.
        return KafkaSink.<T>builder()
            .setBootstrapServers(bootstrap)
            .setRecordSerializer((element, context, timestamp) -> writer.write(topic, element))
            .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
            .setTransactionalIdPrefix(application)
            .setProperty("transaction.timeout.ms", "600000")
            .build();
    }

    private static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.UTF_8);
    }

    static long number(byte[] bytes) {
        return ByteBuffer.wrap(bytes).getLong();
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** A record with a number as its key. */
    static ProducerRecord<byte[], byte[]> record(String topic, long key, byte[] value) {
        return new ProducerRecord<>(topic, bytes(key), value);
    }

    private static byte[] bytes(long number) {
        return ByteBuffer.allocate(8).putLong(number).array();
    }
}
