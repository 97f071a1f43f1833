package presence

import (
	"runtime"
	"slices"
	"sync"
	"time"

	presencev1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/presence/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/shardkey"
	"github.com/worldmesh/worldmesh/go_services/presence/shard"
)

// atOnce bounds the sessions that are changed, or looked at, while others wait for the shard.
const atOnce = 512

// liveShard is one of the shards: held by this instance from the first call that reaches it until another instance has
// taken it over.
type liveShard struct {
	number uint32
	cfg    shard.Config

	mu   sync.Mutex
	held *holding
	past shard.Counts // of holdings that are over
}

// hold is the shard as this instance holds it, from now on if not before.
func (l *liveShard) hold() *holding {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = &holding{number: l.number, core: shard.New(time.Now(), l.cfg), over: make(chan struct{})}
	}
	return l.held
}

// holding is the shard if this instance holds it, or nil.
func (l *liveShard) holding() *holding {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held
}

// letGo forgets the shard and ends its streams: gateways and watches go to the instance that has it now.
func (l *liveShard) letGo() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		return
	}
	l.held.do(func(_ time.Time, core *shard.Shard) { l.past = l.past.Plus(core.Counts()) })
	close(l.held.over)
	l.held = nil
}

// counts is what was counted since the process began.
func (l *liveShard) counts() shard.Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := l.past
	if l.held != nil {
		l.held.do(func(_ time.Time, core *shard.Shard) { counts = counts.Plus(core.Counts()) })
	}
	return counts
}

// holding drives a shard's core.
type holding struct {
	number uint32
	mu     sync.Mutex
	core   *shard.Shard
	// changes are those that are applied at once: so streams need no room of their own for them.
	changes [atOnce]shard.Change
	over    chan struct{} // closed when another instance has taken the shard over
}

func (h *holding) do(f func(now time.Time, core *shard.Shard)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(time.Now(), h.core)
}

// apply takes what a gateway says of its sessions, but for what is out of its bounds or of another shard's users, and says
// how much that was.
func (h *holding) apply(name string, stream uint64, said []*presencev1.AttachRequest_Change) (refused int) {
	for part := range slices.Chunk(said, atOnce) {
		h.do(func(now time.Time, core *shard.Shard) {
			changes := h.changes[:0]
			for _, c := range part {
				if inBounds(c) && shardkey.Of(c.GetUserId()) == h.number {
					changes = append(changes, changeOf(c))
				} else {
					refused++
				}
			}
			core.Apply(now, name, stream, changes)
			clear(changes)
		})
	}
	return refused
}

// has says whether a stream is its gateway's newest.
func (h *holding) has(name string, stream uint64) (newest bool) {
	h.do(func(_ time.Time, core *shard.Shard) { newest = core.Has(name, stream) })
	return newest
}

func changeOf(c *presencev1.AttachRequest_Change) shard.Change {
	d := c.GetDevice()
	return shard.Change{
		UserID: c.GetUserId(), Gone: c.GetGone(),
		Device: shard.Device{SessionID: d.GetGatewaySessionId(), Name: d.GetDeviceName(), RoomID: d.GetRoomId()},
	}
}

// expire ends leases that are over.
func (h *holding) expire() {
	h.do(func(now time.Time, core *shard.Shard) { core.Expire(now) })
	h.sweep()
}

// sweep removes what is to be removed, and lets others in between.
func (h *holding) sweep() {
	for more := true; more; {
		h.do(func(_ time.Time, core *shard.Shard) { more = core.Sweep(atOnce) })
		runtime.Gosched()
	}
}

// get is the presence of users.
func (h *holding) get(userIDs []string) []*presencev1.UserPresence {
	presences := make([]shard.Presence, len(userIDs))
	h.do(func(_ time.Time, core *shard.Shard) {
		for i, id := range userIDs {
			presences[i] = core.Get(id)
		}
	})
	return messages(presences)
}

// watcher is a watch and what wakes its reader.
type watcher struct {
	*shard.Watch
	wake chan struct{}
}

func (h *holding) watch(userIDs []string) (w watcher) {
	w.wake = make(chan struct{}, 1)
	h.do(func(_ time.Time, core *shard.Shard) {
		w.Watch = core.Watch(userIDs, func() {
			select {
			case w.wake <- struct{}{}:
			default:
			}
		})
	})
	return w
}

func (h *holding) unwatch(w watcher) {
	h.do(func(_ time.Time, core *shard.Shard) { core.Unwatch(w.Watch) })
}

// take is the newest presence of the users who have changed since the last time.
func (h *holding) take(w watcher) (presences []shard.Presence) {
	h.do(func(_ time.Time, core *shard.Shard) { presences = core.Take(w.Watch) })
	return presences
}
