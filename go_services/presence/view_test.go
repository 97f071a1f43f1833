package presence

import (
	"context"
	"testing"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	presencev1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/presence/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
)

func TestOthersSeeWhetherAUserIsOnlineAndNotWhere(t *testing.T) {
	client := start(t)
	attach(t, client, "usr_ann", in("usr_ann", "s1", "room_private"))
	for name, test := range map[string]struct {
		ctx     context.Context //nolint:containedctx // who calls is in it
		devices int
	}{
		"oneself":                  {callingAs(t, "usr_ann", "client"), 1},
		"somebody else":            {callingAs(t, "usr_eve", "client"), 0},
		"a server of the studio":   {callingAs(t, "usr_bot", "client server"), 1},
		"a service, for itself":    {calling(t), 1},
		"a client without a scope": {callingAs(t, "usr_eve", "client servers"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			check := func(p *presencev1.UserPresence) bool {
				if !p.GetOnline() || p.GetChangeTime() == nil {
					t.Errorf("not seen as online: %v", p)
				}
				if len(p.GetDevices()) != test.devices {
					t.Errorf("sees %v", p.GetDevices())
				}
				return true
			}
			batch, err := client.BatchGetPresence(test.ctx, &presencev1.BatchGetPresenceRequest{UserIds: []string{"usr_ann"}})
			if err != nil {
				t.Fatal(err)
			}
			check(batch.GetPresences()[0])
			watch, err := client.WatchPresence(test.ctx, &presencev1.WatchPresenceRequest{UserIds: []string{"usr_ann"}})
			if err != nil {
				t.Fatal(err)
			}
			seen(t, watch, "usr_ann", check)
		})
	}
}

func TestWhatOthersMayNotSeeIsNoNewsForThem(t *testing.T) {
	client := start(t)
	g := attach(t, client, "usr_ann", in("usr_ann", "s1", ""))
	request := &presencev1.WatchPresenceRequest{UserIds: []string{"usr_ann"}}
	watch, err := client.WatchPresence(callingAs(t, "usr_eve", "client"), request)
	if err != nil {
		t.Fatal(err)
	}
	service, err := client.WatchPresence(calling(t), request)
	if err != nil {
		t.Fatal(err)
	}
	seen(t, watch, "usr_ann", online)
	g.says(in("usr_ann", "s1", "room_private"))
	seen(t, service, "usr_ann", func(p *presencev1.UserPresence) bool { return p.GetDevices()[0].GetRoomId() != "" })
	gone := in("usr_ann", "s1", "")
	gone.Gone = true
	g.says(gone)
	next, err := watch.Recv()
	if err != nil || len(next.GetPresences()) != 1 || next.GetPresences()[0].GetOnline() {
		t.Errorf("after her online comes %v, %v", next, err)
	}
}

func TestAUserHasSoManyWatchesOpenAndNoMore(t *testing.T) {
	client := start(t)
	watch := func(ctx context.Context) (presencev1.PresenceService_WatchPresenceClient, error) {
		stream, err := client.WatchPresence(ctx, &presencev1.WatchPresenceRequest{UserIds: []string{"usr_ben"}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		return stream, err
	}
	first, end := context.WithCancel(callingAs(t, "usr_ann", "client"))
	for _, ctx := range []context.Context{first, callingAs(t, "usr_ann", "client")} {
		if _, err := watch(ctx); err != nil {
			t.Fatal(err)
		}
	}
	_, err := watch(callingAs(t, "usr_ann", "client"))
	if kit.ReasonOf(err) != commonv1.ErrorReason_ERROR_REASON_RATE_LIMITED || kit.StatusOf(err).Code() != codes.ResourceExhausted {
		t.Errorf("one more: %v", err)
	}
	if retry, ok := kit.StatusOf(err).Details()[1].(*errdetails.RetryInfo); !ok || retry.GetRetryDelay().AsDuration() <= 0 {
		t.Errorf("it does not say when to try again: %v", kit.StatusOf(err).Details())
	}
	for _, ctx := range []context.Context{callingAs(t, "usr_ben", "client"), calling(t), calling(t), calling(t)} {
		if _, err := watch(ctx); err != nil {
			t.Errorf("others are held up: %v", err)
		}
	}
	end()
	for _, err = watch(callingAs(t, "usr_ann", "client")); err != nil; _, err = watch(callingAs(t, "usr_ann", "client")) {
		if kit.ReasonOf(err) != commonv1.ErrorReason_ERROR_REASON_RATE_LIMITED {
			t.Fatalf("a place does not come back: %v", err)
		}
	}
}
