package relay

import (
	"context"
	"sync"

	"github.com/worldmesh/worldmesh/go_services/relay/room"
)

// hub holds the live rooms of this relay. A room is live while a gateway is attached to it.
type hub struct {
	ownership Ownership
	metrics   *metrics

	mu       sync.Mutex
	rooms    map[string]*liveRoom
	lastID   uint64
	draining bool
	streams  map[uint64]*stream
}

func newHub(ownership Ownership, m *metrics) *hub {
	return &hub{ownership: ownership, metrics: m, rooms: map[string]*liveRoom{}, streams: map[uint64]*stream{}}
}

// attach adds a gateway's stream to a room, which goes live if it was not.
func (h *hub) attach(ctx context.Context, roomID string, cfg room.Config, open func(id uint64) *stream) (*liveRoom, *stream, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.draining {
		return nil, nil, errDraining
	}
	live := h.rooms[roomID]
	if live == nil {
		epoch, err := h.ownership.Claim(ctx, roomID)
		if err != nil {
			return nil, nil, err
		}
		live = newLiveRoom(roomID, epoch, cfg, h.metrics)
		h.rooms[roomID] = live
		h.metrics.rooms.Inc()
	}
	h.lastID++
	s := open(h.lastID)
	live.attach(s)
	h.streams[s.id] = s
	return live, s, nil
}

// detach removes a stream; a room without streams is no longer live.
func (h *hub) detach(ctx context.Context, live *liveRoom, s *stream) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, s.id)
	if !live.detach(s) {
		return nil
	}
	delete(h.rooms, live.id)
	h.metrics.rooms.Dec()
	return h.ownership.Release(ctx, live.id, live.epoch)
}

func (h *hub) find(roomID string) *liveRoom {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rooms[roomID]
}

// load says how many rooms are live, and whether they are given away.
func (h *hub) load() (rooms int, draining bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.rooms), h.draining
}

// drain ends all streams: their gateways attach elsewhere.
func (h *hub) drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.draining = true
	for _, s := range h.streams {
		s.cancel(errDraining)
	}
}
