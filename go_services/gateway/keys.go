package gateway

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
	identityv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/identity/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
)

const (
	// keyFloor is the least time between two looks at identity's keys, so that tokens with made-up key ids cost
	// identity nothing.
	keyFloor = 2 * time.Second
	// keyAge is how old the keys may grow before they are looked at again: so that a key that was withdrawn is, and the
	// next one is known before it signs. Identity publishes it a minute ahead. Nobody waits for that.
	keyAge = 30 * time.Second
	// keyTimeout bounds one look.
	keyTimeout = 2 * time.Second
)

var (
	errKeysUnavailable = errors.New("identity's keys can not be had")
	errKeyNotKnown     = errors.New("identity is to be asked for its keys first")
)

// keys are identity's public keys, by their ids. Known ones are found without a lock; an unknown one makes it look
// again, for identity rotates its keys.
type keys struct {
	identity identityv1.IdentityServiceClient
	known    atomic.Pointer[keySet]

	mu     sync.Mutex // of those who look
	looked time.Time
	failed error // of the last look
}

type keySet struct {
	byID map[string]ed25519.PublicKey
	at   time.Time
	// server is identity's time at `at`.
	server time.Time
}

func newKeys(identity identityv1.IdentityServiceClient) *keys {
	k := &keys{identity: identity}
	k.known.Store(&keySet{})
	return k
}

// now is the time at identity. Tokens are judged by the clock that they were issued by: this machine's may be wrong, or
// jump.
func (k *keys) now() time.Time {
	set := k.known.Load()
	return set.server.Add(time.Since(set.at))
}

// find is a key that is known.
func (k *keys) find(id string) (ed25519.PublicKey, error) {
	if key := k.known.Load().byID[id]; key != nil {
		return key, nil
	}
	return nil, errKeyNotKnown
}

// get looks at identity's keys, if the key is not known.
func (k *keys) get(ctx context.Context, id string) (ed25519.PublicKey, error) {
	seen := k.known.Load()
	if key := seen.byID[id]; key != nil {
		return key, nil
	}
	err := k.look(ctx, seen)
	if key, now := k.find(id); now == nil {
		return key, nil
	}
	if err != nil {
		return nil, errors.Join(errKeysUnavailable, err)
	}
	return nil, jwt.ErrTokenUnverifiable
}

// run keeps the keys from growing old. While identity does not answer, those that are known are as good as can be had.
func (k *keys) run(ctx context.Context) {
	for wait := keyAge; kit.Sleep(ctx, wait) == nil; {
		if wait = keyAge; k.look(ctx, k.known.Load()) != nil {
			wait = keyFloor
		}
	}
}

// look asks identity, unless somebody else just did.
func (k *keys) look(ctx context.Context, seen *keySet) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known.Load() != seen || time.Since(k.looked) < keyFloor {
		return k.failed
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keyTimeout)
	defer cancel()
	response, err := k.identity.GetJwks(ctx, &identityv1.GetJwksRequest{})
	if err == nil {
		err = response.GetServerTime().CheckValid() // by no time at all, tokens would be good for ever
	}
	k.looked, k.failed = time.Now(), err
	if err == nil {
		k.known.Store(&keySet{
			byID: parseKeys(response.GetKeys()), at: k.looked, server: response.GetServerTime().AsTime(),
		})
	}
	return err
}

// prime tries until it has keys: a gateway without them can let nobody in.
func (k *keys) prime(ctx context.Context) error {
	wait := backoff{least: 50 * time.Millisecond, most: time.Second}
	for ctx.Err() == nil {
		if set := k.known.Load(); len(set.byID) > 0 || k.look(ctx, set) == nil && k.known.Load() != set {
			return nil
		}
		wait.sleep(ctx)
	}
	return ctx.Err()
}

// parseKeys takes the keys that we can use and leaves out others.
func parseKeys(jwks []*identityv1.Jwk) map[string]ed25519.PublicKey {
	byID := make(map[string]ed25519.PublicKey, len(jwks))
	for _, k := range jwks {
		x, err := base64.RawURLEncoding.DecodeString(k.GetX())
		if err == nil && len(x) == ed25519.PublicKeySize && k.GetKty() == "OKP" && k.GetCrv() == "Ed25519" {
			byID[k.GetKid()] = x
		}
	}
	return byID
}
