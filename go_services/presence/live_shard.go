package presence

import (
	"sync"
	"time"

	"github.com/worldmesh/worldmesh/go_services/presence/shard"
)

// liveShard drives one shard's core and tells watchers of changes.
type liveShard struct {
	mu       sync.Mutex
	core     *shard.Shard
	watchers map[string]map[*watcher]struct{}
	changes  func()
}

func newLiveShard(lease time.Duration, changes func()) *liveShard {
	l := &liveShard{watchers: map[string]map[*watcher]struct{}{}, changes: changes}
	l.core = shard.New(lease, l.changed)
	return l
}

func (l *liveShard) do(f func(now time.Time, core *shard.Shard)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(time.Now(), l.core)
}

// changed is called by the core, under the lock.
func (l *liveShard) changed(userID string) {
	l.changes()
	for w := range l.watchers[userID] {
		w.mark(userID)
	}
}

// watch begins a watch: all its users are due at once.
func (l *liveShard) watch(userIDs []string) *watcher {
	w := &watcher{dirty: map[string]struct{}{}, wake: make(chan struct{}, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range userIDs {
		if l.watchers[id] == nil {
			l.watchers[id] = map[*watcher]struct{}{}
		}
		l.watchers[id][w] = struct{}{}
		w.mark(id)
	}
	return w
}

func (l *liveShard) unwatch(w *watcher, userIDs []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range userIDs {
		delete(l.watchers[id], w)
		if len(l.watchers[id]) == 0 {
			delete(l.watchers, id)
		}
	}
}

// take is the newest presence of the users who have changed since the last time.
func (l *liveShard) take(w *watcher) []shard.Presence {
	l.mu.Lock()
	defer l.mu.Unlock()
	presences := make([]shard.Presence, 0, len(w.dirty))
	for id := range w.dirty {
		presences = append(presences, l.core.Get(id))
	}
	clear(w.dirty)
	return presences
}

// watcher remembers which users have changed, not how often: a slow reader gets the newest of each. Its fields belong
// to the shard's lock.
type watcher struct {
	dirty map[string]struct{}
	wake  chan struct{}
}

func (w *watcher) mark(userID string) {
	w.dirty[userID] = struct{}{}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}
