package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"time"

	"github.com/worldmesh/worldmesh/go_services/presence/shard"
)

const (
	// watchedUsers are in 20 of the watchers' watches each.
	watchedUsers, watchers, watchedEach = 10_000, 10_000, 20
	// coreAtOnce is what presence changes, or looks at, while others wait.
	coreAtOnce  = 512
	coreChanges = 2_000_000
)

// presenceCore is the shards of a process, driven without a network by one goroutine.
type presenceCore struct {
	shards   [presenceShards]*shard.Shard
	portions []*portion
	now      time.Time
}

// runPresenceCore measures the data structures of presence: nothing but them is in its figures.
func runPresenceCore(p Plan) (map[string]float64, error) {
	progress("presence, the core alone: %d users in one process", crowdUsers)
	c := &presenceCore{portions: portions(), now: time.Now()}
	result := map[string]float64{}
	before := heap()
	for i := range c.shards {
		c.shards[i] = shard.New(c.now.Add(-time.Minute), shard.Config{Lease: time.Second})
		c.shards[i].Expire(c.now)
	}
	c.fill()
	result["presence_core_bytes_per_user"] = float64(heap()-before) / float64(c.count((*shard.Shard).Users))
	if err := writeHeap(p.HeapProfile); err != nil {
		return nil, err
	}
	result["presence_core_changes_per_core_s"] = c.changes(func(*shard.Shard) {})
	result["presence_core_watched_changes_per_core_s"] = c.watchedChanges()
	result["presence_core_expire_50k_ms"], result["presence_core_expire_50k_step_us"] = c.expire()
	return result, nil
}

func progress(format string, arguments ...any) { fmt.Fprintf(os.Stderr, format+"\n", arguments...) }

// heap is what is reachable now.
func heap() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

func writeHeap(file string) error {
	if file == "" {
		return nil
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	return pprof.WriteHeapProfile(out)
}

func (c *presenceCore) count(of func(*shard.Shard) int) (sum int) {
	for _, s := range c.shards {
		sum += of(s)
	}
	return sum
}

func (c *presenceCore) fill() {
	for i, p := range c.portions {
		s := c.shards[p.shard]
		s.Attach(c.now, p.name(), "one", uint64(i+1))
		for part := range slices.Chunk(p.sessions, coreAtOnce) {
			changes := make([]shard.Change, len(part))
			for at, session := range part {
				changes[at] = coreChange(session, roomOf(session))
			}
			s.Apply(c.now, p.name(), uint64(i+1), changes)
		}
		s.Complete(p.name(), uint64(i+1))
		for s.Sweep(coreAtOnce) {
		}
	}
}

func coreChange(session int, room string) shard.Change {
	return shard.Change{UserID: userID(userOf(session)), Device: shard.Device{
		SessionID: sessionID(session), Name: "web", RoomID: room,
	}}
}

// changes says how many changes a second the shards take: half are moves to another room, the others go offline and come
// back. What makes the changes is not in the time.
func (c *presenceCore) changes(then func(*shard.Shard)) float64 {
	random := rand.New(rand.NewPCG(1, 2))
	var took time.Duration
	done := 0
	for batch := make([]shard.Change, 0, coreAtOnce); done < coreChanges; batch = batch[:0] {
		i := random.IntN(len(c.portions))
		p := c.portions[i]
		for len(batch) < coreAtOnce {
			session := p.sessions[random.IntN(len(p.sessions))]
			if len(batch)%4 < 2 {
				batch = append(batch, coreChange(session, room(random.IntN(crowdRooms))))
				continue
			}
			gone := coreChange(session, "")
			gone.Gone = true
			batch = append(batch, gone, coreChange(session, roomOf(session)))
		}
		start := time.Now()
		c.shards[p.shard].Apply(c.now, p.name(), uint64(i+1), batch)
		then(c.shards[p.shard])
		took += time.Since(start)
		done += len(batch)
	}
	return float64(done) / took.Seconds()
}

// watchedChanges is the same while 10,000 users are watched, each by 20 of 10,000 watchers, who look when they are woken.
func (c *presenceCore) watchedChanges() float64 {
	random := rand.New(rand.NewPCG(3, 4))
	var watched [presenceShards][]string
	for user := range watchedUsers {
		id := userID(user * (crowdUsers / watchedUsers))
		watched[shardOf(id)] = append(watched[shardOf(id)], id)
	}
	woken := map[*shard.Shard][]**shard.Watch{}
	for i := range watchers {
		s, users := c.shards[i%presenceShards], watched[i%presenceShards]
		var ids []string
		for _, at := range random.Perm(len(users))[:watchedEach] {
			ids = append(ids, users[at])
		}
		w := new(*shard.Watch)
		*w = s.Watch(ids, func() { woken[s] = append(woken[s], w) })
	}
	look := func(s *shard.Shard) {
		due := woken[s]
		woken[s] = nil
		for _, w := range due {
			s.Take(*w)
		}
	}
	for _, s := range c.shards {
		look(s)
	}
	return c.changes(look)
}

// expire ends the lease of one gateway. It returns how long that takes, and how long others wait at most meanwhile.
func (c *presenceCore) expire() (tookMS, stepUS float64) {
	gateway := c.portions[:presenceShards]
	for i, p := range gateway {
		c.shards[p.shard].Detach(c.now, p.name(), uint64(i+1))
	}
	start, longest := time.Now(), time.Duration(0)
	for _, p := range gateway {
		s := c.shards[p.shard]
		s.Expire(c.now.Add(time.Second))
		for more := true; more; {
			step := time.Now()
			more = s.Sweep(coreAtOnce)
			longest = max(longest, time.Since(step))
		}
	}
	return float64(time.Since(start).Microseconds()) / 1000, float64(longest.Nanoseconds()) / 1000
}
