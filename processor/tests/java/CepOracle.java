import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Proxy;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;

import org.apache.flink.api.common.state.KeyedStateStore;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.typeutils.base.StringSerializer;
import org.apache.flink.cep.nfa.NFA;
import org.apache.flink.cep.nfa.NFAState;
import org.apache.flink.cep.nfa.aftermatch.AfterMatchSkipStrategy;
import org.apache.flink.cep.nfa.compiler.NFACompiler;
import org.apache.flink.cep.nfa.sharedbuffer.SharedBuffer;
import org.apache.flink.cep.nfa.sharedbuffer.SharedBufferAccessor;
import org.apache.flink.cep.pattern.Pattern;
import org.apache.flink.cep.pattern.conditions.IterativeCondition;

/**
 * Flink's library for complex event processing as an oracle.
 *
 * <p>Each line of stdin is a pattern and its input, and is answered by one line: everything that comes out, in order. The
 * words of a line are
 *
 * <pre>
 * SKIP WITHIN STAGE.. | EVENT..
 * SKIP    no, next, past, first:STAGE, last:STAGE
 * WITHIN  a number of milliseconds, or -
 * STAGE   begin, next, followedBy, followedByAny, notNext or notFollowedBy, then a name or ( STAGE.. ), then any of
 *         where CONDITION, or CONDITION, until CONDITION, times LEAST MOST, timesOrMore LEAST,
 *         optional, greedy, consecutive, allowCombinations
 * EVENT   LETTER NUMBER @ TIME, as one word: a7@1000
 * </pre>
 *
 * <p>An answer has the words m:STAGE=INDEX,INDEX;STAGE=.. for a match and t:..@TIME for a partial match that timed out.
 * It is "refused" for a pattern that has no meaning, and "failed CAUSE" if Flink fails.
 */
final class CepOracle {
    public static void main(String[] arguments) throws Exception {
        BufferedReader questions = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream answers = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        for (String line = questions.readLine(); line != null; line = questions.readLine()) {
            answers.print(answer(line) + "\n");
            if (!questions.ready()) {
                answers.flush();
            }
        }
        answers.flush();
    }

    private static String answer(String line) {
        String[] halves = line.split(" \\| ");
        Deque<String> words = new ArrayDeque<>(Arrays.asList(halves[0].split(" ")));
        Pattern<String, ?> pattern;
        NFA<String> nfa;
        try {
            AfterMatchSkipStrategy skip = skip(words.pop());
            String within = words.pop();
            pattern = pattern(words, skip);
            if (!within.equals("-")) {
                pattern = pattern.within(Duration.ofMillis(Long.parseLong(within)));
            }
            nfa = NFACompiler.compileFactory(pattern, true).createNFA();
        } catch (NullPointerException | StackOverflowError failed) {
            return "failed " + failed;
        } catch (RuntimeException refused) {
            return "refused";
        }
        try {
            return run(nfa, pattern.getAfterMatchSkipStrategy(), halves[1].split(" "));
        } catch (Exception | StackOverflowError failed) {
            return "failed " + failed;
        }
    }

    /** Does for one key what Flink's operator does when the watermark has passed all of these events. */
    private static String run(NFA<String> nfa, AfterMatchSkipStrategy skip, String[] events) throws Exception {
        SharedBuffer<String> buffer = new SharedBuffer<>(store(), StringSerializer.INSTANCE);
        buffer.releaseCacheStatisticsTimer();
        NFAState state = nfa.createInitialNFAState();
        StringBuilder answer = new StringBuilder();
        for (int index = 0; index < events.length; index++) {
            long time = Long.parseLong(events[index].substring(events[index].indexOf('@') + 1));
            // Letter, number and index; the number has one digit.
            String event = events[index].substring(0, 2) + index;
            try (SharedBufferAccessor<String> accessor = buffer.getAccessor()) {
                advance(nfa, accessor, state, time, skip, answer);
            }
            try (SharedBufferAccessor<String> accessor = buffer.getAccessor()) {
                for (Map<String, List<String>> match : nfa.process(accessor, state, event, time, skip, () -> time)) {
                    answer.append(" m:").append(show(match));
                }
            }
        }
        try (SharedBufferAccessor<String> accessor = buffer.getAccessor()) {
            advance(nfa, accessor, state, 1_000_000_000L, skip, answer);
        }
        return answer.length() == 0 ? "nothing" : answer.substring(1);
    }

    private static void advance(
            NFA<String> nfa, SharedBufferAccessor<String> accessor, NFAState state, long time, AfterMatchSkipStrategy skip,
            StringBuilder answer) throws Exception {
        var advanced = nfa.advanceTime(accessor, state, time, skip);
        for (var timedOut : advanced.f1) {
            answer.append(" t:").append(show(timedOut.f0)).append('@').append(timedOut.f1);
        }
        for (Map<String, List<String>> match : advanced.f0) {
            answer.append(" m:").append(show(match));
        }
    }

    private static String show(Map<String, List<String>> match) {
        List<String> stages = new ArrayList<>();
        match.forEach((stage, events) -> {
            List<String> indexes = new ArrayList<>();
            events.forEach(event -> indexes.add(event.substring(2)));
            stages.add(stage + "=" + String.join(",", indexes));
        });
        return String.join(";", stages);
    }

    private static AfterMatchSkipStrategy skip(String word) {
        String stage = word.substring(word.indexOf(':') + 1);
        switch (word.split(":")[0]) {
            case "no": return AfterMatchSkipStrategy.noSkip();
            case "next": return AfterMatchSkipStrategy.skipToNext();
            case "past": return AfterMatchSkipStrategy.skipPastLastEvent();
            case "first": return AfterMatchSkipStrategy.skipToFirst(stage);
            case "last": return AfterMatchSkipStrategy.skipToLast(stage);
            default: throw new IllegalStateException(word);
        }
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    private static Pattern<String, ?> pattern(Deque<String> words, AfterMatchSkipStrategy skip) {
        Pattern pattern = null;
        while (!words.isEmpty()) {
            String word = words.pop();
            switch (word) {
                case ")": return pattern;
                case "where": pattern = pattern.where(new Condition(words.pop())); break;
                case "or": pattern = pattern.or(new Condition(words.pop())); break;
                case "until": pattern = pattern.until(new Condition(words.pop())); break;
                case "times": pattern = pattern.times(number(words), number(words)); break;
                case "timesOrMore": pattern = pattern.timesOrMore(number(words)); break;
                case "optional": pattern = pattern.optional(); break;
                case "greedy": pattern = pattern.greedy(); break;
                case "consecutive": pattern = pattern.consecutive(); break;
                case "allowCombinations": pattern = pattern.allowCombinations(); break;
                default: pattern = stage(word, pattern, words, skip);
            }
        }
        return pattern;
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    private static Pattern stage(String link, Pattern pattern, Deque<String> words, AfterMatchSkipStrategy skip) {
        String name = words.pop();
        if (name.equals("(")) {
            Pattern group = pattern(words, AfterMatchSkipStrategy.noSkip());
            switch (link) {
                case "begin": return Pattern.begin(group, skip);
                case "next": return pattern.next(group);
                case "followedBy": return pattern.followedBy(group);
                case "followedByAny": return pattern.followedByAny(group);
                default: throw new IllegalStateException(link);
            }
        }
        switch (link) {
            case "begin": return Pattern.begin(name, skip);
            case "next": return pattern.next(name);
            case "followedBy": return pattern.followedBy(name);
            case "followedByAny": return pattern.followedByAny(name);
            case "notNext": return pattern.notNext(name);
            case "notFollowedBy": return pattern.notFollowedBy(name);
            default: throw new IllegalStateException(link);
        }
    }

    private static int number(Deque<String> words) {
        return Integer.parseInt(words.pop());
    }

    /**
     * A condition on the letter (in:abc) or the number (below:5) of an event, or on both the number and the events of a
     * stage so far: their sum stays below a bound (sum:STAGE:9), or their last number is less (rises:STAGE).
     */
    private static final class Condition extends IterativeCondition<String> {
        private final String[] parts;

        Condition(String word) {
            parts = word.split(":");
        }

        @Override
        public boolean filter(String event, Context<String> context) throws Exception {
            int number = event.charAt(1) - '0';
            switch (parts[0]) {
                case "in": return parts[1].indexOf(event.charAt(0)) >= 0;
                case "below": return number < Integer.parseInt(parts[1]);
                case "sum": {
                    int sum = number;
                    for (String earlier : context.getEventsForPattern(parts[1])) {
                        sum += earlier.charAt(1) - '0';
                    }
                    return sum < Integer.parseInt(parts[2]);
                }
                case "rises": {
                    int last = -1;
                    for (String earlier : context.getEventsForPattern(parts[1])) {
                        last = earlier.charAt(1) - '0';
                    }
                    return number > last;
                }
                default: throw new IllegalStateException(parts[0]);
            }
        }
    }

    /** A store of state for one key, in memory. */
    private static KeyedStateStore store() {
        return (KeyedStateStore) Proxy.newProxyInstance(
                CepOracle.class.getClassLoader(), new Class<?>[] {KeyedStateStore.class}, (proxy, method, arguments) -> {
                    if (method.getName().equals("getMapState")) {
                        return new InMemory<>();
                    }
                    throw new UnsupportedOperationException(method.getName());
                });
    }

    private static final class InMemory<K, V> implements MapState<K, V> {
        private final Map<K, V> map = new HashMap<>();

        @Override
        public V get(K key) {
            return map.get(key);
        }

        @Override
        public void put(K key, V value) {
            map.put(key, value);
        }

        @Override
        public void putAll(Map<K, V> other) {
            map.putAll(other);
        }

        @Override
        public void remove(K key) {
            map.remove(key);
        }

        @Override
        public boolean contains(K key) {
            return map.containsKey(key);
        }

        @Override
        public Iterable<Map.Entry<K, V>> entries() {
            return map.entrySet();
        }

        @Override
        public Iterable<K> keys() {
            return map.keySet();
        }

        @Override
        public Iterable<V> values() {
            return map.values();
        }

        @Override
        public Iterator<Map.Entry<K, V>> iterator() {
            return map.entrySet().iterator();
        }

        @Override
        public boolean isEmpty() {
            return map.isEmpty();
        }

        @Override
        public void clear() {
            map.clear();
        }
    }
}
