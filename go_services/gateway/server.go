package gateway

import (
	"cmp"
	"context"
	"slices"

	gatewayv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/gateway/v1"
)

// defaultPage is how many sessions a page holds if the caller does not say.
const defaultPage = 100

// server is worldmesh.gateway.v1.GatewayService.
type server struct {
	gatewayv1.UnimplementedGatewayServiceServer
	gateway *Gateway
}

// ListSessions lists this instance's sessions in order of their ids.
func (s *server) ListSessions(
	_ context.Context, request *gatewayv1.ListSessionsRequest,
) (*gatewayv1.ListSessionsResponse, error) {
	from, err := readPage(request.GetPageToken(), s.gateway.cfg.Instance, request.GetRoomId())
	if err != nil {
		return nil, err
	}
	size := int(request.GetPageSize())
	if size == 0 {
		size = defaultPage
	}
	var sessions []*gatewayv1.GatewaySession
	for _, c := range s.gateway.all() {
		view := c.view()
		wanted := request.GetRoomId() == "" || request.GetRoomId() == view.GetRoomId()
		if wanted && view.GetUserId() != "" && view.GetGatewaySessionId() > from.After {
			sessions = append(sessions, view)
		}
	}
	slices.SortFunc(sessions, func(a, b *gatewayv1.GatewaySession) int {
		return cmp.Compare(a.GetGatewaySessionId(), b.GetGatewaySessionId())
	})
	response := &gatewayv1.ListSessionsResponse{GatewayId: s.gateway.cfg.Instance, Sessions: sessions}
	if len(sessions) > size {
		response.Sessions = sessions[:size]
		from.After = sessions[size-1].GetGatewaySessionId()
		response.NextPageToken = from.token()
	}
	return response, nil
}
