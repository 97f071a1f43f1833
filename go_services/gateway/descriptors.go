package gateway

import (
	"log/slog"
	"syscall"
)

// keptDescriptors are for what is no client's socket: streams to the mesh, certificates, sockets that are turned away.
const keptDescriptors = 256

// socketsWithin bounds sockets so that they leave descriptors to the rest of the process, of which so many are allowed.
func socketsWithin(descriptors uint64, sockets int64) int64 {
	if descriptors >= uint64(sockets)+keptDescriptors {
		return sockets
	}
	return min(sockets, int64(max(descriptors-min(descriptors, keptDescriptors), descriptors/2)))
}

// boundedSockets is how many sockets there may be: fewer than is set, if the process may not have the descriptors.
func boundedSockets(set int64, log *slog.Logger) int64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		log.Warn("ask for the limit of open files", "error", err.Error())
		return set
	}
	sockets := socketsWithin(limit.Cur, set)
	if sockets < set {
		log.Warn("the limit of open files bounds the sockets", "files", limit.Cur, "sockets", sockets, "wanted", set)
	}
	return sockets
}
