package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	optionsv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/options/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/gateway/session"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// callTimeout bounds calls whose contract sets no time.
const callTimeout = 10 * time.Second

// caller makes the RPCs that clients may make. What they may call it reads from the descriptor set: it knows no
// method by itself.
type caller struct {
	mesh    grpc.ClientConnInterface
	methods map[string]callable // by name as clients write it: `worldmesh.world.v1.WorldService/ListRooms`
	json    protojson.MarshalOptions
}

type callable struct {
	method  protoreflect.MethodDescriptor
	timeout time.Duration
}

func newCaller(mesh grpc.ClientConnInterface, descriptorSet string) (*caller, error) {
	files, err := readDescriptors(descriptorSet)
	if err != nil {
		return nil, err
	}
	c := &caller{
		mesh: mesh, methods: map[string]callable{},
		json: protojson.MarshalOptions{UseProtoNames: true, Resolver: dynamicpb.NewTypes(files)},
	}
	files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			c.addService(file.Services().Get(i))
		}
		return true
	})
	return c, nil
}

func readDescriptors(path string) (*protoregistry.Files, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("WORLDMESH_DESCRIPTOR_SET: %w", err)
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(raw, &set); err != nil {
		return nil, fmt.Errorf("WORLDMESH_DESCRIPTOR_SET: %s: %w", path, err)
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		return nil, fmt.Errorf("WORLDMESH_DESCRIPTOR_SET: %s: %w", path, err)
	}
	return files, nil
}

func (c *caller) addService(service protoreflect.ServiceDescriptor) {
	for i := range service.Methods().Len() {
		method := service.Methods().Get(i)
		policy := kit.PolicyOf(method)
		switch policy.GetExposure() {
		case optionsv1.Exposure_EXPOSURE_CLIENT, optionsv1.Exposure_EXPOSURE_PUBLIC:
			timeout := policy.GetTimeout().AsDuration()
			if timeout <= 0 {
				timeout = callTimeout
			}
			c.methods[kit.FullMethod(method)[1:]] = callable{method: method, timeout: timeout}
		}
	}
}

// call makes one RPC on behalf of a user and returns the answer in the socket's dialect.
func (c *caller) call(ctx context.Context, user session.User, d dialect.Dialect, rid uint32, body dialect.Call) ([]byte, error) {
	target, ok := c.methods[strings.TrimPrefix(body.Method, "/")]
	if !ok {
		return nil, kit.NewError(codes.NotFound, commonv1.ErrorReason_ERROR_REASON_METHOD_NOT_FOUND,
			"no method of that name that a client may call")
	}
	if target.method.IsStreamingClient() || target.method.IsStreamingServer() {
		return nil, kit.NewError(codes.Unimplemented, commonv1.ErrorReason_ERROR_REASON_METHOD_STREAMING,
			"streaming methods can not be called over the socket")
	}
	request, response := dynamicpb.NewMessage(target.method.Input()), dynamicpb.NewMessage(target.method.Output())
	if err := c.decode(d, body.Payload, request); err != nil {
		return nil, kit.NewError(codes.InvalidArgument, commonv1.ErrorReason_ERROR_REASON_PAYLOAD_MALFORMED,
			"the payload is no "+string(target.method.Input().FullName()))
	}
	ctx, cancel := context.WithTimeout(ctx, target.timeout)
	defer cancel()
	ctx = kit.OnBehalfOf(ctx, kit.User{
		ID: user.ID, SessionID: user.SessionID, Username: user.Username, Kind: user.Kind, Scopes: user.Scopes,
	})
	if err := c.mesh.Invoke(ctx, kit.FullMethod(target.method), request, response); err != nil {
		return nil, err
	}
	return c.encode(d, rid, response)
}

func (c *caller) decode(d dialect.Dialect, payload []byte, into proto.Message) error {
	if d == dialect.FlatBuffers {
		return proto.Unmarshal(payload, into)
	}
	if len(payload) == 0 {
		return nil
	}
	return protojson.Unmarshal(payload, into)
}

func (c *caller) encode(d dialect.Dialect, rid uint32, response proto.Message) ([]byte, error) {
	if d == dialect.JSON {
		payload, err := c.json.Marshal(response)
		if err != nil {
			return nil, err
		}
		return dialect.JSONCallResult(rid, payload)
	}
	payload, err := proto.Marshal(response)
	if err != nil {
		return nil, err
	}
	return frames.NewEncoder().CallResult(rid, payload), nil
}

// failure is the answer to a call that failed, with all details of its status.
func (c *caller) failure(d dialect.Dialect, rid uint32, err error) ([]byte, error) {
	body := errorFrame(err)
	st := kit.StatusOf(err).Proto()
	if d == dialect.FlatBuffers {
		raw, err := proto.Marshal(st)
		if err != nil {
			return nil, err
		}
		body.Status = raw
		return frames.NewEncoder().Error(rid, body), nil
	}
	details := make([]json.RawMessage, 0, len(st.GetDetails()))
	for _, any := range st.GetDetails() {
		if raw, err := protojson.Marshal(any); err == nil {
			details = append(details, raw)
		}
	}
	raw, err := json.Marshal(details)
	if err != nil {
		return nil, err
	}
	return dialect.JSONError(rid, body, raw)
}

// errorFrame is an error of any service as clients see it.
func errorFrame(err error) frames.Error {
	st := kit.StatusOf(err)
	e := frames.Error{Reason: kit.ReasonName(kit.ReasonOf(err)), Message: st.Message(), Code: int32(st.Code())}
	for _, d := range st.Details() {
		if retry, ok := d.(*errdetails.RetryInfo); ok {
			e.RetryAfterMS = uint32(retry.GetRetryDelay().AsDuration().Milliseconds())
		}
	}
	return e
}
