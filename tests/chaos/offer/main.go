// Offer calls a method at the edge: first as fast as answers come, with ever more callers until no more is gained, which
// is its capacity, then so many times as often, no matter what comes back. Then those callers call once more while as many
// calls as were refused are made of what no service has: the edge turns them away by itself. The plan is on standard input;
// what came of each such offer is printed, a line of JSON in all.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log"
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
	fewest = 8
	enough = 1.05
	// deadline is how long a caller waits.
	deadline = 2 * time.Second
	// ramp is how long a load goes on before it is counted what becomes of it: until then queues fill, and nobody has
	// waited in vain yet.
	ramp = deadline
	// glance is how long, and after how long, it is looked at how much ever more callers get.
	glance, settled = time.Second, time.Second
	// rest is what callers who call as fast as answers come wait after a refusal: they are told to wait for longer.
	rest = 50 * time.Millisecond
	// step is how often calls are sent that are due.
	step = 2 * time.Millisecond
	// most bounds the calls under way.
	most = 3900
	// mostPerSecond bounds how many calls are offered: the edge has one thread, which can turn away about half as many more on two
	// cores that it shares with everything else. What is more than that waits for it in vain, whatever the service does.
	mostPerSecond = 2000
	// nowhere is a method that no service has.
	nowhere = "/worldmesh.nowhere.v1.NowhereService/Nothing"
)

// plan is what to do.
type plan struct {
	Target string `json:"target"`
	CA     string `json:"ca"`
	Token  string `json:"token"`
	Method string `json:"method"`
	// Requests are what is sent in turns, encoded.
	Requests [][]byte `json:"requests"`
	// Times are how many times the capacity is offered, one after another.
	Times []float64 `json:"times"`
	// Seconds is how long each is.
	Seconds float64 `json:"seconds"`
}

// outcome is what came of one of them, a second.
type outcome struct {
	Times float64 `json:"times"`
	// Before and After are how many of those calls are answered that Callers make as fast as answers come, as many as get
	// the most of it: just before, and just after.
	Before  float64 `json:"before_per_s"`
	After   float64 `json:"after_per_s"`
	Callers int     `json:"callers"`
	// Beside is how many of those are answered while Away others, as many as were refused, are turned away at the edge.
	Beside  float64 `json:"beside_per_s"`
	Away    float64 `json:"away_per_s"`
	Offered float64 `json:"offered_per_s"`
	Good    float64 `json:"good_per_s"`
	Shed    float64 `json:"shed_per_s"`
	// Failed ended otherwise than by an answer or by being refused.
	Failed float64 `json:"failed_per_s"`
	// Silent is how many were refused and not told when to try again, of all calls.
	Silent int `json:"silent"`
	// Why says how many of all calls had no answer, by what they were told.
	Why map[string]int `json:"why"`
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
	outcomes := o.all(time.Duration(p.Seconds*float64(time.Second)), p.Times)
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
	if len(p.Requests) == 0 {
		return nil, errors.New("there is nothing to send")
	}
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

// all offers so many times the capacity, one after another. How fast a shared machine is changes from one half minute to
// the next, so what can be answered is asked again before and after each.
func (o *offer) all(length time.Duration, times []float64) []outcome {
	o.atOnce(settled, glance, fewest) // connections, caches
	callers := capacity(func(callers int) outcome { return o.atOnce(settled, glance, callers) }).Callers
	before := o.atOnce(ramp, length, callers)
	silent := before.Silent
	var outcomes []outcome
	for _, n := range times {
		next := o.openly(length, min(n*before.Good, mostPerSecond))
		after := o.atOnce(ramp, length, callers)
		beside := o.beside(length, callers, next.Shed)
		next.Beside, next.Away = beside.Good, beside.Away
		next.Times, next.Callers, next.Before, next.After = n, callers, before.Good, after.Good
		next.Silent += silent + after.Silent + beside.Silent
		outcomes, before, silent = append(outcomes, next), after, 0 // what is after one is before the next: it counts once
	}
	return outcomes
}

// tally counts how calls ended.
type tally struct {
	sent, good, shed, silent, failed atomic.Int64
	// away is what no service has, and took how long that was called.
	away atomic.Int64
	took time.Duration

	mu  sync.Mutex
	why map[string]int
}

// counted has a load go on, which adds to a tally until the context ends, and says what became of it within so long once
// it has gone on for the ramp.
func counted(ramp, length time.Duration, load func(ctx context.Context, t *tally)) outcome {
	t := &tally{why: map[string]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		load(ctx, t)
	}()
	time.Sleep(ramp)
	began, start := t.count(), time.Now()
	time.Sleep(length)
	ended, took := t.count(), time.Since(start)
	cancel()
	<-done
	rate := func(of func(count) int64) float64 { return float64(of(ended)-of(began)) / took.Seconds() }
	return outcome{
		Offered: rate(func(c count) int64 { return c.sent }), Good: rate(func(c count) int64 { return c.good }),
		Shed: rate(func(c count) int64 { return c.shed }), Failed: rate(func(c count) int64 { return c.failed }),
		Silent: int(t.silent.Load()), Why: t.why,
	}
}

// count is how many calls were sent so far, and how they ended.
type count struct{ sent, good, shed, failed int64 }

func (t *tally) count() count {
	return count{t.sent.Load(), t.good.Load(), t.shed.Load(), t.failed.Load()}
}

// call calls once, and says whether it was refused.
func (o *offer) call(t *tally, method string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	t.sent.Add(1)
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+o.plan.Token)
	turn := o.next.Add(1)
	request, answer := raw(o.plan.Requests[turn%uint64(len(o.plan.Requests))]), raw(nil)
	err := o.conns[turn%connections].Invoke(ctx, method, &request, &answer)
	switch s := status.Convert(err); {
	case s.Code() == codes.OK:
		t.good.Add(1)
	case s.Code() == codes.Unimplemented && method == nowhere:
		t.away.Add(1)
	case s.Code() == codes.Unavailable || s.Code() == codes.ResourceExhausted:
		t.shed.Add(1)
		t.note(s)
		if !saysWhen(s) {
			t.silent.Add(1)
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

// capacity is the most that is answered, and the fewest callers who get it. One step that gains nothing may be chance.
func capacity(atOnce func(callers int) outcome) outcome {
	var best outcome
	for callers, idle := fewest, 0; callers <= most && idle < 2; callers *= 2 {
		idle++
		if next := atOnce(callers); next.Good > best.Good*enough {
			best, idle = next, 0
		}
	}
	return best
}

// atOnce has so many call as fast as answers come.
func (o *offer) atOnce(ramp, length time.Duration, callers int) outcome {
	told := counted(ramp, length, func(ctx context.Context, t *tally) { o.callAtOnce(ctx, t, callers) })
	told.Callers = callers
	return told
}

// openly calls so often, whatever becomes of the calls before.
func (o *offer) openly(length time.Duration, perSecond float64) outcome {
	return counted(ramp, length, func(ctx context.Context, t *tally) { o.callOpenly(ctx, t, o.plan.Method, perSecond) })
}

// beside is atOnce while others call so often what the edge turns away.
func (o *offer) beside(length time.Duration, callers int, perSecond float64) outcome {
	others := &tally{why: map[string]int{}}
	told := counted(settled, length, func(ctx context.Context, t *tally) {
		var group sync.WaitGroup
		start := time.Now()
		group.Go(func() {
			o.callOpenly(ctx, others, nowhere, perSecond)
			others.took = time.Since(start)
		})
		o.callAtOnce(ctx, t, callers)
		group.Wait()
	})
	told.Away = float64(others.away.Load()) / others.took.Seconds()
	return told
}

func (o *offer) callAtOnce(ctx context.Context, t *tally, callers int) {
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for ctx.Err() == nil {
				if o.call(t, o.plan.Method) {
					time.Sleep(rest)
				}
			}
		})
	}
	group.Wait()
}

func (o *offer) callOpenly(ctx context.Context, t *tally, method string, perSecond float64) {
	var group sync.WaitGroup
	places := make(chan struct{}, most)
	start, due := time.Now(), 0
	for ticker := time.NewTicker(step); ctx.Err() == nil; <-ticker.C {
		for ; due < int(time.Since(start).Seconds()*perSecond); due++ {
			select {
			case places <- struct{}{}:
				group.Go(func() {
					defer func() { <-places }()
					o.call(t, method)
				})
			default: // more is under way than may be: it is not offered
			}
		}
	}
	group.Wait()
}
