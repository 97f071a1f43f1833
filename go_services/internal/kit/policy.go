package kit

import (
	"strings"

	optionsv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/options/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Policies maps full method names as gRPC writes them (`/worldmesh.room.v1.RoomService/Attach`) to their policies.
type Policies map[string]*optionsv1.MethodPolicy

// FileRanger walks files of descriptors: protoregistry.Files is one.
type FileRanger interface {
	RangeFiles(func(protoreflect.FileDescriptor) bool)
}

// LoadPolicies reads the policy option of every method of every file.
func LoadPolicies(files FileRanger) Policies {
	policies := Policies{}
	files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				if p := PolicyOf(methods.Get(j)); p != nil {
					policies[FullMethod(methods.Get(j))] = p
				}
			}
		}
		return true
	})
	return policies
}

// PolicyOf is a method's policy, or nil if it has none.
func PolicyOf(method protoreflect.MethodDescriptor) *optionsv1.MethodPolicy {
	opts, ok := method.Options().(*descriptorpb.MethodOptions)
	if !ok || !proto.HasExtension(opts, optionsv1.E_Policy) {
		return nil
	}
	policy, ok := proto.GetExtension(opts, optionsv1.E_Policy).(*optionsv1.MethodPolicy)
	if !ok {
		return nil
	}
	return policy
}

// FullMethod is a method's name as gRPC writes it.
func FullMethod(method protoreflect.MethodDescriptor) string {
	full := string(method.FullName())
	dot := strings.LastIndexByte(full, '.')
	return "/" + full[:dot] + "/" + full[dot+1:]
}
