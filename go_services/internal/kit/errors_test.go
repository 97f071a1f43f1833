package kit

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestAnErrorCarriesReasonFieldsAndDelayOverTheWire(t *testing.T) {
	e := NewError(codes.InvalidArgument, commonv1.ErrorReason_ERROR_REASON_INVALID_FIELD, "no", "key", "value").After(time.Second)
	e.Fields = []*errdetails.BadRequest_FieldViolation{{Field: "room_id"}}
	st := e.GRPCStatus()
	if st.Code() != codes.InvalidArgument || st.Message() != "no" || len(st.Details()) != 3 {
		t.Fatalf("the status is %v", st)
	}
	info, ok := st.Details()[0].(*errdetails.ErrorInfo)
	if !ok || info.GetReason() != "INVALID_FIELD" || info.GetDomain() != "worldmesh" || info.GetMetadata()["key"] != "value" {
		t.Fatalf("the info is %v", st.Details()[0])
	}
	if d, ok := st.Details()[2].(*errdetails.RetryInfo); !ok || d.GetRetryDelay().AsDuration() != time.Second {
		t.Fatalf("the delay is %v", st.Details()[2])
	}
}

func TestReasonOf(t *testing.T) {
	own := NewError(codes.ResourceExhausted, commonv1.ErrorReason_ERROR_REASON_ROOM_FULL, "full")
	foreign, err := status.New(codes.Unimplemented, "x").WithDetails(&errdetails.ErrorInfo{Reason: "ROOM_FULL", Domain: "elsewhere"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		err  error
		want commonv1.ErrorReason
	}{
		{"of ours, wrapped", fmt.Errorf("join: %w", own), commonv1.ErrorReason_ERROR_REASON_ROOM_FULL},
		{"over the wire", own.GRPCStatus().Err(), commonv1.ErrorReason_ERROR_REASON_ROOM_FULL},
		{"of another domain", foreign.Err(), commonv1.ErrorReason_ERROR_REASON_METHOD_NOT_FOUND},
		{"a deadline", context.DeadlineExceeded, commonv1.ErrorReason_ERROR_REASON_DEADLINE_EXCEEDED},
		{"a proxy's", status.Error(codes.Unavailable, "upstream"), commonv1.ErrorReason_ERROR_REASON_UNAVAILABLE},
		{"anything", errors.New("disk"), commonv1.ErrorReason_ERROR_REASON_INTERNAL},
	} {
		if got := ReasonOf(c.err); got != c.want {
			t.Errorf("%s: %s, not %s", c.name, got, c.want)
		}
	}
}
