package redisstore_test

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// proxy stands between the store and a server and misbehaves on demand.
type proxy struct {
	ln     net.Listener
	target string

	mu    sync.Mutex
	conns map[net.Conn]bool
	reply func(b []byte) [][]byte // changes what comes from the server; nil: nothing
	stall chan struct{}           // when set, replies wait for it
	count int                     // connections accepted
}

func startProxy(t testing.TB, target string) *proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{ln: ln, target: target, conns: map[net.Conn]bool{}}
	go p.accept(ln)
	t.Cleanup(func() { _ = ln.Close(); p.cut() })
	return p
}

func (p *proxy) addr() string { return p.ln.Addr().String() }

func (p *proxy) accept(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		up, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = c.Close()
			continue
		}
		p.mu.Lock()
		p.conns[c], p.conns[up] = true, true
		p.count++
		p.mu.Unlock()
		go func() { _, _ = io.Copy(up, c); _ = up.Close() }()
		go func() { p.back(c, up); _ = c.Close() }()
	}
}

func (p *proxy) back(c, up net.Conn) {
	b := make([]byte, 64<<10)
	for {
		n, err := up.Read(b)
		if err != nil {
			return
		}
		p.mu.Lock()
		change, stall := p.reply, p.stall
		p.mu.Unlock()
		if stall != nil {
			<-stall
		}
		out := [][]byte{b[:n]}
		if change != nil {
			out = change(b[:n])
		}
		for _, o := range out {
			if _, err := c.Write(o); err != nil {
				return
			}
		}
	}
}

// cut closes every connection.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

func (p *proxy) change(f func(b []byte) [][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reply = f
}

// hang makes replies wait until the returned function is called.
func (p *proxy) hang() (release func()) {
	ch := make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stall = ch
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.stall == ch {
			p.stall = nil
			close(ch)
		}
	}
}

// eventually waits for a condition that something else brings about.
func eventually(t testing.TB, what string, within time.Duration, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not within %v: %s", within, what)
}
