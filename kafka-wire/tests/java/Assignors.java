import java.io.*;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.stream.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.*;
import org.apache.kafka.common.*;

/**
 * Prints what the Java client's assignors give random groups, and the groups once more after members and partitions came
 * and went.
 *
 * <p>java -cp KAFKA_JARS Assignors.java SEED COUNT
 *
 * <p>A group is a line {@code topics NAME:PARTITIONS ..}, for each topic {@code racks NAME RACK,RACK ..} with the racks of
 * each partition ({@code -} for none), and, for each member, {@code member ID INSTANCE TOPICS ..}, {@code rack RACK} if it
 * tells one,
 * {@code data HEX} with the user data of {@code sticky}, {@code had GENERATION PARTITIONS ..} with what it has, and a line
 * for each assignor with what it gets: {@code range}, {@code roundrobin}, {@code sticky}, {@code cooperative-sticky}; one that
 * failed has none.
 */
public class Assignors {
    static class Member {
        String id;
        Optional<String> instance = Optional.empty();
        Optional<String> rack = Optional.empty();
        List<String> topics;
        /** By assignor: what it had, and in which generation. */
        List<TopicPartition> sticky = List.of(), cooperative = List.of();
        int generation = -1;
        byte[] data = new byte[0];
    }

    static final PrintStream OUT = new PrintStream(new BufferedOutputStream(new FileOutputStream(FileDescriptor.out), 1 << 16), false, StandardCharsets.UTF_8);

    public static void main(String[] arguments) {
        Random random = new Random(Long.parseLong(arguments[0]));
        long count = Long.parseLong(arguments[1]);
        for (long printed = 0; printed < count; printed += 2) {
            SortedMap<String, Integer> counts = new TreeMap<>();
            List<Member> members = new ArrayList<>();
            boolean ragged = random.nextBoolean();
            int scale = random.nextInt(10) == 0 ? 12 : 5;
            // Without racks, with replicas in few of them, and with replicas in most of them.
            int racks = random.nextInt(3);
            for (int generation = 1; generation <= 2; generation++) {
                change(random, counts, members, ragged, scale);
                members.forEach(member -> member.rack = racks > 0 && random.nextInt(6) > 0
                    ? Optional.of("r" + random.nextInt(4)) : Optional.empty());
                turn(random, racks, counts, members, generation);
            }
        }
        OUT.flush();
    }

    /** Topics and members come, go and change. */
    private static void change(Random random, SortedMap<String, Integer> counts, List<Member> members, boolean ragged, int scale) {
        if (counts.isEmpty() || random.nextInt(3) == 0) {
            int topics = 1 + random.nextInt(scale);
            for (int topic = 0; topic < topics; topic++) {
                // Partitions never get fewer.
                counts.merge("t" + random.nextInt(20), random.nextInt(9) == 0 ? 0 : 1 + random.nextInt(8), Math::max);
            }
        }
        List<String> names = new ArrayList<>(counts.keySet());
        members.removeIf(member -> random.nextInt(4) == 0);
        boolean statics = random.nextBoolean();
        int joining = members.isEmpty() ? 1 + random.nextInt(scale + 2) : random.nextInt(3);
        for (int index = 0; index < joining; index++) {
            Member member = new Member();
            member.id = "abZ".charAt(random.nextInt(3)) + "" + random.nextInt(100) + "." + random.nextInt(1 << 20);
            if (statics && random.nextBoolean()) {
                member.instance = Optional.of("i" + random.nextInt(100) + "." + random.nextInt(1 << 20));
            }
            members.add(member);
        }
        boolean anew = random.nextBoolean();
        for (Member member : members) {
            if (member.topics == null || !ragged || anew) {
                member.topics = new ArrayList<>(names);
                if (ragged) {
                    member.topics.removeIf(topic -> random.nextInt(3) == 0);
                }
            }
            if (member.topics.isEmpty()) {
                // The sticky assignors give a member that reads nothing a share all the same.
                member.topics.add(names.get(random.nextInt(names.size())));
            }
        }
    }

    private static void turn(Random random, int racks, SortedMap<String, Integer> counts, List<Member> members, int generation) {
        List<Node> nodes = new ArrayList<>();
        for (int id = 0; id < 4; id++) {
            // The last broker tells no rack.
            nodes.add(new Node(id, "localhost", 9092, racks > 0 && id < 3 ? "r" + id : null));
        }
        List<PartitionInfo> partitions = new ArrayList<>();
        counts.forEach((topic, count) -> {
            for (int partition = 0; partition < count; partition++) {
                List<Node> all = new ArrayList<>(nodes);
                Collections.shuffle(all, random);
                Node[] replicas = all.subList(0, Math.max(1, racks)).toArray(new Node[0]);
                partitions.add(new PartitionInfo(topic, partition, replicas[0], replicas, replicas));
            }
        });
        Cluster cluster = new Cluster("c", nodes, partitions, Set.of(), Set.of());
        Map<String, Assignment> range = run(new RangeAssignor(), cluster, members,
            member -> new Subscription(member.topics, null, List.of(), -1, member.rack));
        Map<String, Assignment> dealt = run(new RoundRobinAssignor(), cluster, members, member -> new Subscription(member.topics));
        Map<String, Assignment> sticky = run(new StickyAssignor(), cluster, members,
            member -> new Subscription(member.topics, member.data.length == 0 ? null : ByteBuffer.wrap(member.data), List.of(), -1, member.rack));
        Map<String, Assignment> cooperative = run(new CooperativeStickyAssignor(), cluster, members,
            member -> new Subscription(member.topics, null, member.cooperative, member.generation, member.rack));
        print(counts, partitions, members, range, dealt, sticky, cooperative);
        for (Member member : members) {
            if (sticky == null || cooperative == null) {
                break;
            }
            StickyAssignor assignor = new StickyAssignor();
            assignor.onAssignment(sticky.get(member.id), new ConsumerGroupMetadata("g", generation, member.id, member.instance));
            ByteBuffer data = assignor.subscriptionUserData(new HashSet<>(member.topics));
            member.data = new byte[data.remaining()];
            data.get(member.data);
            member.sticky = sticky.get(member.id).partitions();
            member.cooperative = cooperative.get(member.id).partitions();
            member.generation = generation;
        }
    }

    private static Map<String, Assignment> run(ConsumerPartitionAssignor assignor, Cluster cluster, List<Member> members,
            java.util.function.Function<Member, Subscription> subscribe) {
        Map<String, Subscription> subscriptions = new HashMap<>();
        for (Member member : members) {
            Subscription subscription = subscribe.apply(member);
            subscription.setGroupInstanceId(member.instance);
            subscriptions.put(member.id, subscription);
        }
        try {
            return assignor.assign(cluster, new GroupSubscription(subscriptions)).groupAssignment();
        } catch (IllegalStateException bug) {
            // The sticky assignors give up on some groups ("No more unfilled consumers to be assigned"): nothing to compare.
            return null;
        }
    }

    private static void print(SortedMap<String, Integer> counts, List<PartitionInfo> partitions, List<Member> members, Map<String, Assignment> range,
            Map<String, Assignment> dealt, Map<String, Assignment> sticky, Map<String, Assignment> cooperative) {
        StringBuilder out = new StringBuilder("topics");
        counts.forEach((topic, count) -> out.append(' ').append(topic).append(':').append(count));
        counts.forEach((topic, count) -> {
            out.append("\nracks ").append(topic);
            partitions.stream().filter(partition -> partition.topic().equals(topic)).forEach(partition -> {
                String racks = Arrays.stream(partition.replicas()).map(Node::rack).filter(Objects::nonNull)
                    .collect(Collectors.joining(","));
                out.append(' ').append(racks.isEmpty() ? "-" : racks);
            });
        });
        for (Member member : members) {
            out.append("\nmember ").append(member.id).append(' ').append(member.instance.orElse("-"));
            member.topics.forEach(topic -> out.append(' ').append(topic));
            member.rack.ifPresent(rack -> out.append("\nrack ").append(rack));
            out.append("\ndata ").append(HexFormat.of().formatHex(member.data));
            out.append("\nhad ").append(member.generation).append(show(member.cooperative));
            out.append("\nrange").append(show(range.get(member.id).partitions()));
            out.append("\nroundrobin").append(show(dealt.get(member.id).partitions()));
            if (sticky != null) {
                out.append("\nsticky").append(show(sticky.get(member.id).partitions()));
            }
            if (cooperative != null) {
                out.append("\ncooperative-sticky").append(show(cooperative.get(member.id).partitions()));
            }
        }
        OUT.println(out.append("\nend"));
    }

    private static String show(List<TopicPartition> partitions) {
        return partitions.stream()
            .sorted(Comparator.comparing(TopicPartition::topic).thenComparing(TopicPartition::partition))
            .map(partition -> " " + partition).collect(Collectors.joining());
    }
}
