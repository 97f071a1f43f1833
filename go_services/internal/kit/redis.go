package kit

import (
	"context"
	"crypto/tls"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// RedisConfig holds the settings of a service that keeps something in Redis: one server, Sentinel or Cluster.
type RedisConfig struct {
	// RedisAddrs are the servers, as host:port: one; the sentinels, if RedisMaster is set; or some of a cluster.
	RedisAddrs []string `env:"WORLDMESH_REDIS_ADDRS,required,notEmpty"`
	// RedisMaster is the name by which Sentinel knows the server.
	RedisMaster string `env:"WORLDMESH_REDIS_MASTER"`
	// RedisCluster says that the servers are a cluster.
	RedisCluster bool `env:"WORLDMESH_REDIS_CLUSTER"`
	// RedisUsername and RedisPassword are what to sign in with.
	RedisUsername string `env:"WORLDMESH_REDIS_USERNAME"`
	RedisPassword string `env:"WORLDMESH_REDIS_PASSWORD,unset"`
	// RedisTLS encrypts the connections.
	RedisTLS bool `env:"WORLDMESH_REDIS_TLS"`
}

// redisConnections bounds those to each server. After as many failed dials the library dials once a second only, so that even
// who has little to say needs to be allowed so many to hear soon that a server is back.
const redisConnections = 64

var errRedisMode = errors.New("WORLDMESH_REDIS_MASTER and WORLDMESH_REDIS_CLUSTER exclude each other")

// clusterReload is how old the client's picture of a cluster may grow. A master that is gone redirects nobody: without
// looking again the client would dial it for as long as a minute after another has taken its place.
const clusterReload = time.Second

// silent drops what the library would print on standard error, a line a failed dial: callers get the error and log it.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// silence goes for the whole process, for the library has one logger; clients that run read it, so it is set before the first.
var silence = sync.OnceFunc(func() { redis.SetLogger(silent{}) })

// NewRedisClient makes a client that keeps so many connections to each server while it has nothing to say. It does not retry:
// who calls knows better, and has a deadline.
func NewRedisClient(cfg RedisConfig, idle int) (redis.UniversalClient, error) {
	if cfg.RedisCluster && cfg.RedisMaster != "" {
		return nil, errRedisMode
	}
	silence()
	options := &redis.UniversalOptions{
		Addrs: cfg.RedisAddrs, MasterName: cfg.RedisMaster, IsClusterMode: cfg.RedisCluster,
		Username: cfg.RedisUsername, Password: cfg.RedisPassword,
		DialTimeout: 500 * time.Millisecond, ReadTimeout: time.Second, WriteTimeout: time.Second,
		ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1, PoolSize: redisConnections, MinIdleConns: idle,
	}
	if cfg.RedisTLS {
		options.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if cfg.RedisCluster {
		cluster := options.Cluster()
		cluster.ClusterStateReloadInterval = clusterReload
		return redis.NewClusterClient(cluster), nil
	}
	return redis.NewUniversalClient(options), nil
}
