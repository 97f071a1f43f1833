package room

import (
	"math"
	"time"

	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

const (
	// speedSlack forgives a client whose frames bunch up or whose clock runs a little fast.
	speedSlack = 1.2
	// walkBurst bounds the distance that a member who stood still may make up at once.
	walkBurst = time.Second
)

// Move is a member's entity as its client says it is.
type Move struct {
	Position  frames.Vec3
	Yaw       uint16
	Animation uint16
	// Values is nil to keep those before.
	Values []byte
}

// Move takes a member's new state into the next tick. A position that is out of the room, or farther than the
// member can have come, is not taken: the member is told where it is. It is kept to centimetres, as it is told to others.
func (r *Room) Move(now time.Time, link Link, in In, move Move) {
	if in == (In{}) && r.byLink[link] == nil {
		return // it was on its way when its member went
	}
	m := r.memberOrFail(link, in)
	if m == nil {
		return
	}
	m.state.Yaw, m.state.Animation = move.Yaw, move.Animation
	if len(move.Values) > 0 {
		r.setValues(m, move.Values)
	}
	to := move.Position.Rounded() // which a place that is none would pass
	allowed := r.contains(move.Position) && m.walk.spend(now, distance(m.state.Position, to), float64(r.cfg.MaxSpeed))
	if allowed {
		m.state.Position = to
	}
	r.changed(m)
	if !allowed {
		r.sink.Corrected(link, m.state)
	}
	if in.RID != 0 {
		r.sink.Done(link, in)
	}
}

func (r *Room) contains(p frames.Vec3) bool {
	// Written so that NaN is outside.
	return p.X >= 0 && p.X <= r.cfg.Width && p.Z >= 0 && p.Z <= r.cfg.Depth && p.Y >= -Height && p.Y <= Height
}

func distance(a, b frames.Vec3) float64 {
	dx, dy, dz := float64(a.X-b.X), float64(a.Y-b.Y), float64(a.Z-b.Z)
	return math.Sqrt(dx*dx + dy*dy + dz*dz)
}

// walk is a token bucket of the time that a member has had for walking.
type walk struct {
	saved time.Duration
	last  time.Time
}

func newWalk(now time.Time) walk { return walk{saved: walkBurst, last: now} }

// spend takes the time that a distance needs at the greatest speed, if there is so much.
func (w *walk) spend(now time.Time, metres, maxSpeed float64) bool {
	if passed := now.Sub(w.last); passed > 0 {
		w.saved = min(w.saved+time.Duration(float64(passed)*speedSlack), walkBurst)
		w.last = now
	}
	needed := time.Duration(metres / maxSpeed * float64(time.Second))
	if needed > w.saved {
		return false
	}
	w.saved -= needed
	return true
}
