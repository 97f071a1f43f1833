package main

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Result is what came of a run.
type Result struct {
	// CPUPerMillion is CPU seconds of the servers for a million deliveries.
	CPUPerMillion float64 `json:"cpu_s_per_million"`
	// CPU is CPU seconds by pid, in the order of the plan.
	CPU []float64 `json:"cpu_s"`
	// Allocations is how many objects were allocated, by pid; 0 for servers without a page of metrics.
	Allocations []float64 `json:"allocations"`
	// Delivered is the share that came of what was sent in the window, times the members who should hear it.
	Delivered  float64 `json:"delivered_share"`
	Deliveries int64   `json:"deliveries"`
	P50        float64 `json:"p50_ms"`
	P99        float64 `json:"p99_ms"`
	// Joins is sockets opened, and joined, a second.
	Joins float64 `json:"joins_per_s"`
	// KBPerSocket is resident memory that a joined idle socket costs the servers, in KB, by pid.
	KBPerSocket []float64 `json:"kb_per_socket"`
	// BytesPerClient is what a client received a second, headers of WebSocket frames included.
	BytesPerClient float64 `json:"bytes_per_client_s"`
}

const (
	// joiners bounds the sockets that are being opened at once.
	joiners = 32
	// joinRounds is how often all join where joins are measured: a thousand take a second, and the first of a world warm it up.
	joinRounds = 5
)

func runRooms(p Plan) (Result, error) {
	s := &stats{}
	before, err := resident(p.PIDs)
	if err != nil {
		return Result{}, err
	}
	rounds := joinRounds
	if strings.HasPrefix(p.Mode, "idle") || p.Mode == "walk" {
		rounds = 1 // memory that was used once stays with a process; and of who walks joins are not told
	}
	clients, joins, err := joinOften(p, s, rounds)
	if err != nil {
		return Result{}, err
	}
	defer leave(clients)
	time.Sleep(p.Settle)
	r := Result{Joins: joins}
	if strings.HasPrefix(p.Mode, "idle") {
		after, err := resident(p.PIDs)
		if err != nil {
			return r, err
		}
		for i := range after {
			r.KBPerSocket = append(r.KBPerSocket, (after[i]-before[i])/float64(len(clients)))
		}
		return r, nil
	}
	step := (*client).update
	if p.Mode == "walk" {
		step = (*client).step
	}
	stop := walk(clients, p.Rate, step)
	time.Sleep(p.Settle) // until the updates are spread evenly
	if p.Mode == "walk" {
		r.BytesPerClient = received(p, s) / float64(len(clients))
		stop()
		return r, nil
	}
	return measure(p, s, stop, r)
}

// joinOften has all join and leave, round after round, until they have joined in the last; how many a second is the median.
func joinOften(p Plan, s *stats, rounds int) (clients []*client, joins float64, err error) {
	var each []float64
	for range rounds {
		leave(clients)
		if clients, joins, err = join(p, s); err != nil {
			return nil, 0, err
		}
		each = append(each, joins)
	}
	return clients, percentile(each, 0.5), nil
}

func join(p Plan, s *stats) ([]*client, float64, error) {
	var mu sync.Mutex
	var clients []*client
	group := errgroup.Group{}
	group.SetLimit(joiners)
	start := time.Now()
	floor := strings.HasSuffix(p.Mode, "floor")
	for i := range len(p.Rooms) * p.Members {
		group.Go(func() error {
			token := ""
			if !floor {
				token = p.Tokens[i]
			}
			c, err := open(p.CA, p.URLs[i%len(p.URLs)], p.Rooms[i%len(p.Rooms)], token, floor, s)
			if err == nil {
				mu.Lock()
				clients = append(clients, c)
				mu.Unlock()
			}
			return err
		})
	}
	err := group.Wait()
	return clients, float64(len(clients)) / time.Since(start).Seconds(), err
}

// leave has all leave. Who is merely gone keeps its place for a while, and who comes next as the same user takes it over, which
// is not what a join is.
func leave(clients []*client) {
	var group errgroup.Group
	group.SetLimit(joiners)
	for _, c := range clients {
		group.Go(func() error {
			c.leave()
			return nil
		})
	}
	_ = group.Wait()
}

// walk makes each client send at a rate, each at a time of its own within the period.
func walk(clients []*client, rate float64, step func(*client) error) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	period := time.Duration(float64(time.Second) / rate)
	for _, c := range clients {
		wg.Go(func() {
			time.Sleep(rand.N(period))
			ticker := time.NewTicker(period)
			defer ticker.Stop()
			for {
				select {
				case <-done:
					return
				case <-ticker.C:
					if step(c) != nil {
						return
					}
				}
			}
		})
	}
	return func() {
		close(done)
		wg.Wait()
	}
}

// received is how many bytes a second come to all clients together.
func received(p Plan, s *stats) float64 {
	before, start := s.bytes.Load(), time.Now()
	time.Sleep(time.Duration(p.Seconds * float64(time.Second)))
	return float64(s.bytes.Load()-before) / time.Since(start).Seconds()
}

// measure opens the window, closes it, and waits for what is still on its way.
func measure(p Plan, s *stats, stop func(), r Result) (Result, error) {
	before, err := readServers(p)
	if err != nil {
		return r, err
	}
	profiles := profile(p)
	s.from.Store(time.Now().UnixNano())
	time.Sleep(time.Duration(p.Seconds * float64(time.Second)))
	s.to.Store(time.Now().UnixNano())
	after, err := readServers(p)
	stop()
	if err := errors.Join(err, profiles()); err != nil {
		return r, err
	}
	time.Sleep(p.Settle)
	r.Deliveries = s.deliveries.Load()
	total := 0.0
	for i := range after {
		r.CPU = append(r.CPU, after[i].cpu-before[i].cpu)
		r.Allocations = append(r.Allocations, after[i].mallocs-before[i].mallocs)
		total += r.CPU[i]
	}
	r.CPUPerMillion = total / float64(r.Deliveries) * 1e6
	r.Delivered = float64(r.Deliveries) / float64(s.sent.Load()*int64(p.Members))
	s.mu.Lock()
	defer s.mu.Unlock()
	r.P50, r.P99 = percentile(s.latencies, 0.50), percentile(s.latencies, 0.99)
	return r, nil
}

func runOrdered(p Plan) (Result, error) {
	s := &stats{}
	clients, joins, err := join(p, s)
	if err != nil {
		return Result{}, err
	}
	defer leave(clients)
	time.Sleep(p.Settle)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(time.Duration(float64(time.Second) / p.Rate))
		defer ticker.Stop()
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			case <-ticker.C:
				_ = clients[i%len(clients)].say()
			}
		}
	})
	stop := func() {
		close(done)
		wg.Wait()
	}
	return measure(p, s, stop, Result{Joins: joins})
}
