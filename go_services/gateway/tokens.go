package gateway

import (
	"context"
	"crypto/ed25519"
	"errors"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	identityv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/identity/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/session"
	"github.com/worldmesh/worldmesh/go_services/gateway/socket"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

const (
	tokenIssuer   = "worldmesh"
	tokenAudience = "worldmesh"
	// tokenLeeway forgives the time that identity's answer, which says what time it is, was under way.
	tokenLeeway = 5 * time.Second
)

// tokens checks access tokens by identity's public keys.
type tokens struct {
	parser  *jwt.Parser
	keys    *keys
	revoked *revocations
	turns   *socket.Turns
}

func newTokens(identity identityv1.IdentityServiceClient, revoked *revocations, turns *socket.Turns) *tokens {
	keys := newKeys(identity)
	return &tokens{keys: keys, revoked: revoked, turns: turns, parser: jwt.NewParser(
		jwt.WithTimeFunc(keys.now),
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

// check says who a token speaks for, or why it does not.
func (t *tokens) check(ctx context.Context, raw string) (session.Token, commonv1.ErrorReason) {
	c, err := t.checkInTurn(raw)
	if errors.Is(err, errKeyNotKnown) {
		c, err = t.parse(raw, func(kid string) (ed25519.PublicKey, error) { return t.keys.get(ctx, kid) })
	}
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
		Expires: time.Now().Add(c.ExpiresAt.Sub(t.keys.now())),
	}, commonv1.ErrorReason_ERROR_REASON_UNSPECIFIED
}

// checkInTurn is for all tokens but those whose key must be asked for first, which nobody may wait for in a turn.
func (t *tokens) checkInTurn(raw string) (claims, error) {
	defer t.turns.Take()()
	return t.parse(raw, t.keys.find)
}

func (t *tokens) parse(raw string, key func(id string) (ed25519.PublicKey, error)) (c claims, err error) {
	_, err = t.parser.ParseWithClaims(raw, &c, func(token *jwt.Token) (any, error) {
		kid, _ := token.Header["kid"].(string)
		return key(kid)
	})
	return c, err
}
