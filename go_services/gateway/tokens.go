package gateway

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	identityv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/identity/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/session"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

const (
	tokenIssuer   = "worldmesh"
	tokenAudience = "worldmesh"
	// tokenLeeway forgives clocks that differ a little.
	tokenLeeway = 5 * time.Second
	// keyFloor is the least time between two looks at identity's keys, so that tokens with made-up key ids cost
	// identity nothing.
	keyFloor = 2 * time.Second
	// keyTimeout bounds one look.
	keyTimeout = 2 * time.Second
)

// tokens checks access tokens by identity's public keys.
type tokens struct {
	identity identityv1.IdentityServiceClient
	parser   *jwt.Parser
	revoked  *revocations

	mu     sync.Mutex
	keys   map[string]ed25519.PublicKey
	looked time.Time
}

func newTokens(identity identityv1.IdentityServiceClient, revoked *revocations) *tokens {
	return &tokens{identity: identity, revoked: revoked, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}),
		jwt.WithIssuer(tokenIssuer), jwt.WithAudience(tokenAudience),
		jwt.WithExpirationRequired(), jwt.WithLeeway(tokenLeeway),
	)}
}

type claims struct {
	jwt.RegisteredClaims
	SessionID string `json:"sid"`
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	Scope     string `json:"scope"`
}

var errKeysUnavailable = errors.New("identity's keys can not be had")

// check says who a token speaks for, or why it does not.
func (t *tokens) check(ctx context.Context, raw string) (session.Token, commonv1.ErrorReason) {
	var c claims
	_, err := t.parser.ParseWithClaims(raw, &c, func(token *jwt.Token) (any, error) {
		kid, _ := token.Header["kid"].(string)
		return t.key(ctx, kid)
	})
	switch {
	case errors.Is(err, errKeysUnavailable):
		return session.Token{}, commonv1.ErrorReason_ERROR_REASON_UNAVAILABLE
	case errors.Is(err, jwt.ErrTokenExpired):
		return session.Token{}, commonv1.ErrorReason_ERROR_REASON_TOKEN_EXPIRED
	case err != nil || c.Subject == "" || c.SessionID == "":
		return session.Token{}, commonv1.ErrorReason_ERROR_REASON_TOKEN_INVALID
	case t.revoked.has(c.SessionID):
		return session.Token{}, commonv1.ErrorReason_ERROR_REASON_SESSION_REVOKED
	}
	return session.Token{
		User: session.User{
			User:      frames.User{ID: c.Subject, Username: c.Name, Bot: c.Kind == "bot"},
			SessionID: c.SessionID, Kind: c.Kind, Scopes: strings.Fields(c.Scope),
		},
		Expires: c.ExpiresAt.Time,
	}, commonv1.ErrorReason_ERROR_REASON_UNSPECIFIED
}

// key finds a public key; an unknown one makes it look again, for identity rotates its keys.
func (t *tokens) key(ctx context.Context, kid string) (ed25519.PublicKey, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if key := t.keys[kid]; key != nil {
		return key, nil
	}
	if time.Since(t.looked) >= keyFloor {
		if err := t.look(ctx); err != nil {
			return nil, errors.Join(errKeysUnavailable, err)
		}
	}
	if key := t.keys[kid]; key != nil {
		return key, nil
	}
	return nil, jwt.ErrTokenUnverifiable
}

// prime tries until it has keys: a gateway without them can let nobody in.
func (t *tokens) prime(ctx context.Context) error {
	wait := backoff{least: 50 * time.Millisecond, most: time.Second}
	for ctx.Err() == nil {
		t.mu.Lock()
		err := t.look(ctx)
		t.mu.Unlock()
		if err == nil {
			return nil
		}
		wait.sleep(ctx)
	}
	return ctx.Err()
}

func (t *tokens) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, keyTimeout)
	defer cancel()
	response, err := t.identity.GetJwks(ctx, &identityv1.GetJwksRequest{})
	if err != nil {
		return err
	}
	t.looked = time.Now()
	t.keys = make(map[string]ed25519.PublicKey, len(response.GetKeys()))
	for _, k := range response.GetKeys() {
		x, err := base64.RawURLEncoding.DecodeString(k.GetX())
		if err == nil && len(x) == ed25519.PublicKeySize && k.GetCrv() == "Ed25519" {
			t.keys[k.GetKid()] = x
		}
	}
	return nil
}
