import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.*;
import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.jar.JarFile;
import java.util.zip.CRC32C;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.protocol.*;
import org.apache.kafka.common.protocol.types.*;
import org.apache.kafka.common.record.internal.MemoryRecords;

/**
 * Kafka's own message classes, asked by lines on stdin and answering by lines on stdout.
 *
 * <p>java -cp KAFKA_JARS Oracle.java MODE, with the jars of a broker on the class path. A message is named by three
 * words: {@code 3 q 12} is the request (s: response) of API key 3 at version 12, {@code VotersRecord d 0} a message
 * outside of requests. Bytes are hex digits, or {@code -} for none.
 *
 * <ul>
 *   <li>{@code gen SEED COUNT [known]}: COUNT random messages, every message and version in turn, as
 *       {@code MESSAGE HEX JSON}; with {@code known}, none has unknown tagged fields.
 *   <li>{@code judge}: for each line {@code MESSAGE HEX}, what Java makes of it: {@code ok HEX JSON} with the bytes that
 *       it writes again, {@code trailing COUNT} when it left bytes unread, {@code unread CLASS TEXT} when it could not
 *       read them, {@code unwritten CLASS TEXT} when it could not write again what it read.
 *   <li>{@code cross}: for each line {@code KEY q|s VERSION OTHER HEX}, read at VERSION and written at OTHER, as
 *       {@code judge} answers, without JSON.
 *   <li>{@code schemas}: every schema in the jars, one a line, without comments.
 *   <li>{@code headers}: {@code KEY VERSION HEADER OF-RESPONSE}, the versions of the headers before a request and its response.
 *   <li>{@code errors}: {@code CODE NAME true|false}, every error code and whether Java's clients ask again.
 *   <li>{@code vectors}: the committed vectors, {@code FILE NAME VERSION HEX SUM}; the sum is the CRC-32C of the JSON.
 * </ul>
 *
 * <p>JSON is what Kafka's {@code JsonConverter} classes write, with the size of records in place of their bytes.
 */
public class Oracle {
    public static void main(String[] arguments) throws Exception {
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), false, StandardCharsets.UTF_8);
        BufferedOutputStream buffered = new BufferedOutputStream(out, 1 << 16);
        switch (arguments[0]) {
            case "gen": {
                boolean known = arguments.length > 3 && arguments[3].equals("known");
                generate(Long.parseLong(arguments[1]), Long.parseLong(arguments[2]), known, buffered);
                break;
            }
            case "judge": answer(false, buffered); break;
            case "cross": answer(true, buffered); break;
            case "schemas": for (JsonNode schema : Registry.schemas()) print(buffered, schema.toString() + "\n"); break;
            case "headers": headers(buffered); break;
            case "errors": errors(buffered); break;
            case "vectors": vectors(buffered); break;
            default: throw new IllegalArgumentException(arguments[0]);
        }
        buffered.flush();
        out.flush();
    }

    static void generate(long seed, long count, boolean known, OutputStream out) throws Exception {
        List<Triple> triples = new Registry().triples();
        for (long i = 0; i < count; i++) {
            Triple triple = triples.get((int) (i % triples.size()));
            Chance chance = Chance.wild(seed * 1_000_003 + i, !known);
            byte[] bytes = triple.codec.random(chance, triple.version);
            Answer answer = triple.codec.read(bytes, triple.version, triple.version, true);
            if (!Arrays.equals(bytes, answer.bytes)) throw new IllegalStateException(triple + ": Java disagrees with itself");
            print(out, triple + " " + hex(bytes) + " " + answer.json + "\n");
        }
    }

    static void answer(boolean cross, OutputStream out) throws Exception {
        Registry registry = new Registry();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII), 1 << 16);
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] words = line.split(" ");
            short version = Short.parseShort(words[2]);
            short other = cross ? Short.parseShort(words[3]) : version;
            Codec codec = registry.codec(words[0], words[1]);
            print(out, codec.read(unhex(words[cross ? 4 : 3]), version, other, !cross).line());
            // Somebody who asks one question at a time is waiting for the answer.
            if (!in.ready()) out.flush();
        }
    }

    static void headers(OutputStream out) throws IOException {
        for (ApiMessageType type : ApiMessageType.values()) {
            for (short version = type.lowestSupportedVersion(); version <= type.highestSupportedVersion(true); version++) {
                int[] words = {type.apiKey(), version, type.requestHeaderVersion(version), type.responseHeaderVersion(version)};
                print(out, words[0] + " " + words[1] + " " + words[2] + " " + words[3] + "\n");
            }
        }
    }

    static void errors(OutputStream out) throws IOException {
        for (Errors error : Errors.values()) {
            boolean retriable = error.exception() instanceof RetriableException;
            print(out, error.code() + " " + error + " " + retriable + "\n");
        }
    }

    /** A few small messages of each version: all default, all bare, and three filled, one of them with unknown tags. */
    static void vectors(OutputStream out) throws Exception {
        Set<String> seen = new HashSet<>();
        for (Triple triple : new Registry().triples()) {
            boolean isApi = !triple.direction.equals("d");
            String file = isApi ? snake(triple.codec.name.replaceAll("(Request|Response)$", "")) : "messages";
            for (int shape = 0; shape < 5; shape++) {
                byte[] bytes;
                try {
                    bytes = triple.codec.random(Chance.small(4_3_1 + shape, shape), triple.version);
                } catch (NullPointerException error) {
                    if (shape > 0) throw error;
                    continue; // The default of a field is null, and this version has no null.
                }
                CRC32C sum = new CRC32C();
                sum.update(triple.codec.read(bytes, triple.version, triple.version, true).json.getBytes(StandardCharsets.UTF_8));
                String line = String.format("%s %d %s %08x", triple.codec.name, triple.version, hex(bytes), sum.getValue());
                if (seen.add(line)) print(out, file + " " + line + "\n");
            }
        }
    }

    static String snake(String name) {
        return name.replaceAll("(?<!^)([A-Z])", "_$1").toLowerCase(Locale.ROOT);
    }

    static void print(OutputStream out, String text) throws IOException {
        out.write(text.getBytes(StandardCharsets.UTF_8));
    }

    static String hex(byte[] bytes) {
        return bytes.length == 0 ? "-" : HexFormat.of().formatHex(bytes);
    }

    static byte[] unhex(String hex) {
        return hex.equals("-") ? new byte[0] : HexFormat.of().parseHex(hex);
    }
}

/** One version of one message. */
class Triple {
    final String name;
    final String direction;
    final short version;
    final Codec codec;

    Triple(String name, String direction, short version, Codec codec) {
        this.name = name;
        this.direction = direction;
        this.version = version;
        this.codec = codec;
    }

    @Override
    public String toString() {
        return name + " " + direction + " " + version;
    }
}

/** What became of some bytes. */
class Answer {
    byte[] bytes;
    String json = "";
    String failure;

    String line() {
        if (failure != null) return failure.replaceAll("\\s+", " ") + "\n";
        return "ok " + Oracle.hex(bytes) + (json.isEmpty() ? "" : " " + json) + "\n";
    }
}

/** A message of Kafka at all its versions. */
abstract class Codec {
    final String name;
    final short first;
    final short last;

    Codec(String name, short first, short last) {
        this.name = name;
        this.first = first;
        this.last = last;
    }

    abstract byte[] random(Chance chance, short version) throws Exception;

    abstract Object decode(ByteBuffer in, short version) throws Exception;

    abstract byte[] encode(Object message, short version) throws Exception;

    abstract JsonNode json(Object message, short version) throws Exception;

    Answer read(byte[] bytes, short version, short other, boolean withJson) {
        Answer answer = new Answer();
        String step = "unread";
        try {
            ByteBuffer in = ByteBuffer.wrap(bytes);
            Object message = decode(in, version);
            if (in.hasRemaining()) {
                answer.failure = "trailing " + in.remaining();
                return answer;
            }
            step = "unwritten";
            answer.bytes = encode(message, other);
            if (withJson) answer.json = json(message, other).toString();
        } catch (Exception | OutOfMemoryError error) {
            Throwable cause = error instanceof InvocationTargetException ? error.getCause() : error;
            answer.failure = step + " " + cause.getClass().getSimpleName() + " " + cause.getMessage();
        }
        return answer;
    }
}

/** A message that Kafka generates from JSON. */
class Generated extends Codec {
    private final Shape shape;
    private final Ranges flexible;
    private final Constructor<?> constructor;
    private final Method json;

    Generated(JsonNode schema, Class<?> type) throws Exception {
        super(schema.get("name").asText(), Ranges.of(schema, "validVersions").first, Ranges.of(schema, "validVersions").last);
        Map<String, JsonNode> structs = new HashMap<>();
        for (JsonNode struct : schema.path("commonStructs")) structs.put(struct.get("name").asText(), struct.get("fields"));
        shape = new Shape(type, type, schema.get("fields"), structs);
        flexible = Ranges.of(schema, "flexibleVersions");
        constructor = type.getConstructor();
        json = Class.forName(type.getName() + "JsonConverter").getMethod("write", type, short.class, boolean.class);
    }

    @Override
    byte[] random(Chance chance, short version) throws Exception {
        Object message = constructor.newInstance();
        if (!chance.isDefault) shape.fill(message, chance, version, flexible.contains(version));
        return encode(message, version);
    }

    @Override
    Object decode(ByteBuffer in, short version) throws Exception {
        Message message = (Message) constructor.newInstance();
        message.read(new ByteBufferAccessor(in), version);
        return message;
    }

    @Override
    byte[] encode(Object message, short version) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(((Message) message).size(cache, version));
        ((Message) message).write(new ByteBufferAccessor(buffer), cache, version);
        if (buffer.hasRemaining()) throw new IllegalStateException(name + ": size() and write() differ");
        return buffer.array();
    }

    @Override
    JsonNode json(Object message, short version) throws Exception {
        return (JsonNode) json.invoke(null, message, version, false);
    }
}

/** User data of the sticky assignor, which Kafka writes by schemas from before it generated messages. */
class UserData extends Codec {
    private final Schema[] schemas = {hidden("STICKY_ASSIGNOR_USER_DATA_V0"), hidden("STICKY_ASSIGNOR_USER_DATA_V1")};

    UserData(String name) throws Exception {
        super(name, (short) 0, (short) 1);
    }

    /** A schema that Kafka keeps to itself. */
    private static Schema hidden(String name) throws Exception {
        java.lang.reflect.Field field = Class.forName("org.apache.kafka.clients.consumer.StickyAssignor").getDeclaredField(name);
        field.setAccessible(true);
        return (Schema) field.get(null);
    }

    @Override
    byte[] random(Chance chance, short version) {
        return encode(value(schemas[version], chance), version);
    }

    private Object value(Type type, Chance chance) {
        if (type instanceof Schema) {
            Struct struct = new Struct((Schema) type);
            for (BoundField field : ((Schema) type).fields()) struct.set(field, value(field.def.type, chance));
            return struct;
        }
        if (type.isArray()) {
            Object[] elements = new Object[chance.count()];
            for (int i = 0; i < elements.length; i++) elements[i] = value(type.arrayElementType().get(), chance);
            return elements;
        }
        if (type == Type.INT32) return chance.isDefault ? 0 : (int) chance.number(32);
        if (type == Type.STRING) return chance.isDefault ? "" : chance.string();
        throw new IllegalArgumentException(type.toString());
    }

    @Override
    Object decode(ByteBuffer in, short version) {
        return schemas[version].read(in);
    }

    @Override
    byte[] encode(Object message, short version) {
        Struct struct = (Struct) message;
        if (struct.schema() != schemas[version]) throw new IllegalArgumentException("Java does not turn one version into another");
        ByteBuffer buffer = ByteBuffer.allocate(struct.sizeOf());
        struct.writeTo(buffer);
        return buffer.array();
    }

    @Override
    JsonNode json(Object value, short version) {
        if (value instanceof Struct) {
            ObjectNode node = new ObjectNode(JsonNodeFactory.instance);
            Struct struct = (Struct) value;
            for (BoundField field : struct.schema().fields()) node.set(camel(field.def.name), json(struct.get(field), version));
            return node;
        }
        if (value instanceof Object[]) {
            ArrayNode node = new ArrayNode(JsonNodeFactory.instance);
            for (Object element : (Object[]) value) node.add(json(element, version));
            return node;
        }
        if (value instanceof Integer) return JsonNodeFactory.instance.numberNode((Integer) value);
        return JsonNodeFactory.instance.textNode((String) value);
    }

    private static String camel(String name) {
        int line = name.indexOf('_');
        return line < 0 ? name : name.substring(0, line) + name.substring(line + 1, line + 2).toUpperCase(Locale.ROOT) + name.substring(line + 2);
    }
}

/** Every message of the jars. */
class Registry {
    private static final String[] PACKAGES = {
        "org.apache.kafka.common.message", "org.apache.kafka.coordinator.group.generated",
        "org.apache.kafka.coordinator.transaction.generated", "org.apache.kafka.coordinator.share.generated",
        "org.apache.kafka.raft.generated",
    };
    private final Map<String, Codec> codecs = new LinkedHashMap<>();

    Registry() throws Exception {
        List<JsonNode> others = new ArrayList<>();
        SortedMap<Integer, Codec[]> apis = new TreeMap<>();
        for (JsonNode schema : schemas()) {
            String type = schema.get("type").asText();
            if (!Ranges.of(schema, "validVersions").isEmpty()) {
                if (!type.equals("request") && !type.equals("response")) {
                    others.add(schema);
                } else {
                    Codec[] both = apis.computeIfAbsent(schema.get("apiKey").asInt(), key -> new Codec[2]);
                    both[type.equals("request") ? 0 : 1] = new Generated(schema, classOf(schema.get("name").asText()));
                }
            }
        }
        apis.forEach((key, both) -> {
            codecs.put(key + " q", both[0]);
            codecs.put(key + " s", both[1]);
        });
        if (!apis.keySet().equals(keys())) throw new IllegalStateException("schemas of " + apis.keySet());
        for (JsonNode schema : others) {
            String name = schema.get("name").asText();
            codecs.put(name + " d", new Generated(schema, classOf(name)));
        }
        codecs.put("StickyAssignorUserData d", new UserData("StickyAssignorUserData"));
    }

    Codec codec(String name, String direction) {
        Codec codec = codecs.get(name + " " + direction);
        if (codec == null) throw new IllegalArgumentException("no message " + name + " " + direction);
        return codec;
    }

    List<Triple> triples() {
        List<Triple> triples = new ArrayList<>();
        codecs.forEach((name, codec) -> {
            String[] words = name.split(" ");
            for (short version = codec.first; version <= codec.last; version++) {
                triples.add(new Triple(words[0], words[1], version, codec));
            }
        });
        return triples;
    }

    private static Set<Integer> keys() {
        Set<Integer> keys = new TreeSet<>();
        for (ApiMessageType type : ApiMessageType.values()) {
            if (type.lowestSupportedVersion() <= type.highestSupportedVersion(true)) keys.add((int) type.apiKey());
        }
        return keys;
    }

    private static Class<?> classOf(String name) {
        for (String place : PACKAGES) {
            for (String end : new String[] {"Data", ""}) {
                try {
                    return Class.forName(place + "." + name + end);
                } catch (ClassNotFoundException error) {
                    // The next one.
                }
            }
        }
        throw new IllegalStateException("no class of " + name);
    }

    /** Schemas in the jars of the class path, by name. */
    static Collection<JsonNode> schemas() throws IOException {
        ObjectMapper mapper = new ObjectMapper().configure(JsonParser.Feature.ALLOW_COMMENTS, true);
        SortedMap<String, JsonNode> schemas = new TreeMap<>();
        for (String place : System.getProperty("java.class.path").split(File.pathSeparator)) {
            if (!place.endsWith(".jar") || !place.contains("kafka")) continue;
            try (JarFile jar = new JarFile(place)) {
                for (Object entry : jar.stream().filter(e -> e.getName().matches("common/message/.*\\.json")).toArray()) {
                    JsonNode schema = mapper.readTree(jar.getInputStream((java.util.zip.ZipEntry) entry));
                    schemas.put(schema.get("name").asText(), schema);
                }
            }
        }
        return schemas.values();
    }
}

/** Versions as a schema writes them: {@code none}, {@code 3}, {@code 3+} or {@code 3-5}. */
class Ranges {
    final short first;
    final short last;

    private Ranges(int first, int last) {
        this.first = (short) first;
        this.last = (short) last;
    }

    static Ranges of(JsonNode holder, String name) {
        String text = holder.path(name).asText("none");
        if (text.equals("none")) return new Ranges(0, -1);
        if (text.endsWith("+")) return new Ranges(Integer.parseInt(text.substring(0, text.length() - 1)), Short.MAX_VALUE);
        String[] ends = text.split("-");
        return new Ranges(Integer.parseInt(ends[0]), Integer.parseInt(ends[ends.length - 1]));
    }

    boolean isEmpty() {
        return first > last;
    }

    boolean contains(short version) {
        return first <= version && version <= last;
    }
}

/** The fields of a class that Kafka generated, as its schema has them. */
class Shape {
    private final Constructor<?> constructor;
    private final Method unknownTaggedFields;
    private final List<Member> members = new ArrayList<>();
    private final Set<Integer> tags = new HashSet<>();

    /** A field: how to set it, and when. */
    private static class Member {
        Method setter;
        /** The type of the field, or of an element of it. */
        String type;
        /** Null unless the field is a list. */
        Constructor<?> list;
        Shape struct;
        Class<?> parameter;
        Ranges versions;
        Ranges nullable;
        boolean isNullByDefault;
    }

    Shape(Class<?> type, Class<?> message, JsonNode fields, Map<String, JsonNode> structs) throws Exception {
        constructor = type.getConstructor();
        unknownTaggedFields = type.getMethod("unknownTaggedFields");
        Object fresh = constructor.newInstance();
        for (JsonNode field : fields) {
            if (field.has("tag")) tags.add(field.get("tag").asInt());
            members.add(member(type, message, fresh, field, structs));
        }
    }

    private static Member member(Class<?> type, Class<?> message, Object fresh, JsonNode field, Map<String, JsonNode> structs)
            throws Exception {
        Member member = new Member();
        String name = field.get("name").asText();
        name = name.substring(0, 1).toUpperCase(Locale.ROOT) + name.substring(1); // A few begin in lower case.
        member.versions = Ranges.of(field, field.has("versions") ? "versions" : "taggedVersions");
        member.nullable = Ranges.of(field, "nullableVersions");
        for (Method method : type.getMethods()) if (method.getName().equals("set" + name)) member.setter = method;
        member.parameter = member.setter.getParameterTypes()[0];
        Method getter = type.getMethod(name.substring(0, 1).toLowerCase(Locale.ROOT) + name.substring(1));
        member.isNullByDefault = getter.invoke(fresh) == null;
        member.type = field.get("type").asText();
        if (member.type.startsWith("[]")) {
            member.type = member.type.substring(2);
            member.list = (member.parameter == List.class ? ArrayList.class : member.parameter).getConstructor();
        }
        if (Character.isUpperCase(member.type.charAt(0))) {
            JsonNode inner = field.has("fields") ? field.get("fields") : structs.get(member.type);
            Class<?> struct = Class.forName(message.getName() + "$" + member.type);
            member.struct = new Shape(struct, message, inner, structs);
        }
        return member;
    }

    @SuppressWarnings("unchecked")
    void fill(Object target, Chance chance, short version, boolean flexible) throws Exception {
        for (Member member : members) {
            if (!member.versions.contains(version)) continue;
            boolean mayBeNull = member.nullable.contains(version);
            if (chance.keepsDefault() && (mayBeNull || !member.isNullByDefault)) continue;
            member.setter.invoke(target, value(member, mayBeNull, chance, version, flexible));
        }
        if (flexible && chance.addsUnknownTags()) {
            List<RawTaggedField> unknown = (List<RawTaggedField>) unknownTaggedFields.invoke(target);
            for (int tag : chance.tagsBeside(tags)) unknown.add(new RawTaggedField(tag, chance.bytes()));
        }
    }

    private static Object value(Member member, boolean mayBeNull, Chance chance, short version, boolean flexible) throws Exception {
        if (mayBeNull && chance.isNull()) return null;
        if (member.list == null) return element(member, chance, version, flexible);
        @SuppressWarnings("unchecked")
        Collection<Object> list = (Collection<Object>) member.list.newInstance();
        for (int count = chance.count(); count > 0; count--) list.add(element(member, chance, version, flexible));
        return list;
    }

    private static Object element(Member member, Chance chance, short version, boolean flexible) throws Exception {
        switch (member.type) {
            case "bool": return chance.random.nextBoolean();
            case "int8": return (byte) chance.number(8);
            case "int16": return (short) chance.number(16);
            case "uint16": return (int) chance.number(16) & 0xffff;
            case "int32": return (int) chance.number(32);
            case "uint32": return chance.number(32) & 0xffff_ffffL;
            case "int64": return chance.number(64);
            case "float64": return chance.real();
            case "uuid": return chance.uuid();
            case "string": return chance.string();
            case "bytes": return member.parameter == ByteBuffer.class ? ByteBuffer.wrap(chance.bytes()) : chance.bytes();
            case "records": return MemoryRecords.readableRecords(ByteBuffer.wrap(chance.bytes()));
            default: break;
        }
        Object struct = member.struct.constructor.newInstance();
        member.struct.fill(struct, chance, version, flexible);
        return struct;
    }
}

/** What chance makes of one message: plain values mostly, and now and then the ends of what a type can hold. */
class Chance {
    final Random random;
    boolean isDefault;
    private boolean isBare;
    private boolean isSmall;
    private boolean withUnknownTags;
    /** Elements that lists may still get, so that lists in lists stay bounded. */
    private int elements;

    private Chance(long seed) {
        random = new Random(seed);
        random.nextInt(); // The first number of near seeds is nearly the same.
    }

    static Chance wild(long seed, boolean withUnknownTags) {
        Chance chance = new Chance(seed);
        chance.withUnknownTags = withUnknownTags;
        chance.elements = chance.oneIn(500) ? 2000 : 30;
        return chance;
    }

    /** Shape 0: all default, 1: lists empty and nulls null, 2 and 3: filled, 4: filled, with unknown tags. */
    static Chance small(long seed, int shape) {
        Chance chance = new Chance(seed);
        chance.isSmall = true;
        chance.isDefault = shape == 0;
        chance.isBare = shape == 1;
        chance.withUnknownTags = shape == 4;
        chance.elements = shape < 2 ? 0 : 16;
        return chance;
    }

    boolean oneIn(int count) {
        return random.nextInt(count) == 0;
    }

    boolean keepsDefault() {
        return !isSmall && oneIn(10);
    }

    boolean isNull() {
        return isBare || oneIn(6);
    }

    boolean addsUnknownTags() {
        return withUnknownTags && oneIn(isSmall ? 3 : 12);
    }

    /** Ascending tags that are none of these: the classes refuse a tag that another version defines. */
    SortedSet<Integer> tagsBeside(Set<Integer> known) {
        SortedSet<Integer> tags = new TreeSet<>();
        for (int count = 1 + random.nextInt(3); count > 0; count--) {
            int tag = oneIn(8) ? random.nextInt() >>> 1 : random.nextInt(isSmall ? 20 : 300);
            if (!known.contains(tag)) tags.add(tag);
        }
        return tags;
    }

    int count() {
        int wanted = 1 + random.nextInt(2);
        if (!isSmall) {
            int kind = random.nextInt(16);
            if (kind < 3) wanted = 0;
            else if (kind == 14) wanted = 3 + random.nextInt(4);
            else if (kind == 15) wanted = random.nextInt(elements + 1);
        }
        int count = Math.min(wanted, elements);
        elements -= count;
        return count;
    }

    long number(int bits) {
        long value = random.nextLong() >> (64 - bits);
        switch (random.nextInt(12)) {
            case 0: return 0;
            case 1: return -1;
            case 2: return 1L << (bits - 1);
            case 3: return (1L << (bits - 1)) - 1;
            case 4: return value;
            default: return value >> random.nextInt(bits);
        }
    }

    double real() {
        switch (isSmall ? 7 : random.nextInt(8)) {
            case 0: return 0.0;
            case 1: return -0.0;
            case 2: return Double.NaN;
            case 3: return oneIn(2) ? Double.POSITIVE_INFINITY : Double.NEGATIVE_INFINITY;
            case 4: return Double.longBitsToDouble(random.nextLong() & ~(1L << 52));
            case 5: return random.nextInt();
            default: return random.nextInt(100_000) / 100.0;
        }
    }

    Uuid uuid() {
        return oneIn(6) ? Uuid.ZERO_UUID : new Uuid(random.nextLong(), random.nextLong());
    }

    byte[] bytes() {
        int count = isBare ? 0 : random.nextInt(isSmall ? 8 : 24);
        if (!isSmall && oneIn(60)) count = oneIn(10) ? 20_000 : 120 + random.nextInt(20);
        byte[] bytes = new byte[count];
        random.nextBytes(bytes);
        return bytes;
    }

    String string() {
        int kind = isBare ? 0 : random.nextInt(isSmall ? 12 : 24);
        if (kind == 0) return "";
        if (kind < 3) return text(1 + random.nextInt(5), "\u00e4\u00df\u0416\u05d0\u4e16\u754c\u20ac\ud7ff\ue000\ufffd\uffff");
        if (kind == 3) return text(1 + random.nextInt(4), "\"\\/\b\f\n\r\t\0\u0001\u001f\u007f\u0080\u2028\ufeff ");
        if (kind == 4) return new String(Character.toChars(0x1f300 + random.nextInt(200))) + "x";
        int length = 1 + random.nextInt(isSmall ? 6 : 12);
        if (kind == 23 && oneIn(6)) length = oneIn(12) ? 32_767 : 120 + random.nextInt(20);
        return text(length, "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-._");
    }

    private String text(int length, String letters) {
        StringBuilder text = new StringBuilder(length);
        while (text.length() < length) text.append(letters.charAt(random.nextInt(letters.length())));
        return text.toString();
    }
}
