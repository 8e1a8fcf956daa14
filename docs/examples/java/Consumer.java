//DEPS org.apache.kafka:kafka-clients:4.1.0
//DEPS com.networknt:json-schema-validator:1.5.8
//DEPS org.slf4j:slf4j-nop:1.7.36

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.networknt.schema.JsonSchema;
import com.networknt.schema.JsonSchemaFactory;
import com.networknt.schema.SpecVersion;
import com.networknt.schema.ValidationMessage;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** A consumer of the events, written from the AsyncAPI document alone: see ../README.md. */
public class Consumer {
    private static final ObjectMapper JSON = new ObjectMapper();

    /** Thrown if a message does not conform to the document. */
    static class ContractException extends Exception {
        ContractException(String text) {
            super(text);
        }
    }

    /** Thrown if this program was started with something that can't be used. */
    static class StartException extends Exception {
        StartException(String text) {
            super(text);
        }
    }

    /** The document's description of one type: schemas of headers and data, and whether it is a snapshot. */
    record Message(JsonSchema headers, JsonSchema data, boolean snapshot) {}

    /** The first and the last sequence of a subject that this program has read. */
    record Sequences(long first, long last) {}

    private final Map<String, Message> messages = new HashMap<>();
    private final Set<List<String>> seen = new HashSet<>();
    private final Map<List<String>, Sequences> sequences = new HashMap<>();

    /** Takes the topic's name without the prefix of the environment. */
    Consumer(JsonNode document, String topic) throws StartException {
        JsonNode channels = document.path("channels");
        if (!channels.has(topic)) { // without this, it would ignore each message as one of an unknown type
            throw new StartException("the document has no topic \"" + topic + "\". It has: "
                + String.join(", ", names(channels)));
        }
        JsonNode references = channels.path(topic).path("messages");
        for (Map.Entry<String, JsonNode> entry : references.properties()) {
            JsonNode message = document.at(entry.getValue().path("$ref").asText().substring(1));
            messages.put(entry.getKey(), new Message(
                schema(document, message.path("headers")),
                schema(document, message.path("payload")),
                message.path("x-snapshot").asBoolean()));
        }
    }

    private static List<String> names(JsonNode object) {
        return object.properties().stream().map(Map.Entry::getKey).sorted().toList();
    }

    private static JsonSchema schema(JsonNode document, JsonNode part) {
        ObjectNode whole = JSON.createObjectNode();
        whole.putArray("allOf").add(part);
        whole.set("components", document.path("components")); // references point there
        return JsonSchemaFactory.getInstance(SpecVersion.VersionFlag.V7).getSchema(whole);
    }

    /** Returns the event of a message, or null if it is no event, a duplicate, or of an unknown type. */
    ObjectNode read(ConsumerRecord<byte[], byte[]> record) throws IOException, ContractException {
        ObjectNode headers = JSON.createObjectNode();
        for (Header header : record.headers()) {
            headers.put(header.key(), new String(header.value(), StandardCharsets.UTF_8));
        }
        String type = headers.path("ce_type").asText();
        Message message = messages.get(type);
        if (record.value() == null || message == null) {
            return null;
        }
        JsonNode data = JSON.readTree(record.value());
        check("headers", type, message.headers(), headers);
        check("data", type, message.data(), data);
        String source = headers.path("ce_source").asText();
        String id = headers.path("ce_id").asText();
        if (!seen.add(List.of(source, id)) || !isNew(type, message, headers)) {
            return null;
        }
        ObjectNode event = JSON.createObjectNode();
        event.put("id", id);
        event.put("type", type);
        event.put("subject", headers.path("ce_subject").asText());
        event.put("sequence", headers.has("ce_sequence") ? headers.path("ce_sequence").asLong() : null);
        event.set("data", data);
        return event;
    }

    private static void check(String what, String type, JsonSchema schema, JsonNode value) throws ContractException {
        for (ValidationMessage error : schema.validate(value, context ->
                context.getExecutionConfig().setFormatAssertionsEnabled(true))) {
            throw new ContractException("the " + what + " of " + type + " don't fit: " + error.getMessage());
        }
    }

    private boolean isNew(String type, Message message, ObjectNode headers) throws ContractException {
        if (!headers.has("ce_sequence")) {
            return true;
        }
        List<String> subject = List.of(headers.path("ce_source").asText(), headers.path("ce_subject").asText());
        long sequence = Long.parseLong(headers.path("ce_sequence").asText());
        Sequences known = sequences.getOrDefault(subject, new Sequences(sequence, 0));
        if (message.snapshot() && sequence <= known.last()) {
            return false;
        }
        if (sequence < known.first()) {
            // Events of a subject come in order. So it was read before this program was started, and is a
            // duplicate, although its id is no longer known.
            return false;
        }
        if (sequence < known.last()) {
            String id = headers.path("ce_id").asText();
            throw new ContractException(type + " " + id + ": sequence " + sequence + " comes after " + known.last());
        }
        sequences.put(subject, new Sequences(known.first(), sequence));
        return true;
    }

    private static JsonNode load(String place) throws StartException {
        try {
            if (place.startsWith("http://") || place.startsWith("https://")) {
                return JSON.readTree(URI.create(place).toURL());
            }
            return JSON.readTree(Files.readString(Path.of(place)));
        } catch (IOException error) {
            throw new StartException("the document " + place + " can't be read: " + error);
        }
    }

    /** Prints each event, and commits its offset afterwards. */
    public static void main(String[] words) throws Exception {
        try {
            consume(words);
        } catch (ContractException error) {
            System.err.println("the contract is broken: " + error.getMessage());
            System.exit(1);
        } catch (StartException error) {
            System.err.println("consumer: " + error.getMessage());
            System.exit(1);
        }
    }

    private static void consume(String[] words) throws Exception {
        Map<String, String> arguments = new HashMap<>(Map.of("--prefix", "", "--count", "0"));
        for (int i = 0; i + 1 < words.length; i += 2) {
            arguments.put(words[i], words[i + 1]);
        }
        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments.get("--bootstrap-servers"));
        settings.put("group.id", arguments.get("--group"));
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        String topic = arguments.get("--topic");
        Consumer reader = new Consumer(load(arguments.get("--asyncapi")), topic);
        long left = Long.parseLong(arguments.get("--count"));
        try (KafkaConsumer<byte[], byte[]> kafka =
                new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            kafka.subscribe(List.of(arguments.get("--prefix") + topic));
            while (true) {
                for (ConsumerRecord<byte[], byte[]> record : kafka.poll(Duration.ofSeconds(1))) {
                    ObjectNode event = reader.read(record);
                    if (event != null) {
                        System.out.println(JSON.writeValueAsString(event));
                    }
                    if (--left == 0) {
                        kafka.commitSync();
                        return;
                    }
                }
                kafka.commitSync();
            }
        }
    }
}
