package kit

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc/metadata"
)

// The headers by which Envoy says who calls. It removes them from whatever comes in from outside.
const (
	HeaderCaller      = "x-worldmesh-caller"
	HeaderUserID      = "x-worldmesh-user-id"
	HeaderSessionID   = "x-worldmesh-session-id"
	HeaderUsername    = "x-worldmesh-username"
	HeaderAccountKind = "x-worldmesh-account-kind"
	HeaderScopes      = "x-worldmesh-scopes"
)

// The headers by which Envoy chooses an instance.
const (
	HeaderRoomID        = "x-room-id"
	HeaderPresenceShard = "x-presence-shard"
	// HeaderHost names an instance by its address; it goes before the hash.
	HeaderHost = "x-worldmesh-host"
)

// Caller is who calls: a service, and the user on whose behalf it does.
type Caller struct {
	// Service is the catalogue's name of the calling service, or `edge`.
	Service string
	// User is the signed-in user; its ID is empty if there is none.
	User User
}

// User is a signed-in account, as its token says.
type User struct {
	ID        string
	SessionID string
	Username  string
	// Kind is guest, person or bot.
	Kind   string
	Scopes []string
}

// HasScope says whether the user's token holds a scope.
func (u User) HasScope(scope string) bool { return slices.Contains(u.Scopes, scope) }

// spiffePrefix comes before a service's name in its certificate, and so in what Envoy says of it.
const spiffePrefix = "spiffe://worldmesh/"

type callerKey struct{}

// CallerOf is who made the call that ctx belongs to.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

func withCaller(ctx context.Context) context.Context {
	md, _ := metadata.FromIncomingContext(ctx)
	return context.WithValue(ctx, callerKey{}, Caller{
		Service: strings.TrimPrefix(first(md, HeaderCaller), spiffePrefix),
		User: User{
			ID:        first(md, HeaderUserID),
			SessionID: first(md, HeaderSessionID),
			Username:  first(md, HeaderUsername),
			Kind:      first(md, HeaderAccountKind),
			Scopes:    strings.Fields(first(md, HeaderScopes)),
		},
	})
}

// OnBehalfOf adds the headers that tell the next service for whom a call is made. Envoy passes them on only from
// services that act for clients.
func OnBehalfOf(ctx context.Context, u User) context.Context {
	return metadata.AppendToOutgoingContext(ctx,
		HeaderUserID, u.ID,
		HeaderSessionID, u.SessionID,
		HeaderUsername, u.Username,
		HeaderAccountKind, u.Kind,
		HeaderScopes, strings.Join(u.Scopes, " "),
	)
}

func first(md metadata.MD, key string) string {
	if values := md.Get(key); len(values) > 0 {
		return values[0]
	}
	return ""
}
