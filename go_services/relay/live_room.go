package relay

import (
	"hash/fnv"
	"sync"
	"time"

	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
)

// liveRoom drives one room's core: it serializes what comes in, arms the tick, and hands what comes out to streams.
type liveRoom struct {
	id      string
	epoch   uint64
	metrics *metrics

	mu      sync.Mutex
	core    *room.Room
	out     *sink
	streams map[uint64]*stream
	timer   *time.Timer
	phase   time.Duration
	due     time.Time // of the armed tick; zero if none is
	ended   bool
}

func newLiveRoom(id string, epoch uint64, cfg room.Config, m *metrics) *liveRoom {
	l := &liveRoom{id: id, epoch: epoch, metrics: m, streams: map[uint64]*stream{}}
	l.out = &sink{room: l, encode: frames.NewEncoder()}
	l.core = room.New(id, epoch, cfg, l.out)
	l.phase = phaseOf(id, l.core.TickInterval())
	l.timer = time.AfterFunc(time.Hour, l.tick)
	l.timer.Stop()
	return l
}

// do runs a function on the core, and arms the tick if there is something to send then.
func (l *liveRoom) do(f func(now time.Time, core *room.Room)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.core.Len()
	now := time.Now()
	f(now, l.core)
	if after := l.core.Len(); after != before {
		l.metrics.members.Add(float64(after - before))
	}
	l.arm(now)
}

// phaseOf lets half of the rooms tick in the middle of the interval, so that they do not all burst at once. No finer:
// each time that relay, proxy and gateway wake costs them more than a room's tick does, so rooms should wake them
// together.
func phaseOf(id string, interval time.Duration) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return time.Duration(h.Sum32()%2) * interval / 2
}

// arm aims at the room's next tick: inputs wait half a tick on average, and never more than one.
func (l *liveRoom) arm(now time.Time) {
	if !l.core.Dirty() || !l.due.IsZero() || l.ended {
		return
	}
	interval := l.core.TickInterval()
	l.due = now.Add(-l.phase).Truncate(interval).Add(interval + l.phase)
	l.timer.Reset(l.due.Sub(now))
}

func (l *liveRoom) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || l.due.IsZero() {
		return
	}
	l.metrics.tickLag.Observe(time.Since(l.due).Seconds())
	l.due = time.Time{}
	l.core.Tick()
}

// attach adds a stream; false if the room has ended meanwhile.
func (l *liveRoom) attach(s *stream) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	l.streams[s.id] = s
	return true
}

// detach removes a stream and its members, and says whether the room is over: nobody is attached any more.
func (l *liveRoom) detach(s *stream) (over bool) {
	l.do(func(now time.Time, core *room.Room) {
		delete(l.streams, s.id)
		core.StreamEnded(now, s.id)
		if len(l.streams) == 0 {
			l.ended = true
			l.timer.Stop()
		}
		over = l.ended
	})
	return over
}
