// SPDX-License-Identifier: Apache-2.0
//
// The table that Flink sees in the records of a topic: its format debezium-json makes rows with
// kinds (+I, -U, +U, -D) of the values, and those are put into a map by the first columns, as a
// sink with a primary key does. Flink wants REPLICA IDENTITY FULL: it needs the old row of an
// update.
//
//   java -cp 'JARS/*' FlinkTable.java plain|schemas KEYS 'id INT, name STRING, …' < records
//
// JARS are pyflink/lib/flink-{json,dist,table-api-java-uber,table-runtime}-2.3.0.jar out of the
// package apache-flink-libraries 2.3.0 of PyPI (330 MB), which the tests look for in
// /var/cache/walrelay/flink/2.3.0/jars or $WALRELAY_FLINK_DIR/2.3.0/jars. KEYS is how many columns
// the key has. A record is a line `key TAB value`, \N where there is none. What is printed is a
// row a line, its columns parted by bars, in the order of the keys' texts.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.flink.api.common.functions.util.ListCollector;
import org.apache.flink.formats.common.TimestampFormat;
import org.apache.flink.formats.json.debezium.DebeziumJsonDeserializationSchema;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.runtime.typeutils.InternalTypeInfo;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.logical.RowType;

public final class FlinkTable {
    public static void main(String[] arguments) throws Exception {
        boolean hasSchemas = arguments[0].equals("schemas");
        List<DataTypes.Field> fields = new ArrayList<>();
        int keys = Integer.parseInt(arguments[1]);
        for (String column : arguments[2].split(", *")) {
            String[] parts = column.split(" ", 2);
            fields.add(DataTypes.FIELD(parts[0], type(parts[1])));
        }
        DataType row = DataTypes.ROW(fields);
        RowType logical = (RowType) row.getLogicalType();
        DebeziumJsonDeserializationSchema format = new DebeziumJsonDeserializationSchema(
            row, List.of(), InternalTypeInfo.of(logical), hasSchemas, false,
            TimestampFormat.ISO_8601);
        format.open(null);
        RowData.FieldGetter[] columns = new RowData.FieldGetter[fields.size()];
        for (int index = 0; index < columns.length; index++) {
            columns[index] = RowData.createFieldGetter(logical.getTypeAt(index), index);
        }
        Map<String, String> table = new TreeMap<>();
        BufferedReader input =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            String value = line.split("\t", 2)[1];
            List<RowData> changes = new ArrayList<>();
            format.deserialize(
                value.equals("\\N") ? null : value.getBytes(StandardCharsets.UTF_8),
                new ListCollector<>(changes));
            for (RowData change : changes) {
                String key = text(change, Arrays.copyOf(columns, keys));
                switch (change.getRowKind()) {
                    case INSERT, UPDATE_AFTER -> table.put(key, text(change, columns));
                    case UPDATE_BEFORE, DELETE -> table.remove(key);
                }
            }
        }
        table.values().forEach(System.out::println);
    }

    private static DataType type(String name) {
        return switch (name) {
            case "INT" -> DataTypes.INT();
            case "BOOLEAN" -> DataTypes.BOOLEAN();
            case "STRING" -> DataTypes.STRING();
            case "DECIMAL" -> DataTypes.DECIMAL(10, 2);
            case "TIMESTAMP_LTZ" -> DataTypes.TIMESTAMP_LTZ(6);
            default -> throw new IllegalArgumentException("a type that is not read here: " + name);
        };
    }

    private static String text(RowData row, RowData.FieldGetter[] columns) {
        List<String> texts = new ArrayList<>();
        for (RowData.FieldGetter column : columns) {
            texts.add(String.valueOf(column.getFieldOrNull(row)));
        }
        return String.join("|", texts);
    }
}
