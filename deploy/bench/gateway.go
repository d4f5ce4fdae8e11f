//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
)

// gateway starts server processes.
type gateway struct {
	program  string
	settings *settings
	password string
	users    int
}

// process is one running server.
type process struct {
	g       *gateway
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Scanner
	address string
	floor   string
	mu      sync.Mutex
}

// usage is what the server says of itself; times are nanoseconds of CPU.
type usage struct {
	Error string `json:"error"`
	CPU   int64  `json:"cpu"`
	Signs int64  `json:"signs"`
	RSS   int64  `json:"rss"`
	N     int    `json:"n"`
}

func (u usage) minus(v usage) usage {
	return usage{CPU: u.CPU - v.CPU, Signs: u.Signs - v.Signs}
}

func (g *gateway) start(ctx context.Context) (*process, error) {
	p := &process{g: g, cmd: exec.CommandContext(ctx, g.program, g.settings.file)}
	p.cmd.Stderr = os.Stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	var hello struct{ Address, Floor string }
	if err := p.receive(&hello); err != nil {
		return nil, errors.Join(err, p.cmd.Wait())
	}
	p.address, p.floor = hello.Address, hello.Floor
	return p, nil
}

func (p *process) receive(v any) error {
	if !p.out.Scan() {
		return errors.Join(errors.New("the gateway process has ended"), p.out.Err())
	}
	return json.Unmarshal(p.out.Bytes(), v)
}

// ask sends one command and returns the answer.
func (p *process) ask(command map[string]any) (usage, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var u usage
	if err := json.NewEncoder(p.in).Encode(command); err != nil {
		return u, err
	}
	if err := p.receive(&u); err != nil {
		return u, err
	}
	if u.Error != "" {
		return u, fmt.Errorf("gateway process, %v: %s", command["do"], u.Error)
	}
	return u, nil
}

func (p *process) usage() (usage, error) { return p.ask(map[string]any{"do": "usage"}) }

// stop ends the process by closing its input.
func (p *process) stop() error {
	if err := p.in.Close(); err != nil {
		return err
	}
	return p.cmd.Wait()
}

// weigh runs work and returns what the server spent meanwhile.
func (p *process) weigh(work func() error) (usage, error) {
	before, err := p.usage()
	if err != nil {
		return usage{}, err
	}
	if err := work(); err != nil {
		return usage{}, err
	}
	after, err := p.usage()
	return after.minus(before), err
}
