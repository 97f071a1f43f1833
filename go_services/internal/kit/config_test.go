package kit

import (
	"strings"
	"testing"
)

func TestSettingsThatAreMissingOrWrongAreNamedInOneLine(t *testing.T) {
	good := map[string]string{
		"WORLDMESH_SERVICE": "relay", "WORLDMESH_INSTANCE": "relay-0", "WORLDMESH_GRPC_ADDR": "127.0.0.1:0",
		"WORLDMESH_ADMIN_ADDR": "127.0.0.1:0", "WORLDMESH_MESH_ADDR": "127.0.0.1:1", "WORLDMESH_TLS_DIR": "/tls",
	}
	for _, c := range []struct{ name, variable, value string }{
		{"missing", "WORLDMESH_SERVICE", ""},
		{"not one of the environments", "WORLDMESH_ENVIRONMENT", "staging"},
		{"not a number", "WORLDMESH_DRAIN_SECONDS", "soon"},
		{"no time", "WORLDMESH_DRAIN_SECONDS", "-1"},
		{"for ever", "WORLDMESH_DRAIN_SECONDS", "inf"},
		{"not a whole number, in the settings of one service", "WORLDMESH_OWN_BYTES", "many"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for k, v := range good {
				t.Setenv(k, v)
			}
			t.Setenv(c.variable, c.value)
			_, err := ParseConfig[struct {
				Config

				OwnBytes int `env:"WORLDMESH_OWN_BYTES" envDefault:"1"`
			}]()
			if err == nil || !strings.Contains(err.Error(), c.variable) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("the error is %v", err)
			}
		})
	}
}

func TestProductionIsTheDefault(t *testing.T) {
	for _, k := range []string{"SERVICE", "INSTANCE", "GRPC_ADDR", "ADMIN_ADDR", "MESH_ADDR", "TLS_DIR"} {
		t.Setenv("WORLDMESH_"+k, "x")
	}
	cfg, err := ParseConfig[Config]()
	if err != nil || cfg.Environment != Production || cfg.Drain().Seconds() != 25 {
		t.Fatalf("%+v, %v", cfg, err)
	}
}
