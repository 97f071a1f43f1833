package gateway

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"google.golang.org/grpc/codes"
)

// page is where a list of sessions goes on. Each instance lists its own, and Envoy may bring the next call to another:
// so a token says whose list it is of, and which.
type page struct {
	Instance string `json:"instance"`
	RoomID   string `json:"room_id"`
	// After is the last session of the page before.
	After string `json:"after"`
}

func (p page) token() string {
	raw, _ := json.Marshal(p) // texts alone: it can not fail
	return base64.RawURLEncoding.EncodeToString(raw)
}

// readPage reads the token of a page that this instance is asked for; the empty one is of the first page.
func readPage(token, instance, roomID string) (page, error) {
	p := page{Instance: instance, RoomID: roomID}
	if token == "" {
		return p, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || json.Unmarshal(raw, &p) != nil || p.RoomID != roomID {
		return p, invalidPage("the page token is not of this query; start again without one")
	}
	if p.Instance != instance {
		return p, invalidPage(fmt.Sprintf("the page token is of %s, and %s has answered: call again until %s does, "+
			"or start again without one", p.Instance, instance, p.Instance))
	}
	return p, nil
}

func invalidPage(message string) error {
	return kit.NewError(codes.InvalidArgument, commonv1.ErrorReason_ERROR_REASON_INVALID_PAGE_TOKEN, message)
}
