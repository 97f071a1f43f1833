// Load is many people who walk and talk while faults happen. It opens sockets as a plan on standard input says, prints
// `{"ready":…}` when all are in, takes commands (`mark`: a fault happens now; `stop`), and prints as its last line what
// was said, heard and lost. It comes back by itself when sockets break, speaks to loopback only, and ends by itself.
package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"
)

// plan is what to do.
type plan struct {
	URLs   []string `json:"urls"`
	CA     string   `json:"ca"`
	Rooms  []string `json:"rooms"`
	Tokens []string `json:"tokens"` // one a client; clients are dealt out to rooms in turns
	// Rate is how many steps a client makes a second; each room says one message a second.
	Rate float64 `json:"rate"`
	// Seconds bounds the run.
	Seconds float64 `json:"seconds"`
}

// load is all clients and what they have seen.
type load struct {
	plan    plan
	roots   *x509.CertPool
	rooms   []*room
	clients []*client

	mu    sync.Mutex
	in    map[*client]bool
	ready chan struct{}
	notes map[string]map[string]int
	mark  time.Time
}

// room is what was said in a room, and when.
type room struct {
	id string

	mu        sync.Mutex
	said      map[string]time.Time
	done      map[string]time.Time
	latencies []float64 // of answers, in ms
	states    []time.Time
}

func (r *room) saying(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said[text] = time.Now()
}

func (r *room) acked(text string, latency time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done[text] = time.Now()
	r.latencies = append(r.latencies, float64(latency.Microseconds())/1000)
}

// state takes note that the state channel lives; a few a second are enough.
func (r *room) state() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if n := len(r.states); n == 0 || now.Sub(r.states[n-1]) > 5*time.Millisecond {
		r.states = append(r.states, now)
	}
}

func (l *load) note(kind string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.notes[kind] == nil {
		l.notes[kind] = map[string]int{}
	}
	text := err.Error()
	if kind != "disorder" || len(l.notes[kind]) < 10 {
		l.notes[kind][text[:min(len(text), 60)]]++
	}
}

func (l *load) joined(c *client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.in[c] = true
	if len(l.in) == len(l.clients) {
		select {
		case <-l.ready:
		default:
			close(l.ready)
		}
	}
}

func main() {
	log.SetFlags(0)
	commands := bufio.NewScanner(os.Stdin)
	commands.Buffer(nil, 8<<20)
	if !commands.Scan() {
		log.Fatal("no plan")
	}
	l := &load{in: map[*client]bool{}, ready: make(chan struct{}), notes: map[string]map[string]int{}}
	if err := json.Unmarshal(commands.Bytes(), &l.plan); err != nil {
		log.Fatal(err)
	}
	if err := l.prepare(); err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(l.plan.Seconds*float64(time.Second)))
	defer cancel()
	var group sync.WaitGroup
	start := time.Now()
	l.start(ctx, &group)
	select {
	case <-l.ready:
	case <-ctx.Done():
		log.Fatalf("%d of %d clients are in: %v", len(l.in), len(l.clients), l.notes)
	}
	l.print(map[string]any{"ready": time.Since(start).Seconds()})
	talking, quiet := context.WithCancel(ctx)
	l.talk(talking, &group)
	for commands.Scan() && commands.Text() != "stop" {
		if commands.Text() == "mark" {
			l.mu.Lock()
			l.mark = time.Now()
			l.mu.Unlock()
			for _, c := range l.clients {
				c.mu.Lock()
				c.backs = 0
				c.mu.Unlock()
			}
		}
	}
	quiet()
	l.settle(ctx)
	result := l.result()
	cancel()
	group.Wait()
	l.print(result)
}

func (l *load) print(value any) {
	if err := json.NewEncoder(os.Stdout).Encode(value); err != nil {
		log.Fatal(err)
	}
}

func (l *load) prepare() error {
	for _, raw := range l.plan.URLs {
		u, err := url.Parse(raw)
		if err != nil {
			return err
		}
		if host := u.Hostname(); host != "localhost" && !net.ParseIP(host).IsLoopback() {
			return fmt.Errorf("%s: load goes to this machine only", raw)
		}
	}
	pem, err := os.ReadFile(l.plan.CA)
	if err != nil {
		return err
	}
	l.roots = x509.NewCertPool()
	l.roots.AppendCertsFromPEM(pem)
	for _, id := range l.plan.Rooms {
		l.rooms = append(l.rooms, &room{id: id, said: map[string]time.Time{}, done: map[string]time.Time{}})
	}
	for i, token := range l.plan.Tokens {
		l.clients = append(l.clients, &client{
			load: l, index: i, room: l.rooms[i%len(l.rooms)], token: token, heard: map[string]int{}, closes: map[int]int{},
		})
	}
	return nil
}

func (l *load) start(ctx context.Context, group *sync.WaitGroup) {
	for i, c := range l.clients {
		group.Go(func() {
			time.Sleep(time.Duration(i) * 2 * time.Millisecond)
			c.run(ctx)
		})
		group.Go(func() { l.every(ctx, heartbeat, i, c.ping) })
		b := flatbuffers.NewBuilder(256)
		group.Go(func() {
			l.every(ctx, time.Duration(float64(time.Second)/l.plan.Rate), i, func() { c.walk(b) })
		})
	}
}

// every does something periodically, each client at a time of its own within the period.
func (l *load) every(ctx context.Context, period time.Duration, index int, do func()) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(period * time.Duration(index%97) / 97):
	}
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			do()
		}
	}
}

// talk has each room say a message a second, its members in turns, and more often for a closer look: ten a second.
func (l *load) talk(ctx context.Context, group *sync.WaitGroup) {
	for r := range l.rooms {
		group.Go(func() {
			n := 0
			l.every(ctx, 100*time.Millisecond, r, func() {
				speaker := l.clients[(n%(len(l.clients)/len(l.rooms)))*len(l.rooms)+r]
				speaker.speak(fmt.Sprintf("room %d message %d", r, n))
				n++
			})
		})
	}
}

// settle waits until all that was said was answered and heard by all.
func (l *load) settle(ctx context.Context) {
	for limit := time.Now().Add(30 * time.Second); time.Now().Before(limit) && ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		if r := l.result(); r.Unanswered == 0 && r.Lost == 0 {
			return
		}
	}
}

// result is what came of it.
type result struct {
	Said       int `json:"said"`
	Acked      int `json:"acked"`
	Unanswered int `json:"unanswered"`
	// Lost counts pairs of a message that was answered and a client of its room that has not heard it; Twice those that
	// heard it more than once; Disorder events out of order; Gaps snapshots that told of a gap.
	Lost     int `json:"lost"`
	Twice    int `json:"twice"`
	Disorder int `json:"disorder"`
	Gaps     int `json:"gaps"`
	Lefts    int `json:"room_left"`
	// Moves is how often clients came back after the mark; MostMoves the most of one client.
	Moves     int `json:"reconnects"`
	MostMoves int `json:"most_reconnects"`
	// AckP50, AckP99 and Longest are from saying to the answer. LiveP50 and LiveP99 are over rooms: from the mark to the first answer to something said after it; StateP99 to the
	// next state.
	LiveP50  float64                   `json:"live_p50_ms"`
	LiveP99  float64                   `json:"live_p99_ms"`
	StateP99 float64                   `json:"state_p99_ms"`
	AckP50   float64                   `json:"ack_p50_ms"`
	AckP99   float64                   `json:"ack_p99_ms"`
	Longest  float64                   `json:"longest_ms"`
	Notes    map[string]map[string]int `json:"notes"`
}

func (l *load) result() result {
	l.mu.Lock()
	mark := l.mark
	r := result{Notes: l.notes}
	l.mu.Unlock()
	var live, state, acks []float64
	done := map[*room]map[string]time.Time{}
	for _, room := range l.rooms {
		room.mu.Lock()
		r.Said += len(room.said)
		r.Acked += len(room.done)
		acks = append(acks, room.latencies...)
		done[room] = map[string]time.Time{}
		first, next := time.Duration(-1), time.Duration(-1)
		for text, at := range room.done {
			done[room][text] = at
			if d := at.Sub(mark); room.said[text].After(mark) && (first < 0 || d < first) {
				first = d
			}
		}
		for _, at := range room.states {
			if at.After(mark) {
				next = at.Sub(mark)
				break
			}
		}
		room.mu.Unlock()
		live, state = append(live, ms(first)), append(state, ms(next))
	}
	r.Unanswered = r.Said - r.Acked
	for _, c := range l.clients {
		c.mu.Lock()
		for text := range done[c.room] {
			switch n := c.heard[text]; {
			case n == 0:
				r.Lost++
			case n > 1:
				r.Twice++
			}
		}
		r.Disorder += c.disorder
		r.Gaps += c.gaps
		r.Lefts += c.lefts
		r.Moves += c.backs
		r.MostMoves = max(r.MostMoves, c.backs)
		c.mu.Unlock()
	}
	r.LiveP50, r.LiveP99, r.StateP99 = percentile(live, 0.5), percentile(live, 0.99), percentile(state, 0.99)
	r.AckP50, r.AckP99, r.Longest = percentile(acks, 0.5), percentile(acks, 0.99), percentile(acks, 1)
	return r
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func percentile(values []float64, share float64) float64 {
	if len(values) == 0 {
		return -1
	}
	slices.Sort(values)
	return values[min(int(share*float64(len(values))), len(values)-1)]
}
