// Offer calls a method at the edge: first as fast as answers come, with ever more callers until no more is gained, which
// is its capacity, then so many times as often, no matter what comes back. The plan is on standard input; what came of
// each such offer is printed, a line of JSON in all.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log"
	"maps"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const (
	// connections is how many there are: the edge lets each have a hundred calls under way.
	connections = 40
	// fewest is how many call as fast as answers come, to begin with, and enough how much more must be answered when they
	// are twice as many, for it to go on: each call waits, so that few callers do not find out what can be answered.
	fewest = 4
	enough = 1.05
	// deadline is how long a caller waits.
	deadline = 2 * time.Second
	// ramp is how long a load goes on before it is counted what becomes of it: until then queues fill, and what is in them
	// in the end has no answer yet.
	ramp = time.Second
	// rest is what callers who call as fast as answers come wait after a refusal: they are told to wait for longer.
	rest = 50 * time.Millisecond
	// step is how often calls are sent that are due.
	step = 2 * time.Millisecond
	// most bounds the calls under way.
	most = 3900
)

// plan is what to do.
type plan struct {
	Target string `json:"target"`
	CA     string `json:"ca"`
	Token  string `json:"token"`
	Method string `json:"method"`
	// Request is what is sent, encoded.
	Request []byte `json:"request"`
	// Times are how many times the capacity is offered, one after another.
	Times []float64 `json:"times"`
	// Seconds is how long each is.
	Seconds float64 `json:"seconds"`
}

// outcome is what came of one of them, a second.
type outcome struct {
	Times float64 `json:"times"`
	// Capacity is how many are answered of callers who call as fast as answers come, as many as get the most of it.
	Capacity float64 `json:"capacity_per_s"`
	Offered  float64 `json:"offered_per_s"`
	Good     float64 `json:"good_per_s"`
	Shed     float64 `json:"shed_per_s"`
	// Silent are those shed that do not say when to try again; Failed what ended otherwise.
	Silent float64        `json:"silent_per_s"`
	Failed float64        `json:"failed_per_s"`
	Why    map[string]int `json:"why"`
	// Callers is how many those are.
	Callers int `json:"callers"`
}

// raw is a message as it stands on the wire.
type raw []byte

// rawCodec passes messages on as they are: what is measured is not this program.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error) {
	message, ok := v.(*raw)
	if !ok {
		return nil, fmt.Errorf("%T is no raw message", v)
	}
	return *message, nil
}

func (rawCodec) Unmarshal(data []byte, v any) error {
	message, ok := v.(*raw)
	if !ok {
		return fmt.Errorf("%T is no raw message", v)
	}
	*message = append((*message)[:0], data...)
	return nil
}

func (rawCodec) Name() string { return "proto" }

var _ encoding.Codec = rawCodec{}

func main() {
	log.SetFlags(0)
	var p plan
	if err := json.NewDecoder(os.Stdin).Decode(&p); err != nil {
		log.Fatal(err)
	}
	o, err := newOffer(p)
	if err != nil {
		log.Fatal(err)
	}
	seconds := time.Duration(p.Seconds * float64(time.Second))
	o.atOnce(ramp, fewest) // connections, caches
	best := capacity(func(callers int) outcome { return o.atOnce(seconds/2, callers) })
	// How fast a shared machine is changes from one half minute to the next, so what can be answered is asked again before
	// and after each.
	before := o.atOnce(seconds, best.Callers)
	var outcomes []outcome
	for _, times := range p.Times {
		next := o.openly(seconds, before.Good*times)
		after := o.atOnce(seconds, best.Callers)
		next.Times, next.Callers, next.Capacity = times, best.Callers, (before.Good+after.Good)/2
		outcomes, before = append(outcomes, next), after
	}
	if err := json.NewEncoder(os.Stdout).Encode(outcomes); err != nil {
		log.Fatal(err)
	}
}

type offer struct {
	plan  plan
	conns []*grpc.ClientConn
	next  atomic.Uint64
}

func newOffer(p plan) (*offer, error) {
	if host, _, err := net.SplitHostPort(p.Target); err != nil || host != "localhost" && !net.ParseIP(host).IsLoopback() {
		return nil, fmt.Errorf("%s: load goes to this machine only", p.Target)
	}
	pem, err := os.ReadFile(p.CA)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	o := &offer{plan: p}
	for range connections {
		conn, err := grpc.NewClient("passthrough:///"+p.Target,
			grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})),
			grpc.WithDisableRetry(), grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{})))
		if err != nil {
			return nil, err
		}
		o.conns = append(o.conns, conn)
	}
	return o, nil
}

// tally counts how calls ended, from the end of the ramp on.
type tally struct {
	sent, good, shed, silent, failed atomic.Int64

	mu  sync.Mutex
	why map[string]int
}

// counted has a load go on, which adds to a tally until the context ends, and says what became of it within so long once
// it has gone on for the ramp.
func counted(length time.Duration, load func(ctx context.Context, t *tally)) outcome {
	t := &tally{why: map[string]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		load(ctx, t)
	}()
	time.Sleep(ramp)
	before, start := t.outcome(), time.Now()
	time.Sleep(length)
	told := t.outcome().since(before, time.Since(start))
	cancel()
	<-done
	return told
}

// call calls once, and says whether it was refused.
func (o *offer) call(t *tally) bool {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	t.sent.Add(1)
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+o.plan.Token)
	request, answer := raw(o.plan.Request), raw(nil)
	err := o.conns[o.next.Add(1)%connections].Invoke(ctx, o.plan.Method, &request, &answer)
	switch s := status.Convert(err); s.Code() {
	case codes.OK:
		t.good.Add(1)
	case codes.Unavailable, codes.ResourceExhausted:
		t.shed.Add(1)
		if !saysWhen(s) {
			t.silent.Add(1)
			t.note(s)
		}
		return true
	default:
		t.failed.Add(1)
		t.note(s)
	}
	return false
}

func (t *tally) note(s *status.Status) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.why[fmt.Sprintf("%s: %.80s", s.Code(), s.Message())]++
}

func saysWhen(s *status.Status) bool {
	for _, detail := range s.Details() {
		if _, ok := detail.(*errdetails.RetryInfo); ok {
			return true
		}
	}
	return false
}

func (t *tally) outcome() outcome {
	t.mu.Lock()
	defer t.mu.Unlock()
	return outcome{
		Offered: float64(t.sent.Load()), Good: float64(t.good.Load()), Shed: float64(t.shed.Load()),
		Silent: float64(t.silent.Load()), Failed: float64(t.failed.Load()), Why: maps.Clone(t.why),
	}
}

// since is what came after another outcome, a second.
func (o outcome) since(before outcome, took time.Duration) outcome {
	rate := func(now, then float64) float64 { return (now - then) / took.Seconds() }
	return outcome{
		Offered: rate(o.Offered, before.Offered), Good: rate(o.Good, before.Good), Shed: rate(o.Shed, before.Shed),
		Silent: rate(o.Silent, before.Silent), Failed: rate(o.Failed, before.Failed), Why: o.Why,
	}
}

// capacity is the most that is answered, however many call. One step that gains nothing may be chance.
func capacity(atOnce func(callers int) outcome) outcome {
	var best outcome
	for callers, idle := fewest, 0; callers <= most && idle < 2; callers *= 2 {
		idle++
		next := atOnce(callers)
		if next.Good > best.Good*enough {
			idle = 0
		}
		if next.Good > best.Good {
			best = next
		}
	}
	return best
}

// atOnce has so many call as fast as answers come.
func (o *offer) atOnce(length time.Duration, callers int) outcome {
	told := counted(length, func(ctx context.Context, t *tally) {
		var group sync.WaitGroup
		for range callers {
			group.Go(func() {
				for ctx.Err() == nil {
					if o.call(t) {
						time.Sleep(rest)
					}
				}
			})
		}
		group.Wait()
	})
	told.Callers = callers
	return told
}

// openly calls so often, whatever becomes of the calls before.
func (o *offer) openly(length time.Duration, perSecond float64) outcome {
	return counted(length, func(ctx context.Context, t *tally) {
		var group sync.WaitGroup
		places := make(chan struct{}, most)
		start, due := time.Now(), 0
		for ticker := time.NewTicker(step); ctx.Err() == nil; <-ticker.C {
			for ; due < int(time.Since(start).Seconds()*perSecond); due++ {
				select {
				case places <- struct{}{}:
					group.Go(func() {
						defer func() { <-places }()
						o.call(t)
					})
				default: // more is under way than may be: it is not offered
				}
			}
		}
		group.Wait()
	})
}
