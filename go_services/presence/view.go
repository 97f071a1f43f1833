package presence

import (
	"time"

	presencev1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/presence/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
)

// scopeServer is what the tokens of the studio's servers hold.
const scopeServer = "server"

// view is what one caller may see: of other people whether they are online, of itself the devices too. Rooms may be
// private, and whoever knows a gateway's session of somebody could follow them about.
type view struct {
	caller kit.User
	// seen is what was shown, so that nothing can be read from a change of others that does not show.
	seen map[string]glimpse
}

// glimpse is what others see of a user.
type glimpse struct {
	online, unknown bool
	since           time.Time
}

func newView(caller kit.Caller) *view { return &view{caller: caller.User, seen: map[string]glimpse{}} }

// full says whether the caller may see the user's devices. Services that call for themselves may.
func (v *view) full(userID string) bool {
	return v.caller.ID == "" || v.caller.ID == userID || v.caller.HasScope(scopeServer)
}

// all is presences as the caller may see them.
func (v *view) all(presences []*presencev1.UserPresence) []*presencev1.UserPresence {
	for _, p := range presences {
		if !v.full(p.GetUserId()) {
			p.Devices = nil
		}
	}
	return presences
}

// news is those of them in which the caller sees something that it has not seen before. That nothing is known of a user,
// for its shard was lost, is no news for who has heard something.
func (v *view) news(presences []*presencev1.UserPresence) (news []*presencev1.UserPresence) {
	for _, p := range v.all(presences) {
		before, told := v.seen[p.GetUserId()]
		now := glimpse{online: p.GetOnline(), unknown: p.GetUnknown(), since: p.GetChangeTime().AsTime()}
		if told && (p.GetUnknown() || before == now && !v.full(p.GetUserId())) {
			continue
		}
		v.seen[p.GetUserId()] = now
		news = append(news, p)
	}
	return news
}
