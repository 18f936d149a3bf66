import java.nio.ByteBuffer;
import java.util.*;
import java.util.stream.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.*;
import org.apache.kafka.clients.consumer.internals.ConsumerProtocol;
import org.apache.kafka.common.*;

/**
 * Prints what the Java client assigns to random groups, and the bytes of some subscriptions and assignments.
 *
 * <p>java -cp KAFKA_JARS AssignorVectors.java groups > ../vectors/assignor/groups.txt
 * <p>java -cp KAFKA_JARS AssignorVectors.java blobs > ../vectors/assignor/blobs.txt
 */
public class AssignorVectors {
    public static void main(String[] arguments) {
        if (arguments[0].equals("blobs")) {
            blobs();
            return;
        }
        Random random = new Random(345);
        for (int group = 0; group < 160; group++) {
            group(random);
        }
    }

    private static void group(Random random) {
        SortedMap<String, Integer> counts = new TreeMap<>();
        int topics = 1 + random.nextInt(4);
        for (int topic = 0; topic < topics; topic++) {
            counts.put("t" + random.nextInt(20), random.nextInt(9) == 0 ? 0 : 1 + random.nextInt(8));
        }
        List<String> names = new ArrayList<>(counts.keySet());
        Map<String, Subscription> subscriptions = new HashMap<>();
        int members = 1 + random.nextInt(6);
        boolean ragged = random.nextBoolean();
        int statics = random.nextInt(3);
        List<String> instances = IntStream.range(0, members).mapToObj(i -> "i" + i).collect(Collectors.toList());
        Collections.shuffle(instances, random);
        // One letter each side of where UTF-16 order and byte order part.
        List<String> letters = List.of("a", "b", "Z", "\uFF21", "\uD83D\uDE80");
        for (int member = 0; member < members; member++) {
            List<String> wanted = new ArrayList<>(names);
            if (ragged) {
                wanted.removeIf(topic -> random.nextInt(3) == 0);
            }
            if (random.nextInt(8) == 0) {
                wanted.add("missing");
            }
            Subscription subscription = new Subscription(wanted);
            if (statics == 2 || statics == 1 && random.nextBoolean()) {
                subscription.setGroupInstanceId(Optional.of(instances.get(member)));
            }
            String letter = letters.get(random.nextInt(random.nextInt(5) == 0 ? 5 : 3));
            subscriptions.put(letter + random.nextInt(100) + "." + member, subscription);
        }
        print(counts, subscriptions);
    }

    private static void print(SortedMap<String, Integer> counts, Map<String, Subscription> subscriptions) {
        Node node = new Node(0, "localhost", 9092);
        List<PartitionInfo> partitions = new ArrayList<>();
        StringBuilder out = new StringBuilder("topics");
        counts.forEach((topic, count) -> {
            out.append(' ').append(topic).append(':').append(count);
            for (int partition = 0; partition < count; partition++) {
                partitions.add(new PartitionInfo(topic, partition, node, new Node[] {node}, new Node[] {node}));
            }
        });
        out.append('\n');
        Cluster cluster = new Cluster("c", List.of(node), partitions, Set.of(), Set.of());
        GroupSubscription group = new GroupSubscription(subscriptions);
        Map<String, Assignment> range = new RangeAssignor().assign(cluster, group).groupAssignment();
        Map<String, Assignment> roundRobin = new RoundRobinAssignor().assign(cluster, group).groupAssignment();
        for (String member : new TreeSet<>(subscriptions.keySet())) {
            Subscription subscription = subscriptions.get(member);
            out.append("member ").append(member).append(' ').append(subscription.groupInstanceId().orElse("-"));
            subscription.topics().forEach(topic -> out.append(' ').append(topic));
            out.append("\n  range").append(show(range.get(member)));
            out.append("\n  roundrobin").append(show(roundRobin.get(member))).append('\n');
        }
        System.out.print(out);
    }

    private static String show(Assignment assignment) {
        return assignment.partitions().stream()
            .sorted(Comparator.comparing(TopicPartition::topic).thenComparing(TopicPartition::partition))
            .map(partition -> " " + partition).collect(Collectors.joining());
    }

    private static void blobs() {
        ByteBuffer data = ByteBuffer.wrap(new byte[] {1, 2, 3});
        List<TopicPartition> owned = List.of(new TopicPartition("a", 0), new TopicPartition("a", 2), new TopicPartition("b", 1));
        Subscription full = new Subscription(List.of("a", "b"), data, owned, 7, Optional.of("rack"));
        Subscription plain = new Subscription(List.of("a", "b"));
        for (short version = 0; version <= 3; version++) {
            hex("subscription plain v" + version, ConsumerProtocol.serializeSubscription(plain, version));
            hex("subscription full v" + version, ConsumerProtocol.serializeSubscription(full, version));
            hex("assignment plain v" + version, ConsumerProtocol.serializeAssignment(new Assignment(owned), version));
            hex("assignment full v" + version, ConsumerProtocol.serializeAssignment(new Assignment(owned, data), version));
        }
    }

    private static void hex(String name, ByteBuffer bytes) {
        StringBuilder out = new StringBuilder(name).append(' ');
        while (bytes.hasRemaining()) {
            out.append(String.format("%02x", bytes.get()));
        }
        System.out.println(out);
    }
}
