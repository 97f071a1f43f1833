package gateway

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	identityv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/identity/v1"
	"google.golang.org/grpc"
)

func TestAnOutageIsSaidOnceAndThatItIsOver(t *testing.T) {
	var said bytes.Buffer
	o := newOutage[string]("a stream", slog.New(slog.NewTextHandler(&said, nil)))
	o.back("1", time.Now())
	for range 3 {
		o.lost("1", errors.New("why"))
		o.lost("2", nil)
	}
	o.back("2", time.Now())
	if text := said.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "a stream is not there") || !strings.Contains(text, "why") {
		t.Errorf("it says %q", text)
	}
	o.back("1", time.Now())
	o.back("1", time.Now())
	if text := said.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "a stream is back") {
		t.Errorf("it says %q", text)
	}
	if text := said.String(); !strings.Contains(text, "which=1") || !strings.Contains(text, "losses=2 given_up=0") {
		t.Errorf("of which it says %q", text)
	}
	o.lost("2", nil)
	if text := said.String(); strings.Count(text, "a stream is not there") != 2 {
		t.Errorf("the next is not said: %q", text)
	}
	o.forget("1")
	o.forget("2")
	if text := said.String(); strings.Count(text, "\n") != 4 {
		t.Errorf("when nobody wants it any more it says %q", text)
	}
}

func TestOfStreamsThatAreLostLaterOrGivenUpItIsSaidAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		o := newOutage[int]("a stream", slog.New(slog.NewTextHandler(&said, nil)))
		o.lost(1, nil)
		time.Sleep(outagePause)
		o.lost(1, nil) // it is still
		o.lost(2, nil)
		o.lost(3, nil)
		time.Sleep(outagePause)
		for stream := range 3 {
			o.givenUp(stream+1, errors.New("why"))
			o.forget(stream + 1)
		}
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		for i, want := range []string{
			`not there" which=1`, `not there" which=2`, `given up" which=1 error=why`, `back" losses=3 given_up=3 lost_ms=10000`,
		} {
			if i >= len(lines) || !strings.Contains(lines[i], want) {
				t.Fatalf("line %d lacks %q: %q", i, want, lines)
			}
		}
		if len(lines) != 4 {
			t.Errorf("it says %q", lines)
		}
	})
}

func TestAnOutageThatIsOverSaysHowLongItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		o := newOutage[string]("a stream", slog.New(slog.NewTextHandler(&said, nil)))
		o.lost("1", errors.New("why"))
		time.Sleep(200 * time.Millisecond)
		opened := time.Now()
		time.Sleep(3 * time.Second) // until it is known to be steady
		o.back("1", opened)
		if text := said.String(); !strings.Contains(text, "lost_ms=200") {
			t.Errorf("it says %q", text)
		}
	})
}

// downIdentity has no stream of revocations for a while.
type downIdentity struct {
	identityv1.IdentityServiceClient
	until time.Time
}

type silentRevocations struct {
	grpc.ClientStream
	ctx context.Context //nolint:containedctx // of the stream
}

func (s silentRevocations) Recv() (*identityv1.WatchRevocationsResponse, error) {
	<-s.ctx.Done()
	return nil, s.ctx.Err()
}

func (d *downIdentity) WatchRevocations(
	ctx context.Context, _ *identityv1.WatchRevocationsRequest, _ ...grpc.CallOption,
) (grpc.ServerStreamingClient[identityv1.WatchRevocationsResponse], error) {
	if time.Now().Before(d.until) {
		return nil, errors.New("down")
	}
	return silentRevocations{ctx: ctx}, nil
}

func TestWithoutIdentityOneLineIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		r := newRevocations(&downIdentity{until: time.Now().Add(20 * time.Second)}, slog.New(slog.NewTextHandler(&said, nil)))
		ctx, end := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.run(ctx)
		}()
		time.Sleep(time.Minute)
		end()
		<-done
		synctest.Wait()
		if text := said.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "is back") {
			t.Errorf("it says %q", text)
		}
	})
}
