package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	presencev1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/presence/v1"
)

const (
	// gb is the GB of the figures.
	gb = 1e9
	// changesAtOnce is how many changes a gateway has for one shard while the message before is under way; fewAtOnce, when
	// little happens.
	changesAtOnce, fewAtOnce = 256, 8
	// expiryWithin bounds the wait for the end of a lease.
	expiryWithin = 30 * time.Second
)

// presenceRun measures a process of presence, called straight by gRPC with mTLS as the mesh's Envoy calls it.
type presenceRun struct {
	Plan
	ctx      context.Context //nolint:containedctx // ends all streams
	clients  []presencev1.PresenceServiceClient
	portions []*portion
	gateways []*attached
	running  sync.WaitGroup
	result   map[string]float64
}

// runPresence fills a process of presence and measures it. The process is killed on the way, and has to be started
// again by whoever started it.
func runPresence(p Plan) (map[string]float64, error) {
	ctx, cancel := context.WithCancel(context.Background())
	r := &presenceRun{Plan: p, ctx: ctx, portions: portions(), result: map[string]float64{}}
	defer r.running.Wait()
	defer cancel()
	for range crowdGateways {
		conn, err := dial(p.Target["presence"], p.Certs, "envoy-mesh", "services-ca.pem", "presence")
		if err != nil {
			return nil, err
		}
		defer func() { _ = conn.Close() }()
		r.clients = append(r.clients, presencev1.NewPresenceServiceClient(conn))
	}
	for _, part := range []func() error{r.fill, r.changes, r.watched, r.expire, r.rebuild} {
		if err := part(); err != nil {
			return nil, err
		}
	}
	return r.result, nil
}

// fill attaches all gateways, and measures what the process needs for the crowd.
func (r *presenceRun) fill() (err error) {
	progress("presence: %d gateways attach, with %d sessions of %d users", crowdGateways, crowdSessions, crowdUsers)
	heap, err := r.heap("")
	if err != nil {
		return err
	}
	busy, err := r.busy(func() error {
		r.gateways, err = attachAll(r.ctx, r.clients, r.portions, "one")
		return err
	})
	if err != nil {
		return err
	}
	if err := r.everybodyIsOnline(); err != nil {
		return err
	}
	if err := r.usersPerGB("presence_users_per_gb"); err != nil {
		return err
	}
	full, err := r.heap(r.HeapProfile)
	if err != nil {
		return err
	}
	r.result["presence_bytes_per_user"] = (full - heap) / crowdUsers
	r.result["presence_attach_sessions_per_core_s"] = crowdSessions / busy
	return nil
}

// usersPerGB is by the resident memory of the whole process as it is now, garbage included.
func (r *presenceRun) usersPerGB(figure string) error {
	rss, err := resident(r.PIDs)
	if err != nil {
		return err
	}
	r.result[figure] = crowdUsers / (rss[0] * 1024 / gb)
	return nil
}

// heap is what the process holds after a collection; it also goes to a file, as a profile.
func (r *presenceRun) heap(file string) (float64, error) {
	page := strings.Replace(r.Metrics[0], "/metrics", "/debug/pprof/heap?gc=1", 1)
	body, err := get(page, 30*time.Second)
	if err != nil {
		return 0, err
	}
	defer func() { _ = body.Close() }()
	raw, err := io.ReadAll(body)
	if err != nil {
		return 0, err
	}
	if file != "" {
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			return 0, err
		}
	}
	return readMetric(r.Metrics[0], "go_memstats_heap_alloc_bytes")
}

// busy is how many seconds of a core the process has used for something.
func (r *presenceRun) busy(do func() error) (float64, error) {
	before, err := cpu(r.PIDs)
	if err != nil {
		return 0, err
	}
	if err := do(); err != nil {
		return 0, err
	}
	after, err := cpu(r.PIDs)
	if err != nil {
		return 0, err
	}
	return after[0] - before[0], nil
}

// live says how many changes the process takes for a second of a core.
func (r *presenceRun) live(atOnce int) (perCore float64, err error) {
	told := 0.0
	busy, err := r.busy(func() error {
		told, err = liveFor(r.gateways, atOnce, time.Duration(r.Seconds*float64(time.Second)))
		return err
	})
	return told / busy, err
}

func (r *presenceRun) changes() (err error) {
	progress("presence: changes, %d a message", changesAtOnce)
	if r.result["presence_changes_per_core_s"], err = r.live(changesAtOnce); err != nil {
		return err
	}
	progress("presence: changes, %d a message", fewAtOnce)
	if r.result["presence_few_changes_per_core_s"], err = r.live(fewAtOnce); err != nil {
		return err
	}
	progress("presence: changes, while a profile is taken")
	wait := profile(r.Plan)
	if _, err := r.live(changesAtOnce); err != nil {
		return err
	}
	if err := wait(); err != nil {
		return err
	}
	return r.usersPerGB("presence_users_per_gb_busy")
}

// watched measures changes while 10,000 users are watched.
func (r *presenceRun) watched() error {
	progress("presence: changes, while %d watches of %d users each are open", watchers, watchedEach)
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	before, err := resident(r.PIDs)
	if err != nil {
		return err
	}
	var heard atomic.Int64
	if err := watchMany(ctx, r.clients, &heard, &r.running); err != nil {
		return err
	}
	after, err := resident(r.PIDs)
	if err != nil {
		return err
	}
	heard.Store(0)
	told := 0.0
	busy, err := r.busy(func() error {
		told, err = liveFor(r.gateways, changesAtOnce, time.Duration(r.Seconds*float64(time.Second)))
		return err
	})
	if err != nil {
		return err
	}
	r.result["presence_kb_per_watch"] = (after[0] - before[0]) / watchers
	r.result["presence_watched_changes_per_core_s"] = told / busy
	r.result["presence_watched_heard_per_core_s"] = float64(heard.Load()) / busy
	return nil
}

// sessionsMetric counts sessions; allEnded is which share of a dead gateway's must be gone when the last is that is watched:
// each shard ends its own, one after another.
const (
	sessionsMetric = "worldmesh_presence_sessions"
	allEnded       = 0.9
)

// expire ends one gateway's streams, as its death does, and measures the end of its sessions, from the first user who is
// seen to go offline to the last of those who are watched, some of each shard; and how long others wait meanwhile.
func (r *presenceRun) expire() error {
	gateway, others := r.portions[:presenceShards], r.portions[presenceShards:]
	e, users, err := watchEnd(r.ctx, r.clients[1], gateway, &r.running)
	if err != nil {
		return err
	}
	progress("presence: calls of others, calmly")
	calm, cancel := context.WithTimeout(r.ctx, 5*time.Second)
	defer cancel()
	calmest, err := ask(calm, r.clients[2], others)
	if err != nil {
		return err
	}
	before, err := readMetric(r.Metrics[0], sessionsMetric)
	if err != nil {
		return err
	}
	ending := 0
	for _, a := range r.gateways[:presenceShards] {
		ending += len(a.sessions) - len(a.offline)
	}
	progress("presence: a gateway ends")
	asking, stop := context.WithCancel(r.ctx)
	defer stop()
	var longest time.Duration
	var failed error
	var asker sync.WaitGroup
	asker.Go(func() { longest, failed = ask(asking, r.clients[2], others) })
	died := time.Now()
	for _, a := range r.gateways[:presenceShards] {
		if err := a.stream.CloseSend(); err != nil {
			return err
		}
	}
	for e.count() < users && time.Since(died) < expiryWithin {
		time.Sleep(20 * time.Millisecond)
	}
	stop()
	asker.Wait()
	if failed != nil {
		return failed
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for user, times := range e.offline {
		if times != 1 {
			return fmt.Errorf("%s went offline %d times", user, times)
		}
	}
	if len(e.offline) != users {
		return fmt.Errorf("%d of %d are offline", len(e.offline), users)
	}
	switch now, err := readMetric(r.Metrics[0], sessionsMetric); {
	case err != nil:
		return err
	case now > before-float64(ending)*allEnded:
		return fmt.Errorf("of %d sessions that end %.0f have ended, when the last that is watched has", ending, before-now)
	}
	r.result["presence_expire_50k_ms"] = float64(e.last.Sub(e.first).Microseconds()) / 1000
	r.result["presence_expire_50k_after_s"] = e.last.Sub(died).Seconds()
	r.result["presence_expire_50k_others_ms"] = float64(longest.Microseconds()) / 1000
	r.result["presence_calm_others_ms"] = float64(calmest.Microseconds()) / 1000
	return nil
}

// rebuild kills the process and measures how one gateway, and then all others, tell the next one everything.
func (r *presenceRun) rebuild() error {
	progress("presence: the process is killed, and told everything again")
	if err := syscall.Kill(r.PIDs[0], syscall.SIGKILL); err != nil {
		return err
	}
	began := time.Now()
	for _, a := range r.gateways[presenceShards:] { // their streams notice
		_, _ = a.stream.Recv()
	}
	ready := strings.Replace(r.Metrics[0], "/metrics", "/readyz", 1)
	for {
		body, err := get(ready, time.Second)
		if err == nil {
			_ = body.Close()
			break
		}
		if time.Since(began) > expiryWithin {
			return fmt.Errorf("it does not come back: %w", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, told := range []struct {
		figure   string
		portions []*portion
	}{
		{"presence_rebuild_50k_ms", r.portions[:presenceShards]},
		{"presence_rebuild_1m_ms", r.portions},
	} {
		start := time.Now()
		if _, err := attachAll(r.ctx, r.clients, told.portions, "one"); err != nil {
			return err
		}
		r.result[told.figure] = float64(time.Since(start).Microseconds()) / 1000
	}
	return r.everybodyIsOnline()
}

func (r *presenceRun) everybodyIsOnline() error {
	users, err := readMetric(r.Metrics[0], "worldmesh_presence_users")
	if err == nil && users != crowdUsers {
		err = fmt.Errorf("%.0f users are online, and should be %d", users, crowdUsers)
	}
	return err
}
