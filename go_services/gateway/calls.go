package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	optionsv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/options/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/gateway/session"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
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
	marshal protojson.MarshalOptions
	parse   protojson.UnmarshalOptions
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
	types := dynamicpb.NewTypes(files)
	c := &caller{
		mesh: mesh, methods: map[string]callable{},
		marshal: protojson.MarshalOptions{UseProtoNames: true, Resolver: types},
		parse:   protojson.UnmarshalOptions{Resolver: types},
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

// answer is a message for the socket, in its dialect.
type answer struct {
	kind    clientv1.ServerBody
	message []byte
}

// answer makes one RPC on behalf of a user; the answer tells its response or its error. The error that it returns
// itself is a defect.
func (c *caller) answer(ctx context.Context, user session.User, d dialect.Dialect, rid uint32, body dialect.Call) (answer, error) {
	message, err := c.call(ctx, user, d, rid, body)
	if err == nil {
		return answer{clientv1.ServerBodyCallResult, message}, nil
	}
	message, err = c.failure(d, rid, err)
	return answer{clientv1.ServerBodyError, message}, err
}

func (c *caller) call(ctx context.Context, user session.User, d dialect.Dialect, rid uint32, body dialect.Call) ([]byte, error) {
	target, ok := c.methods[strings.TrimPrefix(body.Method, "/")]
	if !ok {
		return nil, kit.NewError(codes.Unimplemented, commonv1.ErrorReason_ERROR_REASON_METHOD_NOT_FOUND,
			"no method of that name that a client may call")
	}
	if target.method.IsStreamingClient() || target.method.IsStreamingServer() {
		return nil, kit.NewError(codes.Unimplemented, commonv1.ErrorReason_ERROR_REASON_METHOD_STREAMING,
			"streaming methods can not be called over the socket")
	}
	request := dynamicpb.NewMessage(target.method.Input())
	if err := c.decode(d, body.Payload, request); err != nil {
		return nil, kit.NewError(codes.InvalidArgument, commonv1.ErrorReason_ERROR_REASON_PAYLOAD_MALFORMED,
			"the payload is no "+string(target.method.Input().FullName()))
	}
	ctx, cancel := context.WithTimeout(ctx, target.timeout)
	defer cancel()
	ctx = kit.OnBehalfOf(ctx, kit.User{
		ID: user.ID, SessionID: user.SessionID, Username: user.Username, Kind: user.Kind, Scopes: user.Scopes,
	})
	method := kit.FullMethod(target.method)
	if d == dialect.FlatBuffers {
		var response []byte
		if err := c.mesh.Invoke(ctx, method, body.Payload, &response, grpc.ForceCodecV2(rawCodec{})); err != nil {
			return nil, err
		}
		return frames.NewEncoder().CallResult(rid, response), nil
	}
	response := dynamicpb.NewMessage(target.method.Output())
	if err := c.mesh.Invoke(ctx, method, request, response); err != nil {
		return nil, err
	}
	payload, err := c.marshal.Marshal(response)
	if err != nil {
		return nil, err
	}
	return dialect.JSONCallResult(rid, payload), nil
}

func (c *caller) decode(d dialect.Dialect, payload []byte, into proto.Message) error {
	if d == dialect.FlatBuffers {
		return proto.Unmarshal(payload, into)
	}
	if len(payload) == 0 {
		return nil
	}
	return c.parse.Unmarshal(payload, into)
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
	return dialect.JSONError(rid, body, raw), nil
}

// retryAfter is when a client should try again what somebody could not do who did not say when.
const retryAfter = time.Second

// errorFrame is an error of any service as clients see it.
func errorFrame(err error) frames.Error {
	st := kit.StatusOf(err)
	e := frames.Error{Reason: kit.ReasonName(kit.ReasonOf(err)), Message: st.Message(), Code: int32(st.Code())}
	for _, d := range st.Details() {
		if retry, ok := d.(*errdetails.RetryInfo); ok {
			e.RetryAfterMS = uint32(retry.GetRetryDelay().AsDuration().Milliseconds())
		}
	}
	if st.Code() == codes.Unavailable && e.RetryAfterMS == 0 { // the way to the mesh is gone, for one: nobody was there to say it
		e.RetryAfterMS = uint32(retryAfter.Milliseconds())
	}
	return e
}

// rawCodec passes Protobuf through as it is: []byte out, *[]byte in.
type rawCodec struct{}

var _ encoding.CodecV2 = rawCodec{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	raw, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("raw codec: %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(raw)}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	raw, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("raw codec: %T", v)
	}
	*raw = data.Materialize()
	return nil
}
