package certs

import (
	"time"

	"sallyport/certs/internal/pemkey"
)

// ParseKey lets the fuzz target reach the parser.
var ParseKey = pemkey.Parse

// BeforeStep lets a test end an operation before one of its steps on the disk.
func (s *DirStore) BeforeStep(hook func(step string) error) { s.dir.Before = hook }

// SetNow gives the store another clock for pruning.
func (s *DirStore) SetNow(now func() time.Time) { s.now = now }
