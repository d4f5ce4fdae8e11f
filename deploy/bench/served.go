//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"
)

// served is the shipped program, serving.
type served struct {
	process
	began time.Time
}

// serve starts the shipped program and connects to it as soon as it listens. The
// clock runs from before the start of the process.
func (g *gateway) serve(ctx context.Context, program string) (*served, *client, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, nil, err
	}
	text, err := os.ReadFile(g.settings.file)
	if err != nil {
		return nil, nil, err
	}
	file := strings.TrimSuffix(g.settings.file, ".yaml") + "-serve.yaml"
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), "127.0.0.1:0", address, 1)), 0o600); err != nil {
		return nil, nil, err
	}
	s := &served{process: process{g: g, address: address, cmd: exec.CommandContext(ctx, program, "serve", "--config", file)}}
	s.began = time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, nil, err
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		c, err := s.dial(ctx, address)
		if err == nil {
			return s, c, nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return nil, nil, errors.Join(fmt.Errorf("the gateway does not listen: %w", err), s.kill())
		}
	}
}

// kill ends the program at once.
func (s *served) kill() error {
	if err := s.cmd.Process.Kill(); err != nil {
		return err
	}
	_ = s.cmd.Wait() // says that it was killed
	return nil
}

// resident is the resident set in bytes.
func (s *served) resident() (float64, error) {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(statm), &size, &resident); err != nil {
		return 0, err
	}
	return float64(resident * int64(os.Getpagesize())), nil
}

// freeAddress names a port that nobody listens on.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}
