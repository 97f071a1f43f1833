package gateway

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/golang-jwt/jwt/v5"
	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	identityv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/identity/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/gateway/socket"
	"google.golang.org/grpc"
)

func TestHelloIsAnsweredWithWhoIAm(t *testing.T) {
	l := newLab(t, nil)
	p := l.connect(dialect.JSON)
	p.say(`{"rid":9,"hello":{"access_token":"` + l.token("usr_ann") + `"}}`)
	welcome := p.hears(`"rid":9,"welcome"`)
	for _, part := range []string{`"gws_`, `"user_id":"usr_ann"`, `"username":"name-of-usr_ann"`, `"heartbeat_ms":3500`} {
		if !strings.Contains(welcome, part) {
			t.Errorf("no %s in %s", part, welcome)
		}
	}
	p.say(`{"rid":10,"ping":{"client_time_ms":5}}`)
	p.hears(`"rid":10,"pong":{"client_time_ms":5,"server_time_ms":`)
}

func TestTokensThatAreNoGood(t *testing.T) {
	tests := map[string]struct {
		spoil  func(jwt.MapClaims)
		reason string
		code   ws.StatusCode
	}{
		"expired":           {func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Minute).Unix() }, "TOKEN_EXPIRED", 4202},
		"without an end":    {func(c jwt.MapClaims) { delete(c, "exp") }, "TOKEN_INVALID", 4201},
		"another's issue":   {func(c jwt.MapClaims) { c["iss"] = "other" }, "TOKEN_INVALID", 4201},
		"for somebody else": {func(c jwt.MapClaims) { c["aud"] = "other" }, "TOKEN_INVALID", 4201},
		"of nobody":         {func(c jwt.MapClaims) { delete(c, "sub") }, "TOKEN_INVALID", 4201},
		"of no session":     {func(c jwt.MapClaims) { delete(c, "sid") }, "TOKEN_INVALID", 4201},
		"not for clients":   {func(c jwt.MapClaims) { c["scope"] = "server" }, "SCOPE_MISSING", 4301},
	}
	l := newLab(t, nil)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := l.connect(dialect.JSON)
			p.t = t
			p.say(`{"rid":1,"hello":{"access_token":"` + l.identity.token(t, "k1", "usr_ann", "ses_1", test.spoil) + `"}}`)
			p.closed(test.code, test.reason)
		})
	}
}

func TestForgedTokens(t *testing.T) {
	l := newLab(t, nil)
	good := l.token("usr_ann")
	head, rest, _ := strings.Cut(good, ".")
	claims, signature, _ := strings.Cut(rest, ".")
	none := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"sub": "usr_ann", "sid": "s", "iss": "worldmesh", "aud": "worldmesh"})
	unsigned, _ := none.SignedString(jwt.UnsafeAllowNoneSignatureType)
	symmetric := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "usr_ann"})
	symmetric.Header["kid"] = "k1"
	hmac, _ := symmetric.SignedString([]byte("k1"))
	for name, token := range map[string]string{
		"another signature": head + "." + claims + "." + strings.Repeat("A", len(signature)),
		"no signature":      head + "." + claims + ".",
		"algorithm none":    unsigned,
		"a symmetric one":   hmac,
		"no token":          "x",
	} {
		t.Run(name, func(t *testing.T) {
			p := l.connect(dialect.JSON)
			p.t = t
			p.say(`{"hello":{"access_token":"` + token + `"}}`)
			p.closed(4201, "TOKEN_INVALID")
		})
	}
}

func TestTokensAreJudgedByTheClockThatTheyWereIssuedBy(t *testing.T) {
	for _, ahead := range []time.Duration{-5 * time.Minute, 5 * time.Minute} {
		t.Run(ahead.String(), func(t *testing.T) {
			l := newLab(t, nil)
			l.identity.ahead.Store(int64(ahead))
			p := l.connect(dialect.JSON)
			p.say(`{"hello":{"access_token":"` + l.token("usr_ann") + `"}}`)
			var heard struct {
				Welcome struct {
					Left int `json:"token_expires_in_ms"`
				} `json:"welcome"`
			}
			if err := json.Unmarshal([]byte(p.hears("welcome")), &heard); err != nil {
				t.Fatal(err)
			}
			if left := heard.Welcome.Left; left < 50_000 || left > 65_000 {
				t.Errorf("a token of a minute is good for %d ms", left)
			}
			p = l.connect(dialect.JSON)
			p.say(`{"hello":{"access_token":"` + l.identity.token(t, "k1", "usr_eve", "ses_e", func(claims jwt.MapClaims) {
				claims["exp"] = time.Now().Add(ahead - 10*time.Second).Unix()
			}) + `"}}`)
			p.closed(4202, "TOKEN_EXPIRED")
		})
	}
}

func TestKeysWithoutATimeAreNotTaken(t *testing.T) {
	identity := &fakeIdentity{keys: map[string]ed25519.PrivateKey{}}
	identity.addKey("k1")
	identity.mute.Store(true)
	k := newKeys(answering{fake: identity})
	if key, err := k.get(t.Context(), "k1"); err == nil {
		t.Errorf("took %x, and tokens would be good for ever", key)
	}
}

// answering is identity without a network.
type answering struct {
	identityv1.IdentityServiceClient
	fake *fakeIdentity
	// before is done first, if there is something to do: an error is the answer.
	before func(context.Context) error
}

func (a answering) GetJwks(
	ctx context.Context, request *identityv1.GetJwksRequest, _ ...grpc.CallOption,
) (*identityv1.GetJwksResponse, error) {
	if a.before != nil {
		if err := a.before(ctx); err != nil {
			return nil, err
		}
	}
	return a.fake.GetJwks(ctx, request)
}

func TestTokensAreCheckedInTurnsButDoNotWaitForKeysInThem(t *testing.T) {
	fake := &fakeIdentity{keys: map[string]ed25519.PrivateKey{}}
	fake.addKey("k1")
	turns := socket.NewTurns(1)
	identity := answering{fake: fake, before: func(context.Context) error {
		turns.Take()() // can answer only while nobody has the turn
		return nil
	}}
	tokens := newTokens(identity, newRevocations(identity, slog.New(slog.DiscardHandler)), turns)
	token := fake.token(t, "k1", "usr_ann", "ses_1", nil)
	if _, refused := tokens.check(t.Context(), token); refused != 0 { // asks for the key
		t.Fatalf("refused: %v", refused)
	}
	rest := turns.Take()
	checked := make(chan commonv1.ErrorReason)
	go func() {
		_, refused := tokens.check(t.Context(), token)
		checked <- refused
	}()
	for turns.Waiting() == 0 {
		time.Sleep(time.Millisecond)
	}
	rest()
	if refused := <-checked; refused != 0 {
		t.Errorf("refused: %v", refused)
	}
	if _, refused := tokens.check(t.Context(), "x"); refused != commonv1.ErrorReason_ERROR_REASON_TOKEN_INVALID {
		t.Errorf("refused: %v", refused)
	}
	turns.Take() // or waits for good
}

func TestMadeUpKeysCostIdentityNothing(t *testing.T) {
	l := newLab(t, nil)
	l.enter("usr_ann", "")
	looks := l.identity.looks.Load()
	for i := range 20 {
		kid := fmt.Sprintf("made-up-%d", i)
		l.identity.addKey(kid)
		token := l.identity.token(t, kid, "usr_eve", "ses_e", nil)
		l.identity.mu.Lock()
		delete(l.identity.keys, kid)
		l.identity.mu.Unlock()
		p := l.connect(dialect.JSON)
		p.say(`{"hello":{"access_token":"` + token + `"}}`)
		p.closed(4201, "TOKEN_INVALID")
	}
	if more := l.identity.looks.Load() - looks; more > 1 {
		t.Errorf("identity was asked %d times", more)
	}
}

func TestARotatedKeyIsFound(t *testing.T) {
	l := newLab(t, nil)
	l.enter("usr_ann", "")
	l.identity.addKey("k2")
	l.tokens.keys.mu.Lock()
	l.tokens.keys.looked = time.Now().Add(-keyFloor)
	l.tokens.keys.mu.Unlock()
	p := l.connect(dialect.JSON)
	p.say(`{"hello":{"access_token":"` + l.identity.token(t, "k2", "usr_bob", "ses_b", nil) + `"}}`)
	p.hears("welcome")
}

func TestTheNextKeyIsKnownBeforeItSigns(t *testing.T) {
	const publishedAhead = time.Minute // as docs/identity.md has it
	synctest.Test(t, func(t *testing.T) {
		identity := &fakeIdentity{keys: map[string]ed25519.PrivateKey{}}
		identity.addKey("k1")
		k := newKeys(answering{fake: identity})
		ctx, end := context.WithCancel(t.Context())
		go k.run(ctx)
		if _, err := k.get(ctx, "k1"); err != nil {
			t.Fatal(err)
		}
		identity.addKey("k2")
		time.Sleep(publishedAhead)
		synctest.Wait()
		if _, err := k.find("k2"); err != nil {
			t.Error(err)
		}
		end()
		synctest.Wait()
	})
}

func TestKnownKeysDoNotWaitForIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hangs atomic.Bool
		identity := answering{fake: &fakeIdentity{keys: map[string]ed25519.PrivateKey{}}, before: func(ctx context.Context) error {
			if !hangs.Load() {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}}
		identity.fake.addKey("k1")
		k := newKeys(identity)
		ctx, end := context.WithCancel(t.Context())
		go k.run(ctx)
		if _, err := k.get(ctx, "k1"); err != nil {
			t.Fatal(err)
		}
		hangs.Store(true)
		for range 100 {
			time.Sleep(time.Second)
			asked := time.Now()
			if _, err := k.get(ctx, "k1"); err != nil || time.Since(asked) > 0 {
				t.Fatalf("after %v: %v", time.Since(asked), err)
			}
		}
		if _, err := k.get(ctx, "k2"); !errors.Is(err, errKeysUnavailable) {
			t.Errorf("of an unknown key: %v", err)
		}
		end()
		synctest.Wait()
	})
}

func TestWithoutIdentityClientsAreToldToComeBackLater(t *testing.T) {
	l := newLab(t, nil)
	l.identity.down.Store(true)
	for range 2 { // also within the floor between two looks
		p := l.connect(dialect.JSON)
		p.say(`{"hello":{"access_token":"` + l.token("usr_ann") + `"}}`)
		p.closed(4102, "UNAVAILABLE")
	}
}

func TestARevokedSessionIsOutWithinASecond(t *testing.T) {
	l := newLab(t, nil)
	ann, bob := l.enter("usr_ann", ""), l.enter("usr_bob", "")
	l.until("the gateway listens", func() bool {
		l.identity.mu.Lock()
		defer l.identity.mu.Unlock()
		return len(l.identity.watchers) == 1
	})
	start := time.Now()
	l.identity.revoke("ses_usr_ann")
	ann.closed(4203, "SESSION_REVOKED")
	if took := time.Since(start); took > time.Second {
		t.Errorf("it took %v", took)
	}
	again := l.connect(dialect.JSON)
	again.say(`{"hello":{"access_token":"` + l.token("usr_ann") + `"}}`)
	again.closed(4203, "SESSION_REVOKED")
	bob.say(`{"rid":3,"ping":{}}`)
	bob.hears("pong")
}

func TestRevocationsAreForgottenInTimeButNotLookedThroughForEachNewOne(t *testing.T) {
	r := newRevocations(nil, slog.New(slog.DiscardHandler))
	r.remember("ses_first")
	r.until["ses_old"] = time.Now().Add(-time.Second)
	r.remember("ses_new")
	if len(r.until) != 3 {
		t.Error("all were looked through for a new one")
	}
	r.forgot = time.Now().Add(-forgetEvery)
	r.remember("ses_newer")
	if _, ok := r.until["ses_old"]; ok || len(r.until) != 3 {
		t.Errorf("%v are remembered", r.until)
	}
	if !r.has("ses_first") || !r.has("ses_newer") || r.has("ses_old") {
		t.Error("a revoked session is taken for a good one, or the other way round")
	}
}

func TestARefreshedTokenMustBeOfTheSameSession(t *testing.T) {
	l := newLab(t, nil)
	ann := l.enter("usr_ann", "")
	ann.say(`{"rid":5,"refresh":{"access_token":"` + l.token("usr_bob") + `"}}`)
	ann.hears(`"rid":5,"error":{"reason":"TOKEN_INVALID"`)
	ann.say(`{"rid":6,"refresh":{"access_token":"` + l.token("usr_ann") + `"}}`)
	ann.hears(`"rid":6,"ok"`)
}

func TestBadFrames(t *testing.T) {
	l := newLab(t, nil)
	tests := map[string]struct {
		frame  string
		code   ws.StatusCode
		reason string
	}{
		"before hello":     {`{"rid":1,"leave":{}}`, 1008, "HELLO_EXPECTED"},
		"malformed":        {`{"rid":1`, 1008, "FRAME_MALFORMED"},
		"a name too long":  {`{"hello":{"access_token":"x","device_name":"` + strings.Repeat("x", 65) + `"}}`, 1008, "INVALID_FIELD"},
		"large, too early": {`{"hello":{"access_token":"` + strings.Repeat("x", 5000) + `"}}`, 1009, "FRAME_TOO_LARGE"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := l.connect(dialect.JSON)
			p.t = t
			p.say(test.frame)
			p.closed(test.code, test.reason)
		})
	}
	t.Run("an unknown kind costs nothing", func(t *testing.T) {
		p := l.enter("usr_ann", "")
		p.say(`{"rid":4,"dance":{}}`)
		p.hears(`"rid":4,"error":{"reason":"FRAME_UNKNOWN"`)
		p.say(`{"rid":5,"ping":{}}`)
		p.hears("pong")
	})
	t.Run("a large frame that is no call", func(t *testing.T) {
		p := l.enter("usr_ann", "")
		p.say(`{"rid":4,"chat":{"text":"` + strings.Repeat("x", 5000) + `"}}`)
		p.closed(1009, "FRAME_TOO_LARGE")
	})
	t.Run("anything larger", func(t *testing.T) {
		p := l.enter("usr_ann", "")
		p.say(`{"rid":4,"call":{"method":"` + strings.Repeat("x", 70_000) + `"}}`)
		p.closed(1009, "FRAME_TOO_LARGE")
	})
}

func TestAFloodIsToldSoThenClosed(t *testing.T) {
	l := newLab(t, nil)
	p := l.enter("usr_eve", "")
	go func() {
		for range 1000 {
			if _, err := p.conn.Write(ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte(`{"rid":7,"ping":{}}`))))); err != nil {
				return
			}
		}
	}()
	refused := 0
	for {
		message, code := p.next()
		if code == 4101 {
			break
		}
		if strings.Contains(string(message), "RATE_LIMITED") {
			refused++
		}
	}
	if refused < 100 {
		t.Errorf("only %d frames were refused before the end", refused)
	}
}
