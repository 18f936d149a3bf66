// Writes the vectors of this folder with Kafka's own Java classes:
//
//   java -cp "target/kafka/*" kafka-wire/tests/vectors/Vectors.java kafka-wire/tests/vectors
//
// (kafka-clients 4.3 and slf4j-api on the class path.) A line is `MESSAGE VERSION HEX SUM`: the bytes that Java
// writes, or `-` for none, and the CRC-32C of the message's fields as text. Bytes alone would not show two fields of
// one type changing places, or a wrong default of a field that the version lacks; the text does.
//
// For each version the generator fills the message's own schema with values of a seeded generator, lets the
// message class read the bytes, and writes them again: so each line holds what Java reads and what Java writes.
import java.io.PrintWriter;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.zip.CRC32C;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.*;
import org.apache.kafka.common.protocol.*;
import org.apache.kafka.common.protocol.types.*;
import org.apache.kafka.common.record.internal.MemoryRecords;

public class Vectors {
    static final Random random = new Random(4_3_1);
    static final int FILLED = 5;

    public static void main(String[] args) throws Exception {
        String[] apis = {
            "AddOffsetsToTxn", "AddPartitionsToTxn", "ApiVersions", "CreateTopics", "DeleteGroups", "DeleteRecords",
            "DeleteTopics", "DescribeCluster", "DescribeConfigs", "DescribeGroups", "EndTxn", "Fetch",
            "FindCoordinator", "Heartbeat", "InitProducerId", "JoinGroup", "LeaveGroup", "ListGroups", "ListOffsets",
            "Metadata", "OffsetCommit", "OffsetFetch", "Produce", "SyncGroup", "TxnOffsetCommit",
        };
        for (String api : apis) {
            write(args[0], snake(api), api + "Request", api + "Response");
        }
        write(args[0], "header", "RequestHeader", "ResponseHeader");
        write(args[0], "consumer_protocol", "ConsumerProtocolSubscription", "ConsumerProtocolAssignment");
    }

    static void write(String folder, String file, String... messages) throws Exception {
        try (PrintWriter out = new PrintWriter(folder + "/" + file + ".txt", StandardCharsets.US_ASCII)) {
            for (String name : messages) {
                Class<?> type = messageClass(name);
                Schema[] schemas = (Schema[]) type.getField("SCHEMAS").get(null);
                for (short version = 0; version < schemas.length; version++) {
                    if (schemas[version] == null) continue;
                    vector(out, name, (Message) type.getDeclaredConstructor().newInstance(), version);
                    for (int i = 0; i < FILLED; i++) {
                        Message message = (Message) type.getDeclaredConstructor().newInstance();
                        message.read(new ByteBufferAccessor(bytes(schemas[version], i)), version);
                        vector(out, name, message, version);
                    }
                }
            }
        }
    }

    static Class<?> messageClass(String name) throws Exception {
        String path = "org.apache.kafka.common.message." + name;
        try {
            return Class.forName(path + "Data");
        } catch (ClassNotFoundException e) {
            return Class.forName(path);
        }
    }

    static void vector(PrintWriter out, String name, Message message, short version) throws Exception {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, version));
        message.write(new ByteBufferAccessor(buffer), cache, version);
        CRC32C sum = new CRC32C();
        sum.update(text(message).getBytes(StandardCharsets.UTF_8));
        String hex = buffer.capacity() == 0 ? "-" : HexFormat.of().formatHex(buffer.array());
        out.printf("%s %d %s %08x%n", name, version, hex, sum.getValue());
    }

    // What the schema of one version says, filled; the second of a message has every list empty, every null null.
    static ByteBuffer bytes(Schema schema, int index) {
        Struct struct = (Struct) value(schema, index == 1);
        ByteBuffer buffer = ByteBuffer.allocate(struct.sizeOf());
        struct.writeTo(buffer);
        return buffer.flip();
    }

    static Object value(Type type, boolean bare) {
        if (type instanceof Schema schema) {
            Struct struct = new Struct(schema);
            for (BoundField field : schema.fields()) struct.set(field, value(field.def.type, bare));
            return struct;
        }
        if (type instanceof TaggedFields tagged) {
            NavigableMap<Integer, Object> fields = new TreeMap<>();
            tagged.fields().forEach((tag, field) -> {
                if (!bare && random.nextInt(3) > 0) fields.put(tag, value(field.type, bare));
            });
            return fields;
        }
        if (type.isNullable() && (bare || random.nextInt(6) == 0)) return null;
        if (type.isArray()) {
            Object[] elements = new Object[bare ? 0 : 1 + random.nextInt(2)];
            for (int i = 0; i < elements.length; i++) elements[i] = value(type.arrayElementType().get(), bare);
            return elements;
        }
        switch (type.toString()) {
            case "BOOLEAN": return random.nextBoolean();
            case "INT8": return (byte) random.nextInt();
            case "INT16": return (short) random.nextInt();
            case "INT32": return random.nextInt() >> random.nextInt(32);
            case "INT64": return random.nextLong() >> random.nextInt(64);
            case "UUID": return new Uuid(random.nextLong(), random.nextLong());
            case "STRING": case "NULLABLE_STRING": case "COMPACT_STRING": case "COMPACT_NULLABLE_STRING":
                return string(bare);
            case "BYTES": case "NULLABLE_BYTES": case "COMPACT_BYTES": case "COMPACT_NULLABLE_BYTES":
                return ByteBuffer.wrap(someBytes(bare));
            case "RECORDS": case "NULLABLE_RECORDS": case "COMPACT_RECORDS": case "COMPACT_NULLABLE_RECORDS":
                return MemoryRecords.readableRecords(ByteBuffer.wrap(someBytes(bare)));
            default: throw new IllegalArgumentException(type.toString());
        }
    }

    static String string(boolean bare) {
        StringBuilder text = new StringBuilder();
        for (int left = bare ? 0 : random.nextInt(9); left > 0; left--) {
            text.append("abcdefghijklmnopqrstuvwxyz-\u00e4\u4e16".charAt(random.nextInt(29)));
        }
        return text.toString();
    }

    static byte[] someBytes(boolean bare) {
        byte[] bytes = new byte[bare ? 0 : random.nextInt(12)];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) (random.nextBoolean() ? 'a' + random.nextInt(26) : 128 + random.nextInt(128));
        }
        return bytes;
    }

    // The fields as Rust's `{:?}` prints them, without `Some(` and closing parentheses.
    static String text(Object value) throws Exception {
        if (value == null) return "None";
        if (value instanceof String s) return "\"" + s + "\"";
        if (value instanceof Number || value instanceof Boolean) return value.toString();
        if (value instanceof byte[] b) return text(ByteBuffer.wrap(b));
        if (value instanceof MemoryRecords records) return text(records.buffer());
        if (value instanceof Uuid id) {
            byte[] b = ByteBuffer.allocate(16).putLong(id.getMostSignificantBits()).putLong(id.getLeastSignificantBits()).array();
            StringJoiner join = new StringJoiner(", ", "Uuid([", "]");
            for (byte one : b) join.add(Integer.toString(one & 0xff));
            return join.toString();
        }
        if (value instanceof ByteBuffer buffer) {
            StringBuilder text = new StringBuilder("b\"");
            for (int i = buffer.position(); i < buffer.limit(); i++) {
                int b = buffer.get(i) & 0xff;
                text.append(b < 128 ? String.valueOf((char) b) : String.format("\\x%02x", b));
            }
            return text.append('"').toString();
        }
        if (value instanceof Iterable<?> list) {
            StringJoiner join = new StringJoiner(", ", "[", "]");
            for (Object element : list) join.add(text(element));
            return join.toString();
        }
        String name = value.getClass().getSimpleName();
        if (value.getClass().getEnclosingClass() == null) name = name.replaceAll("Data$", "");
        StringJoiner join = new StringJoiner(", ", name + " { ", " }");
        for (Field field : value.getClass().getDeclaredFields()) {
            boolean own = Modifier.isStatic(field.getModifiers()) || Set.of("_unknownTaggedFields", "next", "prev").contains(field.getName());
            if (own) continue;
            field.setAccessible(true);
            join.add(snake(field.getName()) + ": " + text(field.get(value)));
        }
        return join.toString();
    }

    static String snake(String name) {
        return name.replaceAll("(?<!^)([A-Z])", "_$1").toLowerCase();
    }
}
