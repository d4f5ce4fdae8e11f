package auditlog

import (
	"bytes"
	"os"
)

// Faults decides about each operation of a file that [WithFaults] opens.
type Faults struct {
	// Write returns how many bytes of n get through, and the error after them.
	Write func(n int) (int, error)
	Sync  func() error
	Trunc func() error
	Syncs int
	Opens func() error
}

type faulty struct {
	*os.File
	f *Faults
}

func (f faulty) Write(b []byte) (int, error) {
	if f.f.Write == nil {
		return f.File.Write(b)
	}
	n, err := f.f.Write(len(b))
	if n > 0 {
		if _, werr := f.File.Write(b[:n]); werr != nil {
			return 0, werr
		}
	}
	return n, err
}

func (f faulty) Sync() error {
	f.f.Syncs++
	if f.f.Sync != nil {
		if err := f.f.Sync(); err != nil {
			return err
		}
	}
	return f.File.Sync()
}

func (f faulty) Truncate(n int64) error {
	if f.f.Trunc != nil {
		if err := f.f.Trunc(); err != nil {
			return err
		}
	}
	return f.File.Truncate(n)
}

// WithFaults makes the sink's file fail as f says.
func WithFaults(cfg FileConfig, f *Faults) FileConfig {
	cfg.open = func(path string) (file, error) {
		if f.Opens != nil {
			if err := f.Opens(); err != nil {
				return nil, err
			}
		}
		real, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o640)
		return faulty{real, f}, err
	}
	return cfg
}

// VerifyBytes verifies a trail held in memory.
func VerifyBytes(data, key []byte) (Summary, error) {
	v := verifier{chain: newChain(key)}
	err := v.read(bytes.NewReader(data), "memory")
	return v.summary(), err
}

// Encode is what a sink gets of an event.
var Encode = encode
