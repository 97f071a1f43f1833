package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// connect serves those who say by CONNECT, as to an HTTP proxy, where they want to go: all go by one link, whatever they
// say. So a process keeps the address by which it knows another and still goes by the link.
func connect(listener net.Listener, link string) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = conn.Close() }()
			reader := bufio.NewReader(conn)
			if request, err := http.ReadRequest(reader); err != nil || request.Method != http.MethodConnect {
				return
			}
			onward, err := net.Dial("tcp", link)
			if err != nil {
				return
			}
			defer func() { _ = onward.Close() }()
			if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, onward)
				_ = conn.Close()
			}()
			_, _ = io.Copy(onward, reader)
		}()
	}
}
