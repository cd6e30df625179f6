// SPDX-License-Identifier: Apache-2.0
// Debezium's embedded engine with the PostgreSQL connector and Kafka's own producer, as
// scripts/bench measures it: streams from a slot that is there into the broker and ends when it
// has delivered the given count of changes. Arguments: a properties file and that count. In the
// file `producer.*` goes to the producer, all else to the engine.
//
// It does no more than it must: records come as bytes from the engine's own converter threads,
// one batch is sent while that before it is still under way, an offset is marked once a batch,
// after its last acknowledgement, and kept in memory only.
import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.format.JsonByteArray;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class DebeziumToKafka
        implements DebeziumEngine.ChangeConsumer<ChangeEvent<byte[], byte[]>> {
    private static final String PRODUCER = "producer.";

    private final KafkaProducer<byte[], byte[]> producer;
    private final long expected;
    private final CountDownLatch done = new CountDownLatch(1);
    private final AtomicReference<Throwable> failure = new AtomicReference<>();
    private long changes;
    private ChangeEvent<byte[], byte[]> lastSent;
    private Future<RecordMetadata>[] underWay;

    private DebeziumToKafka(Properties settings, long expected) {
        this.producer = new KafkaProducer<>(
                settings, new ByteArraySerializer(), new ByteArraySerializer());
        this.expected = expected;
    }

    public static void main(String[] arguments) throws Exception {
        Properties engineSettings = new Properties();
        Properties producerSettings = new Properties();
        Properties all = new Properties();
        try (var file = Files.newBufferedReader(Path.of(arguments[0]))) {
            all.load(file);
        }
        for (String name : all.stringPropertyNames()) {
            if (name.startsWith(PRODUCER)) {
                producerSettings.put(name.substring(PRODUCER.length()), all.getProperty(name));
            } else {
                engineSettings.put(name, all.getProperty(name));
            }
        }
        new DebeziumToKafka(producerSettings, Long.parseLong(arguments[1])).run(engineSettings);
    }

    private void run(Properties settings) throws Exception {
        var engine = DebeziumEngine.create(JsonByteArray.class)
                .using(settings)
                .notifying(this)
                .using((success, message, error) -> {
                    if (!success) {
                        failure.set(error != null ? error : new IOException(message));
                    }
                    done.countDown();
                })
                .build();
        var thread = Executors.newSingleThreadExecutor();
        thread.execute(engine);
        done.await();
        producer.close();
        if (failure.get() != null) {
            failure.get().printStackTrace();
        }
        // The engine's orderly end takes seconds that have nothing to do with the changes.
        Runtime.getRuntime().halt(failure.get() != null ? 1 : 0);
    }

    @Override
    @SuppressWarnings("unchecked")
    public void handleBatch(List<ChangeEvent<byte[], byte[]>> records,
            DebeziumEngine.RecordCommitter<ChangeEvent<byte[], byte[]>> committer)
            throws InterruptedException {
        Future<RecordMetadata>[] sent = new Future[records.size()];
        for (int index = 0; index < sent.length; index++) {
            ChangeEvent<byte[], byte[]> record = records.get(index);
            sent[index] = producer.send(
                    new ProducerRecord<>(record.destination(), record.key(), record.value()));
            if (record.value() != null) {
                changes++;
            }
        }
        if (underWay != null) {
            await(underWay);
            committer.markProcessed(lastSent);
            committer.markBatchFinished();
        }
        underWay = sent;
        lastSent = records.get(sent.length - 1);
        if (changes >= expected) {
            producer.flush();
            await(sent);
            done.countDown();
        }
    }

    private void await(Future<RecordMetadata>[] sent) throws InterruptedException {
        for (Future<RecordMetadata> one : sent) {
            try {
                one.get();
            } catch (java.util.concurrent.ExecutionException error) {
                failure.set(error.getCause());
                done.countDown();
                throw new IllegalStateException(error);
            }
        }
    }
}
