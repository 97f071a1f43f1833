package room

import (
	"fmt"
	"slices"
	"time"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// Join is somebody who wants to enter.
type Join struct {
	User frames.User
	// Session tells two entries of one user apart.
	Session string
	// Role is worldmesh.world.v1.RoomRole's number.
	Role int32
}

// Join lets somebody in, or answers why not. A user who is in already, by another connection, moves to the new one:
// the old connection is told MEMBER_REPLACED and the others see it leave and enter.
func (r *Room) Join(now time.Time, link Link, rid uint32, join Join) {
	if r.byLink[link] != nil {
		r.sink.Failed(link, rid, commonv1.ErrorReason_ERROR_REASON_ALREADY_IN_ROOM, "the connection is in the room already")
		return
	}
	if old := r.byUser[join.User.ID]; old != nil {
		r.sink.Removed(old.link, 0, commonv1.ErrorReason_ERROR_REASON_MEMBER_REPLACED)
		r.remove(now, old)
	}
	if len(r.members) >= r.cfg.Capacity {
		r.sink.Refused(link, rid, commonv1.ErrorReason_ERROR_REASON_ROOM_FULL,
			fmt.Sprintf("the room holds %d members at most", r.cfg.Capacity))
		return
	}
	r.lastEntity++
	m := &member{
		link: link, session: join.Session, role: join.Role, user: join.User, since: now,
		state: frames.EntityState{Entity: r.lastEntity, Position: r.cfg.Spawn},
		walk:  newWalk(now),
	}
	r.members = append(r.members, m)
	r.byLink[link] = m
	r.byUser[m.user.ID] = m
	r.publish(now, frames.MemberJoined{Member: m.frame()}, link)
	r.sink.Joined(link, rid, r.snapshot(m))
}

// Leave lets a member out.
func (r *Room) Leave(now time.Time, link Link, rid uint32) {
	m := r.memberOrFail(link, rid)
	if m == nil {
		return
	}
	r.sink.Removed(link, rid, commonv1.ErrorReason_ERROR_REASON_UNSPECIFIED)
	r.remove(now, m)
}

func (r *Room) remove(now time.Time, m *member) {
	r.members = slices.DeleteFunc(r.members, func(other *member) bool { return other == m })
	r.dirty = slices.DeleteFunc(r.dirty, func(other *member) bool { return other == m })
	delete(r.byLink, m.link)
	delete(r.byUser, m.user.ID)
	r.publish(now, frames.MemberLeft{Entity: m.state.Entity, UserID: m.user.ID}, Link{})
}

// memberOrFail is the member of a link; if there is none, the link is answered so.
func (r *Room) memberOrFail(link Link, rid uint32) *member {
	m := r.byLink[link]
	if m == nil {
		r.sink.Failed(link, rid, commonv1.ErrorReason_ERROR_REASON_NOT_IN_ROOM, "not in the room")
	}
	return m
}

func (r *Room) snapshot(self *member) frames.Snapshot {
	s := frames.Snapshot{
		RoomID: r.id, DisplayName: r.cfg.DisplayName,
		LogPosition: frames.LogPosition{Epoch: r.epoch, Seq: r.seq}, Tick: r.tick,
		TickHz: uint8(r.cfg.TickHz), Width: r.cfg.Width, Depth: r.cfg.Depth, MaxSpeed: r.cfg.MaxSpeed,
		SelfEntity: self.state.Entity,
		Members:    make([]frames.Member, len(r.members)),
	}
	for i, m := range r.members {
		s.Members[i] = m.frame()
	}
	return s
}
