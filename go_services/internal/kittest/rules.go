package kittest

import (
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Rules are what the contract says of a field of a message, for bounds that code has a constant of.
func Rules(t testing.TB, message proto.Message, field protoreflect.Name) *validate.FieldRules {
	t.Helper()
	f := message.ProtoReflect().Descriptor().Fields().ByName(field)
	if f == nil || !proto.HasExtension(f.Options(), validate.E_Field) {
		t.Fatalf("%T has no rules for %s", message, field)
	}
	rules, _ := proto.GetExtension(f.Options(), validate.E_Field).(*validate.FieldRules)
	return rules
}
