package presence

import (
	"fmt"
	"strings"
	"testing"

	"buf.build/go/protovalidate"
	presencev1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/presence/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/shardkey"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestBoundsAreThoseOfTheContract(t *testing.T) {
	validator, err := protovalidate.New()
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{
		"", "usr_ann", strings.Repeat("x", 64), strings.Repeat("x", 65), strings.Repeat("é", 64), strings.Repeat("é", 65),
	}
	check := func(c *presencev1.AttachRequest_Change) {
		t.Helper()
		if err := validator.Validate(c); (err == nil) != inBounds(c) {
			t.Errorf("%v: in bounds: %t, the contract says %v", c, inBounds(c), err)
		}
	}
	check(&presencev1.AttachRequest_Change{UserId: "usr_ann"})
	for _, user := range texts {
		for _, session := range texts {
			for _, name := range texts {
				for _, room := range texts {
					check(&presencev1.AttachRequest_Change{UserId: user, Device: &presencev1.Device{
						GatewaySessionId: session, DeviceName: name, RoomId: room,
					}})
				}
			}
		}
	}
	for _, n := range []int{maxChanges, maxChanges + 1} {
		said := &presencev1.AttachRequest_Changes{}
		for range n {
			said.Changes = append(said.Changes, in("usr_ann", "s1", ""))
		}
		if err := validator.Validate(said); (err == nil) != (n <= maxChanges) {
			t.Errorf("%d changes: %v", n, err)
		}
	}
}

func TestWhatIsOutOfBoundsIsLeftOutAndTheRestIsTaken(t *testing.T) {
	server, client := startServer(t, settle)
	watch, err := client.WatchPresence(calling(t), &presencev1.WatchPresenceRequest{UserIds: []string{"usr_ann"}})
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := "usr_ben"
	for i := 0; shardkey.Of(elsewhere) == shardkey.Of("usr_ann"); i++ {
		elsewhere = fmt.Sprint("usr_", i)
	}
	g := attach(t, client, "usr_ann",
		in("usr_ann", strings.Repeat("s", 65), ""), in("usr_ann", "s2", ""), in(elsewhere, "s3", ""))
	seen(t, watch, "usr_ann", func(p *presencev1.UserPresence) bool {
		return len(p.GetDevices()) == 1 && p.GetDevices()[0].GetGatewaySessionId() == "s2"
	})
	if refused := server.refused.Load(); refused != 2 {
		t.Errorf("%d changes were refused", refused)
	}
	many := make([]*presencev1.AttachRequest_Change, maxChanges+1)
	for i := range many {
		many[i] = in("usr_ann", "s2", "")
	}
	g.send(&presencev1.AttachRequest{Body: &presencev1.AttachRequest_Changes_{
		Changes: &presencev1.AttachRequest_Changes{Seq: 2, Changes: many},
	}})
	if _, err := g.rpc.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("too many changes: %v", err)
	}
}

func TestAGatewayWithoutANameIsRefused(t *testing.T) {
	rpc, err := start(t).Attach(calling(t))
	if err != nil {
		t.Fatal(err)
	}
	open := &presencev1.AttachRequest_Open{Incarnation: "one", Shard: 1}
	if err := rpc.Send(&presencev1.AttachRequest{Body: &presencev1.AttachRequest_Open_{Open: open}}); err != nil {
		t.Fatal(err)
	}
	if _, err := rpc.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("the error is %v", err)
	}
}
