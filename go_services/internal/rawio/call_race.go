//go:build race

package rawio

import (
	"errors"
	"syscall"
)

// The race detector is told by syscall.Read and syscall.Write, and by them alone, that what happened before a write
// happened before the read of what was written. Without them it would find races in whatever two ends in one process
// tell each other. The descriptors of net.Conn do not block.

func send(fd uintptr, p []byte) (int, syscall.Errno) { return call(syscall.Write, fd, p) }

func receive(fd uintptr, p []byte) (int, syscall.Errno) { return call(syscall.Read, fd, p) }

func call(do func(fd int, p []byte) (int, error), fd uintptr, p []byte) (int, syscall.Errno) {
	for {
		n, err := do(int(fd), p)
		if err == nil {
			return n, 0
		}
		var errno syscall.Errno
		if errors.As(err, &errno); errno != syscall.EINTR {
			return 0, errno
		}
	}
}
