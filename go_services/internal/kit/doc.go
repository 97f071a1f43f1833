// Package kit is what every Go service of Worldmesh shares: settings, TLS, the gRPC server with its interceptors,
// the channel to the mesh, errors with stable reasons, telemetry, health, and an orderly start and stop.
//
// A service's main parses its settings, builds an App, and runs it:
//
//	cfg, err := kit.ParseConfig[relay.Config]()
//	app, err := kit.NewApp(ctx, cfg.Config)
//	roomv1.RegisterRoomServiceServer(app.Server, relay.NewServer(...))
//	err = app.Run(ctx)
package kit
