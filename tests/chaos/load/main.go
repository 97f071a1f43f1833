// Load is many people who walk and talk while faults happen. It opens sockets as a plan on standard input says, prints
// `{"ready":…}` when all are in, takes commands (`calm`: waits until steps are seen as fast as they will be, and says so;
// `mark`: a fault happens now, `struck`: it has happened, and it says when that is noted; `slow` and `unslow`: those who read slowly at times do so;
// `rest`: what becomes of steps does not count from here; `drop`: all lose their connections; `come`: the late come; `stop`),
// and prints as its last line what was said, heard and lost. It comes back by itself when sockets break, speaks to
// loopback only, and ends by itself. `load full` makes one room more than a core can do.
package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
	flatbuffers "github.com/google/flatbuffers/go"
	gatewayv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/gateway/v1"
)

// endTime is how long it may take to end once the time of a plan is over.
const endTime = time.Minute

// plan is what to do.
type plan struct {
	URLs   []string `json:"urls"`
	CA     string   `json:"ca"`
	Rooms  []string `json:"rooms"`
	Tokens []string `json:"tokens"` // one a client; clients are dealt out to rooms in turns
	// Rate is how many steps a client makes a second.
	Rate float64 `json:"rate"`
	// Seconds bounds the run.
	Seconds float64 `json:"seconds"`
	// Slow are members of each room, its last, who between `slow` and `unslow` read only so many bytes a second.
	Slow []int `json:"slow"`
	// Mortal is how many members of each room, before those, do not come back when they lose their socket after the mark.
	Mortal int `json:"mortal"`
	// Patience is how many seconds clients wait for a word before they go elsewhere; 0: twice the heartbeat.
	Patience float64 `json:"patience"`
	// Gaps says that clients may be told that they have missed something: that is not lost, then.
	Gaps bool `json:"gaps"`
	// Besides is how many members each room has who are not this program's.
	Besides int `json:"besides"`
	// Settle is for how many seconds `calm` waits at most, at each pace; three times that in all.
	Settle float64 `json:"settle"`
	// BusyMS is how old steps are (p99) on a machine that has too much to do while all is calm.
	BusyMS float64 `json:"busy_ms"`
	crowd
}

// reliable is how many of a room's members are neither slow nor mortal.
func (p plan) reliable(members int) int { return members - len(p.Slow) - p.Mortal }

// talkers is how many of them talk: those who are in from the beginning.
func (p plan) talkers(members int) int {
	return p.reliable(members) * (max(p.Copies, 1) - p.Late) / max(p.Copies, 1)
}

// load is all clients and what they have seen.
type load struct {
	plan    plan
	roots   *x509.CertPool
	rooms   []*room
	clients []*client
	back    *comeback

	mu    sync.Mutex
	in    map[*client]bool
	ready chan struct{}
	// expected is how many there are from the beginning.
	expected int
	halved   atomic.Int32 // how often it was halved how often everybody walks, and talks
	notes    map[string]map[string]int
	calm     time.Time // from when steps count as seen while all is calm
	mark     time.Time
	struck   time.Time // when the fault had happened: what is answered that was said later has outlived it
	rest     time.Time // from when steps do not count
	quiet    time.Time // when everybody stopped
	moves    moves
}

// moves are the sockets that gateways closed because they shut down, since the mark.
type moves struct {
	count       int
	first, last time.Time
}

// closed takes note of a code that a socket was closed with.
func (l *load) closed(code ws.StatusCode) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if code != ws.StatusCode(gatewayv1.CloseCode_CLOSE_CODE_DRAINING) || l.mark.IsZero() {
		return
	}
	l.moves.last = time.Now()
	if l.moves.count == 0 {
		l.moves.first = l.moves.last
	}
	l.moves.count++
}

func (l *load) note(kind string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.notes[kind] == nil {
		l.notes[kind] = map[string]int{}
	}
	text := why(err)
	if kind != "disorder" || len(l.notes[kind]) < 10 {
		l.notes[kind][text[:min(len(text), 60)]]++
	}
}

// why says what went wrong without the addresses at which it did: each socket has its own.
func why(err error) string {
	if at := (*net.OpError)(nil); errors.As(err, &at) {
		return at.Op + ": " + at.Err.Error()
	}
	return err.Error()
}

func (l *load) joined(c *client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.in[c] = true
	l.back.in(c)
	if len(l.in) == l.expected {
		select {
		case <-l.ready:
		default:
			close(l.ready)
		}
	}
}

func main() {
	log.SetFlags(0)
	if len(os.Args) == 2 && os.Args[1] == "full" {
		if err := runFull(os.Stdin, os.Stdout); err != nil {
			log.Fatal(err)
		}
		return
	}
	commands := bufio.NewScanner(os.Stdin)
	commands.Buffer(nil, 8<<20)
	if !commands.Scan() {
		log.Fatal("no plan")
	}
	l := &load{in: map[*client]bool{}, ready: make(chan struct{}), notes: map[string]map[string]int{}, back: newComeback()}
	if err := json.Unmarshal(commands.Bytes(), &l.plan); err != nil {
		log.Fatal(err)
	}
	if l.plan.Copies <= 1 { // no crowd comes
		several(atOnce)
	}
	if err := l.prepare(); err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(l.plan.Seconds*float64(time.Second)))
	defer cancel()
	// Whoever reads what this program says waits for it.
	time.AfterFunc(time.Duration(l.plan.Seconds*float64(time.Second))+endTime, func() { log.Fatal("the run does not end") })
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
	l.walk(talking, &group)
	l.talk(talking, &group)
	for commands.Scan() && commands.Text() != "stop" {
		l.obey(commands.Text())
	}
	l.obey("unslow")
	quiet()
	l.mu.Lock()
	l.quiet = time.Now()
	l.mu.Unlock()
	l.settle(ctx)
	result := l.result()
	cancel()
	group.Wait()
	l.print(result)
}

func (l *load) obey(command string) {
	switch command {
	case "mark":
		l.begin()
		l.print(map[string]any{"marked": true}) // what comes of the fault is counted from here on
	case "struck":
		l.mu.Lock()
		l.struck = time.Now()
		l.mu.Unlock()
		l.print(map[string]any{"struck": true})
	case "slow", "unslow":
		for _, c := range l.clients {
			if c.slow != nil {
				c.slow.set(command == "slow")
			}
		}
	case "drop":
		l.drop()
	case "come":
		l.comeLate()
	case "calm":
		l.print(l.calmDown())
	case "rest":
		l.mu.Lock()
		l.rest = time.Now()
		l.mu.Unlock()
	default:
		log.Fatalf("no such command: %q", command)
	}
}

// begin takes note that something goes wrong now.
func (l *load) begin() {
	l.mu.Lock()
	l.mark = time.Now()
	l.struck = l.mark
	l.mu.Unlock()
	for _, r := range l.rooms {
		r.forgetComing()
	}
	for _, c := range l.clients {
		c.mu.Lock()
		c.backs = 0
		c.mu.Unlock()
	}
}

// marked says whether something has gone wrong by now.
func (l *load) marked() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.mark.IsZero()
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
		l.rooms = append(l.rooms, newRoom(id))
	}
	tokens := l.plan.spread(l.plan.Tokens)
	members := len(tokens) / len(l.rooms)
	early := len(tokens) / max(l.plan.Copies, 1) * (max(l.plan.Copies, 1) - l.plan.Late)
	l.expected = early
	for i, token := range tokens {
		member := i / len(l.rooms)
		c := &client{
			load: l, index: i, room: l.rooms[i%len(l.rooms)], token: token, heard: map[string]int{},
			first:  member + i%len(l.rooms), // so that each room has members at all gateways
			newest: map[uint32]uint64{}, late: i >= early,
		}
		switch talkers := l.plan.reliable(members); {
		case member >= talkers+l.plan.Mortal:
			c.slow = newThrottle(l.plan.Slow[member-talkers-l.plan.Mortal])
		case member >= talkers:
			c.mortal = true
		}
		l.clients = append(l.clients, c)
	}
	return nil
}

func (l *load) start(ctx context.Context, group *sync.WaitGroup) {
	for i, c := range l.clients {
		group.Go(func() {
			time.Sleep(time.Duration(i) * 2 * time.Millisecond)
			c.run(ctx)
		})
		group.Go(func() { l.every(ctx, pingEvery, i, c.ping) })
	}
}

// walk has everybody walk. When things go wrong, every fifth stands still from then on: where they are must not be
// forgotten.
func (l *load) walk(ctx context.Context, group *sync.WaitGroup) {
	for i, c := range l.clients {
		b := flatbuffers.NewBuilder(256)
		member := i / len(l.rooms)
		stands := member%5 == 0
		group.Go(func() {
			n := member // where it is not each time, others of its room walk at other times
			l.every(ctx, time.Duration(float64(time.Second)/l.plan.Rate), i, func() {
				if n++; n%(1<<l.halved.Load()) == 0 && !(stands && l.marked()) {
					c.walk(b)
				}
			})
		})
	}
}

// me is this program among others that play members of the same rooms.
var me = os.Getpid()

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

// talk has each room say something, its members in turns: ten times a second, for a closer look, or as the plan says.
func (l *load) talk(ctx context.Context, group *sync.WaitGroup) {
	talkers := l.plan.talkers(len(l.clients) / len(l.rooms))
	for r := range l.rooms {
		group.Go(func() {
			n, pauses := 0, r
			l.every(ctx, l.plan.pause(), r, func() {
				halved := min(l.halved.Load(), mostSilence)
				if pauses++; l.plan.Words == 0 && pauses%(1<<halved) != 0 {
					return
				}
				speaker := l.clients[n%talkers*len(l.rooms)+r]
				speaker.speak(l.plan.text(fmt.Sprintf("room %d message %d of %d", r, n, me)))
				n++
			})
		})
	}
}

// settle waits until all that was said was answered and heard by all, and everybody sees everybody where they are.
func (l *load) settle(ctx context.Context) {
	for limit := time.Now().Add(30 * time.Second); time.Now().Before(limit) && ctx.Err() == nil; {
		if r := l.result(); r.Unanswered == 0 && r.Lost == 0 && r.WrongMembers == 0 && r.WrongPlaces == 0 {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
}
