// Offer calls a method at the edge: first as fast as answers come, with ever more callers until no more is gained, which
// is its capacity, then so many times as often, no matter what comes back. The plan is on standard input; what came of
// each step is printed, a line of JSON in all.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
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
	fewest = 32
	enough = 1.05
	// deadline is how long a caller waits.
	deadline = 2 * time.Second
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
	Times   float64 `json:"times"`
	Offered float64 `json:"offered_per_s"`
	Good    float64 `json:"good_per_s"`
	Shed    float64 `json:"shed_per_s"`
	// Silent are those shed that do not say when to try again; Failed what ended otherwise.
	Silent float64        `json:"silent_per_s"`
	Failed float64        `json:"failed_per_s"`
	Why    map[string]int `json:"why"`
	// Callers is how many called as fast as answers came.
	Callers int `json:"callers,omitempty"`
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
	o.atOnce(seconds/2, fewest) // connections, caches
	outcomes := []outcome{capacity(func(callers int) outcome { return o.atOnce(seconds/2, callers) })}
	for _, times := range p.Times {
		next := o.openly(seconds, outcomes[0].Good*times)
		next.Times = times
		outcomes = append(outcomes, next)
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

// tally counts how calls ended.
type tally struct {
	good, shed, silent, failed atomic.Int64

	mu  sync.Mutex
	why map[string]int
}

func (o *offer) call(t *tally) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
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
	default:
		t.failed.Add(1)
		t.note(s)
	}
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

func (t *tally) outcome(took time.Duration) outcome {
	rate := func(n int64) float64 { return float64(n) / took.Seconds() }
	good, shed, failed := t.good.Load(), t.shed.Load(), t.failed.Load()
	return outcome{
		Times: 1, Offered: rate(good + shed + failed), Good: rate(good), Shed: rate(shed), Silent: rate(t.silent.Load()),
		Failed: rate(failed), Why: t.why,
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
	t := &tally{why: map[string]int{}}
	start := time.Now()
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for time.Since(start) < length {
				o.call(t)
			}
		})
	}
	group.Wait()
	told := t.outcome(time.Since(start))
	told.Callers = callers
	return told
}

// openly calls so often, whatever becomes of the calls before.
func (o *offer) openly(length time.Duration, perSecond float64) outcome {
	t := &tally{why: map[string]int{}}
	start := time.Now()
	var group sync.WaitGroup
	places := make(chan struct{}, most)
	sent, skipped := 0, 0
	for ticker := time.NewTicker(step); time.Since(start) < length; <-ticker.C {
		for due := int(time.Since(start).Seconds() * perSecond); sent < due; sent++ {
			select {
			case places <- struct{}{}:
				group.Go(func() {
					defer func() { <-places }()
					o.call(t)
				})
			default: // more is under way than may be: it is not offered
				skipped++
			}
		}
	}
	took := time.Since(start)
	counted := t.outcome(took) // what is answered later is no part of it
	counted.Offered = float64(sent-skipped) / took.Seconds()
	group.Wait()
	return counted
}
