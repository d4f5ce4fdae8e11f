package main

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// lines keeps what a process writes and lets a test wait for a line.
type lines struct {
	mu   sync.Mutex
	buf  strings.Builder
	more chan struct{} // closed and replaced with each write
	read int           // how far wait has come
}

func newLines() *lines { return &lines{more: make(chan struct{})} }

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Write(b)
	close(l.more)
	l.more = make(chan struct{})
	return len(b), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// wait returns the next line that holds part.
func (l *lines) wait(t *testing.T, part string) string {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		l.mu.Lock()
		text, more := l.buf.String()[l.read:], l.more
		if i := strings.Index(text, part); i >= 0 {
			if n := strings.IndexByte(text[i:], '\n'); n >= 0 {
				begin := strings.LastIndexByte(text[:i], '\n') + 1
				l.read += i + n + 1
				l.mu.Unlock()
				return text[begin : i+n]
			}
		}
		l.mu.Unlock()
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("no line with %q in\n%s", part, l)
		}
	}
}
