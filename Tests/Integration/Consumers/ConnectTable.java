// SPDX-License-Identifier: Apache-2.0
//
// The table that Kafka Connect and Debezium see in the records of a topic with schemas: Connect's
// JsonConverter reads key and value, Debezium's ExtractNewRecordState makes the row of the event,
// and what is left is put into a map by the record's key, as a sink that upserts does.
//
//   java -cp 'JARS/*' ConnectTable.java [tombstone|rewrite] < records
//
// JARS are Debezium's, Kafka Connect's among them, as scripts/fetch-debezium puts them into
// /var/cache/walrelay/debezium/3.6.3/jars or $WALRELAY_DEBEZIUM_DIR/3.6.3/jars. A record is a line
// `key TAB value`, \N where there is none. What is printed is a row a line, as JSON, in the order
// of the keys. `rewrite` has the deletes tell what is deleted, not the tombstones.

import io.debezium.data.VariableScaleDecimal;
import io.debezium.transforms.ExtractNewRecordState;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.connect.data.Decimal;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.sink.SinkRecord;

public final class ConnectTable {
    public static void main(String[] arguments) throws Exception {
        String mode = arguments.length > 0 ? arguments[0] : "tombstone";
        JsonConverter keys = converter(true, true);
        JsonConverter values = converter(false, true);
        JsonConverter plain = converter(false, false);
        Map<String, String> table = new TreeMap<>();
        BufferedReader input =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        try (ExtractNewRecordState<SinkRecord> rows = new ExtractNewRecordState<>()) {
            rows.configure(Map.of("delete.tombstone.handling.mode", mode));
            long offset = 0;
            for (String line = input.readLine(); line != null; line = input.readLine()) {
                String[] parts = line.split("\t", 2);
                SchemaAndValue key = read(keys, parts[0]);
                SchemaAndValue value = read(values, parts[1]);
                SinkRecord row = rows.apply(
                    new SinkRecord(
                        "topic", 0, key.schema(), key.value(), value.schema(), value.value(),
                        offset++));
                if (row == null) {
                    continue;
                }
                String name = text(plain, key);
                Struct content = (Struct) row.value();
                if (content == null || isDeleted(content)) {
                    table.remove(name);
                } else {
                    table.put(name, text(plain, plainDecimals(content)));
                }
            }
        }
        table.values().forEach(System.out::println);
    }

    private static boolean isDeleted(Struct row) {
        return row.schema().field("__deleted") != null && "true".equals(row.get("__deleted"));
    }

    /** The row with numbers where Debezium has structures of a scale and digits. */
    private static SchemaAndValue plainDecimals(Struct row) {
        SchemaBuilder schema = SchemaBuilder.struct();
        Map<Field, BigDecimal> numbers = new HashMap<>();
        for (Field field : row.schema().fields()) {
            boolean isVariable = VariableScaleDecimal.LOGICAL_NAME.equals(field.schema().name());
            if (isVariable && row.get(field) != null) {
                BigDecimal number =
                    VariableScaleDecimal.toLogical(row.getStruct(field.name())).getDecimalValue().orElseThrow();
                numbers.put(field, number);
                schema.field(field.name(), Decimal.schema(number.scale()));
            } else {
                schema.field(field.name(), field.schema());
            }
        }
        Struct result = new Struct(schema.build());
        for (Field field : row.schema().fields()) {
            Object number = numbers.get(field);
            result.put(field.name(), number == null ? row.get(field) : number);
        }
        return new SchemaAndValue(result.schema(), result);
    }

    private static JsonConverter converter(boolean isKey, boolean hasSchemas) {
        JsonConverter converter = new JsonConverter();
        converter.configure(
            Map.of("schemas.enable", hasSchemas, "decimal.format", "NUMERIC"), isKey);
        return converter;
    }

    private static SchemaAndValue read(JsonConverter converter, String text) {
        byte[] bytes = text.equals("\\N") ? null : text.getBytes(StandardCharsets.UTF_8);
        return converter.toConnectData("topic", bytes);
    }

    private static String text(JsonConverter converter, SchemaAndValue value) {
        byte[] bytes = converter.fromConnectData("topic", value.schema(), value.value());
        return new String(bytes, StandardCharsets.UTF_8);
    }
}
