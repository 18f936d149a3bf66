package waterwheel.bench;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.api.java.tuple.Tuple3;
import org.apache.flink.cep.CEP;
import org.apache.flink.cep.functions.PatternProcessFunction;
import org.apache.flink.cep.pattern.Pattern;
import org.apache.flink.cep.pattern.conditions.SimpleCondition;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.KeyedStream;
import org.apache.flink.streaming.api.functions.co.KeyedCoProcessFunction;
import org.apache.flink.streaming.api.functions.co.ProcessJoinFunction;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.EventTimeSessionWindows;
import org.apache.flink.streaming.api.windowing.assigners.SlidingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;

/** The jobs that show one operator each. Records are a key and a value. */
final class FlinkOperators {
    private static final TypeInformation<Tuple2<Long, Long>> LONGS = Types.TUPLE(Types.LONG, Types.LONG);
    private static final TypeInformation<Tuple3<Long, Long, Long>> THREE =
        Types.TUPLE(Types.LONG, Types.LONG, Types.LONG);
    @SuppressWarnings("unchecked")
    private static final TypeInformation<long[]> ARRAY =
        (TypeInformation<long[]>) Types.PRIMITIVE_ARRAY(Types.LONG);
    private static final TypeInformation<Tuple2<Long, long[]>> KEYED_ARRAY = Types.TUPLE(Types.LONG, ARRAY);

    private final FlinkJobs jobs;

    FlinkOperators(FlinkJobs jobs) {
        this.jobs = jobs;
    }

    void declare(String job) {
        switch (job) {
            case "sessions" -> sessions();
            case "sliding" -> sliding();
            case "join" -> join();
            case "table" -> table();
            case "top" -> top();
            case "pattern" -> pattern();
            default -> throw new IllegalArgumentException(job);
        }
    }

    private KeyedStream<Tuple2<Long, Long>, Long> records(String topic) {
        return jobs.read(topic, LONGS, record -> Tuple2.of(FlinkJobs.number(record.key()), FlinkJobs.number(record.value())),
                WatermarkStrategy.forMonotonousTimestamps())
            .keyBy(record -> record.f0, Types.LONG);
    }

    /** Key, and two numbers as the value. */
    private void write(DataStream<Tuple3<Long, Long, Long>> results) {
        results.sinkTo(jobs.sink((topic, result) -> FlinkJobs.record(topic, result.f0,
            ByteBuffer.allocate(16).putLong(result.f1).putLong(result.f2).array())));
    }

    private void sessions() {
        write(records(jobs.input)
            .map(record -> Tuple2.of(record.f0, 1L)).returns(LONGS)
            .keyBy(record -> record.f0, Types.LONG)
            .window(EventTimeSessionWindows.withGap(Duration.ofSeconds(30)))
            .reduce((left, right) -> Tuple2.of(left.f0, left.f1 + right.f1), new FlinkJobs.WithStart(), THREE));
    }

    private void sliding() {
        write(records(jobs.input)
            .window(SlidingEventTimeWindows.of(Duration.ofMinutes(10), Duration.ofSeconds(10)))
            .aggregate(new Mean(), new MeanWithStart(), LONGS, Types.LONG, THREE));
    }

    private static final class Mean implements AggregateFunction<Tuple2<Long, Long>, Tuple2<Long, Long>, Long> {
        @Override
        public Tuple2<Long, Long> createAccumulator() {
            return Tuple2.of(0L, 0L);
        }

        @Override
        public Tuple2<Long, Long> add(Tuple2<Long, Long> record, Tuple2<Long, Long> mean) {
            mean.f0 += record.f1;
            mean.f1 += 1;
            return mean;
        }

        @Override
        public Long getResult(Tuple2<Long, Long> mean) {
            return mean.f0 / mean.f1;
        }

        @Override
        public Tuple2<Long, Long> merge(Tuple2<Long, Long> one, Tuple2<Long, Long> other) {
            return Tuple2.of(one.f0 + other.f0, one.f1 + other.f1);
        }
    }

    private static final class MeanWithStart
            extends ProcessWindowFunction<Long, Tuple3<Long, Long, Long>, Long, TimeWindow> {
        @Override
        public void process(Long key, Context context, Iterable<Long> means,
                Collector<Tuple3<Long, Long, Long>> out) {
            out.collect(Tuple3.of(key, context.window().getStart(), means.iterator().next()));
        }
    }

    private void join() {
        write(records(jobs.input)
            .intervalJoin(records(jobs.input + "-right"))
            .between(Duration.ofMinutes(-1), Duration.ofMinutes(1))
            .process(new ProcessJoinFunction<Tuple2<Long, Long>, Tuple2<Long, Long>, Tuple3<Long, Long, Long>>() {
                @Override
                public void processElement(Tuple2<Long, Long> left, Tuple2<Long, Long> right, Context context,
                        Collector<Tuple3<Long, Long, Long>> out) {
                    out.collect(Tuple3.of(left.f0, left.f1, right.f1));
                }
            })
            .returns(THREE));
    }

    private void table() {
        write(records(jobs.input).connect(records(jobs.input + "-right")).process(new Rows()).returns(THREE));
    }

    /** Joins records with the row of their key. Flink reads the two topics in any order: records wait for their row. */
    private static final class Rows
            extends KeyedCoProcessFunction<Long, Tuple2<Long, Long>, Tuple2<Long, Long>, Tuple3<Long, Long, Long>> {
        private transient ValueState<Long> row;
        private transient ListState<Long> waiting;

        @Override
        public void open(OpenContext context) {
            row = getRuntimeContext().getState(new ValueStateDescriptor<>("row", Types.LONG));
            waiting = getRuntimeContext().getListState(new ListStateDescriptor<>("waiting", Types.LONG));
        }

        @Override
        public void processElement1(Tuple2<Long, Long> record, Context context,
                Collector<Tuple3<Long, Long, Long>> out) throws Exception {
            Long known = row.value();
            if (known == null) {
                waiting.add(record.f1);
            } else {
                out.collect(Tuple3.of(record.f0, record.f1, known));
            }
        }

        @Override
        public void processElement2(Tuple2<Long, Long> changed, Context context,
                Collector<Tuple3<Long, Long, Long>> out) throws Exception {
            row.update(changed.f1);
            for (Long value : waiting.get()) {
                out.collect(Tuple3.of(changed.f0, value, changed.f1));
            }
            waiting.clear();
        }
    }

    private void top() {
        records(jobs.input)
            .window(TumblingEventTimeWindows.of(Duration.ofSeconds(10)))
            .aggregate(new Top(), new TopWithStart(), ARRAY, ARRAY, KEYED_ARRAY)
            .sinkTo(jobs.sink((topic, result) -> {
                ByteBuffer value = ByteBuffer.allocate(8 * result.f1.length);
                value.asLongBuffer().put(result.f1);
                return FlinkJobs.record(topic, result.f0, value.array());
            }));
    }

    /** The ten greatest values, greatest first. */
    private static final class Top implements AggregateFunction<Tuple2<Long, Long>, long[], long[]> {
        private static final int SIZE = 10;

        @Override
        public long[] createAccumulator() {
            return new long[0];
        }

        @Override
        public long[] add(Tuple2<Long, Long> record, long[] top) {
            int place = 0;
            while (place < top.length && top[place] >= record.f1) {
                place++;
            }
            if (place == SIZE) {
                return top;
            }
            long[] grown = Arrays.copyOf(top, Math.min(top.length + 1, SIZE));
            System.arraycopy(top, place, grown, place + 1, grown.length - place - 1);
            grown[place] = record.f1;
            return grown;
        }

        @Override
        public long[] getResult(long[] top) {
            return top;
        }

        @Override
        public long[] merge(long[] one, long[] other) {
            throw new UnsupportedOperationException("such windows are not merged");
        }
    }

    private static final class TopWithStart
            extends ProcessWindowFunction<long[], Tuple2<Long, long[]>, Long, TimeWindow> {
        @Override
        public void process(Long key, Context context, Iterable<long[]> tops, Collector<Tuple2<Long, long[]>> out) {
            long[] top = tops.iterator().next();
            long[] result = new long[top.length + 1];
            result[0] = context.window().getStart();
            System.arraycopy(top, 0, result, 1, top.length);
            out.collect(Tuple2.of(key, result));
        }
    }

    private void pattern() {
        Pattern<Tuple2<Long, Long>, ?> pattern = Pattern.<Tuple2<Long, Long>>begin("a")
            .where(SimpleCondition.of(record -> record.f1 % 8 == 0))
            .next("b").where(SimpleCondition.of(record -> record.f1 % 8 >= 1 && record.f1 % 8 <= 5))
            .oneOrMore().consecutive()
            .next("c").where(SimpleCondition.of(record -> record.f1 % 8 == 6))
            .within(Duration.ofMinutes(1));
        write(CEP.pattern(records(jobs.input), pattern).process(new Matches()).returns(THREE));
    }

    private static final class Matches extends PatternProcessFunction<Tuple2<Long, Long>, Tuple3<Long, Long, Long>> {
        @Override
        public void processMatch(Map<String, List<Tuple2<Long, Long>>> match, Context context,
                Collector<Tuple3<Long, Long, Long>> out) {
            Tuple2<Long, Long> first = match.get("a").get(0);
            out.collect(Tuple3.of(first.f0, first.f1, (long) match.get("b").size()));
        }
    }
}
