// The rows of bench-client on franz-go.
//
//	franz-go TASK SERVERS TOPIC PARTITIONS RECORDS VALUE_BYTES CODEC
//
// A tenth of the records goes before, uncounted. Prints one line of NAME=NUMBER, as every program of the benchmark.
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	buffered      = 100_000
	outstanding   = 1_000
	inTransaction = 1_000
	interval      = time.Millisecond
)

type row struct {
	task, servers, topic string
	partitions, records  int
	values               [][]byte
	codec                kgo.CompressionCodec
}

func main() {
	row := read(os.Args[1:])
	var measured string
	switch row.task {
	case "produce", "spread", "awaited":
		measured = row.produce()
	case "transact":
		measured = row.transact()
	case "consume":
		measured = row.consume()
	case "paced":
		measured = row.paced()
	default:
		fail(fmt.Errorf("no task %q", row.task))
	}
	fmt.Printf("%s version=%s\n", measured, version())
}

func read(given []string) row {
	if len(given) != 7 {
		fail(fmt.Errorf("takes TASK SERVERS TOPIC PARTITIONS RECORDS VALUE_BYTES CODEC"))
	}
	number := func(text string) int {
		number, err := strconv.Atoi(text)
		check(err)
		return number
	}
	codec := kgo.NoCompression()
	if given[6] == "lz4" {
		codec = kgo.Lz4Compression()
	}
	return row{
		task: given[0], servers: given[1], topic: given[2], partitions: number(given[3]), records: number(given[4]),
		values: values(number(given[5])), codec: codec,
	}
}

// The values that every program writes: of each, two fifths are the same bytes, and the others are random letters.
func values(valueBytes int) [][]byte {
	made := make([][]byte, max(1, min(1_024, 1_000_000/valueBytes)))
	state := uint64(88172645463325252)
	for index := range made {
		made[index] = []byte(strings.Repeat("x", valueBytes))
		for at := range valueBytes * 3 / 5 {
			state ^= state << 13
			state ^= state >> 7
			state ^= state << 17
			made[index][at] = 'a' + byte(state>>32)%26
		}
	}
	return made
}

func (row row) client(more ...kgo.Opt) *kgo.Client {
	options := append([]kgo.Opt{
		kgo.SeedBrokers(row.servers),
		kgo.DefaultProduceTopic(row.topic),
		kgo.ProducerBatchCompression(row.codec),
		kgo.ProducerBatchMaxBytes(1_000_000),
		kgo.MaxBufferedRecords(buffered),
		kgo.MaxBufferedBytes(64 << 20),
		kgo.ProducerLinger(5 * time.Millisecond),
	}, more...)
	client, err := kgo.NewClient(options...)
	check(err)
	return client
}

// Without a key, the default partitioner fills one batch after the other; "spread" chooses partitions in turn.
func (row row) produce() string {
	var more []kgo.Opt
	if row.task == "spread" {
		more = append(more, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	client := row.client(more...)
	defer client.Close()
	limit := buffered
	if row.task == "awaited" {
		limit = outstanding
	}
	row.write(client, row.records/10, limit)
	counter := start()
	row.write(client, row.records, limit)
	return counter.stop(row.records)
}

// Writes records, of which at most `limit` are not acknowledged, and awaits the acknowledgement of each.
func (row row) write(client *kgo.Client, count, limit int) {
	places := make(chan struct{}, limit)
	var failed atomic.Pointer[error]
	acknowledged := func(_ *kgo.Record, err error) {
		if err != nil {
			failed.Store(&err)
		}
		<-places
	}
	for index := range count {
		places <- struct{}{}
		record := &kgo.Record{Value: row.values[index%len(row.values)], Partition: int32(index % row.partitions)}
		client.Produce(context.Background(), record, acknowledged)
	}
	check(client.Flush(context.Background()))
	if err := failed.Load(); err != nil {
		fail(*err)
	}
}

func (row row) transact() string {
	client := row.client(kgo.TransactionalID("franz-go-" + row.topic))
	defer client.Close()
	row.commit(client, row.records/10)
	counter := start()
	took := row.commit(client, row.records)
	return counter.stop(row.records) + percentiles(took)
}

func (row row) commit(client *kgo.Client, count int) []time.Duration {
	var took []time.Duration
	var failed atomic.Pointer[error]
	acknowledged := func(_ *kgo.Record, err error) {
		if err != nil {
			failed.Store(&err)
		}
	}
	for range count / inTransaction {
		check(client.BeginTransaction())
		for index := range inTransaction {
			client.Produce(context.Background(), &kgo.Record{Value: row.values[index%len(row.values)]}, acknowledged)
		}
		began := time.Now()
		check(client.Flush(context.Background()))
		check(client.EndTransaction(context.Background(), kgo.TryCommit))
		took = append(took, time.Since(began))
	}
	if err := failed.Load(); err != nil {
		fail(*err)
	}
	return took
}

func (row row) reader() *kgo.Client {
	offsets := map[int32]kgo.Offset{}
	for partition := range row.partitions {
		offsets[int32(partition)] = kgo.NewOffset().AtStart()
	}
	return row.client(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{row.topic: offsets}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	)
}

func (row row) consume() string {
	client := row.reader()
	defer client.Close()
	var counter counter
	seen, first, bytes := 0, 0, 0
	for seen < row.records {
		fetches := client.PollFetches(context.Background())
		check(fetches.Err())
		fetches.EachRecord(func(record *kgo.Record) { bytes += len(record.Value); seen++ })
		if first == 0 && seen >= row.records/10 {
			first, counter = seen, start()
		}
	}
	measured := counter.stop(seen - first)
	if bytes != seen*len(row.values[0]) {
		fail(fmt.Errorf("%d bytes in %d records", bytes, seen))
	}
	return measured
}

// One record each millisecond, with the time at which it was made; the consumer is in this process. The topic is new.
func (row row) paced() string {
	reader := row.reader()
	defer reader.Close()
	writer := row.client(kgo.ProducerLinger(0))
	defer writer.Close()
	began, warm := time.Now(), row.records/10
	all := warm + row.records
	done := make(chan []time.Duration)
	go func() {
		var took []time.Duration
		for len(took) < all {
			fetches := reader.PollFetches(context.Background())
			check(fetches.Err())
			fetches.EachRecord(func(record *kgo.Record) {
				took = append(took, time.Since(began)-time.Duration(binary.BigEndian.Uint64(record.Value)))
			})
		}
		done <- took
	}()
	ticker := time.NewTicker(interval)
	var counter counter
	for index := range all {
		<-ticker.C
		if index == warm {
			counter = start()
		}
		value := make([]byte, len(row.values[0]))
		binary.BigEndian.PutUint64(value, uint64(time.Since(began)))
		record := &kgo.Record{Value: value}
		writer.Produce(context.Background(), record, func(_ *kgo.Record, err error) { check(err) })
	}
	took := <-done
	return counter.stop(row.records) + percentiles(took[warm:])
}

type counter struct {
	wall time.Time
	cpu  int64
}

func start() counter { return counter{wall: time.Now(), cpu: cpuNanos()} }

func (counter counter) stop(records int) string {
	wall, cpu := time.Since(counter.wall), cpuNanos()-counter.cpu
	return fmt.Sprintf("records=%d cpu_ns=%d wall_ns=%d", records, cpu, wall.Nanoseconds())
}

func cpuNanos() int64 {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func percentiles(took []time.Duration) string {
	slices.Sort(took)
	at := func(percent int) int64 { return took[(len(took)-1)*percent/100].Microseconds() }
	return fmt.Sprintf(" p50_us=%d p99_us=%d", at(50), at(99))
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, dependency := range info.Deps {
			if dependency.Path == "github.com/twmb/franz-go" {
				return strings.TrimPrefix(dependency.Version, "v")
			}
		}
	}
	return "unknown"
}

func check(err error) {
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
