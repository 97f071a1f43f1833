package kit

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// Environment says how strict a service must be about conveniences of development.
type Environment string

// The environments. Production is the default, so that a forgotten setting is the safe one.
const (
	Development Environment = "development"
	Production  Environment = "production"
)

// UnmarshalText refuses environments that are not known.
func (e *Environment) UnmarshalText(text []byte) error {
	switch v := Environment(text); v {
	case Development, Production:
		*e = v
		return nil
	default:
		return fmt.Errorf("%q is neither development nor production", text)
	}
}

// Seconds is how long something may take.
type Seconds float64

// UnmarshalText refuses what is no time.
func (s *Seconds) UnmarshalText(text []byte) error {
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !(v >= 0 && v <= math.MaxInt32) {
		return fmt.Errorf("%q is no number of seconds", text)
	}
	*s = Seconds(v)
	return nil
}

// Config holds the settings that every service has. Services embed it in their own.
type Config struct {
	// Service is the name in the service catalogue, for example `relay`.
	Service string `env:"WORLDMESH_SERVICE,required,notEmpty"`
	// Instance is unique in the mesh, for example `relay-0`.
	Instance string `env:"WORLDMESH_INSTANCE,required,notEmpty"`
	// Environment is development or production.
	Environment Environment `env:"WORLDMESH_ENVIRONMENT" envDefault:"production"`
	// GRPCAddr is where the mTLS gRPC server listens, as host:port.
	GRPCAddr string `env:"WORLDMESH_GRPC_ADDR,required,notEmpty"`
	// AdminAddr is where metrics, health and profiles are served by plain HTTP, as host:port.
	AdminAddr string `env:"WORLDMESH_ADMIN_ADDR,required,notEmpty"`
	// MeshAddr is the mesh Envoy through which every other service is reached.
	MeshAddr string `env:"WORLDMESH_MESH_ADDR,required,notEmpty"`
	// TLSDir holds tls.pem, tls.key and proxies-ca.pem.
	TLSDir string `env:"WORLDMESH_TLS_DIR,required,notEmpty"`
	// LogLevel is debug, info, warn or error.
	LogLevel string `env:"WORLDMESH_LOG_LEVEL" envDefault:"info"`
	// DrainSeconds bounds how long a stop may take.
	DrainSeconds Seconds `env:"WORLDMESH_DRAIN_SECONDS" envDefault:"25"`
	// ClockOffset is for tests: by how much the wall clock is wrong, in seconds. Refused in production.
	ClockOffset float64 `env:"WORLDMESH_CLOCK_OFFSET_SECONDS"`
	// OTLPEndpoint is where spans go by OTLP over gRPC; empty: spans are propagated and not exported.
	OTLPEndpoint string `env:"OTEL_EXPORTER_OTLP_ENDPOINT"`
}

// WallClock tells the time as others are told it. It may jump, and differ from that of other machines: what lasts for a
// while here is measured by time.Since.
func (c Config) WallClock() time.Time {
	return time.Now().Round(0).Add(time.Duration(c.ClockOffset * float64(time.Second)))
}

// Drain is DrainSeconds as a duration.
func (c Config) Drain() time.Duration {
	return time.Duration(float64(c.DrainSeconds) * float64(time.Second))
}

// ParseConfig reads settings of type T from the environment. The error is one line that names every variable that
// is missing or wrong.
func ParseConfig[T any]() (T, error) {
	cfg, err := env.ParseAs[T]()
	if err == nil {
		return cfg, nil
	}
	var all env.AggregateError
	if !errors.As(err, &all) {
		return cfg, err
	}
	parts := make([]string, 0, len(all.Errors))
	for _, e := range all.Errors {
		var wrong env.ParseError
		if errors.As(e, &wrong) {
			e = fmt.Errorf("%s: %w", variableOf(reflect.TypeFor[T](), wrong.Name), wrong.Err)
		}
		parts = append(parts, e.Error())
	}
	return cfg, fmt.Errorf("settings: %s", strings.Join(parts, "; "))
}

// variableOf is the variable that a field is read from; the field's name if it is read from none.
func variableOf(settings reflect.Type, field string) string {
	f, ok := settings.FieldByName(field) // of embedded settings too
	if !ok {
		return field
	}
	variable, _, _ := strings.Cut(f.Tag.Get("env"), ",")
	return cmp.Or(variable, field)
}
